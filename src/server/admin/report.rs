//! How messages look in the API: where they went, what waits, what would happen, and what administrators did.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Actor;
use super::spec::Difference;

/// A message that was accepted or refused, as `trace` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceView {
    /// What the reply to the message named.
    pub id: String,
    /// RFC 3339, UTC.
    pub at: String,
    /// What was known when it was accepted or refused; keys may be added.
    pub record: Value,
    /// What came later, oldest first; of very much the beginning.
    pub events: Vec<Value>,
    /// More came later than `events` has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Deliveries to mailboxes here, as many as were asked for.
    pub deliveries: Vec<TraceDeliveryView>,
    /// How many there are.
    pub delivery_count: u64,
}

/// A delivery to a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceDeliveryView {
    /// Whose.
    pub account: String,
    /// `ordinary`, or `monitor` for the copy of a mail rule.
    pub copy: String,
    /// `delivered`, `full` (is tried again), `gone` or `failed`.
    pub state: String,
    /// The folder as it is called now.
    pub folder: Option<String>,
    /// Its UID there at first.
    pub uid: Option<u32>,
    /// The group through which it came.
    pub via: Option<String>,
}

/// An external target of an owner's forward that has not confirmed that it wants the mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskedView {
    /// Its address.
    pub target: String,
    /// It was asked; false if it was asked so lately that it is left alone.
    pub mailed: bool,
}

/// A webhook, and how it went with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// What it is called.
    pub name: String,
    /// Where it listens.
    pub url: String,
    /// What it is told of.
    pub events: Vec<String>,
    /// Events that wait.
    pub waiting: usize,
    /// When the oldest of them has happened; RFC 3339, UTC.
    pub oldest: Option<String>,
    /// When it took the first event, or the first after a failure.
    pub worked: Option<String>,
    /// When it last failed.
    pub failed: Option<String>,
    /// How.
    pub failure: Option<String>,
    /// Events given up because they were too old.
    pub given_up: u64,
    /// Events dropped because too many waited.
    pub dropped: u64,
}

/// What a webhook answers to `ping`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookAnswerView {
    /// The id that it was told.
    pub id: String,
    /// It answers with success.
    pub taken: bool,
    /// Why not.
    pub failure: Option<String>,
    /// The status of its answer.
    pub status: Option<u16>,
    /// The beginning of its answer's content.
    pub answer: String,
    /// How long it took.
    pub milliseconds: u64,
}

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Its number in its organisation's log, from 1.
    pub sequence: u64,
    /// RFC 3339, UTC.
    pub at: String,
    /// Who; null if the record cannot be read.
    #[schema(value_type = Option<Object>)]
    pub actor: Option<Actor>,
    /// `account.add`, `group.members`, `hold.refuse` …
    pub action: String,
    /// What became of the objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Difference>,
    /// Why nothing became of it: the key of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What was attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What verification of an audit log has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditCheckView {
    /// Whose log.
    pub organisation: String,
    /// Every record is as it was written.
    pub intact: bool,
    /// How many records there are, if it is.
    pub records: Option<u64>,
    /// Otherwise the number of the first that is missing or was changed.
    pub first_bad: Option<u64>,
}

/// An item of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueItemView {
    /// Its id.
    pub id: String,
    /// The message, as `trace` knows it.
    pub message: String,
    /// `remote`, or `full` for an account here that has no room.
    pub kind: String,
    /// To whom.
    pub recipient: String,
    /// The host it is for; null for an account here.
    pub host: Option<String>,
    /// MAIL FROM; empty for the null reverse-path.
    pub reverse_path: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// When it is tried next.
    pub due: String,
    /// How often it has been tried.
    pub attempts: u32,
    /// `waiting`, or `held` by an administrator or because the account that sent it may be abused.
    pub state: String,
    /// Whose doing it is that it is held: `administrator` or `abuse`.
    pub held_by: Option<String>,
    /// One of many copies, which let others go first.
    pub bulk: bool,
    /// What came of the last attempt: the remote host's reply as it came, or what stopped us.
    pub note: String,
    /// The status of that (RFC 3463).
    pub status: Option<String>,
    /// When that was.
    pub tried: Option<String>,
    /// The host that was spoken to.
    pub tried_host: Option<String>,
    /// How the session was secured.
    pub tls: Option<String>,
}

