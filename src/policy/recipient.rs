//! May this recipient join the transaction? Asked at RCPT (policy semantics §3.4, §4, §10, §18, §19).

use std::sync::Arc;

use super::rate::Rate;
use super::{Access, Reason, Verdict, blocklist};

/// What is known at RCPT.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The session is authenticated, or the client is a trusted relay.
    pub may_relay: bool,
    /// The address goes beyond ASCII, and MAIL did not say SMTPUTF8.
    pub lacks_smtputf8: bool,
    /// A block list has the client, and the recipient is not postmaster.
    pub client_listed: Option<Arc<blocklist::Refusal>>,
    /// Where the forward-path leads.
    pub destination: Destination,
    /// The sender's scope does not reach there.
    pub is_beyond_scope: bool,
    /// Whether it fits.
    pub room: Room,
    /// Recipients accepted so far.
    pub count: usize,
    /// How many there may be.
    pub limit: usize,
    /// Whether it is within what the account may send in a day.
    pub rate: Rate,
    /// What the recipients accepted so far depend on; `None` if there are none, or pending ones may mix with others.
    pub others: Option<Standing>,
}

/// Where a forward-path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To an account or group here, with what the permissions say.
    Local(Access),
    /// To an account that is frozen and refuses its mail.
    Frozen(Option<Arc<str>>),
    /// A one-time address that may be answered.
    Question,
    /// Hosted domain, nobody of that name.
    Unknown,
    /// Another host, whatever the local-part looks like.
    Foreign,
}

/// Whether the message fits, as far as RCPT can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It does.
    Fits,
    /// Larger than the recipient takes in one message.
    TooBig,
    /// Larger than the whole quota.
    NeverFits,
    /// Not now.
    Full,
    /// Could not be found out.
    Unknown,
}

/// What an accepted recipient depends on (policy semantics §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Settled,
    /// The From field agreeing with a reverse-path that SPF has passed.
    Provisional,
    /// DKIM and the From field.
    Pending,
    /// Nothing, but it is no recipient like others: an answer to this server, which travels alone.
    Alone,
}

/// The order of policy semantics §19: count, rate, relay permission, the client's reputation, scope, lookup, state, permissions, room, and whether it
/// may travel with the others.
pub fn decide(facts: &Facts) -> Result<Standing, Verdict> {
    let refuse = |reason| Err(Verdict::Refuse(reason));
    if facts.lacks_smtputf8 {
        return refuse(Reason::Smtputf8Required);
    }
    if facts.count >= facts.limit {
        return Err(Verdict::Defer(Reason::TooManyRecipients));
    }
    match facts.rate {
        Rate::Within => {}
        Rate::Exceeded => return Err(Verdict::Defer(Reason::RateLimit)),
        Rate::Unknown => return Err(Verdict::Defer(Reason::PolicyUnavailable)),
    }
    if facts.destination == Destination::Foreign && !facts.may_relay {
        return refuse(Reason::RelayingDenied);
    }
    if let Some(refusal) = &facts.client_listed {
        return refuse(Reason::ClientListed(refusal.clone()));
    }
    if facts.is_beyond_scope {
        return refuse(Reason::SendScope);
    }
    let standing = match &facts.destination {
        Destination::Foreign => Standing::Settled,
        Destination::Question => Standing::Alone,
        Destination::Unknown => return refuse(Reason::UserUnknown),
        Destination::Frozen(text) => return refuse(Reason::UserDisabled(text.clone())),
        Destination::Local(Access::Refused(Reason::PolicyUnavailable)) => {
            return Err(Verdict::Defer(Reason::PolicyUnavailable));
        }
        Destination::Local(Access::Refused(reason)) => return refuse(reason.clone()),
        Destination::Local(Access::Allowed) => Standing::Settled,
        Destination::Local(Access::Provisional) => Standing::Provisional,
        Destination::Local(Access::Pending) => Standing::Pending,
    };
    match facts.room {
        Room::Fits => {}
        Room::TooBig => return refuse(Reason::TooBigForRecipient),
        Room::NeverFits => return refuse(Reason::MailboxFull),
        Room::Full => return Err(Verdict::Defer(Reason::MailboxFull)),
        Room::Unknown => return Err(Verdict::Defer(Reason::PolicyUnavailable)),
    }
    if facts.others.is_some_and(|others| !may_mix(others, standing)) {
        return Err(Verdict::Defer(Reason::SplitRecipient));
    }
    Ok(standing)
}

