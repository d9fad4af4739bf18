//! Conditions and exceptions: tests of the message (policy semantics §13.3). Found out at most once for each message,
//! and only if some rule asks: who its parties are, and what its subject says.

use std::cell::{Cell, OnceCell};

use super::Message;
use super::parties::Parties;
use crate::directory::{Condition, Directory, Owner, Place, Principal, Rule};
use crate::mail::{Address, Folded, Phrase, ReversePath};
use crate::proto::message::decode_text;
use crate::proto::message::header::{Field, fields};
use crate::proto::message::inspect::{Inspection, subjects};
use crate::routing::expand::{Addressed, Delivery, Receiver};

/// A message before conditions.
pub struct Tests<'a> {
    directory: &'a Directory,
    message: &'a Message<'a>,
    deliveries: &'a [Delivery],
    content: Option<&'a Inspection<'a>>,
    senders: OnceCell<Parties>,
    recipients: OnceCell<Parties>,
    subject: OnceCell<Folded>,
    fields: OnceCell<Vec<Field<'a>>>,
    is_incomplete: Cell<bool>,
}

/// Whether a condition holds, as far as the content could be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// Not in what could be read.
    NotInspected,
}

impl<'a> Tests<'a> {
    /// `content` is `None` if it could not be read.
    pub fn new(
        directory: &'a Directory,
        message: &'a Message<'a>,
        deliveries: &'a [Delivery],
        content: Option<&'a Inspection<'a>>,
    ) -> Self {
        Self {
            directory,
            message,
            deliveries,
            content,
            senders: OnceCell::new(),
            recipients: OnceCell::new(),
            subject: OnceCell::new(),
            fields: OnceCell::new(),
            is_incomplete: Cell::new(false),
        }
    }

    /// All conditions hold and no exception does; cheap ones first. Content that was not inspected may count as a match
    /// of a condition, never of an exception: it could be used to escape the rule.
    pub fn pass(&self, rule: &Rule) -> bool {
        let holds = |condition: &Condition| match self.ask(condition) {
            Answer::Yes => true,
            Answer::No => false,
            Answer::NotInspected => rule.match_uninspected,
        };
        self.pass_cheap(rule)
            && rule.conditions.iter().filter(|c| needs_content(c)).all(holds)
            && !rule.exceptions.iter().filter(|c| needs_content(c)).any(|c| self.ask(c) == Answer::Yes)
    }

    /// Some condition met content that could not be read.
    pub fn met_incomplete(&self) -> bool {
        self.is_incomplete.get()
    }

    /// What does not depend on content passes.
    pub fn pass_cheap(&self, rule: &Rule) -> bool {
        let holds = |condition: &Condition| self.ask(condition) == Answer::Yes;
        rule.conditions.iter().filter(|c| !needs_content(c)).all(holds)
            && !rule.exceptions.iter().filter(|c| !needs_content(c)).any(holds)
    }

