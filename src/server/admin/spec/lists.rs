//! Lists of senders, as accounts and domains keep them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::entry::{Resolver, pattern_text};
use crate::directory::{BlockAction, Blocked, Directory, DomainBlockAction, DomainBlocked};

/// A sender whom the owner of an account does not want to hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockedSpec {
    /// An address or domain.
    pub sender: String,
    /// What becomes of the mail.
    #[serde(default = "junk")]
    pub action: BlockAction,
}

fn junk() -> BlockAction {
    BlockAction::Junk
}

impl BlockedSpec {
    /// The entry at this place.
    pub(super) fn resolve(&self, place: usize, resolver: &mut Resolver<'_>) -> Option<Blocked> {
        let sender = resolver.pattern(format_args!("blocked[{place}].sender"), &self.sender)?;
        Some(Blocked { sender, action: self.action })
    }

    /// How the entry is written.
    pub(super) fn describe(entry: &Blocked, directory: &Directory) -> Option<Self> {
        Some(Self { sender: pattern_text(directory, &entry.sender)?, action: entry.action })
    }
}

/// A sender whom nobody of a domain shall hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainBlockedSpec {
    /// An address or domain.
    pub sender: String,
    /// What becomes of the mail.
    #[serde(default = "refuse")]
    pub action: DomainBlockAction,
}

fn refuse() -> DomainBlockAction {
    DomainBlockAction::Refuse
}

impl DomainBlockedSpec {
    /// The entry at this place.
    pub(super) fn resolve(&self, place: usize, resolver: &mut Resolver<'_>) -> Option<DomainBlocked> {
        let sender = resolver.pattern(format_args!("blocked[{place}].sender"), &self.sender)?;
        Some(DomainBlocked { sender, action: self.action })
    }

    /// How the entry is written.
    pub(super) fn describe(entry: &DomainBlocked, directory: &Directory) -> Option<Self> {
        Some(Self { sender: pattern_text(directory, &entry.sender)?, action: entry.action })
    }
}
