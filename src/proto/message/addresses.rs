//! The addresses that decisions rest on: From, Sender, To and Cc (RFC 5322 §3.6.2, §3.6.3).
//!
//! A decision must not rest on one reading of a header that others read differently. So every field of a name counts,
//! not the first alone, and whatever is not plain says so: [`HeaderAddresses::is_complete`].

use super::address_list::{self, Mailbox};
use super::header::fields;
use super::scanner::MAX_HEADER;
use crate::mail::{Address, Domain, Host, LocalPart, is_aligned};

/// What one or more address fields say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderAddresses {
    /// Every address that can be read, those inside groups too, in their order.
    pub addresses: Vec<Address>,
    /// There is at least one address, none was left out or is unreadable, and nobody should read another one here. If
    /// false, nothing may be granted because of these addresses.
    pub is_complete: bool,
}

impl HeaderAddresses {
    /// Every author speaks for `domain` (policy semantics §3.3): none is missing and all are aligned with it.
    pub fn are_aligned_with(&self, domain: &Domain, is_hosted: bool) -> bool {
        let aligned = |address: &Address| address.domain().is_some_and(|author| is_aligned(author, domain, is_hosted));
        self.is_complete && self.addresses.iter().all(aligned)
    }

    /// The domains of the addresses, each once. Those of address literals are left out.
    pub fn domains(&self) -> Vec<Domain> {
        let mut domains: Vec<Domain> = self.addresses.iter().filter_map(Address::domain).cloned().collect();
        domains.sort();
        domains.dedup();
        domains
    }
}

/// The authors: all addresses of every From field. RFC 5322 §3.6 allows one such field; with two of them clients differ
/// in which they show. An empty group (RFC 6854) leaves it without an author, and not complete.
pub fn header_from(header: &[u8]) -> HeaderAddresses {
    addresses(header, &[b"From"], MAX_AUTHORS)
}

/// Who sent it on behalf of the authors: all addresses of every Sender field.
pub fn sender_addresses(header: &[u8]) -> HeaderAddresses {
    addresses(header, &[b"Sender"], MAX_AUTHORS)
}

/// Who it says it is to: all addresses of every To and Cc field.
pub fn to_cc_addresses(header: &[u8]) -> HeaderAddresses {
    addresses(header, &[b"To", b"Cc"], MAX_RECIPIENTS)
}

fn addresses(header: &[u8], names: &[&[u8]], limit: usize) -> HeaderAddresses {
    let mut found = Vec::new();
    // What lies beyond is not known.
    let mut is_complete = header.len() < MAX_HEADER;
    for field in fields(header).filter(|field| names.iter().any(|name| field.is(name))) {
        let (mailboxes, is_all) = address_list::read(field.raw_value(), limit.saturating_sub(found.len()));
        is_complete &= is_all;
        for mailbox in mailboxes {
            match address(&mailbox) {
                Some(address) => found.push(address),
                None => is_complete = false,
            }
        }
    }
    is_complete &= !found.is_empty();
    HeaderAddresses { addresses: found, is_complete }
}

fn address(mailbox: &Mailbox) -> Option<Address> {
    let text = std::str::from_utf8(&mailbox.mailbox).ok()?;
    // Parts lose their quotes when they are read; in a quoted-string everything but controls is allowed again.
    let local = LocalPart::parse(text).or_else(|_| {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        LocalPart::parse(&format!("\"{escaped}\""))
    });
    let host = Host::parse(std::str::from_utf8(&mailbox.host).ok()?).ok()?;
    Some(Address::new(local.ok()?, host))
}

