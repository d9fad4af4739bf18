//! The header fields that the server puts before a message: Return-Path and Received (RFC 5321 §4.4), and on
//! submission what is missing of Date and Message-ID (RFC 6409 §8).

use std::io::Write;
use std::net::IpAddr;

use crate::mail::{Address, AddressLiteral, BlobId, ForwardPath, ReversePath, Timestamp};
use crate::proto::message::{format_date, header};

/// What the trace says.
#[derive(Debug)]
pub(super) struct Trace<'a> {
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// Where it came from.
    pub origin: Origin<'a>,
    /// Our name.
    pub hostname: &'a str,
    /// How it came.
    pub transport: Transport,
    /// The message's id.
    pub id: BlobId,
    /// Authentication-Results, complete with CRLF.
    pub results: Option<&'a str>,
    /// What block lists say of the client, complete with CRLF.
    pub listed: &'a str,
    /// The recipient, if there is only one: several must not learn of each other (RFC 5321 §7.2).
    pub recipient: Option<&'a ForwardPath>,
    /// Now.
    pub at: Timestamp,
}

/// Where a message came from.
#[derive(Debug)]
pub(super) enum Origin<'a> {
    /// Another host: the name that it gave itself, and its address.
    Host(&'a str, IpAddr),
    /// A user of ours, whose whereabouts are nobody's business. Date and Message-ID are added if `header` lacks them.
    Submission {
        /// The header as received.
        header: &'a [u8],
        /// A field that is missing, with the address that it gets (policy semantics §5).
        addition: Option<(&'static str, &'a Address)>,
    },
}

/// What the `with` clause is made of (RFC 3848, RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transport {
    /// EHLO, not HELO.
    pub is_extended: bool,
    /// MAIL said SMTPUTF8.
    pub is_utf8: bool,
    /// TLS.
    pub is_encrypted: bool,
    /// AUTH.
    pub is_authenticated: bool,
}

impl Transport {
    fn name(self) -> &'static str {
        let Self { is_extended, is_utf8, is_encrypted, is_authenticated } = self;
        match (is_utf8, is_encrypted, is_authenticated) {
            (true, false, false) => "UTF8SMTP",
            (true, false, true) => "UTF8SMTPA",
            (true, true, false) => "UTF8SMTPS",
            (true, true, true) => "UTF8SMTPSA",
            (false, false, false) if !is_extended => "SMTP",
            (false, false, false) => "ESMTP",
            (false, false, true) => "ESMTPA",
            (false, true, false) => "ESMTPS",
            (false, true, true) => "ESMTPSA",
        }
    }
}

/// The fields, complete with CRLF.
pub(super) fn prefix(trace: &Trace<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    // Writing to a Vec does not fail.
    let _ = write(trace, &mut out);
    out
}

fn write(trace: &Trace<'_>, out: &mut Vec<u8>) -> std::io::Result<()> {
    let date = format_date(trace.at);
    write!(out, "Return-Path: {}\r\n", trace.reverse_path)?;
    // Above Received, to whose hop it belongs (RFC 8601 §4.1).
    out.extend_from_slice(trace.results.unwrap_or_default().as_bytes());
    out.extend_from_slice(trace.listed.as_bytes());
    match &trace.origin {
        Origin::Host(name, ip) => {
            out.extend_from_slice(b"Received: from ");
            out.extend(name.bytes().map(|b| if is_name(b) { b } else { b'?' }));
            write!(out, " ({})", AddressLiteral::Ip(*ip))?;
        }
        // The grammar of RFC 5321 §4.4 wants a domain here.
        Origin::Submission { .. } => out.extend_from_slice(b"Received: from submission"),
    }
    write!(out, "\r\n\tby {} (Posthouse) with {} id {}", trace.hostname, trace.transport.name(), trace.id)?;
    if let Some(recipient) = trace.recipient {
        write!(out, "\r\n\tfor {recipient}")?;
    }
    write!(out, ";\r\n\t{date}\r\n")?;
    if let Origin::Submission { header, addition } = trace.origin {
        if let Some((name, address)) = addition {
            write!(out, "{name}: {address}\r\n")?;
        }
        if !header::contains(header, "Date") {
            write!(out, "Date: {date}\r\n")?;
        }
        if !header::contains(header, "Message-ID") {
            write!(out, "Message-ID: <{}@{}>\r\n", trace.id, trace.hostname)?;
        }
    }
    Ok(())
}

/// What may stand in a domain or an address literal; anything else could pass for more than a name.
fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Address;

    fn trace<'a>(reverse_path: &'a ReversePath, origin: Origin<'a>, recipient: Option<&'a ForwardPath>) -> Trace<'a> {
        Trace {
            reverse_path,
            origin,
            hostname: "mail.example.test",
            transport: Transport { is_extended: true, is_utf8: false, is_encrypted: true, is_authenticated: false },
            id: BlobId::from_octets([0; 12]),
            results: None,
            listed: "",
            recipient,
            at: Timestamp::from_seconds(0),
        }
    }

    fn text(trace: &Trace<'_>) -> String {
        String::from_utf8(prefix(trace)).unwrap()
    }

    #[test]
    fn from_another_host() {
        let reverse_path = ReversePath::Address(Address::parse("a@ext.test").unwrap());
        let recipient = ForwardPath::Address(Address::parse("alice@example.test").unwrap());
        let ip = "2001:db8::1".parse().unwrap();
        assert_eq!(
            text(&trace(&reverse_path, Origin::Host("client.test", ip), Some(&recipient))),
            "Return-Path: <a@ext.test>\r\n\
             Received: from client.test ([IPv6:2001:db8::1])\r\n\
             \tby mail.example.test (Posthouse) with ESMTPS id 00000000000000000000\r\n\
             \tfor <alice@example.test>;\r\n\
             \tThu, 01 Jan 1970 00:00:00 +0000\r\n"
        );
        let several = text(&trace(&ReversePath::Null, Origin::Host("a(b)\u{e9};", ip), None));
        assert!(
            several.starts_with("Return-Path: <>\r\nReceived: from a?b???? ([IPv6:2001:db8::1])\r\n\tby "),
            "{several}"
        );
        assert!(!several.contains(" for "), "several recipients stay apart");
    }

    #[test]
    fn submission_hides_the_client_and_completes_the_header() {
        let complete = text(&trace(
            &ReversePath::Null,
            Origin::Submission { header: b"date: x\r\nMESSAGE-ID: y\r\n", addition: None },
            None,
        ));
        assert!(complete.contains("Received: from submission\r\n"), "{complete}");
        assert!(complete.ends_with("00000000000000000000;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"), "{complete}");
        let added =
            text(&trace(&ReversePath::Null, Origin::Submission { header: b"Subject: x\r\n", addition: None }, None));
        assert!(added.contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"), "{added}");
        assert!(added.ends_with("\r\nMessage-ID: <00000000000000000000@mail.example.test>\r\n"), "{added}");
    }

    #[test]
    fn protocol_names() {
        for (flags, want) in [
            ([false, false, false, false], "SMTP"),
            ([true, false, false, false], "ESMTP"),
            ([true, false, true, false], "ESMTPS"),
            ([true, false, false, true], "ESMTPA"),
            ([true, false, true, true], "ESMTPSA"),
            ([true, true, false, false], "UTF8SMTP"),
            ([true, true, true, true], "UTF8SMTPSA"),
        ] {
            let [is_extended, is_utf8, is_encrypted, is_authenticated] = flags;
            assert_eq!(Transport { is_extended, is_utf8, is_encrypted, is_authenticated }.name(), want);
        }
    }
}
