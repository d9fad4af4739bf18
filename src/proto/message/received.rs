//! The trace field of a relay, read for the host that it took a message from (RFC 5321 §4.4).
//!
//! Strict on purpose, since a decision rests on it: the grammar of RFC 5321 with one word for what the client called
//! itself and its address in the TCP-info, as Postfix, Sendmail and this server write it. Everything else is `None`:
//! an address in the client's own words alone, a second `from` or `by`, quotes outside of comments, a missing date.
//! Deviation: `from host ([192.0.2.1] helo=name)`, as Exim writes it, is not read.

use std::net::IpAddr;

use super::SentDate;
use super::header::unfold;
use crate::mail::{AddressLiteral, Host};

/// What a Received field says of a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The address of the client, as the relay saw it.
    pub client: IpAddr,
    /// What the client called itself.
    pub helo: String,
    /// What the relay calls itself.
    pub by: Host,
}

impl Received {
    /// Reads the value of a Received field, folded or not; `None` if anything about it is odd.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = unfold(value);
        let text = std::str::from_utf8(&value).ok().filter(|text| text.is_ascii() && text.len() <= MAX_VALUE)?;
        let mut rest = Rest(text);
        rest.keyword("from")?;
        let helo = rest.name()?.to_owned();
        // What the client called itself may hold a comment of its own: the TCP-info stands apart from it, and alone.
        rest.space()?;
        let client = tcp_info(rest.comment()?)?;
        while let Some(comment) = rest.next_comment()? {
            if tcp_info(comment).is_some() {
                return None;
            }
        }
        rest.keyword("by")?;
        let by = Host::parse(rest.name()?).ok()?;
        rest.clauses()?;
        SentDate::parse(rest.0.as_bytes())?;
        Some(Self { client, helo, by })
    }
}

/// `TCP-info`: an address literal, or a name that the address was found to have and the literal.
fn tcp_info(text: &str) -> Option<IpAddr> {
    let mut words = text.split_ascii_whitespace();
    let literal = match (words.next()?, words.next(), words.next()) {
        (literal, None, None) => literal,
        (name, Some(literal), None) if name.bytes().all(is_name) && !name.starts_with('[') => literal,
        _ => return None,
    };
    match AddressLiteral::parse(literal).ok()? {
        AddressLiteral::Ip(address) => Some(address.to_canonical()),
        AddressLiteral::General(_) => None,
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// White space that must stand here.
    fn space(&mut self) -> Option<()> {
        let before = self.0.len();
        self.skip_space();
        (self.0.len() < before).then_some(())
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// The next word, up to white space or anything that has a meaning of its own.
    fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self.0.find(|c: char| c.is_ascii_whitespace() || "();\"\\".contains(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    fn keyword(&mut self, wanted: &str) -> Option<()> {
        self.word().eq_ignore_ascii_case(wanted).then_some(())
    }

    /// A domain or an address literal.
    fn name(&mut self) -> Option<&'a str> {
        Some(self.word()).filter(|word| !word.is_empty() && word.bytes().all(is_name))
    }

    /// The inside of the comment that must stand here, with what is nested in it.
    fn comment(&mut self) -> Option<&'a str> {
        self.skip_space();
        let inside = self.0.strip_prefix('(')?;
        let mut depth = 1_u32;
        let mut is_quoted = false;
        for (at, c) in inside.char_indices() {
            match c {
                _ if is_quoted => is_quoted = false,
                '\\' => is_quoted = true,
                '(' => depth = depth.checked_add(1)?,
                ')' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                self.0 = inside.get(at.checked_add(1)?..)?;
                return inside.get(..at);
            }
        }
        None
    }

    /// The inside of the comment that stands here, if one does.
    fn next_comment(&mut self) -> Option<Option<&'a str>> {
        self.skip_space();
        if self.0.starts_with('(') { self.comment().map(Some) } else { Some(None) }
    }

    fn skip_comments(&mut self) -> Option<()> {
        while self.next_comment()?.is_some() {}
        Some(())
    }

    /// `via`, `with`, `id`, `for` and comments, up to the semicolon before the date.
    fn clauses(&mut self) -> Option<()> {
        loop {
            self.skip_comments()?;
            if let Some(date) = self.0.strip_prefix(';') {
                self.0 = date;
                return Some(());
            }
            let word = self.word();
            // A second hop in one field is somebody's forgery.
            let is_hop = ["from", "by"].iter().any(|hop| hop.eq_ignore_ascii_case(word));
            if word.is_empty() || is_hop {
                return None;
            }
        }
    }
}

/// What may stand in a domain or an address literal.
fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)
}

