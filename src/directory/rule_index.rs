//! Which rules of an organisation can match a message, found by what the message has instead of asking each rule
//! (policy semantics §13.3). Each rule is filed under one of its conditions: where that one cannot hold, the rule cannot
//! match. So what is given for a message is never too little, and what is too much the conditions themselves sort out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{AddressPattern, Condition, Place, Rule, RuleScope, Subject};
use crate::mail::{AddressKey, Phrase, PhraseSet};

/// The rules of one organisation. They are named by their places in the list that it was made of.
#[derive(Clone, Debug, Default)]
pub struct RuleIndex {
    always: Vec<Vec<usize>>,
    // By what administrators have written: nobody else can make them collide.
    addresses: FxHashMap<String, Vec<usize>>,
    domains: FxHashMap<String, Vec<usize>>,
    above: FxHashMap<String, Vec<usize>>,
    /// Of the names in these two.
    domain_shapes: Shapes,
    larger: Vec<(u64, usize)>,
    fields: FxHashMap<Vec<u8>, Vec<usize>>,
    field_shapes: Shapes,
    phrases: PhraseSet,
    /// For each phrase, those that look for it in the Subject alone, and those that look for it in the content.
    looking: Vec<Looking>,
    named: Vec<usize>,
    attached: Vec<usize>,
    content: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Looking {
    subject: Vec<usize>,
    content: Vec<usize>,
}

/// What a message has beside its content.
pub struct Clues<'a> {
    /// Octets.
    pub size: u64,
    /// The numbers of the phrases found in its Subject.
    pub in_subject: &'a [usize],
}

/// What its content has.
pub struct ContentClues<'a> {
    /// The numbers of the phrases found anywhere in it, and in its Subject.
    pub phrases: &'a [usize],
    /// Some part has a name.
    pub has_names: bool,
    /// Some part is an attachment.
    pub has_attachment: bool,
}

/// The condition under which a rule is filed, the most telling first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Telling {
    Sender,
    Size,
    Header,
    Subject,
    Content,
    Name,
    Attachment,
}

