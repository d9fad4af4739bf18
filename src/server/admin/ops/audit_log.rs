//! Reading and proving the audit log (policy semantics §14).

use std::sync::Arc;

use super::super::Actor;
use super::super::audit::Record;
use super::super::error::OpError;
use super::super::permission::Reach;
use super::super::report::{AuditCheckView, AuditView};
use super::super::view::{Page, rfc3339};
use super::organisation::one_organisation;
use super::{Admin, not_found};
use crate::directory::Organisation;
use crate::store::{AuditOrder, AuditVerdict, Audited};

impl Admin {
    /// Records of an organisation's log, newest first; those before the number `before`.
    pub async fn audit(
        &self,
        actor: Actor,
        organisation: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<AuditView, u64>, OpError> {
        let organisation = self.organisation_named(actor, organisation)?.id;
        let order = AuditOrder::NewestFirst(before.unwrap_or(u64::MAX));
        let records = self.services.store.audit(organisation, order, limit).await?;
        let next = records.last().filter(|_| records.len() >= limit).map(|r| r.sequence).filter(|n| *n > 1);
        Ok(Page { items: records.into_iter().map(view).collect(), next })
    }

    /// Proves an organisation's log; reads all of it.
    pub async fn verify_audit(&self, actor: Actor, organisation: Option<&str>) -> Result<AuditCheckView, OpError> {
        let organisation = self.organisation_named(actor, organisation)?;
        let (records, first_bad) = match self.services.store.verify_audit(organisation.id).await? {
            AuditVerdict::Intact(records) => (Some(records), None),
            AuditVerdict::Broken(first_bad) => (None, Some(first_bad)),
        };
        Ok(AuditCheckView { organisation: organisation.name.clone(), intact: first_bad.is_none(), records, first_bad })
    }

    /// The organisation of this name; without a name the actor's, or the only one there is.
    pub(super) fn organisation_named(&self, actor: Actor, name: Option<&str>) -> Result<Arc<Organisation>, OpError> {
        let directory = self.services.directory.current();
        let id = one_organisation(&directory, Reach::of(&directory, actor), name)?;
        directory.organisation(id).cloned().ok_or_else(|| not_found("organisation"))
    }
}

/// A record that cannot be read is shown without its content; verification tells what became of it.
fn view(audited: Audited) -> AuditView {
    let (sequence, at) = (audited.sequence, rfc3339(audited.at));
    match Record::decode(&audited.record) {
        Some(Record { actor, action, entries, refused, reason, .. }) => {
            AuditView { sequence, at, actor: Some(actor), action, entries, refused, reason }
        }
        None => AuditView {
            sequence,
            at,
            actor: None,
            action: UNREADABLE.to_owned(),
            entries: Vec::new(),
            refused: None,
            reason: None,
        },
    }
}

/// In place of the action of a record that is damaged, or of a later version.
const UNREADABLE: &str = "unreadable";
