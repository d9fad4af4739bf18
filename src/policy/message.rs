//! Is the message as received acceptable? Asked at the end of data (policy semantics §19).

use super::{Reason, Verdict};
use crate::proto::smtp::Defect;

/// What is known at the end of data.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What is wrong with the octets.
    pub defect: Option<Defect>,
    /// It was larger than it may be.
    pub is_too_big: bool,
    /// Its header is longer than what is looked at, so that nobody can tell what else it says.
    pub is_header_too_big: bool,
    /// How many Received fields the header has.
    pub received_fields: usize,
}

/// Accept, or refuse as a whole.
pub fn decide(facts: &Facts) -> Verdict {
    match facts.defect {
        Some(Defect::BareCr | Defect::BareLf) => return Verdict::Refuse(Reason::BareLineEnd),
        Some(Defect::Nul) => return Verdict::Refuse(Reason::Nul),
        None => {}
    }
    if facts.is_too_big {
        return Verdict::Refuse(Reason::TooBig);
    }
    // Whose addresses it uses, and how often it has been here, must not depend on what was not read.
    if facts.is_header_too_big {
        return Verdict::Refuse(Reason::HeaderTooBig);
    }
    // RFC 5321 §6.3
    if facts.received_fields > MAX_RECEIVED_FIELDS {
        return Verdict::Refuse(Reason::RoutingLoop);
    }
    Verdict::Accept
}

const MAX_RECEIVED_FIELDS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        use Verdict::{Accept, Refuse};
        let clean = Facts { defect: None, is_too_big: false, is_header_too_big: false, received_fields: 0 };
        for (case, facts, want) in [
            ("clean", clean, Accept),
            ("bare LF", Facts { defect: Some(Defect::BareLf), ..clean }, Refuse(Reason::BareLineEnd)),
            ("bare CR", Facts { defect: Some(Defect::BareCr), ..clean }, Refuse(Reason::BareLineEnd)),
            ("NUL", Facts { defect: Some(Defect::Nul), ..clean }, Refuse(Reason::Nul)),
            ("too big", Facts { is_too_big: true, ..clean }, Refuse(Reason::TooBig)),
            ("header too big", Facts { is_header_too_big: true, ..clean }, Refuse(Reason::HeaderTooBig)),
            ("50 hops", Facts { received_fields: 50, ..clean }, Accept),
            ("51 hops", Facts { received_fields: 51, ..clean }, Refuse(Reason::RoutingLoop)),
        ] {
            assert_eq!(decide(&facts), want, "{case}");
        }
    }
}
