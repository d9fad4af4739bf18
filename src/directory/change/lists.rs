//! Lists of senders, as accounts and domains keep them.

use super::Refusal;
use crate::directory::AddressPattern;

/// Refuses lists that are too long, and entries that name nobody who could send.
pub(super) fn check<'a>(
    blocked: impl ExactSizeIterator<Item = &'a AddressPattern>,
    allowed: &'a [AddressPattern],
) -> Result<(), Refusal> {
    if blocked.len().max(allowed.len()) > ENTRIES {
        return Err(Refusal::Invalid(format!("a list of senders has at most {ENTRIES} entries")));
    }
    let names_no_sender = |p: &AddressPattern| matches!(p, AddressPattern::Group(_) | AddressPattern::Department(_));
    if blocked.chain(allowed).any(names_no_sender) {
        return Err(Refusal::Invalid("a blocked or allowed sender is an address, an account or a domain".to_owned()));
    }
    Ok(())
}

/// Of one list.
const ENTRIES: usize = 1000;
