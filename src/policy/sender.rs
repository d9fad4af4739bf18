//! Who sends: what is claimed, what is known, and what of it counts (policy semantics §3).
//!
//! A string in MAIL FROM or From is a claim. It becomes an identity by authentication, by a trusted relay, or by
//! verification; no permission is granted on a claim alone.

use serde::{Deserialize, Serialize};

use crate::directory::{AccountKind, Directory, Owner, Principal, RelayKind, Right};
use crate::mail::{AccountId, Address, OrganisationId, ReversePath};

/// Who sends a message, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// The class it belongs to.
    pub origin: Origin,
}

/// The origin classes (policy semantics §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// O1
    Authenticated {
        /// The session's account.
        account: AccountId,
        /// Who owns the reverse-path, if the account may send as it.
        acting_as: Option<Principal>,
    },
    /// O2
    TrustedRelay {
        /// The active account that owns the reverse-path.
        account: Option<AccountId>,
    },
    /// O3, O4 or O5: which of them, verification says.
    Unauthenticated {
        /// Who would be the sender.
        claim: Claim,
        /// Whether it is.
        verification: Verification,
    },
    /// O6
    Null,
    /// O7: made by this server.
    System,
}

/// Whom a reverse-path names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// An active account here.
    Account(AccountId),
    /// Nobody, in a domain hosted here.
    Nobody,
    /// Somebody elsewhere.
    External(Address),
}

/// Whether a claim is true (policy semantics §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verification {
    /// SPF did not pass; DKIM may verify at the end of data.
    Pending,
    /// SPF passed; the From field will confirm it or not.
    Provisional,
    /// It is.
    Verified,
    /// It is not.
    Failed,
    /// It could not be found out now.
    Unavailable,
}

/// What the end of data tells of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// SPF passed for the domain of the reverse-path.
    pub spf_passed: bool,
    /// A DKIM signature verified whose domain is aligned with that of the reverse-path.
    pub dkim_aligned: bool,
    /// Every address in From is aligned with the domain of the reverse-path, and there is one.
    pub from_aligned: bool,
    /// SPF or a DKIM key could not be looked up.
    pub is_temporary: bool,
}

/// An identity that a permission can accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An account here.
    Account(AccountId),
    /// A group, by whoever may send as it.
    Group(crate::mail::GroupId),
    /// An address elsewhere.
    External(Address),
}

impl Sender {
    /// Of an authenticated session.
    pub fn authenticated(directory: &Directory, account: AccountId, reverse_path: ReversePath) -> Self {
        let acting_as = match &reverse_path {
            ReversePath::Null => None,
            ReversePath::Address(address) => match directory.owner(address) {
                Owner::Account(owner) if owner.id != account => Some(Principal::Account(owner.id)),
                Owner::Group(group) => Some(Principal::Group(group.id)),
                Owner::Account(_) | Owner::Nobody | Owner::Foreign => None,
            },
        };
        let acting_as = acting_as.filter(|p| directory.has_right(account, *p, Right::SendAs));
        Self { reverse_path, origin: Origin::Authenticated { account, acting_as } }
    }

    /// Of a session without login: by the list of trusted hosts and what SPF said.
    pub fn unauthenticated(
        directory: &Directory,
        relay: Option<RelayKind>,
        reverse_path: ReversePath,
        spf_passed: bool,
    ) -> Self {
        let ReversePath::Address(address) = &reverse_path else {
            return Self { reverse_path, origin: Origin::Null };
        };
        let claim = match directory.owner(address) {
            Owner::Account(owner) if owner.state.is_active() && owner.kind == AccountKind::Person => {
                Claim::Account(owner.id)
            }
            Owner::Account(_) | Owner::Group(_) | Owner::Nobody => Claim::Nobody,
            Owner::Foreign => Claim::External(address.clone()),
        };
        let origin = match (relay, claim) {
            (Some(RelayKind::TrustedRelay), Claim::Account(account)) => Origin::TrustedRelay { account: Some(account) },
            (Some(RelayKind::TrustedRelay), Claim::Nobody) => Origin::TrustedRelay { account: None },
            (_, claim) => {
                let verification = if spf_passed { Verification::Provisional } else { Verification::Pending };
                Origin::Unauthenticated { claim, verification }
            }
        };
        Self { reverse_path, origin }
    }

