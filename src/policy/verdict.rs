//! Verdicts and their reasons, without a text for the peer in them.

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No, for good.
    Refuse(Reason),
    /// Not now.
    Defer(Reason),
}

/// Why not: the keys of the reply catalogue (policy semantics §20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `auth.required`: nobody submits mail without a login.
    AuthenticationRequired,
    /// `sender.not_owned`: the reverse-path is not the account's.
    SenderNotOwned,
    /// `need.utf8`: an address beyond ASCII without SMTPUTF8.
    Smtputf8Required,
    /// `relay.denied`: a foreign recipient, from somebody who may not send there.
    RelayingDenied,
    /// `user.unknown`: hosted domain, but no such address.
    UserUnknown,
    /// `rcpt.toomany`: more recipients than a transaction may have.
    TooManyRecipients,
    /// `size.system`: larger than this server takes.
    TooBig,
    /// `loop`: more Received fields than a message that travels forward can have.
    RoutingLoop,
    /// Content with a bare CR or LF.
    BareLineEnd,
    /// Content with NUL.
    Nul,
    /// A foreign recipient, while this server does not send to other hosts.
    NoOutboundDelivery,
}
