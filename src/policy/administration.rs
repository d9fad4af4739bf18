//! Who may do what in the administration (policy semantics §1, §6.6, §8, §9, §11.1, §16).
//!
//! Whoever asks stands in some relations to the object, and an operation is allowed if one of them allows it: there is
//! no relation that takes a right away. A delegated admin (§16) will be one more relation, with the permissions that
//! it holds.

/// What somebody is to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Has the server in hand: root, or who holds its token.
    Operator,
    /// Domain admin of the organisation whose it is.
    DomainAdmin,
    /// It is the account itself.
    Owner,
    /// A manager of the group.
    Manager,
    /// One of those to whom the group shows its members (§6.6).
    Reader,
    /// Asked to decide about the held message.
    Approver,
    /// An account of the organisation whose it is.
    Colleague,
}

/// What is to be done, by what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To see or change what is the server's: relays, organisations as such, which domains are hosted, the queue.
    Server,
    /// To see or change what is an organisation's and not said below.
    Organisation,
    /// To see an account.
    ShowAccount,
    /// To set what is its owner's: forward, auto reply, blocked and allowed senders, password.
    OwnSettings,
    /// To see a group as a whole, and change its members, whitelist, permission, moderation and settings; not its
    /// addresses, managers, owning department and grants, which are the organisation's.
    ManageGroup,
    /// To see who is in a group.
    ListMembers,
    /// To see a held message and decide about it.
    DecideHold,
    /// To ask for a list that has what whoever asks may see: groups, held messages, the own message log.
    Browse,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is to be done.
    pub operation: Operation,
    /// What whoever asks is to the object; nothing for another organisation's, and for none that there is.
    pub relations: &'a [Relation],
}

/// Refused, key `forbidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden;

/// May it be done?
pub fn decide(facts: &Facts<'_>) -> Result<(), Forbidden> {
    let is_allowed = facts.relations.iter().any(|relation| allows(*relation, facts.operation));
    if is_allowed { Ok(()) } else { Err(Forbidden) }
}

/// What each relation allows by itself.
pub fn allows(relation: Relation, operation: Operation) -> bool {
    use Operation::{Browse, DecideHold, ListMembers, ManageGroup, OwnSettings, Server, ShowAccount};
    match relation {
        Relation::Operator => true,
        Relation::DomainAdmin => operation != Server,
        Relation::Owner => matches!(operation, ShowAccount | OwnSettings),
        Relation::Manager => matches!(operation, ManageGroup | ListMembers),
        Relation::Reader => operation == ListMembers,
        Relation::Approver => operation == DecideHold,
        Relation::Colleague => operation == Browse,
    }
}

impl Relation {
    /// All of them, the most powerful first.
    pub const ALL: [Self; 7] =
        [Self::Operator, Self::DomainAdmin, Self::Owner, Self::Manager, Self::Reader, Self::Approver, Self::Colleague];

    /// In the description of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::DomainAdmin => "domain admin",
            Self::Owner => "owner",
            Self::Manager => "manager",
            Self::Reader => "who may list the members",
            Self::Approver => "approver",
            Self::Colleague => "every account, for what it may see",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::*;
    use Relation::*;

    const OPERATIONS: [Operation; 8] =
        [Server, Organisation, ShowAccount, OwnSettings, ManageGroup, ListMembers, DecideHold, Browse];

    #[test]
    fn each_relation_allows_this_and_nothing_else() {
        for (relation, allowed) in [
            (Operator, &OPERATIONS[..]),
            (DomainAdmin, &OPERATIONS[1..]),
            (Owner, &[ShowAccount, OwnSettings][..]),
            (Manager, &[ManageGroup, ListMembers]),
            (Reader, &[ListMembers]),
            (Approver, &[DecideHold]),
            (Colleague, &[Browse]),
        ] {
            for operation in OPERATIONS {
                let verdict = decide(&Facts { operation, relations: &[relation] });
                assert_eq!(verdict.is_ok(), allowed.contains(&operation), "{relation:?}: {operation:?}");
            }
        }
    }

    #[test]
    fn relations_add_up_and_a_stranger_has_none() {
        for operation in OPERATIONS {
            assert_eq!(decide(&Facts { operation, relations: &[] }), Err(Forbidden), "{operation:?}");
            for relation in Relation::ALL {
                let alone = decide(&Facts { operation, relations: &[relation] });
                let among = decide(&Facts { operation, relations: &[Colleague, relation, Reader] });
                assert!(alone.is_err() || among.is_ok(), "{relation:?}: {operation:?}");
            }
        }
    }
}
