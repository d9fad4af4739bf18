//! Aliases (policy semantics §5).

use std::sync::Arc;

use super::super::Actor;
use super::super::error::OpError;
use super::super::permission::Reach;
use super::super::spec::{AliasSpec, Object};
use super::super::view::{AliasView, Page};
use super::account::account_in;
use super::list::Listed;
use super::permit::admit;
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
        enabled: bool,
    ) -> Result<AliasView, OpError> {
        let wanted = address.clone();
        let directory = self
            .change(actor, "alias.add", self.owner(&address), move |directory| {
                let reach = Reach::of(directory, actor);
                reach.admits(directory, &wanted)?;
                reach.admits(directory, &account)?;
                let account = account_in(directory, &account)?.id;
                let id = directory.new_alias_id(0).ok_or_else(used_up)?;
                let alias = Alias { id, address: wanted.clone(), account, enabled };
                Ok(Plan::one(Change::PutAlias(alias), Object::Alias(id)))
            })
            .await?;
        view(&directory, &address)
    }

    /// A part of the aliases, by id; all or one account's.
    pub fn aliases(&self, actor: Actor, account: Option<&Address>, listed: Listed) -> Result<Page<AliasView>, OpError> {
        let directory = self.services.directory.current();
        let reach = Reach::of(&directory, actor);
        let own = |a: &Address| match reach.covers_address(&directory, a) {
            true => account_in(&directory, a).map(|a| a.id),
            false => Err(not_found(format!("account {a}"))),
        };
        let owner = account.map(own).transpose()?;
        let wanted = directory.aliases().filter(|a| owner.is_none_or(|id| a.account == id));
        let wanted = wanted.filter(|a| reach.covers_address(&directory, &a.address));
        Ok(listed.page(wanted.filter_map(|a| Some((a.id.number(), AliasView::of(a, &directory)?)))))
    }

    /// One alias.
    pub fn alias(&self, address: &Address) -> Result<AliasView, OpError> {
        view(&self.services.directory.current(), address)
    }

    /// Makes an alias as the shape says: enabled or not, and whose. Another account's is another alias.
    pub async fn put_alias(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        spec: AliasSpec,
    ) -> Result<AliasView, OpError> {
        let wanted = address.clone();
        let directory = self
            .change(actor, "alias.put", self.owner(&address), move |directory| {
                let old = alias_in(directory, &wanted)?;
                admit(directory, actor, &spec.address)?;
                let mut record = spec.resolve(directory, old.id).map_err(OpError::Shape)?;
                if record.address != old.address {
                    let message = "an alias keeps its address; add another one".to_owned();
                    return Err(OpError::Invalid { field: "address", message });
                }
                if record.account == old.account {
                    return Ok(Plan::one(Change::PutAlias(record), Object::Alias(old.id)));
                }
                record.id = directory.new_alias_id(0).ok_or_else(used_up)?;
                Ok(Plan {
                    touched: vec![Object::Alias(old.id), Object::Alias(record.id)],
                    changes: vec![Change::RemoveAlias(old.id), Change::PutAlias(record)],
                    ..Plan::nothing()
                })
            })
            .await?;
        view(&directory, &address)
    }

    /// Enables or disables an alias; disabled it is as if it did not exist, but reserved (policy semantics §4.2).
    pub async fn set_alias_enabled(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        enabled: bool,
    ) -> Result<AliasView, OpError> {
        let action = if enabled { "alias.enable" } else { "alias.disable" };
        let wanted = address.clone();
        let directory = self
            .change(actor, action, self.owner(&address), move |directory| {
                let old = alias_in(directory, &wanted)?;
                Ok(Plan::one(Change::PutAlias(Alias { enabled, ..old.clone() }), Object::Alias(old.id)))
            })
            .await?;
        view(&directory, &address)
    }

    /// Takes an alias away; the next transaction does not know it (policy semantics §5).
    pub async fn remove_alias(self: &Arc<Self>, actor: Actor, address: Address) -> Result<(), OpError> {
        self.change(actor, "alias.remove", self.owner(&address), move |directory| {
            let id = alias_in(directory, &address)?.id;
            Ok(Plan::one(Change::RemoveAlias(id), Object::Alias(id)))
        })
        .await?;
        Ok(())
    }
}

fn view(directory: &Directory, address: &Address) -> Result<AliasView, OpError> {
    let view = AliasView::of(alias_in(directory, address)?, directory);
    view.ok_or_else(|| not_found(format!("alias {address}")))
}

fn alias_in<'a>(directory: &'a Directory, address: &Address) -> Result<&'a Alias, OpError> {
    directory.alias_at(address).map(|a| &**a).ok_or_else(|| not_found(format!("alias {address}")))
}
