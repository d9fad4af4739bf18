//! May a transaction start with this reverse-path? Asked at MAIL (policy semantics §5, §10.1, §18, §19).

use super::rate::Rate;
use super::{Reason, Verdict};

/// What is known at MAIL.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Who speaks.
    pub submitter: Submitter,
    /// SIZE=, in octets.
    pub declared_size: Option<u64>,
    /// Largest message, in octets.
    pub size_limit: u64,
    /// Whether one more message is within the limits.
    pub rate: Rate,
}

/// Who speaks, and whether the reverse-path is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitter {
    /// Another server, or whoever says so: any reverse-path is a claim and nothing else.
    Relay,
    /// A client of the submission service without login.
    Anonymous,
    /// A client whose account may not send, or is gone since it logged in.
    Blocked,
    /// A client with a login; `<>` or an address of its send-as set.
    Owner,
    /// A client with a login; not an address that it may use.
    NotOwner,
}

/// Size before authentication before the account's state before ownership before the rate: the order of policy semantics
/// §19.
pub fn decide(facts: &Facts) -> Verdict {
    if facts.declared_size.is_some_and(|size| size > facts.size_limit) {
        return Verdict::Refuse(Reason::TooBig);
    }
    match facts.submitter {
        Submitter::Relay | Submitter::Owner => match facts.rate {
            Rate::Within => Verdict::Accept,
            Rate::Exceeded => Verdict::Defer(Reason::RateLimit),
            Rate::Unknown => Verdict::Defer(Reason::PolicyUnavailable),
        },
        Submitter::Anonymous => Verdict::Refuse(Reason::AuthenticationRequired),
        Submitter::Blocked => Verdict::Refuse(Reason::SendBlocked),
        Submitter::NotOwner => Verdict::Refuse(Reason::SenderNotOwned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        use Rate::{Exceeded, Unknown, Within};
        use Verdict::{Accept, Defer, Refuse};
        for (case, submitter, declared_size, rate, want) in [
            ("outsider", Submitter::Relay, None, Within, Accept),
            ("size that just fits", Submitter::Relay, Some(1000), Within, Accept),
            ("size that does not", Submitter::Relay, Some(1001), Within, Refuse(Reason::TooBig)),
            ("submission without login", Submitter::Anonymous, None, Within, Refuse(Reason::AuthenticationRequired)),
            ("own address", Submitter::Owner, None, Within, Accept),
            ("somebody else's address", Submitter::NotOwner, None, Within, Refuse(Reason::SenderNotOwned)),
            ("may not send", Submitter::Blocked, None, Within, Refuse(Reason::SendBlocked)),
            ("size comes first", Submitter::Anonymous, Some(1001), Exceeded, Refuse(Reason::TooBig)),
            ("Q13", Submitter::Owner, None, Exceeded, Defer(Reason::RateLimit)),
            ("a client that sends too much", Submitter::Relay, None, Exceeded, Defer(Reason::RateLimit)),
            ("what is not known grants nothing", Submitter::Owner, None, Unknown, Defer(Reason::PolicyUnavailable)),
            ("rate comes last", Submitter::NotOwner, None, Exceeded, Refuse(Reason::SenderNotOwned)),
            ("state before rate", Submitter::Blocked, None, Exceeded, Refuse(Reason::SendBlocked)),
        ] {
            assert_eq!(decide(&Facts { submitter, declared_size, size_limit: 1000, rate }), want, "{case}");
        }
    }
}