/// How much waits for a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DestinationView {
    /// The host; empty for accounts here that have no room.
    pub host: String,
    /// Items that are tried when they are due.
    pub waiting: u64,
    /// Items that are held.
    pub held: u64,
    /// Since when the oldest waits. RFC 3339, UTC.
    pub oldest: String,
    /// When the first that is not held is tried.
    pub due: Option<String>,
}

/// What was done with items of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueDone {
    /// With how many.
    pub items: u64,
}

/// A message that waits, or waited, for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// Its id.
    pub id: String,
    /// Whose limit it counts against.
    pub organisation: String,
    /// `moderation`, `approval` or `quarantine`.
    pub kind: String,
    /// `pending`, `accepted` or `refused`.
    pub state: String,
    /// The message, as `trace` knows it.
    pub message: String,
    /// Octets.
    pub size: u64,
    /// RFC 3339, UTC.
    pub created: String,
    /// When it is too late to decide.
    pub expires: Option<String>,
    /// MAIL FROM; empty for the null reverse-path.
    pub reverse_path: String,
    /// The authors.
    pub from: Vec<String>,
    /// The recipients as given.
    pub recipients: Vec<String>,
    /// Decoded.
    pub subject: String,
    /// The group whose moderators decide.
    pub group: Option<String>,
    /// The mail rule that held it.
    pub rule: Option<String>,
    /// The hook that wanted it held.
    pub hook: Option<String>,
    /// Why it did.
    pub why: Option<String>,
    /// Who may decide beside domain admins.
    pub approvers: Vec<String>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided: Option<String>,
    /// What they said.
    pub text: Option<String>,
    /// When that had been carried out.
    pub finished: Option<String>,
}

/// What would happen to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// What decided, in the order of evaluation.
    pub findings: Vec<FoundView>,
    /// The command that is answered last: `MAIL` or `RCPT`.
    pub command: String,
    /// What the sender would read.
    pub reply: String,
    /// Whether the recipient would be accepted.
    pub accepted: bool,
    /// Who would get a copy, at most 1,000 are named.
    pub deliveries: Vec<PlannedView>,
    /// How many there are.
    pub delivery_count: usize,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundView {
    /// `sender`, `lookup`, `group`, `member`, `verdict`, `delivery`, `forward` or `hook`.
    pub about: String,
    /// What was found.
    pub text: String,
}

/// A copy that somebody would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedView {
    /// The account's address, or the one elsewhere.
    pub to: String,
    /// `local` or `remote`.
    pub kind: String,
    /// Where it would lie; null for one elsewhere.
    pub folder: Option<String>,
    /// The group through which it would come.
    pub via: Option<String>,
    /// The accounts that would forward it, in order.
    pub forwarded_by: Vec<String>,
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookView {
    /// Its name.
    pub name: String,
    /// `milter`, `http`, `rspamd` or `clamd`.
    pub kind: String,
    /// Of which sessions it hears: `smtp`, `submission`.
    pub listeners: Vec<String>,
    /// When it is asked.
    pub stages: Vec<String>,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u64,
    /// What happens without one: `defer` or `accept`.
    pub on_failure: String,
    /// Questions since the start.
    pub asked: u64,
    /// Those without an answer.
    pub failed: u64,
    /// How long a question takes.
    pub mean_microseconds: u64,
    /// It is left alone for now, because it failed repeatedly.
    pub suspended: bool,
}

/// What a hook would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookTestView {
    /// What would become of the message: `continue`, or `refuse`, `defer` with the reply, or `discard`.
    pub verdict: String,
    /// What it said at each stage.
    pub answers: Vec<HookAnswerView>,
    /// The fields that it would add.
    pub added: String,
    /// It would change the message's own header or body.
    pub rewritten: bool,
    /// It says that the message is junk.
    pub junk: bool,
    /// Why it wants the message held.
    pub quarantine: Option<String>,
}

/// What a hook said at a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookAnswerView {
    /// Which.
    pub stage: String,
    /// In words.
    pub said: String,
    /// Why.
    pub reasons: Vec<String>,
    /// What it would change.
    pub changes: Vec<String>,
    /// How long it took.
    pub microseconds: u64,
}
