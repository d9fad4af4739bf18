//! MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3): the envelope.

use super::session::Session;
use super::state::{Greeted, Recipient, State, Transaction};
use super::{Role, answer, refusal};
use crate::policy;
use crate::policy::reverse_path::Submitter;
use crate::proto::smtp::{Mail, Rcpt, Reply};
use crate::routing::{self, Resolution};
use crate::server::Services;

/// MAIL: may a transaction start? It keeps the directory as it is now to its end.
pub(super) fn mail(session: &Session, greeted: Greeted, mail: Mail) -> (State, Reply) {
    // Gather.
    let directory = session.services.directory.current();
    let submitter = match (session.port.role, &greeted.login) {
        (Role::Relay, _) => Submitter::Relay,
        (Role::Submission, None) => Submitter::Anonymous,
        (Role::Submission, Some(login)) if routing::is_own(&directory, login.account.id, &mail.reverse_path) => {
            Submitter::Owner
        }
        (Role::Submission, Some(_)) => Submitter::NotOwner,
    };
    let facts = policy::reverse_path::Facts {
        submitter,
        declared_size: mail.size,
        size_limit: session.services.limits.message_size,
    };

    // Decide.
    let verdict = policy::reverse_path::decide(&facts);

    // Act.
    if let Some(reply) = refusal::verdict(verdict) {
        session.log_refusal("MAIL", &reply, &mail.reverse_path, None);
        return (State::Greeted(greeted), reply);
    }
    let transaction = Transaction {
        greeted,
        directory,
        reverse_path: mail.reverse_path,
        smtputf8: mail.smtputf8,
        recipients: Vec::new(),
    };
    (State::InTransaction(Box::new(transaction)), answer::reverse_path())
}

/// RCPT: may this recipient join the transaction?
pub(super) fn rcpt(session: &Session, mut transaction: Box<Transaction>, rcpt: Rcpt) -> (State, Reply) {
    // Gather.
    let own_address = session.connection.local().ip();
    let resolution = routing::resolve(&transaction.directory, own_address, &rcpt.forward_path);
    let facts = policy::recipient::Facts {
        is_authenticated: transaction.greeted.login.is_some(),
        lacks_smtputf8: rcpt.needs_smtputf8 && !transaction.smtputf8,
        destination: resolution.destination(),
        count: transaction.recipients.len(),
        limit: recipient_limit(&session.services),
    };

    // Decide.
    let verdict = policy::recipient::decide(&facts);

    // Act.
    let reply = match (refusal::verdict(verdict), resolution) {
        (None, Resolution::Account(account)) => {
            transaction.recipients.push(Recipient { forward_path: rcpt.forward_path, account });
            answer::recipient()
        }
        (Some(reply), _) => {
            session.log_refusal("RCPT", &reply, &transaction.reverse_path, Some(&rcpt.forward_path));
            reply
        }
        // Policy accepts accounts alone; should it ever say otherwise, nothing is accepted that goes nowhere.
        (None, Resolution::Unknown | Resolution::Foreign) => refusal::store(crate::store::Error::NotFound),
    };
    (State::InTransaction(transaction), reply)
}

/// Recipients of one transaction: as configured, and never more than one commit may hold.
pub(super) fn recipient_limit(services: &Services) -> usize {
    services.limits.recipients.min(MAX_TARGETS)
}

const MAX_TARGETS: usize = 1000;
