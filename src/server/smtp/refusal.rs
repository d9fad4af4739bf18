//! What the peer is told when the answer is no: one exhaustive table for each kind of reason (policy semantics §20).

use super::session::End;
use super::state::OrderError;
use crate::hooks::{self, Said, Stage};
use crate::mail::EnhancedCode;
use crate::policy::{Reason, Verdict};
use crate::proto::smtp::{CommandError, Reply};
use crate::server::{Over, sasl};
use crate::store;

/// To a verdict that is not `Accept`; `None` for that.
pub(super) fn verdict(verdict: Verdict) -> Option<Reply> {
    match verdict {
        Verdict::Accept => None,
        Verdict::Refuse(reason) => Some(because(5, reason)),
        Verdict::Defer(reason) => Some(because(4, reason)),
    }
}

/// The verdict gives the class, the reason the rest, so that reply code and enhanced code cannot disagree.
fn because(class: u8, reason: Reason) -> Reply {
    let listed;
    let (code, subject, detail, text): (_, _, _, &str) = match reason {
        Reason::AuthenticationRequired => (30, 7, 0, "Authentication required"),
        Reason::SenderNotOwned => (53, 7, 1, "Sender address not owned by the authenticated user"),
        Reason::FromNotOwned => (50, 7, 1, "From address not owned by the authenticated user"),
        Reason::SendBlocked => (50, 7, 1, "Sending is disabled for this account"),
        Reason::SendScope => (50, 7, 1, "This account may not send outside the organisation"),
        Reason::ReceiveScope => (50, 7, 1, "This recipient does not accept mail from outside the organisation"),
        Reason::SenderBlocked => (50, 7, 1, "Sender is blocked by the recipient's domain"),
        Reason::ClientListed(refusal) => {
            listed = format!("Service unavailable; {refusal}");
            (54, 7, 1, &listed)
        }
        Reason::Smtputf8Required => (53, 6, 7, "SMTPUTF8 required"),
        Reason::RelayingDenied => (50, 7, 1, "Relaying denied"),
        Reason::UserUnknown => (50, 1, 1, "No such user"),
        Reason::UserDisabled(ref text) => (50, 2, 1, text.as_deref().unwrap_or("Mailbox disabled")),
        Reason::GroupDenied => (50, 7, 2, "Not permitted to send to this group"),
        Reason::GroupUnverified => (50, 7, 26, "Sender could not be verified"),
        Reason::Dmarc => (50, 7, 26, "Message fails DMARC, and its author's domain asks to reject it"),
        Reason::GroupRetry => (51, 7, 24, "Sender verification temporarily impossible"),
        Reason::GroupEmpty => (50, 2, 4, "Group cannot be expanded"),
        Reason::SplitRecipient => (52, 5, 3, "Send this recipient in a separate transaction"),
        Reason::TooManyRecipients => (52, 5, 3, "Too many recipients"),
        Reason::MailboxFull => (52, 2, 2, "Mailbox full"),
        Reason::TooBigForRecipient => (52, 2, 3, "Message too big for this recipient"),
        Reason::TooBig => (52, 3, 4, "Message too big"),
        Reason::HeaderTooBig => (52, 3, 4, "Message header too big"),
        Reason::RateLimit => (50, 7, 1, "Rate limit exceeded, try again later"),
        Reason::Rule(ref text) => (50, 7, 1, text.as_deref().unwrap_or("Message refused by policy")),
        Reason::HoldFull => (52, 3, 1, "Hold queue full"),
        Reason::PolicyUnavailable => (51, 3, 0, "Policy temporarily unavailable"),
        Reason::RoutingLoop => (54, 4, 6, "Routing loop"),
        Reason::AutomaticAnswer => (50, 7, 1, "Automatic replies decide nothing"),
        Reason::UnclearDecision => (50, 6, 0, "Nothing decided: the first line must say accept or refuse"),
        Reason::UnclearConsent => (50, 6, 0, "Nothing confirmed: the first line must say confirm"),
        Reason::AlreadyDecided => (50, 7, 1, "Nothing changed: this has been decided already"),
        Reason::BareLineEnd => (50, 6, 0, "Message has a CR or LF that is not part of CRLF"),
        Reason::Nul => (50, 6, 0, "Message has a NUL octet"),
    };
    Reply::new(u16::from(class) * 100 + code, EnhancedCode::new(class, subject, detail), text.to_owned())
}

/// To a line that is no command.
pub(super) fn command(error: CommandError) -> Reply {
    let (code, subject, detail, text) = match error {
        CommandError::Unknown => (500, 5, 2, "Command not recognized"),
        CommandError::NotImplemented => (502, 5, 1, "Command not implemented"),
        CommandError::Argument => (501, 5, 4, "Syntax error in arguments"),
        CommandError::ReversePath => (501, 1, 7, "Bad sender address"),
        CommandError::ForwardPath => (501, 1, 3, "Bad recipient address"),
        CommandError::NeedsSmtputf8 => return because(5, Reason::Smtputf8Required),
        CommandError::UnknownParameter => (555, 5, 4, "Parameter not recognized"),
        CommandError::Parameter => (501, 5, 4, "Syntax error in parameters"),
    };
    Reply::new(code, EnhancedCode::new(5, subject, detail), text)
}

