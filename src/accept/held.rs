//! Parts of a message that wait for somebody's decision, as they are kept with the held message (policy semantics §9,
//! §13.4).

use serde::{Deserialize, Serialize};

use super::letter::{Letter, Origin, Recipient, Wishes, may_know};
use crate::directory::Directory;
use crate::mail::{AccountId, Address, GroupId, Notify, OrganisationId, Ret, ReversePath, RuleId};
use crate::policy::sender::{self, Sender};
use crate::proto::authres::AuthResults;
use crate::proto::message::{decode_text, header};
use crate::routing::rules::{Copy, Forwarding};
use crate::routing::{Delivery, Receiver, Via};

/// A part that waits, with all that its release needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPart {
    /// Why it waits.
    pub reason: Reason,
    /// Who may decide.
    pub approvers: Vec<AccountId>,
    /// Who sent the message, as settled when it was accepted.
    pub sender: StoredSender,
    /// Where it came from.
    pub origin: Origin,
    /// What email authentication found.
    pub auth: AuthResults,
    /// The authors.
    pub from: Vec<Address>,
    /// For people.
    pub subject: String,
    /// The recipients as given, by the sender or by a hook.
    pub recipients: Vec<String>,
    /// Those that the sender had given and that hooks have taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Whom a refusal names to the sender: those whose mail waits here, as the sender knows them. `None` in a record from
    /// before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Vec<Address>>,
    /// Whom a refusal names to an administrator: those of them whom a hook has named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hooks: Vec<Address>,
    /// The recipients as given of whose failure the sender does not want to hear (RFC 3461 §4.1): in a record from before
    /// `asked` was kept, which says it since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
    /// What the sender asked for of the message as a whole; nothing in a record from before this was kept.
    #[serde(default, skip_serializing_if = "StoredWishes::is_nothing")]
    pub wishes: StoredWishes,
    /// What it asked for of each recipient of whom it said something; nothing, of each that a hook has named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
    /// The sender has to be told of a refusal.
    pub is_answerable: bool,
    /// The fields that hooks have added, for rules.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub added: String,
    /// A hook said that it is junk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_junk: bool,
}

/// [`Wishes`] in their stored form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredWishes {
    /// ENVID (RFC 3461 §4.4), decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<String>,
    /// RET (RFC 3461 §4.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ret: Option<Ret>,
    /// REQUIRETLS (RFC 8689 §4.1).
    pub requires_tls: bool,
}

/// What a sender asked for of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// As given.
    pub recipient: String,
    /// NOTIFY (RFC 3461 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2), decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// A hook has named it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hook: bool,
}

impl StoredWishes {
    /// The stored form.
    pub fn of(wishes: &Wishes<'_>) -> Self {
        let Wishes { envelope_id, ret, requires_tls } = *wishes;
        Self { envelope_id: envelope_id.map(str::to_owned), ret, requires_tls }
    }

    /// The wishes.
    pub fn wishes(&self) -> Wishes<'_> {
        Wishes { envelope_id: self.envelope_id.as_deref(), ret: self.ret, requires_tls: self.requires_tls }
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a part waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A moderated group: expanded when it is released.
    Group {
        /// Which.
        group: GroupId,
        /// The group that was addressed.
        addressed: GroupId,
    },
    /// A mail rule: these receivers get it when it is released, and the rules after it go on.
    Rule {
        /// Which.
        rule: RuleId,
        /// Its place in the order of evaluation.
        priority: u32,
        /// Who gets it.
        part: Vec<StoredDelivery>,
        /// The sender's event is held as well.
        is_whole: bool,
        /// Nobody decides in time: it is released.
        releases_at_timeout: bool,
        /// Copies to make at the release.
        copies: Vec<Copy>,
        /// Further recipients at the release.
        forwards: Vec<Forwarding>,
    },
    /// A hook: these receivers get it when it is released, and all rules apply then.
    Hook {
        /// Which.
        hook: String,
        /// Why.
        why: String,
        /// Who gets it.
        part: Vec<StoredDelivery>,
        /// Moderated groups that wait behind it, each with the group that was addressed.
        groups: Vec<(GroupId, GroupId)>,
        /// The sender's event is held with it.
        is_whole: bool,
    },
    /// A monitor's copy that could not be written.
    Copy {
        /// Whose.
        monitor: AccountId,
        /// Which rules want it.
        rules: Vec<RuleId>,
    },
}

