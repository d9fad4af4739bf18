//! What a host offers in its reply to EHLO (RFC 5321 §4.1.1.1).

use super::RemoteReply;
use crate::proto::sasl::Mechanism;

/// The extensions that we know of those that a host offers; none after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870).
    pub size: bool,
    /// What SIZE declares: the largest message that is taken; `None` if nothing or zero.
    pub max_size: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689).
    pub requiretls: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH (RFC 4954) is offered.
    pub auth: bool,
    /// Those of its mechanisms that we know.
    pub mechanisms: Vec<Mechanism>,
}

impl Capabilities {
    /// From the reply to EHLO. Keywords are read in any case, the first line is the host's greeting; what is not known
    /// is passed over. If a keyword comes twice, what both say counts.
    pub fn read(reply: &RemoteReply) -> Self {
        let mut found = Self::default();
        for line in reply.arguments().skip(1) {
            // `AUTH=LOGIN` is how servers before RFC 2554 said it, and some say it still.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => found.pipelining = true,
                "SIZE" => {
                    found.size = true;
                    let size = words.next().and_then(|size| size.parse().ok()).filter(|size| *size > 0);
                    found.max_size = size.or(found.max_size);
                }
                "8BITMIME" => found.eight_bit_mime = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "CHUNKING" => found.chunking = true,
                "DSN" => found.dsn = true,
                "REQUIRETLS" => found.requiretls = true,
                "ENHANCEDSTATUSCODES" => found.enhanced_status_codes = true,
                "STARTTLS" => found.starttls = true,
                "AUTH" => {
                    found.auth = true;
                    for mechanism in words.filter_map(|name| Mechanism::parse(name.as_bytes())) {
                        if !found.mechanisms.contains(&mechanism) {
                            found.mechanisms.push(mechanism);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::ReplyReader;
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        let mut octets = b"250-mx.example.test greets 8BITMIME\r\n".to_vec();
        for (n, line) in lines.iter().enumerate() {
            octets
                .extend_from_slice(format!("250{}{line}\r\n", if n + 1 < lines.len() { '-' } else { ' ' }).as_bytes());
        }
        Capabilities::read(&ReplyReader::default().push(&octets).1.unwrap().unwrap())
    }

    #[test]
    fn keywords() {
        let none = Capabilities::default;
        for (case, lines, want) in [
            ("nothing known", &["HELP", "XVERP=2", ""][..], none()),
            ("in any case", &["pipelining", "ChunKing"], Capabilities { pipelining: true, chunking: true, ..none() }),
            ("size", &["SIZE 1000"], Capabilities { size: true, max_size: Some(1000), ..none() }),
            ("no size", &["SIZE"], Capabilities { size: true, ..none() }),
            ("size without limit", &["SIZE 0"], Capabilities { size: true, ..none() }),
            ("size that is none", &["SIZE 10e9"], Capabilities { size: true, ..none() }),
            (
                "mechanisms, twice",
                &["AUTH plain GSSAPI", "AUTH=LOGIN PLAIN"],
                Capabilities { auth: true, mechanisms: vec![Mechanism::Plain, Mechanism::Login], ..none() },
            ),
            (
                "the others",
                &["8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS", "ENHANCEDSTATUSCODES", "STARTTLS"],
                Capabilities {
                    eight_bit_mime: true,
                    smtputf8: true,
                    dsn: true,
                    requiretls: true,
                    enhanced_status_codes: true,
                    starttls: true,
                    ..none()
                },
            ),
        ] {
            assert_eq!(read(lines), want, "{case}");
        }
    }

    #[test]
    fn first_line_offers_nothing() {
        let (_, reply) = ReplyReader::default().push(b"250 PIPELINING\r\n");
        assert_eq!(Capabilities::read(&reply.unwrap().unwrap()), Capabilities::default());
    }
}
