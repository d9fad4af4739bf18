//! CAPABILITY, ID, ENABLE, NAMESPACE: what the two sides say about themselves.

use super::context::Context;
use super::status::{Done, Outcome};
use crate::proto::imap::Id;
use crate::proto::imap::response;
use crate::proto::sasl::Mechanism;

/// The capabilities in the state the session is in.
pub fn list(context: &Context, logged_in: bool) -> String {
    let mut list = BASE.to_owned();
    if logged_in {
        return list;
    }
    if may_start_tls(context) {
        list.push_str(" STARTTLS");
    }
    if !may_log_in(context) {
        // RFC 3501 §6.2.3
        list.push_str(" LOGINDISABLED");
        return list;
    }
    let exporter = context.connection.tls().is_some_and(|tls| tls.exporter.is_some());
    for mechanism in Mechanism::offered(exporter) {
        list.push_str(" AUTH=");
        list.push_str(mechanism.name());
    }
    list
}

/// Names and passwords may be sent over this connection.
pub fn may_log_in(context: &Context) -> bool {
    context.connection.tls().is_some() || context.port.allow_plaintext_auth
}

/// STARTTLS can be used.
pub fn may_start_tls(context: &Context) -> bool {
    context.port.starttls && context.services.tls.is_some() && context.connection.tls().is_none()
}

/// CAPABILITY (RFC 3501 §6.1.1)
pub fn capability(context: &mut Context, logged_in: bool) -> Outcome {
    let list = list(context, logged_in);
    context.say(|out| response::capability(out, &list));
    Ok(Done::Plain)
}

/// ID (RFC 2971)
pub fn id(context: &mut Context, client: &Id) -> Outcome {
    if !client.0.is_empty() {
        tracing::info!(peer = %context.connection.peer(), client = ?client.0, "IMAP client");
    }
    let pairs = [("name", "Posthouse"), ("version", env!("CARGO_PKG_VERSION"))];
    context.say(|out| response::id(out, &pairs));
    Ok(Done::Plain)
}

/// ENABLE (RFC 5161): always answered; there is nothing yet that has to be enabled.
pub fn enable(context: &mut Context) -> Outcome {
    context.say(|out| response::enabled(out, &[]));
    Ok(Done::Plain)
}

/// NAMESPACE (RFC 2342)
pub fn namespace(context: &mut Context) -> Outcome {
    context.say(response::namespace);
    Ok(Done::Plain)
}

const BASE: &str = "IMAP4rev1 LITERAL+ SASL-IR IDLE NAMESPACE UIDPLUS MOVE UNSELECT ID ENABLE SPECIAL-USE \
                    CREATE-SPECIAL-USE CHILDREN LIST-EXTENDED LIST-STATUS ESEARCH STATUS=SIZE";