impl RuleIndex {
    /// Of these rules.
    pub fn of(rules: &[Arc<Rule>]) -> Self {
        let mut index = Self::default();
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut phrases = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            match rule.conditions.iter().filter_map(|c| Some((telling(c)?, c))).min_by_key(|(rank, _)| *rank) {
                Some((_, condition)) => index.file(place, condition, &mut phrases),
                None => alike.entry(looks_at(rule)).or_default().push(place),
            }
        }
        index.always = alike.into_values().collect();
        index.larger.sort_unstable();
        index.phrases = PhraseSet::new(phrases);
        index
    }

    fn file(&mut self, place: usize, condition: &Condition, phrases: &mut Vec<Phrase>) {
        match condition {
            Condition::Sender(patterns) => patterns.iter().for_each(|pattern| self.file_sender(place, pattern)),
            Condition::Size { min, .. } => self.larger.extend(min.map(|min| (min, place))),
            Condition::Header { name, .. } => {
                self.field_shapes.add(name.as_bytes());
                self.fields.entry(name.to_ascii_lowercase().into_bytes()).or_default().push(place);
            }
            Condition::Keyword { places, values } => {
                let is_subject = places.iter().all(|place| *place == Place::Subject);
                for phrase in values {
                    phrases.push(phrase.clone());
                    self.looking.push(match is_subject {
                        true => Looking { subject: vec![place], content: Vec::new() },
                        false => Looking { subject: Vec::new(), content: vec![place] },
                    });
                }
                if !is_subject {
                    self.content.push(place);
                }
            }
            Condition::AttachmentName(_) => {
                self.named.push(place);
                self.content.push(place);
            }
            Condition::HasAttachment => {
                self.attached.push(place);
                self.content.push(place);
            }
            Condition::Recipient(_) => {}
        }
    }

    fn file_sender(&mut self, place: usize, pattern: &AddressPattern) {
        let (map, name) = match pattern {
            AddressPattern::Address(address) => (&mut self.addresses, address.key().as_str().to_owned()),
            AddressPattern::Domain(domain) => (&mut self.domains, domain.as_str().to_owned()),
            AddressPattern::Subdomains(above) => (&mut self.above, above.as_str().to_owned()),
            AddressPattern::Account(_) | AddressPattern::Group(_) | AddressPattern::Department(_) => return,
        };
        if let AddressPattern::Domain(_) | AddressPattern::Subdomains(_) = pattern {
            self.domain_shapes.add(name.as_bytes());
        }
        map.entry(name).or_default().push(place);
    }

    /// Those that are filed under nothing, together where they look at the same events.
    pub fn always(&self) -> impl Iterator<Item = &[usize]> {
        self.always.iter().map(Vec::as_slice)
    }

    /// The phrases that are looked for.
    pub fn phrases(&self) -> &PhraseSet {
        &self.phrases
    }

    /// Some rule is filed under its senders.
    pub fn asks_senders(&self) -> bool {
        !(self.addresses.is_empty() && self.domains.is_empty() && self.above.is_empty())
    }

    /// Some rule is filed under a sender's address.
    pub fn asks_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Some rule is filed under a field.
    pub fn asks_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Those filed under the size, or phrases in the Subject.
    pub fn by(&self, clues: &Clues<'_>) -> Vec<usize> {
        let larger = self.larger.iter().take_while(|(min, _)| *min < clues.size);
        let mut places: Vec<usize> = larger.map(|(_, place)| *place).collect();
        let looking = clues.in_subject.iter().filter_map(|number| self.looking.get(*number));
        places.extend(looking.flat_map(|looking| &looking.subject));
        places
    }

    /// Those filed under a sender's address.
    pub fn by_address(&self, address: &AddressKey) -> &[usize] {
        self.addresses.get(address.as_str()).map_or(&[], Vec::as_slice)
    }

    /// Adds those filed under a sender's domain or one above it.
    pub fn add_by_domain(&self, domain: &str, places: &mut Vec<usize>) {
        if self.domain_shapes.may_have(domain.as_bytes()) {
            places.extend(self.domains.get(domain).into_iter().flatten());
        }
        for (at, _) in domain.match_indices('.') {
            let above = domain.get(at + 1..).filter(|above| self.domain_shapes.may_have(above.as_bytes()));
            places.extend(above.and_then(|above| self.above.get(above)).into_iter().flatten());
        }
    }

    /// Those filed under a header field.
    pub fn by_field(&self, name: &[u8]) -> &[usize] {
        if !self.field_shapes.may_have(name) {
            return &[];
        }
        self.fields.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// Those filed under what only the content tells.
    pub fn content(&self) -> &[usize] {
        &self.content
    }

    /// Those of them that the content brings up.
    pub fn by_content(&self, clues: &ContentClues<'_>) -> Vec<usize> {
        let looking = clues.phrases.iter().filter_map(|number| self.looking.get(*number));
        let mut places: Vec<usize> = looking.flat_map(|looking| &looking.content).copied().collect();
        places.extend(self.named.iter().filter(|_| clues.has_names));
        places.extend(self.attached.iter().filter(|_| clues.has_attachment));
        places
    }
}

/// How telling a condition is; `None` for those under which nothing can be filed.
fn telling(condition: &Condition) -> Option<Telling> {
    match condition {
        Condition::Sender(patterns) => patterns.iter().all(is_name).then_some(Telling::Sender),
        Condition::Size { min, .. } => min.map(|_| Telling::Size),
        Condition::Header { .. } => Some(Telling::Header),
        Condition::Keyword { places, .. } => match places.iter().all(|place| *place == Place::Subject) {
            true => Some(Telling::Subject),
            false => Some(Telling::Content),
        },
        Condition::AttachmentName(_) => Some(Telling::Name),
        Condition::HasAttachment => Some(Telling::Attachment),
        Condition::Recipient(_) => None,
    }
}

/// Lengths and first letters of names, whatever their case: most names that nobody asks for have others, so that nothing
/// else of the index is looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Shapes(u128);

impl Shapes {
    fn add(&mut self, name: &[u8]) {
        self.0 |= Self::bit(name);
    }

    fn may_have(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }

    fn bit(name: &[u8]) -> u128 {
        let first = name.first().map_or(0, |first| usize::from(first.to_ascii_lowercase()));
        1 << (name.len().wrapping_add(first.wrapping_mul(11)) % 128)
    }
}

/// The pattern speaks of addresses alone, not of who belongs where.
fn is_name(pattern: &AddressPattern) -> bool {
    match pattern {
        AddressPattern::Address(_) | AddressPattern::Domain(_) | AddressPattern::Subdomains(_) => true,
        AddressPattern::Account(_) | AddressPattern::Group(_) | AddressPattern::Department(_) => false,
    }
}

/// Equal for rules that look at the same events.
fn looks_at(rule: &Rule) -> (Option<&[Subject]>, &[Subject], u8, u8) {
    let scope = match &rule.scope {
        RuleScope::Everyone => None,
        RuleScope::Of(subjects) => Some(subjects.as_slice()),
    };
    (scope, &rule.scope_except, rule.direction as u8, rule.peer as u8)
}