    /// What this server itself sends.
    pub fn system() -> Self {
        Self { reverse_path: ReversePath::Null, origin: Origin::System }
    }

    /// The sender once the message is there (policy semantics §3.3, §7.3).
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        if let Origin::Unauthenticated { verification, .. } = &mut self.origin {
            let vouched = evidence.spf_passed || evidence.dkim_aligned;
            *verification = match (vouched && evidence.from_aligned, vouched, evidence.is_temporary) {
                (true, ..) => Verification::Verified,
                (false, false, true) => Verification::Unavailable,
                (false, ..) => Verification::Failed,
            };
        }
        self
    }

    /// The same sender as if its claim had turned out true, or false.
    pub fn assuming(&self, verified: bool) -> Self {
        let mut sender = self.clone();
        if let Origin::Unauthenticated { verification, .. } = &mut sender.origin
            && matches!(verification, Verification::Pending | Verification::Provisional)
        {
            *verification = if verified { Verification::Verified } else { Verification::Failed };
        }
        sender
    }

    /// The identities that permissions are asked for: for an unauthenticated sender the one it claims.
    pub fn identities(&self) -> Vec<Identity> {
        match &self.origin {
            Origin::Authenticated { account, acting_as } => {
                let principal = acting_as.map(|principal| match principal {
                    Principal::Account(id) => Identity::Account(id),
                    Principal::Group(id) => Identity::Group(id),
                });
                std::iter::once(Identity::Account(*account)).chain(principal).collect()
            }
            Origin::TrustedRelay { account } => account.map(Identity::Account).into_iter().collect(),
            Origin::Unauthenticated { claim: Claim::Account(id), .. } => vec![Identity::Account(*id)],
            Origin::Unauthenticated { claim: Claim::External(address), .. } => {
                vec![Identity::External(address.clone())]
            }
            Origin::Unauthenticated { claim: Claim::Nobody, .. } | Origin::Null | Origin::System => Vec::new(),
        }
    }

    /// The account that counts as the sender: of classes O1, O2 and O3, verified.
    pub fn account(&self) -> Option<AccountId> {
        match &self.origin {
            Origin::Authenticated { account, .. } => Some(*account),
            Origin::TrustedRelay { account } => *account,
            Origin::Unauthenticated { claim: Claim::Account(id), verification: Verification::Verified } => Some(*id),
            Origin::Unauthenticated { .. } | Origin::Null | Origin::System => None,
        }
    }

    /// Of internal origin (policy semantics §3.2): the domain in a claim never makes it so.
    pub fn is_internal(&self) -> bool {
        self.account().is_some() || self.origin == Origin::System
    }

    /// Internal, and of this organisation.
    pub fn is_of(&self, directory: &Directory, organisation: OrganisationId) -> bool {
        match self.account() {
            Some(account) => directory.account_organisation(account) == Some(organisation),
            None => self.origin == Origin::System,
        }
    }

    /// A DSN to the reverse-path cannot hit a bystander (policy semantics §3.2).
    pub fn is_answerable(&self) -> bool {
        if self.reverse_path == ReversePath::Null {
            return false;
        }
        match &self.origin {
            Origin::Authenticated { .. } => true,
            Origin::TrustedRelay { account } => account.is_some(),
            Origin::Unauthenticated { claim, verification } => {
                *verification == Verification::Verified && *claim != Claim::Nobody
            }
            Origin::Null | Origin::System => false,
        }
    }

    /// Whether identities of an unauthenticated sender are still to be verified.
    pub fn verification(&self) -> Option<Verification> {
        match &self.origin {
            Origin::Unauthenticated { verification, .. } => Some(*verification),
            Origin::Authenticated { .. } | Origin::TrustedRelay { .. } | Origin::Null | Origin::System => None,
        }
    }

    /// The class for logs and traces: `O1` to `O7`.
    pub fn class(&self) -> &'static str {
        match &self.origin {
            Origin::Authenticated { .. } => "O1",
            Origin::TrustedRelay { .. } => "O2",
            Origin::Unauthenticated { claim, verification: Verification::Verified } => match claim {
                Claim::Account(_) | Claim::Nobody => "O3",
                Claim::External(_) => "O4",
            },
            Origin::Unauthenticated { .. } => "O5",
            Origin::Null => "O6",
            Origin::System => "O7",
        }
    }
}
