//! Mail rules: what they do to a message (policy semantics §13). Pure.
//!
//! Rules look at events: an account has sent the message, or receives it. Those of the sender concern the message as a
//! whole, those of a recipient the part that is its own. Rules run in the order of their priority; a part that one of
//! them ends is not seen by those after it, while the conditions, which speak of the message, go on to see all its
//! recipients. Mail to `postmaster` is exempt (policy semantics §4.2), and what this server makes itself has no events.
//!
//! Evaluation has two steps, because the content lies in the store: [`Candidates`] tell whether it has to be read,
//! [`evaluate`] decides. Nothing fails: content that could not be read is a case of policy semantics §13.3.
//!
//! - `events`: who sends and receives, and which of that a rule looks at.
//! - `parties`: who a sender or recipient is, in the words of conditions; who belongs to a department or group.
//! - `conditions`: tests of the message.
//! - `evaluate`: the run over the rules.
//! - `copies`: which copies are made, and when.
//! - `outcome`: what it all comes to.

mod conditions;
mod copies;
mod evaluate;
mod events;
mod outcome;
mod parties;

#[cfg(test)]
mod tests;

use super::expand::Addressed;
use crate::mail::{Address, Timestamp};
use crate::policy::sender::Sender;

pub use evaluate::{Candidates, evaluate};
pub use outcome::{
    Copy, End, Ended, Event, Forwarding, Held, Outcome, Part, Position, Quarantined, Redirected, Refused, Rejected,
    Role, SubjectPrefix, Tag,
};

/// What rules look at, beside the deliveries.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Who sends it; settled, so that a claim counts only if it is verified.
    pub sender: &'a Sender,
    /// The addresses of its From fields.
    pub header_from: &'a [Address],
    /// The recipients that were accepted.
    pub addressed: &'a [Addressed],
    /// The same, as the client gave them.
    pub forward_paths: &'a [Address],
    /// Some of it waits, or is about to wait, for the moderators of groups, beyond the deliveries.
    pub awaits_moderators: bool,
    /// Octets, as received.
    pub size: u64,
    /// The header, as received.
    pub header: &'a [u8],
    /// The time of acceptance.
    pub now: Timestamp,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a message has come when rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// At the end of data.
    Arriving,
    /// It was held before any rule was asked, and is let through.
    Cleared {
        /// This part has the sender's event; the others of the message do not.
        is_whole: bool,
    },
    /// Moderators let it into a group. Rules have judged the sender's event before; it still yields the copies that
    /// waited for this.
    Moderated,
    /// It was held by the rule at this place, and is released: the rules after it go on.
    Released {
        /// [`Held::position`].
        after: Position,
        /// [`Part::is_whole`] of [`Held::part`]: the sender's event was held as well.
        is_whole: bool,
    },
}