    fn ask(&self, condition: &Condition) -> Answer {
        let answer = |is_so| if is_so { Answer::Yes } else { Answer::No };
        match condition {
            Condition::Sender(patterns) => {
                answer(patterns.iter().any(|p| self.senders().match_pattern(self.directory, p)))
            }
            Condition::Recipient(patterns) => {
                answer(patterns.iter().any(|p| self.recipients().match_pattern(self.directory, p)))
            }
            Condition::Size { min, max } => {
                let size = self.message.size;
                answer(min.is_none_or(|min| size > min) && max.is_none_or(|max| size < max))
            }
            Condition::Header { name, contains } => answer(self.has_header(name, contains)),
            Condition::Keyword { places, values } => {
                let answers = places.iter().map(|place| self.ask_phrases(*place, values));
                // Yes beats everything, and what was not inspected beats no.
                let best = |best, next| match (best, next) {
                    (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
                    (Answer::NotInspected, _) | (_, Answer::NotInspected) => Answer::NotInspected,
                    (Answer::No, Answer::No) => Answer::No,
                };
                answers.fold(Answer::No, best)
            }
            Condition::HasAttachment => self.inspect(|content| content.has_attachment()),
            Condition::AttachmentName(patterns) => {
                self.inspect(|content| patterns.iter().any(|p| content.attachment_name_matches(p)))
            }
        }
    }

    fn ask_phrases(&self, place: Place, phrases: &[Phrase]) -> Answer {
        match place {
            Place::Subject => match phrases.iter().any(|p| p.is_in(self.subject())) {
                true => Answer::Yes,
                false => Answer::No,
            },
            Place::Body => self.inspect(|content| phrases.iter().any(|p| content.body_contains(p))),
            Place::AttachmentName => {
                self.inspect(|content| phrases.iter().any(|p| content.attachment_name_contains(p)))
            }
        }
    }

    /// What was found counts, even if there is more that could not be read.
    fn inspect(&self, is_found: impl Fn(&Inspection<'_>) -> bool) -> Answer {
        match self.content {
            Some(content) if is_found(content) => Answer::Yes,
            Some(content) if !content.is_incomplete() => Answer::No,
            Some(_) | None => {
                self.is_incomplete.set(true);
                Answer::NotInspected
            }
        }
    }

    fn has_header(&self, name: &str, contains: &[Phrase]) -> bool {
        self.fields().iter().filter(|field| field.is(name.as_bytes())).any(|field| {
            contains.is_empty() || {
                let text = Folded::of(&decode_text(field.raw_value()));
                contains.iter().any(|phrase| phrase.is_in(&text))
            }
        })
    }

    /// The fields of the header, kept, for others may ask for them too.
    pub fn fields(&self) -> &[Field<'a>] {
        self.fields.get_or_init(|| fields(self.message.header).collect())
    }

    /// The reverse-path and the addresses in From: claims, both (policy semantics §13.3).
    pub fn claims(&self) -> impl Iterator<Item = &Address> {
        let reverse_path = match &self.message.sender.reverse_path {
            ReversePath::Address(address) => Some(address),
            ReversePath::Null => None,
        };
        reverse_path.into_iter().chain(self.message.header_from)
    }

    /// These are few, and none is an address of anybody here, who may have others.
    pub fn are_few_strangers(&self) -> bool {
        self.claims().nth(FEW).is_none()
            && self.claims().all(|address| matches!(self.directory.owner(address), Owner::Foreign | Owner::Nobody))
    }

    /// Whoever is claimed.
    pub fn senders(&self) -> &Parties {
        self.senders.get_or_init(|| {
            let mut parties = Parties::default();
            self.claims().for_each(|address| parties.add_address(self.directory, address));
            parties
        })
    }

    /// Whoever is addressed, and whoever it comes to.
    fn recipients(&self) -> &Parties {
        self.recipients.get_or_init(|| {
            let mut parties = Parties::default();
            self.message.forward_paths.iter().for_each(|address| parties.name(address));
            for addressed in self.message.addressed {
                match addressed {
                    Addressed::Account { account, .. } => parties.add(self.directory, Principal::Account(*account)),
                    Addressed::Group(group) => parties.add(self.directory, Principal::Group(*group)),
                    Addressed::External(address) => parties.name(address),
                }
            }
            for delivery in self.deliveries {
                match &delivery.to {
                    Receiver::Account(account) => parties.add(self.directory, Principal::Account(*account)),
                    Receiver::External(address) => parties.name(address),
                }
            }
            parties
        })
    }

    /// The Subject, folded.
    pub fn subject(&self) -> &Folded {
        self.subject.get_or_init(|| subjects(self.fields().iter().copied()))
    }
}

/// Addresses that it is quicker to ask about each than to bring together.
const FEW: usize = 4;

/// Whether the rule passes may depend on content.
pub fn depends_on_content(rule: &Rule) -> bool {
    rule.conditions.iter().chain(&rule.exceptions).any(needs_content)
}

fn needs_content(condition: &Condition) -> bool {
    match condition {
        Condition::Keyword { places, .. } => places.iter().any(|place| *place != Place::Subject),
        Condition::HasAttachment | Condition::AttachmentName(_) => true,
        Condition::Sender(_) | Condition::Recipient(_) | Condition::Size { .. } | Condition::Header { .. } => false,
    }
}
