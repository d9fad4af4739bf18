//! Verdicts and their reasons, without a text for the peer in them, but for what an administrator or a block list wrote.

use std::sync::Arc;

use super::blocklist;

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No, for good.
    Refuse(Reason),
    /// Not now.
    Defer(Reason),
}

/// Why not: the keys of the reply catalogue (policy semantics §20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `auth.required`: nobody submits mail without a login.
    AuthenticationRequired,
    /// `sender.not_owned`: the reverse-path is not the account's.
    SenderNotOwned,
    /// `from.not_owned`: From or Sender is not the account's.
    FromNotOwned,
    /// `send.blocked`: the account may not send.
    SendBlocked,
    /// `send.scope`: the account may not send there.
    SendScope,
    /// `recv.scope`: the recipient does not take mail from there.
    ReceiveScope,
    /// `need.utf8`: an address beyond ASCII without SMTPUTF8.
    Smtputf8Required,
    /// `sender.listed`: the recipient's domain does not want to hear the sender.
    SenderBlocked,
    /// `client.listed`: a block list has the client.
    ClientListed(Arc<blocklist::Refusal>),
    /// `relay.denied`: a foreign recipient, from somebody who may not send there.
    RelayingDenied,
    /// `user.unknown`: hosted domain, but no such address.
    UserUnknown,
    /// `user.disabled`: the account is frozen; an admin's text may stand in for the usual one.
    UserDisabled(Option<Arc<str>>),
    /// `group.denied`: not permitted to send to this group.
    GroupDenied,
    /// `group.unverified`: the permission depends on a claim that is not true.
    GroupUnverified,
    /// The author's domain disowns it (DMARC), and all that it is for want that to count.
    Dmarc,
    /// `group.retry`: the same, but that could not be found out.
    GroupRetry,
    /// `group.empty`: nobody is in it, or too many.
    GroupEmpty,
    /// `rcpt.split`: pending recipients travel alone.
    SplitRecipient,
    /// `rcpt.toomany`: more recipients than a transaction may have.
    TooManyRecipients,
    /// `quota.temp` and `quota.perm`: the mailbox is full.
    MailboxFull,
    /// `size.mailbox`: larger than this recipient takes.
    TooBigForRecipient,
    /// `size.system`: larger than this server takes.
    TooBig,
    /// Its header is longer than what is looked at.
    HeaderTooBig,
    /// `rate`: too much in too little time.
    RateLimit,
    /// `rule.reject`: a mail rule says no, perhaps with a text.
    Rule(Option<Arc<str>>),
    /// `hold.full`: too much is waiting for approval.
    HoldFull,
    /// `policy.error`: could not be decided.
    PolicyUnavailable,
    /// `loop`: more Received fields than a message that travels forward can have.
    RoutingLoop,
    /// An answer to a question of this server that no human wrote.
    AutomaticAnswer,
    /// An answer about a held message that says neither yes nor no.
    UnclearDecision,
    /// An answer to the request to confirm a forward that says something else.
    UnclearConsent,
    /// An answer about a held message that came too late.
    AlreadyDecided,
    /// Content with a bare CR or LF.
    BareLineEnd,
    /// Content with NUL.
    Nul,
}