const MAX_VALUE: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(value: &str) -> Option<String> {
        Received::parse(value.as_bytes()).map(|received| received.client.to_string())
    }

    #[test]
    fn the_address_is_that_of_the_tcp_info() {
        let postfix = "from a.test (unknown [192.0.2.10])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\t(No \
                       client certificate requested)\r\n\tby gw.corp.test (Postfix) with ESMTPS id 4F2 (x)\r\n\tfor \
                       <alice@corp.test>; Sun, 22 Nov 2026 10:00:00 +0100 (CET)";
        let want = Received {
            client: [192, 0, 2, 10].into(),
            helo: "a.test".to_owned(),
            by: Host::parse("gw.corp.test").unwrap(),
        };
        assert_eq!(Received::parse(postfix.as_bytes()), Some(want));
        for (value, want) in [
            ("from a.test ([192.0.2.10]) by gw.test; Sun, 22 Nov 2026 10:00:00 +0000", "192.0.2.10"),
            ("FROM a ([IPv6:2001:db8::1]) BY [192.0.2.5] with SMTP;Sun, 22 Nov 2026 10:00:00 +0000", "2001:db8::1"),
            ("from a ([IPv6:::ffff:192.0.2.1]) by gw.test; 22 Nov 2026 10:00:00 +0000", "192.0.2.1"),
            // What the client says of itself is not its address.
            ("from [203.0.113.9] (b.test [192.0.2.10]) by gw.test; 22 Nov 2026 10:00 +0000", "192.0.2.10"),
        ] {
            assert_eq!(client(value).as_deref(), Some(want), "{value}");
        }
    }

    #[test]
    fn what_is_odd_names_nobody() {
        let date = "; Sun, 22 Nov 2026 10:00:00 +0000";
        for value in [
            "",
            "from",
            "from a.test ([192.0.2.10]) by gw.test",
            "from a.test ([192.0.2.10]) by gw.test; yesterday",
            "from a.test by gw.test; Sun, 22 Nov 2026 10:00:00 +0000",
            "from a.test ([192.0.2.10]; Sun, 22 Nov 2026 10:00:00 +0000",
            "by gw.test (Postfix, from userid 0) id 1; Sun, 22 Nov 2026 10:00:00 +0000",
        ] {
            assert_eq!(client(value), None, "{value}");
        }
        for hop in [
            "from [192.0.2.10] by gw.test",
            "from x([8.8.8.8]) (unknown [203.0.113.66]) by gw.test",
            "from x ([8.8.8.8]) (unknown [203.0.113.66]) by gw.test",
            "from [192.0.2.10] (helo=a.test) by gw.test",
            "from a.test ([192.0.2.10] helo=b) by gw.test",
            "from a.test ([192.0.2.10] (may be forged)) by gw.test",
            "from a.test (b.test 192.0.2.10) by gw.test",
            "from a.test (192.0.2.10) by gw.test",
            "from a.test ([192.0.2.10] [192.0.2.11]) by gw.test",
            "from a.test ([192.0.2.256]) by gw.test",
            "from a.test ([x:y]) by gw.test",
            "from a b ([192.0.2.10]) by gw.test",
            "from a\" (\" ([192.0.2.10]) by gw.test",
            "from a\u{e9} ([192.0.2.10]) by gw.test",
            "from a.test ([192.0.2.10]) by",
            "from a.test ([192.0.2.10]) by gw..test",
            "from a.test ([192.0.2.10]) by \"gw.test\"",
            "from a.test ([192.0.2.10]) by gw.test for <\"x y\"@b.test>",
            // The client called itself `evil ([192.0.2.10]) by gw.test`.
            "from evil ([192.0.2.10]) by gw.test (c.test [203.0.113.9]) by gw.test with SMTP",
            "from evil ([192.0.2.10]) by gw.test from x",
            "from evil ([192.0.2.10]) by gw.test (unfinished",
            "from evil ([192.0.2.10]) by gw.test )",
        ] {
            assert_eq!(client(&format!("{hop}{date}")), None, "{hop}");
        }
        let long = format!("from a.test ([192.0.2.10]) by gw.test with {}{date}", "a ".repeat(1000));
        assert_eq!(client(&long), None);
    }
}
