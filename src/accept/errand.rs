//! A message that is still to be made, as it is kept with the message that it follows: to whom, and the facts of then
//! that it tells. What it shows of the message it reads from the store when it is made.

use serde::{Deserialize, Serialize};

use super::held::StoredSender;
use super::letter::Wishes;
use crate::mail::{AccountId, Address, EnhancedCode, ForwardPath, MailboxName, ReversePath, Timestamp};
use crate::proto::authres::{DmarcResult, SpfResult};
use crate::proto::message::compose::{self, Failure, MonitorFacts, Told};
use crate::routing::rules::Role;

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Errand {
    /// A delivery status notification (policy semantics §6.5, §9, §13.4).
    Dsn(Dsn),
    /// A delivery status notification of success, for who asked for one (RFC 3461 §4.1).
    Success(Success),
    /// A notice for one of those who decide about a held part (policy semantics §9, §13.4).
    Approval(Approval),
    /// A monitor's copy in the form of a report (policy semantics §13.5).
    Report(Report),
    /// An automatic reply, if there is still to be one (policy semantics §12).
    Reply(Reply),
    /// A delivery status notification of what came of attempts at other hosts.
    Sent(Sent),
}

/// Tells that a message did not get to some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dsn {
    /// The sender, a manager of a group, or an administrator.
    pub to: Address,
    /// Who did not get the message.
    pub failed: Vec<Failed>,
    /// When it came.
    pub arrived: Timestamp,
    /// ENVID (RFC 3461 §4.4), decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<String>,
    /// The message goes by REQUIRETLS, and what tells of it too (RFC 8689 §5).
    #[serde(default)]
    pub requires_tls: bool,
    /// Once for a message, this account: a manager of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_a_message: Option<AccountId>,
}

impl Dsn {
    /// Of a message of which nothing special was asked.
    pub fn new(to: Address, failed: Vec<Failed>, arrived: Timestamp) -> Self {
        Self { to, failed, arrived, envelope_id: None, requires_tls: false, once_a_message: None }
    }

    /// Of a message of which this was asked.
    pub fn with(self, wishes: &Wishes<'_>) -> Self {
        let envelope_id = wishes.envelope_id.map(str::to_owned);
        Self { envelope_id, requires_tls: wishes.requires_tls, ..self }
    }
}

/// Tells what came of attempts at other hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Who is told.
    pub to: Address,
    /// At most once a day, this account.
    pub once_a_day: Option<AccountId>,
    /// Once for a message, this account: a manager of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_a_message: Option<AccountId>,
    /// What has happened to all of these recipients.
    pub what: What,
    /// ENVID (RFC 3461 §4.4), decoded.
    pub envelope_id: Option<String>,
    /// RET=FULL.
    pub is_full: bool,
    /// The message goes by REQUIRETLS, and what tells of it too (RFC 8689 §5).
    #[serde(default)]
    pub requires_tls: bool,
    /// When the message came.
    pub arrived: Timestamp,
    /// The recipients.
    pub recipients: Vec<SentTo>,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It is given up.
    Failed,
    /// It is tried again, until this time.
    Delayed(Timestamp),
    /// The host has it, and sends no notifications.
    Relayed,
}

/// A recipient on another host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTo {
    /// Who.
    pub recipient: Address,
    /// ORCPT (RFC 3461 §4.2), decoded.
    pub original: Option<String>,
    /// Class, subject and detail (RFC 3463).
    pub status: (u8, u16, u16),
    /// The host's reply, or what stopped us.
    pub text: String,
    /// `text` is a reply.
    pub is_reply: bool,
    /// The host.
    pub host: Option<String>,
    /// When the last attempt was.
    pub at: Timestamp,
}

/// Tells that a message got to some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// The sender.
    pub to: Address,
    /// ENVID (RFC 3461 §4.4), decoded.
    pub envelope_id: Option<String>,
    /// Who asked for it.
    pub reached: Vec<Reached>,
    /// When the message came.
    pub arrived: Timestamp,
    /// The message goes by REQUIRETLS, and what tells of it too (RFC 8689 §5).
    #[serde(default)]
    pub requires_tls: bool,
}

/// A recipient whose sender wants to hear of success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// As the sender knows it.
    pub recipient: Address,
    /// ORCPT (RFC 3461 §4.2), decoded.
    pub original: Option<String>,
    /// It is a group: reached with the acceptance. Otherwise it is if one of `accounts` has the message.
    pub is_group: bool,
    /// The account, or those to which it forwards.
    pub accounts: Vec<AccountId>,
}

/// Asks for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Whom.
    pub approver: AccountId,
    /// Why the message waits.
    pub cause: Cause,
    /// Who sent it; `None` for the null reverse-path.
    pub reverse_path: Option<Address>,
    /// How long it waits.
    pub until: Timestamp,
}

/// Shows a monitor a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who gets it.
    pub monitor: AccountId,
    /// Where; `None` for INBOX.
    pub folder: Option<MailboxName>,
    /// What it says.
    pub facts: Monitored,
}

/// Answers for an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Which.
    pub account: AccountId,
    /// Who sent the message.
    pub sender: StoredSender,
    /// What SPF said.
    pub spf: SpfResult,
    /// A signature was aligned with the reverse-path.
    pub dkim_aligned: bool,
    /// What DMARC said.
    pub dmarc: DmarcResult,
    /// The message goes by REQUIRETLS, and the answer too (RFC 8689 §6).
    #[serde(default)]
    pub requires_tls: bool,
}

/// A recipient who did not get the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// As the sender knows it.
    pub recipient: Address,
    /// Why.
    pub why: Why,
}