/// A delivery in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDelivery {
    /// The account …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// … or the address elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Through this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// The plus detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl StoredDelivery {
    /// The stored form.
    pub fn of(delivery: &Delivery) -> Self {
        let (account, address) = match &delivery.to {
            Receiver::Account(id) => (Some(*id), None),
            Receiver::External(address) => (None, Some(address.clone())),
        };
        let group = match delivery.via {
            Via::Group(id) => Some(id),
            Via::Direct | Via::Postmaster | Via::CatchAll => None,
        };
        Self { account, address, group, detail: delivery.detail.clone() }
    }

    /// The delivery; `None` if it names nobody.
    pub fn delivery(&self) -> Option<Delivery> {
        let to = match (self.account, &self.address) {
            (Some(id), _) => Receiver::Account(id),
            (None, Some(address)) => Receiver::External(address.clone()),
            (None, None) => return None,
        };
        Some(Delivery { to, via: self.group.map_or(Via::Direct, Via::Group), detail: self.detail.clone() })
    }
}

/// A sender in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSender {
    /// `None` for the null reverse-path.
    pub reverse_path: Option<Address>,
    /// The class with its identity.
    pub origin: sender::Origin,
}

impl StoredSender {
    /// The stored form.
    pub fn of(sender: &Sender) -> Self {
        let reverse_path = match &sender.reverse_path {
            ReversePath::Null => None,
            ReversePath::Address(address) => Some(address.clone()),
        };
        Self { reverse_path, origin: sender.origin.clone() }
    }

    /// The sender.
    pub fn sender(&self) -> Sender {
        let reverse_path = self.reverse_path.clone().map_or(ReversePath::Null, ReversePath::Address);
        Sender { reverse_path, origin: self.origin.clone() }
    }
}

impl HeldPart {
    /// A part of this letter; `waiting`: whose mail it is.
    pub fn new(letter: &Letter<'_>, reason: Reason, approvers: Vec<AccountId>, waiting: Vec<Address>) -> Self {
        let (by_hooks, mut named): (Vec<Address>, _) = waiting.into_iter().partition(|a| letter.is_by_hook(a));
        named.retain(|address| letter.wants_failure_of(address));
        Self {
            reason,
            approvers,
            sender: StoredSender::of(letter.sender),
            origin: letter.origin.clone(),
            auth: letter.auth.clone(),
            from: letter.from.addresses.clone(),
            subject: subject(letter.header),
            recipients: letter.recipients.iter().map(|r| r.address.clone()).collect(),
            removed: letter.hooked.removed.iter().map(|r| r.address.clone()).collect(),
            named: Some(named),
            by_hooks,
            silent: Vec::new(),
            wishes: StoredWishes::of(&letter.wishes),
            asked: letter.recipients.iter().filter_map(asked).collect(),
            is_answerable: letter.sender.is_answerable(),
            added: String::from_utf8_lossy(letter.hooked.added).into_owned(),
            is_junk: letter.hooked.is_junk,
        }
    }

    /// The sender is not told that it is held: it is a monitor's copy, or a hook has named whom it is for.
    pub fn is_secret(&self) -> bool {
        matches!(self.reason, Reason::Copy { .. })
            || (!self.by_hooks.is_empty() && self.named.as_ref().is_none_or(Vec::is_empty))
    }

    /// A hook has named the recipient that was given so.
    pub fn is_by_hook(&self, recipient: &str) -> bool {
        self.asked.iter().any(|asked| asked.by_hook && asked.recipient == recipient)
    }

    /// Those of the recipients whom this organisation may know.
    pub fn recipients_for(&self, directory: &Directory, organisation: OrganisationId) -> Vec<String> {
        let sender = self.sender.sender();
        let is_known = |text: &&String| may_know(directory, organisation, &sender, text);
        self.recipients.iter().filter(is_known).cloned().collect()
    }

    /// For the store.
    pub fn encode(&self) -> Vec<u8> {
        // Plain records with string keys: writing to memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From the store; `None` if it is damaged.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        serde_json::from_slice(octets).ok()
    }
}

fn asked(recipient: &Recipient) -> Option<Asked> {
    let Recipient { address, notify, original, by_hook, .. } = recipient;
    let asked = || Asked { recipient: address.clone(), notify: *notify, original: original.clone(), by_hook: *by_hook };
    (notify.is_some() || original.is_some() || *by_hook).then(asked)
}

/// The subject for people: decoded, at most 200 characters.
pub fn subject(header: &[u8]) -> String {
    let Some(field) = header::find(header, "Subject") else { return String::new() };
    decode_text(&field.value()).chars().filter(|c| !c.is_control()).take(200).collect()
}
