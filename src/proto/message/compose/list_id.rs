//! List-Id (RFC 2919) of the copies that come through a group (policy semantics §6.5).

use super::field::Header;
use crate::mail::Address;

/// The field of the group with this address, complete with CRLF: the local-part is the label, the domain the namespace
/// (RFC 2919 §3). Octets that no label may have are written as `%` and two hexadecimal digits, so that different
/// addresses have different identifiers. `None` if the address has no domain, or the identifier were longer than
/// RFC 2919 §3 wants.
pub fn list_id_field(address: &Address) -> Option<Vec<u8>> {
    let domain = address.domain()?;
    let id = format!("{}.{domain}", label(address.local_part().as_str()));
    if id.len() > MAX_ID {
        return None;
    }
    let mut header = Header::default();
    header.raw("List-Id", &format!("<{id}>"));
    Some(header.into_fields())
}

/// RFC 5322 §3.2.3: `dot-atom-text`.
fn label(local_part: &str) -> String {
    let is_dotted = !local_part.split('.').any(str::is_empty);
    let mut out = String::with_capacity(local_part.len());
    for octet in local_part.bytes() {
        let is_atext = octet.is_ascii_alphanumeric() || b"!#$&'*+-/=?^_`{|}~".contains(&octet);
        if is_atext || (octet == b'.' && is_dotted) {
            // Identifiers are compared without case (RFC 2919 §6).
            out.push(char::from(octet.to_ascii_lowercase()));
        } else {
            out.push_str(&format!("%{octet:02x}"));
        }
    }
    out
}

/// RFC 2919 §3.
const MAX_ID: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_derived_from_the_address() {
        let long = format!("{}@{}.test", "é".repeat(32), ["a"; 100].join("."));
        for (address, want) in [
            ("sales@corp.test", Some("<sales.corp.test>")),
            ("Sales.East@Corp.Test", Some("<sales.east.corp.test>")),
            ("\"a b\"@corp.test", Some("<a%20b.corp.test>")),
            ("\".a..b.\"@corp.test", Some("<%2ea%2e%2eb%2e.corp.test>")),
            ("a%b@corp.test", Some("<a%25b.corp.test>")),
            ("é@例.test", Some("<%c3%a9.xn--fsq.test>")),
            ("\"a>\\\"b\"@corp.test", Some("<a%3e%22b.corp.test>")),
            (&long, None),
        ] {
            let field = list_id_field(&Address::parse(address).unwrap());
            let want = want.map(|id| format!("List-Id: {id}\r\n"));
            assert_eq!(field.map(|f| String::from_utf8(f).unwrap()), want, "{address}");
        }
    }
}
