//! Lists of senders that accounts and domains keep: whom they do not want to hear, and whose mail is no junk. What they
//! mean together, [`crate::policy::lists`] says.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AddressPattern;

/// A sender whom the owner of an account does not want to hear (policy semantics §6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Whom.
    pub sender: AddressPattern,
    /// What becomes of the mail.
    pub action: BlockAction,
}

/// What becomes of the mail of a sender whom an owner has blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BlockAction {
    /// Goes to Junk.
    Junk,
    /// Accepted and not stored.
    Drop,
}

/// A sender whom nobody of a domain shall hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainBlocked {
    /// Whom.
    pub sender: AddressPattern,
    /// What becomes of the mail.
    pub action: DomainBlockAction,
}

/// What becomes of the mail of a sender whom a domain has blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DomainBlockAction {
    /// Refused while the sender can still be told; what can no longer be refused goes to Junk.
    Refuse,
    /// Goes to Junk.
    Junk,
    /// Accepted and not stored.
    Drop,
}

impl From<BlockAction> for DomainBlockAction {
    fn from(action: BlockAction) -> Self {
        match action {
            BlockAction::Junk => Self::Junk,
            BlockAction::Drop => Self::Drop,
        }
    }
}

impl DomainBlockAction {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Junk => "junk",
            Self::Drop => "drop",
        }
    }
}
