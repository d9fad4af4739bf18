//! What becomes of a message whose author's domain disowns it (RFC 7489 §6.3), as the organisation wants it that gets
//! the message.
//!
//! A list or forward that changes a message breaks what DMARC looks at; an organisation may believe a host that it
//! names, if that host has sealed that the message passed when it came there (RFC 8617 §7.2.1).

use crate::directory::{DmarcHandling, Organisation};
use crate::proto::authres::{ArcResult, AuthResults, DmarcPolicy, DmarcResult};

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// Nothing: the result is noted.
    Noted,
    /// It is junk.
    Junk,
    /// It is refused.
    Refused,
}

/// What an organisation does with a message about which this was found.
pub fn treatment(organisation: &Organisation, auth: &AuthResults) -> Treatment {
    if auth.dmarc.result != DmarcResult::Fail || is_vouched_for(organisation, auth) {
        return Treatment::Noted;
    }
    match (organisation.dmarc, auth.dmarc.policy) {
        (DmarcHandling::None, _) | (_, DmarcPolicy::None) => Treatment::Noted,
        (DmarcHandling::Junk, DmarcPolicy::Quarantine | DmarcPolicy::Reject)
        | (DmarcHandling::Reject, DmarcPolicy::Quarantine) => Treatment::Junk,
        (DmarcHandling::Reject, DmarcPolicy::Reject) => Treatment::Refused,
    }
}

/// What becomes of a whole message: one answer is given for all recipients, so that it is refused if every
/// organisation refuses it; where only some do, it is junk for those.
pub fn of_all(treatments: impl IntoIterator<Item = Treatment>) -> Treatment {
    treatments.into_iter().min().unwrap_or(Treatment::Noted)
}

fn is_vouched_for(organisation: &Organisation, auth: &AuthResults) -> bool {
    let sealer = auth.arc.sealer.as_ref().filter(|_| auth.arc.result == ArcResult::Pass && auth.arc.passed_dmarc);
    sealer.is_some_and(|sealer| organisation.trusted_sealers.contains(sealer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::fixture;
    use crate::mail::Domain;
    use crate::proto::authres::{ArcChain, Dmarc};

    #[test]
    fn treatments() {
        use {DmarcHandling as H, DmarcPolicy as P, DmarcResult as R, Treatment as T};
        for (result, policy, of_none, of_junk, of_reject) in [
            (R::Pass, P::Reject, T::Noted, T::Noted, T::Noted),
            (R::None, P::None, T::Noted, T::Noted, T::Noted),
            (R::TempError, P::Reject, T::Noted, T::Noted, T::Noted),
            (R::PermError, P::Reject, T::Noted, T::Noted, T::Noted),
            (R::Fail, P::None, T::Noted, T::Noted, T::Noted),
            (R::Fail, P::Quarantine, T::Noted, T::Junk, T::Junk),
            (R::Fail, P::Reject, T::Noted, T::Junk, T::Refused),
        ] {
            for (dmarc, want) in [(H::None, of_none), (H::Junk, of_junk), (H::Reject, of_reject)] {
                let organisation = Organisation { dmarc, ..fixture::organisation() };
                let auth = AuthResults { dmarc: Dmarc { result, policy }, ..AuthResults::default() };
                assert_eq!(treatment(&organisation, &auth), want, "{result} {policy} {dmarc:?}");
            }
        }
        assert_eq!(of_all([T::Refused, T::Refused]), T::Refused);
        assert_eq!(of_all([T::Refused, T::Noted]), T::Noted);
        assert_eq!(of_all([T::Junk, T::Refused]), T::Junk);
        assert_eq!(of_all([]), T::Noted);
    }

    #[test]
    fn a_named_sealer_is_believed_if_it_says_that_the_message_passed() {
        let domain = |name| Domain::parse(name).unwrap();
        let organisation = Organisation {
            dmarc: DmarcHandling::Reject,
            trusted_sealers: vec![domain("list.test")],
            ..fixture::organisation()
        };
        for (case, result, sealer, passed_dmarc, want) in [
            ("believed", ArcResult::Pass, "list.test", true, Treatment::Noted),
            ("a broken chain", ArcResult::Fail, "list.test", true, Treatment::Refused),
            ("it had failed there", ArcResult::Pass, "list.test", false, Treatment::Refused),
            ("somebody else", ArcResult::Pass, "evil.test", true, Treatment::Refused),
        ] {
            let arc = ArcChain { result, instances: 1, sealer: Some(domain(sealer)), passed_dmarc };
            let dmarc = Dmarc { result: DmarcResult::Fail, policy: DmarcPolicy::Reject };
            let auth = AuthResults { dmarc, arc, ..AuthResults::default() };
            assert_eq!(treatment(&organisation, &auth), want, "{case}");
        }
    }
}