/// To a command that may not come now.
pub(super) fn order(error: OrderError) -> Reply {
    let (code, subject, detail, text) = match error {
        OrderError::HelloFirst => (503, 5, 1, "Send EHLO first"),
        OrderError::MailFirst => (503, 5, 1, "Need MAIL command"),
        OrderError::RcptFirst => (503, 5, 1, "No valid recipients"),
        OrderError::InTransaction => (503, 5, 1, "Mail transaction in progress"),
        OrderError::InChunks => (503, 5, 1, "Message begun with BDAT"),
        OrderError::TlsActive => (503, 5, 1, "TLS already active"),
        OrderError::TlsNotOffered => (502, 5, 1, "STARTTLS not offered"),
        OrderError::Authenticated => (503, 5, 1, "Already authenticated"),
        OrderError::AuthNotOffered => (502, 5, 1, "AUTH not offered"),
        OrderError::AuthNeedsTls => (538, 7, 11, "Encryption required"),
        OrderError::UnknownMechanism => (504, 5, 4, "Mechanism not offered"),
        OrderError::Expansion => (502, 5, 1, "EXPN not available"),
        OrderError::LineTooLong => (500, 5, 2, "Line too long"),
    };
    Reply::new(code, EnhancedCode::new(5, subject, detail), text)
}

/// To a message that could not be stored: never the message's fault, whatever it is.
pub(super) fn store(error: store::Error) -> Reply {
    let text = match error {
        store::Error::Limit => "Mailbox cannot take further messages",
        store::Error::OverQuota => {
            return Reply::new(452, EnhancedCode::new(4, 2, 2), "Mailbox full");
        }
        store::Error::HoldFull => return because(4, Reason::HoldFull),
        store::Error::NotFound
        | store::Error::Exists
        | store::Error::Conflict
        | store::Error::Unavailable
        | store::Error::Corrupt => "Temporary failure, try again later",
    };
    Reply::new(451, EnhancedCode::new(4, 3, 0), text)
}

/// To an authentication that failed, or was given up.
pub(super) fn auth(failure: AuthFailure) -> Reply {
    let (code, class, subject, detail, text) = match failure {
        AuthFailure::Cancelled => (501, 5, 7, 0, "Authentication cancelled"),
        AuthFailure::NotBase64 => (501, 5, 5, 2, "Not base64"),
        AuthFailure::LineTooLong => (500, 5, 5, 6, "Authentication exchange line is too long"),
        AuthFailure::Refused(sasl::Refusal::Malformed) => (501, 5, 5, 2, "Malformed authentication message"),
        AuthFailure::Refused(sasl::Refusal::BadCredentials) => (535, 5, 7, 8, "Authentication failed"),
        AuthFailure::Refused(sasl::Refusal::Disabled) => (525, 5, 7, 13, "Account disabled"),
        AuthFailure::Refused(sasl::Refusal::Locked) => (454, 4, 7, 0, "Too many failed logins, try again later"),
        AuthFailure::Refused(sasl::Refusal::Unavailable) => (454, 4, 7, 0, "Temporary authentication failure"),
    };
    Reply::new(code, EnhancedCode::new(class, subject, detail), text)
}

/// Why an AUTH ended without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthFailure {
    /// The client sent `*`.
    Cancelled,
    /// A line that is not base64.
    NotBase64,
    /// A line longer than RFC 4954 §4 allows.
    LineTooLong,
    /// By the mechanism.
    Refused(sasl::Refusal),
}

/// To a client that has opened too many connections lately. Deviation: policy semantics §18 says `450`, which is no reply
/// to the opening of a connection (RFC 5321 §4.3.2); status and text are those of `rate`.
pub(super) fn connection(hostname: &str) -> Reply {
    let rate = because(4, Reason::RateLimit);
    Reply::new(421, EnhancedCode::new(4, 7, 1), format!("{hostname} {}", rate.text()))
}

