//! Aliases (policy semantics §5).

use std::sync::Arc;

use super::super::Actor;
use super::super::audit::Entry;
use super::super::error::OpError;
use super::super::view::{AliasView, Page};
use super::account::account_in;
use super::{Admin, Plan, not_found, used_up};
use crate::directory::change::Change;
use crate::directory::{Alias, Directory};
use crate::mail::Address;

impl Admin {
    /// Gives an account a further address.
    pub async fn add_alias(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        account: Address,
    ) -> Result<AliasView, OpError> {
        let wanted = address.clone();
        let directory = self
            .change(actor, "alias.add", move |directory| {
                let account = account_in(directory, &account)?;
                let id = directory.new_alias_id().ok_or_else(used_up)?;
                let alias = Alias { id, address: wanted.clone(), account: account.id };
                let view = AliasView { id, address: wanted.clone(), account: account.address.clone() };
                Ok(Plan::one(Change::AddAlias(alias), Entry::new(&wanted, None, Some(&view))))
            })
            .await?;
        alias_in(&directory, &address)
    }

    /// A part of the aliases, by id: those with an id above `after`, at most `limit`; all or one account's.
    pub fn aliases(&self, account: Option<&Address>, after: u32, limit: usize) -> Result<Page<AliasView>, OpError> {
        let directory = self.services.directory.current();
        let owner = account.map(|a| account_in(&directory, a).map(|a| a.id)).transpose()?;
        let mut wanted =
            directory.aliases().filter(|a| a.id.number() > after && owner.is_none_or(|id| a.account == id));
        let items: Vec<_> = wanted.by_ref().take(limit).filter_map(|a| AliasView::of(a, &directory)).collect();
        let next = wanted.next().and(items.last()).map(|a| a.id.number());
        Ok(Page { items, next })
    }

    /// Takes an alias away; the next transaction does not know it (policy semantics §5).
    pub async fn remove_alias(self: &Arc<Self>, actor: Actor, address: Address) -> Result<(), OpError> {
        self.change(actor, "alias.remove", move |directory| {
            let view = alias_in(directory, &address)?;
            Ok(Plan::one(Change::RemoveAlias(view.id), Entry::new(&address, Some(&view), None)))
        })
        .await?;
        Ok(())
    }
}

fn alias_in(directory: &Directory, address: &Address) -> Result<AliasView, OpError> {
    directory
        .alias_at(address)
        .and_then(|alias| AliasView::of(alias, directory))
        .ok_or_else(|| not_found(format!("alias {address}")))
}
