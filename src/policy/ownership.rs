//! Whose addresses an account may use: its send-as set, and the From and Sender fields (policy semantics §5).

use super::Reason;
use crate::directory::{Directory, Owner, Principal, Right};
use crate::mail::{AccountId, Address, ReversePath};

/// True if the address is in the account's send-as set: its own, or that of a shared account or group on which it has
/// `send-as`.
pub fn may_send_as(directory: &Directory, account: AccountId, address: &Address) -> bool {
    match directory.owner(address) {
        Owner::Account(owner) => {
            owner.id == account || directory.has_right(account, Principal::Account(owner.id), Right::SendAs)
        }
        Owner::Group(group) => directory.has_right(account, Principal::Group(group.id), Right::SendAs),
        Owner::Nobody | Owner::Foreign => false,
    }
}

/// True if the account (which may be gone since it logged in) may use this reverse-path.
pub fn may_use(directory: &Directory, account: AccountId, reverse_path: &ReversePath) -> bool {
    match reverse_path {
        ReversePath::Null => directory.account(account).is_some_and(|a| a.state.is_active()),
        ReversePath::Address(address) => may_send_as(directory, account, address),
    }
}

/// What the header of a submitted message says of its author.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Every address in From.
    pub from: &'a [Address],
    /// Every address in Sender.
    pub sender: &'a [Address],
    /// A From or Sender field could not be read as a whole.
    pub is_unreadable: bool,
}

/// What is missing in a header that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addition {
    /// Nothing.
    None,
    /// From, with the account's primary address.
    From,
    /// Sender, with the account's primary address: From is allowed through `send-on-behalf` alone.
    Sender,
}

/// May this account submit a message with these fields? (policy semantics §5 rules 2 to 4)
pub fn decide(directory: &Directory, account: AccountId, facts: &Facts<'_>) -> Result<Addition, Reason> {
    if facts.is_unreadable {
        return Err(Reason::FromNotOwned);
    }
    let on_behalf = |address: &Address| match directory.owner(address) {
        Owner::Account(owner) => directory.has_right(account, Principal::Account(owner.id), Right::SendOnBehalf),
        Owner::Group(group) => directory.has_right(account, Principal::Group(group.id), Right::SendOnBehalf),
        Owner::Nobody | Owner::Foreign => false,
    };
    let own = |address: &Address| may_send_as(directory, account, address);
    if !facts.from.iter().chain(facts.sender).all(|address| own(address) || on_behalf(address)) {
        return Err(Reason::FromNotOwned);
    }
    if facts.from.is_empty() {
        return Ok(Addition::From);
    }
    let needs_sender = !facts.from.iter().all(own);
    if needs_sender && !facts.sender.is_empty() && !facts.sender.iter().all(own) {
        return Err(Reason::FromNotOwned);
    }
    Ok(if needs_sender && facts.sender.is_empty() { Addition::Sender } else { Addition::None })
}
