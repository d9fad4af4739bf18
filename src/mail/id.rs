//! Stable ids. Addresses and names may change, an id does not (policy semantics §1).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::Timestamp;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The id with number `n`; `None` for 0, which is no id.
            pub const fn new(n: u32) -> Option<Self> {
                match NonZeroU32::new(n) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }

            /// The number, at least 1.
            pub const fn number(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

id! {
    /// An owner of addresses, credentials and mailboxes.
    AccountId
}
id! {
    /// A hosted mail domain.
    DomainId
}
id! {
    /// A further address of exactly one account.
    AliasId
}
id! {
    /// The owner of one or more domains.
    OrganisationId
}
id! {
    /// A node in an organisation's tree of departments.
    DepartmentId
}
id! {
    /// An address that stands for members.
    GroupId
}
id! {
    /// A mail rule.
    RuleId
}
id! {
    /// A trusted relay or a gateway.
    RelayId
}
id! {
    /// An IMAP mailbox (folder) within its account. INBOX is always [`MailboxId::INBOX`].
    MailboxId
}

impl MailboxId {
    /// INBOX exists from the account's creation to its end, under this id.
    pub const INBOX: MailboxId = MailboxId(NonZeroU32::MIN);
}

macro_rules! stamped_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 48 bits of milliseconds, 24 bits drawn at start, 24 bits counted: later ids sort after earlier ones. Its
        /// text is 20 characters of base32hex, lower case.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 12]);

        impl $name {
            /// From its 12 stored octets.
            pub const fn from_octets(octets: [u8; 12]) -> Self {
                Self(octets)
            }

            /// The 12 octets, in the order that sorts by time.
            pub const fn octets(&self) -> &[u8; 12] {
                &self.0
            }

            /// When the id was made, in milliseconds.
            pub fn timestamp(&self) -> Timestamp {
                let mut ms = [0; 8];
                ms[2..].copy_from_slice(&self.0[..6]);
                Timestamp::from_millis(i64::from_be_bytes(ms))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base32(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl FromStr for $name {
            type Err = StampedIdError;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                parse_base32(s).map(Self)
            }
        }
    };
}

stamped_id! {
    /// The id of one message's content, or of a form of it: what the 250 names.
    BlobId
}
stamped_id! {
    /// An item of the queue: one message for one recipient, still to be delivered.
    QueueId
}
stamped_id! {
    /// A message that waits for somebody's decision.
    HoldId
}

fn write_base32(octets: &[u8; 12], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut n = u128::from_be_bytes({
        let mut b = [0; 16];
        b[4..].copy_from_slice(octets);
        b
    });
    let mut text = [0; 20];
    for place in text.iter_mut().rev() {
        *place = DIGITS[(n & 31) as usize];
        n >>= 5;
    }
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

fn parse_base32(s: &str) -> Result<[u8; 12], StampedIdError> {
    if s.len() != 20 {
        return Err(StampedIdError);
    }
    let mut n: u128 = 0;
    for c in s.bytes() {
        let digit = DIGITS.iter().position(|d| *d == c).ok_or(StampedIdError)?;
        n = n << 5 | digit as u128;
    }
    let bytes = n.to_be_bytes();
    if bytes[..4] != [0; 4] {
        return Err(StampedIdError);
    }
    let mut id = [0; 12];
    id.copy_from_slice(&bytes[4..]);
    Ok(id)
}

/// The text is not the 20 characters of such an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this server")]
pub struct StampedIdError;

/// Makes ids, unique within the process by the counter and between processes by what was drawn at start.
#[derive(Debug)]
pub struct BlobIds {
    drawn: [u8; 3],
    counter: AtomicU32,
}

impl BlobIds {
    /// `drawn`: random octets of this process.
    pub const fn new(drawn: [u8; 3]) -> Self {
        Self { drawn, counter: AtomicU32::new(0) }
    }

    /// A new id, made at `now`.
    pub fn next(&self, now: Timestamp) -> BlobId {
        BlobId(self.draw(now))
    }

    /// A new id for an item of the queue.
    pub fn next_queue(&self, now: Timestamp) -> QueueId {
        QueueId(self.draw(now))
    }

    /// A new id for a held message.
    pub fn next_hold(&self, now: Timestamp) -> HoldId {
        HoldId(self.draw(now))
    }

    fn draw(&self, now: Timestamp) -> [u8; 12] {
        let mut id = [0; 12];
        id[..6].copy_from_slice(&now.millis().max(0).to_be_bytes()[2..]);
        id[6..9].copy_from_slice(&self.drawn);
        id[9..].copy_from_slice(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes()[1..]);
        id
    }
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_ids_sort_by_time_and_round_trip() {
        let ids = BlobIds::new([1, 2, 3]);
        let early = ids.next(Timestamp::from_millis(1_700_000_000_000));
        let late = ids.next(Timestamp::from_millis(1_700_000_000_001));
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(early.timestamp().millis(), 1_700_000_000_000);
        assert!("zzzz".parse::<BlobId>().is_err());
        assert!("vvvvvvvvvvvvvvvvvvvv".parse::<BlobId>().is_err());
    }
}