/// Why somebody did not get a message: [`Failure`] in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// [`Failure::NotApproved`]
    NotApproved(Option<String>),
    /// [`Failure::NoDecision`]
    NoDecision,
    /// [`Failure::Rule`]
    Rule(Option<String>),
    /// [`Failure::PartClosed`]
    PartClosed(Option<Address>),
    /// [`Failure::ExternalMembers`]
    ExternalMembers,
    /// [`Failure::NoMember`]
    NoMember,
    /// [`Failure::Unverified`]
    Unverified,
    /// The mailbox stayed full.
    Full,
}

/// Why a message waits: [`compose::Cause`] in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// For a moderated group of this address.
    Group(Address),
    /// By a rule of this name.
    Rule(String),
}

/// What a monitor is told of a message: [`MonitorFacts`] in their stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitored {
    /// The names of the rules.
    pub rules: Vec<String>,
    /// Who sent or received it.
    pub event: Option<(Role, Address)>,
    /// MAIL FROM; `None` for the null one.
    pub reverse_path: Option<Address>,
    /// RCPT TO.
    pub recipients: Vec<Address>,
}

impl Errand {
    /// For the store.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = vec![VERSION];
        // Plain records with string keys: writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut octets, self);
        octets
    }

    /// From the store; `None` if it is damaged.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        match octets.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json).ok(),
            _ => None,
        }
    }

    /// For the trace.
    pub fn name(&self) -> &'static str {
        match self {
            Errand::Dsn(_) => "delivery status notification",
            Errand::Success(_) => "delivery status notification of success",
            Errand::Approval(_) => "notice for an approver",
            Errand::Report(_) => "report for a monitor",
            Errand::Reply(_) => "automatic reply",
            Errand::Sent(_) => "delivery status notification",
        }
    }
}

impl Why {
    /// As it is told.
    pub fn failure(&self) -> Failure<'_> {
        match self {
            Why::NotApproved(text) => Failure::NotApproved(text.as_deref()),
            Why::NoDecision => Failure::NoDecision,
            Why::Rule(text) => Failure::Rule(text.as_deref()),
            Why::PartClosed(inner) => Failure::PartClosed(inner.as_ref()),
            Why::ExternalMembers => Failure::ExternalMembers,
            Why::NoMember => Failure::NoMember,
            Why::Unverified => Failure::Unverified,
            Why::Full => Failure::Told { status: EnhancedCode::new(5, 2, 2), what: Told::MailboxFull },
        }
    }
}

impl Cause {
    /// As it is told.
    pub fn shown(&self) -> compose::Cause<'_> {
        match self {
            Cause::Group(address) => compose::Cause::Group(address),
            Cause::Rule(name) => compose::Cause::Rule(name),
        }
    }
}

impl Monitored {
    /// Has `make` write them.
    pub fn told<T>(&self, make: impl FnOnce(&MonitorFacts<'_>) -> T) -> T {
        let rules: Vec<&str> = self.rules.iter().map(String::as_str).collect();
        let events: Vec<compose::Event<'_>> = self.event.iter().map(|(role, address)| event(*role, address)).collect();
        let reverse_path = path(self.reverse_path.clone());
        let recipients: Vec<ForwardPath> = self.recipients.iter().cloned().map(ForwardPath::Address).collect();
        make(&MonitorFacts { rules: &rules, events: &events, reverse_path: &reverse_path, recipients: &recipients })
    }
}

fn event(role: Role, address: &Address) -> compose::Event<'_> {
    match role {
        Role::Sent => compose::Event::Sent(address),
        Role::Received => compose::Event::Received(address),
    }
}

/// A reverse-path from its stored form.
pub fn path(address: Option<Address>) -> ReversePath {
    address.map_or(ReversePath::Null, ReversePath::Address)
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errands_round_trip_and_damage_is_seen() {
        let address = |text| Address::parse(text).unwrap();
        let alice = AccountId::new(1).unwrap();
        let all = [
            Errand::Dsn(Dsn {
                envelope_id: Some("id".to_owned()),
                requires_tls: true,
                ..Dsn::new(
                    address("pam@partner.test"),
                    vec![Failed {
                        recipient: address("g@corp.test"),
                        why: Why::PartClosed(Some(address("h@corp.test"))),
                    }],
                    Timestamp::from_millis(5),
                )
            }),
            Errand::Approval(Approval {
                approver: alice,
                cause: Cause::Rule("a \"rule\"".to_owned()),
                reverse_path: None,
                until: Timestamp::from_millis(6),
            }),
            Errand::Report(Report {
                monitor: alice,
                folder: MailboxName::parse("日本").ok(),
                facts: Monitored {
                    rules: vec!["w".to_owned()],
                    event: Some((Role::Sent, address("bob@corp.test"))),
                    reverse_path: Some(address("bob@corp.test")),
                    recipients: vec![address("\"a b\"@corp.test")],
                },
            }),
        ];
        for errand in all {
            let octets = errand.encode();
            assert_eq!(Errand::decode(&octets), Some(errand));
            assert_eq!(Errand::decode(octets.get(..octets.len() - 1).unwrap()), None);
            assert_eq!(Errand::decode(octets.get(1..).unwrap()), None);
        }
    }

    #[test]
    fn errands_of_before_stay_readable() {
        let old = b"\x01{\"dsn\":{\"to\":\"pam@partner.test\",\"failed\":[],\"arrived\":5}}";
        let new = Dsn::new(Address::parse("pam@partner.test").unwrap(), vec![], Timestamp::from_millis(5));
        assert_eq!(Errand::decode(old), Some(Errand::Dsn(new)));
    }
}