/// To a command, because a hook says so; `None` if it lets it go on. Who named no code gets that of the stage.
pub(super) fn hook(stage: Stage, verdict: &hooks::Verdict) -> Option<Reply> {
    let (class, said) = match verdict {
        hooks::Verdict::Continue | hooks::Verdict::Stop | hooks::Verdict::Discard => return None,
        hooks::Verdict::Defer(said) if *said == Said::default() => return Some(because(4, Reason::PolicyUnavailable)),
        hooks::Verdict::Refuse(said) => (5, said),
        hooks::Verdict::Defer(said) => (4, said),
    };
    let code = match (class, stage) {
        (5, Stage::Auth) => 535,
        (5, _) => 550,
        (_, Stage::Auth) => 454,
        (_, _) => 451,
    };
    // 421 would promise that the connection ends.
    let code = said.code().filter(|code| *code != 421).unwrap_or(code);
    let status = said.status().unwrap_or(EnhancedCode::new(class, 7, 1));
    let text = match (said.text(), class) {
        ("", 5) => "Refused by policy",
        ("", _) => "Refused by policy for now, try again later",
        (text, _) => text,
    };
    Some(Reply::new(code, status, text.to_owned()))
}

/// To a client that a hook does not want; `None` if it may stay.
pub(super) fn connection_by_hook(verdict: &hooks::Verdict, hostname: &str) -> Option<Reply> {
    let reply = hook(Stage::Connect, verdict)?;
    let text = format!("{hostname} {}", reply.text());
    // RFC 5321 §3.1, §3.8: 554 for good, 421 for now.
    let code = if matches!(verdict, hooks::Verdict::Refuse(_)) { 554 } else { 421 };
    Some(Reply::new(code, reply.enhanced().unwrap_or(EnhancedCode::new(5, 7, 1)), text))
}

/// The last words to a peer whose session ends, if there are any.
pub(super) fn end(end: End, hostname: &str) -> Option<Reply> {
    let (subject, detail, text) = match end {
        End::Quit | End::Gone | End::StartTls => return None,
        // Permanent: 421 would have the client try the same again for days.
        End::TooBig => return Some(because(5, Reason::TooBig)),
        End::TimedOut => (4, 2, "Timed out, closing connection"),
        End::Stopping => (3, 2, "Service shutting down"),
        End::TooManyErrors => (7, 0, "Too many errors, closing connection"),
        End::TooManyFailedLogins => (7, 0, "Too many failed logins, closing connection"),
        End::InputBeforeTls => (7, 0, "Input before TLS, closing connection"),
        End::TooManyConnections => (7, 0, "Too many connections, try again later"),
        End::Account(Over::Disabled) => (7, 0, "Account disabled, closing connection"),
        End::Account(Over::Suspended) => (7, 0, "Sending was stopped for this account, closing connection"),
        End::LineFlood => (7, 0, "Line without end, closing connection"),
    };
    Some(Reply::new(421, EnhancedCode::new(4, subject, detail), format!("{hostname} {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply catalogue (policy semantics §20), as far as its keys exist.
    #[test]
    fn catalogue() {
        use Verdict::{Defer, Refuse};
        for (key, case, want) in [
            ("auth.required", Refuse(Reason::AuthenticationRequired), "530 5.7.0 Authentication required"),
            ("need.utf8", Refuse(Reason::Smtputf8Required), "553 5.6.7 SMTPUTF8 required"),
            ("sender.listed", Refuse(Reason::SenderBlocked), "550 5.7.1 Sender is blocked by the recipient's domain"),
            ("relay.denied", Refuse(Reason::RelayingDenied), "550 5.7.1 Relaying denied"),
            ("user.unknown", Refuse(Reason::UserUnknown), "550 5.1.1 No such user"),
            (
                "sender.not_owned",
                Refuse(Reason::SenderNotOwned),
                "553 5.7.1 Sender address not owned by the authenticated user",
            ),
            ("rcpt.toomany", Defer(Reason::TooManyRecipients), "452 4.5.3 Too many recipients"),
            ("rate", Defer(Reason::RateLimit), "450 4.7.1 Rate limit exceeded, try again later"),
            ("send.blocked", Refuse(Reason::SendBlocked), "550 5.7.1 Sending is disabled for this account"),
            ("size.system", Refuse(Reason::TooBig), "552 5.3.4 Message too big"),
            ("loop", Refuse(Reason::RoutingLoop), "554 5.4.6 Routing loop"),
        ] {
            assert_eq!(wire(&verdict(case).unwrap()), format!("{want}\r\n"), "{key}");
        }
        assert_eq!(verdict(Verdict::Accept), None);
        let bad = auth(AuthFailure::Refused(sasl::Refusal::BadCredentials));
        assert_eq!(wire(&bad), "535 5.7.8 Authentication failed\r\n", "auth.bad");
        let locked = auth(AuthFailure::Refused(sasl::Refusal::Locked));
        assert_eq!(wire(&locked), "454 4.7.0 Too many failed logins, try again later\r\n", "auth.locked");
        assert_eq!(wire(&order(OrderError::AuthNeedsTls)), "538 5.7.11 Encryption required\r\n", "auth.tls");
        assert_eq!(wire(&command(CommandError::ForwardPath)), "501 5.1.3 Bad recipient address\r\n", "bad.syntax");
    }

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }
}
