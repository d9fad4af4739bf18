//! Locks after failed logins: shown and taken away (policy semantics §17).

use std::sync::Arc;

use serde_json::Value;

use super::super::Actor;
use super::super::audit::Record;
use super::super::error::OpError;
use super::super::spec::Difference;
use super::super::view::{LockView, Page};
use super::account::account_in;
use super::{Admin, unhurried};
use crate::mail::Address;
use crate::store::AuditEntry;

impl Admin {
    /// The locks on an account now, at most a thousand of them.
    pub fn locks(&self, address: &Address) -> Result<Page<LockView>, OpError> {
        let directory = self.services.directory.current();
        let account = account_in(&directory, address)?;
        let locks = self.services.authenticator.locks().of(account.id, self.services.clock.now());
        Ok(Page { items: locks.into_iter().take(SHOWN).map(LockView::from).collect(), next: None })
    }

    /// Takes all locks off an account and forgets its failures. The audit log of its organisation has it.
    pub async fn unlock(self: &Arc<Self>, actor: Actor, address: Address) -> Result<(), OpError> {
        let directory = self.services.directory.current();
        let account = account_in(&directory, &address)?;
        let before = serde_json::to_value(self.locks(&address)?.items).unwrap_or_default();
        let (kind, name) = ("lock".to_owned(), address.to_string());
        let entry = Difference { kind, id: account.id.number(), name, before, after: Value::Array(Vec::new()) };
        let organisation = directory.account_organisation(account.id).ok_or(OpError::Unavailable)?;
        let (admin, id) = (self.clone(), account.id);
        unhurried(async move {
            let record = Record::change(admin.services.clock.now(), actor, "account.unlock", vec![entry]).encode();
            admin.services.store.audit_append(vec![AuditEntry { organisation, record }]).await?;
            admin.services.authenticator.locks().unlock(id);
            tracing::info!(account = %address, ?actor, "account unlocked");
            Ok(())
        })
        .await
    }
}

const SHOWN: usize = 1000;
