//! May this recipient join the transaction? Asked at RCPT (policy semantics §4, §19).

use super::{Reason, Verdict};

/// What is known at RCPT.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The session is authenticated.
    pub is_authenticated: bool,
    /// The address goes beyond ASCII, and MAIL did not say SMTPUTF8.
    pub lacks_smtputf8: bool,
    /// Where the forward-path leads.
    pub destination: Destination,
    /// Recipients accepted so far.
    pub count: usize,
    /// How many there may be.
    pub limit: usize,
}

/// Where a forward-path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To an account here.
    Account,
    /// Hosted domain, nobody of that name.
    Unknown,
    /// Another host, whatever the local-part looks like.
    Foreign,
}

/// Syntax, then count, then relay permission, then lookup: the order of policy semantics §19.
pub fn decide(facts: &Facts) -> Verdict {
    if facts.lacks_smtputf8 {
        return Verdict::Refuse(Reason::Smtputf8Required);
    }
    if facts.count >= facts.limit {
        return Verdict::Defer(Reason::TooManyRecipients);
    }
    match facts.destination {
        Destination::Account => Verdict::Accept,
        Destination::Unknown => Verdict::Refuse(Reason::UserUnknown),
        Destination::Foreign if facts.is_authenticated => Verdict::Defer(Reason::NoOutboundDelivery),
        Destination::Foreign => Verdict::Refuse(Reason::RelayingDenied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        use Destination::{Account, Foreign, Unknown};
        use Verdict::{Accept, Defer, Refuse};
        let outside =
            Facts { is_authenticated: false, lacks_smtputf8: false, destination: Account, count: 0, limit: 2 };
        let inside = Facts { is_authenticated: true, ..outside };
        for (case, facts, want) in [
            ("outsider to account", outside, Accept),
            ("login to account", inside, Accept),
            ("outsider to nobody", Facts { destination: Unknown, ..outside }, Refuse(Reason::UserUnknown)),
            ("login to nobody", Facts { destination: Unknown, ..inside }, Refuse(Reason::UserUnknown)),
            ("outsider to another host", Facts { destination: Foreign, ..outside }, Refuse(Reason::RelayingDenied)),
            ("login to another host", Facts { destination: Foreign, ..inside }, Defer(Reason::NoOutboundDelivery)),
            ("last that fits", Facts { count: 1, ..outside }, Accept),
            ("one too many", Facts { count: 2, ..outside }, Defer(Reason::TooManyRecipients)),
            ("utf-8 unannounced", Facts { lacks_smtputf8: true, ..outside }, Refuse(Reason::Smtputf8Required)),
        ] {
            assert_eq!(decide(&facts), want, "{case}");
        }
    }
}