const MAX_AUTHORS: usize = 100;
const MAX_RECIPIENTS: usize = 2_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(found: &HeaderAddresses) -> Vec<String> {
        found.addresses.iter().map(Address::to_string).collect()
    }

    #[test]
    fn authors_are_read_or_marked() {
        let rows: &[(&str, &[&str], bool)] = &[
            ("From: alice@corp.test\r\n", &["alice@corp.test"], true),
            ("From: Alice Liu <Alice@CORP.test>\r\n", &["Alice@corp.test"], true),
            ("FROM : \"Liu, Alice\" <alice@corp.test>\r\n", &["alice@corp.test"], true),
            ("From: a@corp.test,\r\n\tb@ext.test\r\n", &["a@corp.test", "b@ext.test"], true),
            ("From: team: a@corp.test, B <b@ext.test>;\r\n", &["a@corp.test", "b@ext.test"], true),
            ("From: a@corp.test\r\nX: y\r\nfrom: b@ext.test\r\n", &["a@corp.test", "b@ext.test"], true),
            ("From: a . b @ corp . test\r\n", &["a.b@corp.test"], true),
            ("From: \"a b\"@corp.test\r\n", &["\"a b\"@corp.test"], true),
            ("From: \"a@evil.test\"@corp.test\r\n", &["\"a@evil.test\"@corp.test"], true),
            ("From: X <\"a@evil.test\"@corp.test>\r\n", &["\"a@evil.test\"@corp.test"], true),
            ("From: \"\\\"\\\\\"@corp.test\r\n", &["\"\\\"\\\\\"@corp.test"], true),
            ("From: a(b@evil.test)@corp.test\r\n", &["a@corp.test"], true),
            ("From: (b@evil.test) a@corp.test (c@evil.test)\r\n", &["a@corp.test"], true),
            ("From: X <a@corp.test (b@evil.test)>\r\n", &["a@corp.test"], true),
            ("From: a@corp.test <a@corp.test>\r\n", &["a@corp.test"], true),
            ("From: \"boss@corp.test\" <x@evil.test>\r\n", &["x@evil.test"], true),
            ("From: =?utf-8?q?boss=40corp.test?= <x@evil.test>\r\n", &["x@evil.test"], true),
            ("From: Al @ Corp <a@corp.test>\r\n", &["a@corp.test"], true),
            ("From: a@[192.0.2.1]\r\n", &["a@[192.0.2.1]"], true),
            ("From: \u{f6}@b\u{fc}cher.test\r\n", &["\u{f6}@xn--bcher-kva.test"], true),
            // What others may read differently, or we cannot read.
            ("From: boss@corp.test <x@evil.test>\r\n", &["x@evil.test"], false),
            ("From: <x@evil.test> <boss@corp.test>\r\n", &["x@evil.test"], false),
            ("From: <x@evil.test> boss@corp.test\r\n", &["x@evil.test"], false),
            ("From: x@evil.test boss@corp.test\r\n", &["\"x@evil.testboss\"@corp.test"], false),
            ("From: x@evil.test@corp.test\r\n", &["\"x@evil.test\"@corp.test"], false),
            ("From: <x@evil.test@corp.test>\r\n", &["\"x@evil.test\"@corp.test"], false),
            ("From: X <x@evil.test\r\n", &["x@evil.test"], false),
            ("From: X <<x@corp.test>\r\n", &["\"<x\"@corp.test"], false),
            ("From: <x y@corp.test>\r\n", &["xy@corp.test"], false),
            ("From: <x(c)y@corp.test>\r\n", &["xy@corp.test"], false),
            ("From: <@r.test:x@corp.test>\r\n", &["x@corp.test"], false),
            ("From: x@evil.test (open, boss@corp.test\r\n", &["x@evil.test"], false),
            ("From: x@evil.test, \"open, boss@corp.test\r\n", &["x@evil.test"], false),
            ("From: a@corp.test, nobody\r\n", &["a@corp.test"], false),
            ("From: =?utf-8?q?boss=40corp.test?=\r\n", &[], false),
            ("From: a@b@, c@corp.test\r\n", &["c@corp.test"], false),
            ("From: a@-\r\n", &[], false),
            ("From: \r\n", &[], false),
            ("From: <>\r\n", &[], false),
            ("From: team:;\r\n", &[], false),
            ("Subject: x\r\n", &[], false),
            ("", &[], false),
            ("\r\nFrom: body@corp.test\r\n", &[], false),
        ];
        for (header, want, is_complete) in rows {
            let found = header_from(header.as_bytes());
            assert_eq!(texts(&found), *want, "{header}");
            assert_eq!(found.is_complete, *is_complete, "{header}");
        }
        let latin = header_from(b"From: \xe9@corp.test\r\n");
        assert_eq!(latin, HeaderAddresses { addresses: Vec::new(), is_complete: false });
        // A broken display name harms nobody.
        assert!(header_from(b"From: Andr\xe9 <a@corp.test>\r\n").is_complete);
    }

    #[test]
    fn all_authors_must_be_aligned() {
        let corp = Domain::parse("corp.test").unwrap();
        for (from, is_hosted, want) in [
            ("a@corp.test", true, true),
            ("a@corp.test, b@CORP.test", true, true),
            ("a@mail.corp.test", true, false),
            ("a@mail.corp.test", false, true),
            ("a@corp.test, b@evil.test", true, false),
            ("a@corp.test\r\nFrom: b@evil.test", true, false),
            ("a@corp.test, b@[192.0.2.1]", true, false),
            ("a@corp.test, nobody", true, false),
            ("boss@evil.test <a@corp.test>", true, false),
            ("", true, false),
        ] {
            let found = header_from(format!("From: {from}\r\n").as_bytes());
            assert_eq!(found.are_aligned_with(&corp, is_hosted), want, "{from}, {is_hosted}");
        }
        assert!(!header_from(b"").are_aligned_with(&corp, false));
    }

    #[test]
    fn each_function_reads_its_own_fields() {
        let header =
            b"From: f@a.test\r\nSender: s@a.test\r\nTo: t@a.test\r\nCc: c@a.test\r\nBcc: b@a.test\r\nTo: u@b.test";
        assert_eq!(texts(&header_from(header)), ["f@a.test"]);
        assert_eq!(texts(&sender_addresses(header)), ["s@a.test"]);
        assert_eq!(texts(&to_cc_addresses(header)), ["t@a.test", "c@a.test", "u@b.test"]);
        assert_eq!(
            to_cc_addresses(header).domains().iter().map(Domain::as_str).collect::<Vec<_>>(),
            ["a.test", "b.test"]
        );
    }

    #[test]
    fn number_and_header_are_bounded() {
        let many = format!("From: {}\r\nTo: {0}\r\n", "a@b.test,".repeat(10_000));
        let (from, to) = (header_from(many.as_bytes()), to_cc_addresses(many.as_bytes()));
        assert_eq!((from.addresses.len(), from.is_complete), (MAX_AUTHORS, false));
        assert_eq!((to.addresses.len(), to.is_complete), (MAX_RECIPIENTS, false));
        let fields = "From: a@b.test\r\n".repeat(1_000);
        assert_eq!(header_from(fields.as_bytes()).addresses.len(), MAX_AUTHORS);
        assert!(!header_from(fields.as_bytes()).is_complete);
        let cut = format!("From: a@b.test\r\nX: {}", "x".repeat(MAX_HEADER));
        assert!(!header_from(cut.as_bytes()).is_complete, "a second From may lie behind what was kept");
    }

    proptest! {
        #[test]
        fn plain_addresses_are_found_in_any_dress(
            local in "[a-z0-9]{1,8}(\\.[a-z0-9]{1,8})?", name in "[A-Za-z ]{0,12}", comment in "[a-z@<>,;: ]{0,12}",
        ) {
            let address = format!("{local}@corp.test");
            for value in [
                format!("({comment}) {address}"),
                format!("{name} <{address}> ({comment})"),
                format!("\"{comment}\" <{address}>"),
                format!("{name}x: {address} ({comment});"),
            ] {
                let found = header_from(format!("From: {value}\r\n").as_bytes());
                prop_assert_eq!((texts(&found), found.is_complete), (vec![address.clone()], true), "{}", value);
            }
        }

        #[test]
        fn anything_can_be_read(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let found = header_from(&[b"From: ".as_slice(), &octets].concat());
            for address in found.addresses {
                prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address);
            }
        }
    }
}
