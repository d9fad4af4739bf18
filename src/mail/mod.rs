//! The words of mail: addresses, envelope, mailbox names, UIDs, flags, status codes, ids and time.
//!
//! Pure values. Bytes from outside become these types at the edge, through one `parse` each; inside, a value of
//! such a type is what it says. `Display` writes the wire form, and `parse(x.to_string()) == x`.

pub mod one_time;
pub mod srs;

mod address;
mod alignment;
mod clock;
mod dsn;
mod event;
mod flag;
mod folded;
mod id;
mod key_algorithm;
mod language;
mod mailbox_name;
mod network;
mod phrases;
mod span;
mod status;
mod text;
mod tls_wish;
mod uid;

pub use address::{
    Address, AddressError, AddressKey, AddressLiteral, Domain, ForwardPath, Host, LocalPart, ReversePath,
};
pub use alignment::{is_aligned, organisational_domain};
pub use clock::{Clock, Timestamp};
pub use dsn::{Notify, Ret};
pub use event::{EventKind, EventKinds};
pub use flag::{Flags, Keyword, SystemFlag, SystemFlags};
pub use folded::{Clear, Folded};
pub use id::{
    AccountId, AliasId, BlobId, BlobIds, DepartmentId, DomainId, EventId, GroupId, HoldId, MailboxId, OrganisationId,
    QueueId, RelayId, RuleId,
};
pub use key_algorithm::KeyAlgorithm;
pub use language::Language;
pub use mailbox_name::{DELIMITER, MailboxName, MailboxNameError, SpecialUse};
pub use network::{Network, NetworkError, client_network, mask};
pub use phrases::PhraseSet;
pub use span::Span;
pub use status::{EnhancedCode, EnhancedCodeError};
pub use text::{NamePattern, Phrase};
pub use tls_wish::TlsWish;
pub use uid::{ModSeq, Uid, UidSet, UidValidity};
