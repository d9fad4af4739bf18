//! What the peer is told when the answer is yes (policy semantics §20: the `ok` keys).

use super::{Port, Role};
use crate::mail::{BlobId, EnhancedCode};
use crate::net::TlsInfo;
use crate::proto::sasl::Mechanism;
use crate::proto::smtp::{Reply, XClient};
use crate::server::Services;

/// The greeting (RFC 5321 §4.3.1).
pub(super) fn greeting(hostname: &str) -> Reply {
    Reply::plain(220, format!("{hostname} ESMTP Posthouse"))
}

/// To HELO.
pub(super) fn helo(hostname: &str) -> Reply {
    Reply::plain(250, hostname.to_owned())
}

/// To EHLO: what is offered here and now.
pub(super) fn ehlo(services: &Services, port: Port, tls: Option<&TlsInfo>, offers_xclient: bool) -> Reply {
    let size = services.limits.message_size;
    let recipients = super::transaction::recipient_limit(services);
    let mut text = format!(
        "{}\nPIPELINING\nSIZE {size}\n8BITMIME\nSMTPUTF8\nCHUNKING\nENHANCEDSTATUSCODES\nDSN\nLIMITS RCPTMAX={recipients}",
        services.hostname
    );
    if tls.is_some() {
        // RFC 8689 §2: only there can it be asked for.
        text.push_str("\nREQUIRETLS");
    }
    if offers_starttls(services, port, tls) {
        text.push_str("\nSTARTTLS");
    }
    if offers_auth(port, tls) {
        text.push_str("\nAUTH");
        for mechanism in Mechanism::offered(tls.is_some_and(|t| t.exporter.is_some())) {
            text.push(' ');
            text.push_str(mechanism.name());
        }
    }
    if offers_xclient {
        text.push_str("\nXCLIENT ");
        text.push_str(XClient::OFFERED);
    }
    Reply::plain(250, text)
}

/// STARTTLS is offered where it can be had and is not in use yet (RFC 3207 §4.2).
pub(super) fn offers_starttls(services: &Services, port: Port, tls: Option<&TlsInfo>) -> bool {
    port.starttls && services.tls.is_some() && tls.is_none()
}

/// AUTH is offered where nobody can listen, or the administrator says that it does not matter.
pub(super) fn offers_auth(port: Port, tls: Option<&TlsInfo>) -> bool {
    port.role == Role::Submission && (tls.is_some() || port.allow_plaintext_auth)
}

/// To MAIL.
pub(super) fn reverse_path() -> Reply {
    Reply::new(250, EnhancedCode::new(2, 1, 0), "OK")
}

/// To RCPT: `ok.rcpt`.
pub(super) fn recipient() -> Reply {
    Reply::new(250, EnhancedCode::new(2, 1, 5), "OK")
}

/// To DATA.
pub(super) fn send_data() -> Reply {
    Reply::plain(354, "End data with <CRLF>.<CRLF>")
}

/// To a chunk that is not the last.
pub(super) fn chunk(size: u64) -> Reply {
    Reply::new(250, EnhancedCode::new(2, 0, 0), format!("{size} octets received"))
}

/// To the end of data: `ok.data`, or `ok.held` to a user of whose message a part waits for approval.
pub(super) fn accepted(id: BlobId, is_held: bool) -> Reply {
    let held = if is_held { ", held for approval" } else { "" };
    Reply::new(250, EnhancedCode::new(2, 0, 0), format!("Accepted {id}{held}"))
}

/// To RSET and NOOP.
pub(super) fn ok() -> Reply {
    Reply::new(250, EnhancedCode::new(2, 0, 0), "OK")
}

/// To VRFY: the same for everybody (policy semantics §4).
pub(super) fn vrfy() -> Reply {
    Reply::new(252, EnhancedCode::new(2, 5, 2), "Cannot VRFY user, but will accept message and attempt delivery")
}

/// To HELP.
pub(super) fn help() -> Reply {
    Reply::new(214, EnhancedCode::new(2, 0, 0), "See RFC 5321")
}

/// To STARTTLS.
pub(super) fn start_tls() -> Reply {
    Reply::new(220, EnhancedCode::new(2, 0, 0), "Ready to start TLS")
}

/// A challenge, in base64.
pub(super) fn challenge(base64: String) -> Reply {
    Reply::plain(334, base64)
}

/// To AUTH.
pub(super) fn authenticated() -> Reply {
    Reply::new(235, EnhancedCode::new(2, 7, 0), "Authentication successful")
}

/// To QUIT.
pub(super) fn bye() -> Reply {
    Reply::new(221, EnhancedCode::new(2, 0, 0), "Bye")
}