/// Replies at the end of data are for the whole message, so what depends on them has the same fate.
fn may_mix(others: Standing, standing: Standing) -> bool {
    let is_pending = |standing: Standing| standing == Standing::Pending;
    others != Standing::Alone && standing != Standing::Alone && is_pending(others) == is_pending(standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        use Destination::{Foreign, Frozen, Local, Question, Unknown};
        use Verdict::{Defer, Refuse};
        let allowed = || Local(Access::Allowed);
        let outside = || Facts {
            may_relay: false,
            lacks_smtputf8: false,
            client_listed: None,
            destination: allowed(),
            is_beyond_scope: false,
            room: Room::Fits,
            count: 0,
            limit: 2,
            rate: Rate::Within,
            others: None,
        };
        let inside = || Facts { may_relay: true, ..outside() };
        let to = |destination| Facts { destination, ..outside() };
        let with = |destination, others| Facts { destination, others: Some(others), count: 1, ..outside() };
        let denied = || Local(Access::Refused(Reason::GroupDenied));
        for (case, facts, want) in [
            ("outsider to account", outside(), Ok(Standing::Settled)),
            ("outsider to nobody", to(Unknown), Err(Refuse(Reason::UserUnknown))),
            ("outsider to another host", to(Foreign), Err(Refuse(Reason::RelayingDenied))),
            ("login to another host", Facts { destination: Foreign, ..inside() }, Ok(Standing::Settled)),
            (
                "scope comes before lookup",
                Facts { destination: Unknown, is_beyond_scope: true, ..inside() },
                Err(Refuse(Reason::SendScope)),
            ),
            ("frozen", to(Frozen(None)), Err(Refuse(Reason::UserDisabled(None)))),
            ("last that fits", Facts { count: 1, ..outside() }, Ok(Standing::Settled)),
            ("one too many", Facts { count: 2, ..outside() }, Err(Defer(Reason::TooManyRecipients))),
            (
                "count before relaying",
                Facts { count: 2, destination: Foreign, ..outside() },
                Err(Defer(Reason::TooManyRecipients)),
            ),
            ("Q15", Facts { count: 2, rate: Rate::Exceeded, ..inside() }, Err(Defer(Reason::TooManyRecipients))),
            ("Q14", Facts { rate: Rate::Exceeded, ..inside() }, Err(Defer(Reason::RateLimit))),
            ("rate before lookup", Facts { rate: Rate::Exceeded, ..to(Unknown) }, Err(Defer(Reason::RateLimit))),
            ("rate not known", Facts { rate: Rate::Unknown, ..inside() }, Err(Defer(Reason::PolicyUnavailable))),
            ("utf-8 unannounced", Facts { lacks_smtputf8: true, ..outside() }, Err(Refuse(Reason::Smtputf8Required))),
            ("denied", to(denied()), Err(Refuse(Reason::GroupDenied))),
            ("denied comes before full", Facts { room: Room::Full, ..to(denied()) }, Err(Refuse(Reason::GroupDenied))),
            ("full", Facts { room: Room::Full, ..outside() }, Err(Defer(Reason::MailboxFull))),
            ("never fits", Facts { room: Room::NeverFits, ..outside() }, Err(Refuse(Reason::MailboxFull))),
            ("too big", Facts { room: Room::TooBig, ..outside() }, Err(Refuse(Reason::TooBigForRecipient))),
            ("not known", Facts { room: Room::Unknown, ..outside() }, Err(Defer(Reason::PolicyUnavailable))),
            ("pending", to(Local(Access::Pending)), Ok(Standing::Pending)),
            ("P53", with(Local(Access::Pending), Standing::Settled), Err(Defer(Reason::SplitRecipient))),
            ("P54", with(allowed(), Standing::Pending), Err(Defer(Reason::SplitRecipient))),
            ("P55", with(Local(Access::Pending), Standing::Pending), Ok(Standing::Pending)),
            ("provisional mixes", with(Local(Access::Provisional), Standing::Settled), Ok(Standing::Provisional)),
            ("answer", to(Question), Ok(Standing::Alone)),
            ("answer beside others", with(Question, Standing::Settled), Err(Defer(Reason::SplitRecipient))),
            ("others beside an answer", with(allowed(), Standing::Alone), Err(Defer(Reason::SplitRecipient))),
            ("two answers", with(Question, Standing::Alone), Err(Defer(Reason::SplitRecipient))),
            ("nobody beside an answer", with(Unknown, Standing::Alone), Err(Refuse(Reason::UserUnknown))),
            ("refusal before splitting", with(denied(), Standing::Pending), Err(Refuse(Reason::GroupDenied))),
        ] {
            assert_eq!(decide(&facts), want, "{case}");
        }
    }
}
