//! Paths of MAIL and RCPT (RFC 5321 §4.1.2), without their angle brackets.

use crate::mail::{Address, ForwardPath, ReversePath};

/// The offset of the `>` that closes a path which starts behind its `<`. A quoted local-part may hold one.
pub(super) fn end(rest: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (i, b) in rest.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(i),
            _ => {}
        }
    }
    None
}

/// `None` if it is neither empty nor an address.
pub(super) fn reverse_path(path: &str) -> Option<ReversePath> {
    match path {
        // Lenient syntax has already taken the brackets away, or there were none.
        "" => Some(ReversePath::Null),
        _ => mailbox(path).map(ReversePath::Address),
    }
}

/// `None` if it is neither `postmaster` nor an address.
pub(super) fn forward_path(path: &str) -> Option<ForwardPath> {
    if path.eq_ignore_ascii_case("postmaster") {
        return Some(ForwardPath::Postmaster);
    }
    mailbox(path).map(ForwardPath::Address)
}

fn mailbox(path: &str) -> Option<Address> {
    let mailbox = match path.strip_prefix('@') {
        // RFC 5321 Appendix C: a source route is accepted and ignored.
        Some(route) => route.split_once(':')?.1,
        None => path,
    };
    // RFC 5321 §4.5.3.1.3: 256 octets with the brackets.
    if mailbox.len() > 254 {
        return None;
    }
    Address::parse(mailbox).ok()
}
