//! MTA-STS (RFC 8461): the TXT record that tells of a policy, and the policy.
//!
//! Both come from outside and are bounded: a policy has at most 64 KiB and 100 patterns, and is kept for a year at most.
//! What is unknown in them is passed over (RFC 8461 §3.1, §3.2), what is known and wrong makes the whole invalid.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mail::Domain;

/// The name under which a domain tells of its policy (RFC 8461 §3.1).
pub fn record_name(domain: &Domain) -> String {
    format!("_mta-sts.{domain}.")
}

/// The host that serves a domain's policy (RFC 8461 §3.3).
pub fn policy_host(domain: &Domain) -> String {
    format!("mta-sts.{domain}")
}

/// Where on that host it lies (RFC 8461 §3.3).
pub const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

/// Octets of a policy that are read.
pub const MAX_POLICY: usize = 64 << 10;

/// The id of a domain's policy, from the TXT records of its [`record_name`]; `None` if not exactly one of them is a
/// record of MTA-STS, and that a valid one (RFC 8461 §3.1).
pub fn record_id(records: &[Vec<u8>]) -> Option<String> {
    let mut candidates = records.iter().filter(|record| record.starts_with(b"v=STSv1;"));
    let record = candidates.next()?;
    if candidates.next().is_some() || record.len() > MAX_RECORD {
        return None;
    }
    let text = std::str::from_utf8(record).ok()?;
    let mut ids = text.split(';').skip(1).filter_map(|field| {
        let (name, value) = field.split_once('=')?;
        (name.trim_matches(BLANK) == "id").then(|| value.trim_matches(BLANK))
    });
    let id = ids.next()?;
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_id && ids.next().is_none()).then(|| id.to_owned())
}

/// What a domain asks of those who send to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What follows from a host that does not keep to it.
    pub mode: Mode,
    /// For how long it holds.
    pub max_age: Duration,
    /// The domain's hosts.
    pub mx: Vec<Pattern>,
}

/// What follows from a host that does not keep to a policy (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is sent to it.
    Enforce,
    /// It is reported, and used.
    Testing,
    /// Nothing: there is no policy any more.
    None,
}

impl Mode {
    /// As policies and reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        }
    }
}

/// Hosts: one name, or all names with one label before those that are written (RFC 8461 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    is_wildcard: bool,
    name: Domain,
}

/// Why a text is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// More than [`MAX_POLICY`].
    #[error("the policy is longer than 64 KiB")]
    TooLong,
    /// Not UTF-8.
    #[error("the policy is not UTF-8 text")]
    Encoding,
    /// A line without a colon, or with a name that is none.
    #[error("the policy has a line that is no field")]
    Line,
    /// The first field is not `version: STSv1`.
    #[error("the policy does not begin with version STSv1")]
    Version,
    /// No mode, or an unknown one.
    #[error("the policy has no known mode")]
    Mode,
    /// No `max_age`, or none from 0 to 31,557,600.
    #[error("the policy has no max_age within a year")]
    MaxAge,
    /// No `mx` though the mode needs one, or more than 100.
    #[error("the policy names no host, or more than 100")]
    MxCount,
    /// An `mx` that is neither a host name nor `*.` with one behind it.
    #[error("the policy has an mx that is no host name")]
    Mx,
}

impl Policy {
    /// From the text that a policy host serves (RFC 8461 §3.2). Of a field that must be there once and comes again, the
    /// first counts.
    pub fn parse(octets: &[u8]) -> Result<Self, PolicyError> {
        if octets.len() > MAX_POLICY {
            return Err(PolicyError::TooLong);
        }
        let text = std::str::from_utf8(octets).map_err(|_| PolicyError::Encoding)?;
        let mut fields = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|l| !l.is_empty());
        if field(fields.next().ok_or(PolicyError::Version)?)? != ("version", "STSv1") {
            return Err(PolicyError::Version);
        }
        let (mut mode, mut max_age, mut mx) = (None, None, Vec::new());
        for line in fields {
            match field(line)? {
                ("mode", value) if mode.is_none() => mode = Some(parse_mode(value)?),
                ("max_age", value) if max_age.is_none() => max_age = Some(parse_max_age(value)?),
                ("mx", value) => {
                    if mx.len() == MAX_PATTERNS {
                        return Err(PolicyError::MxCount);
                    }
                    mx.push(Pattern::parse(value)?);
                }
                _ => {}
            }
        }
        let mode = mode.ok_or(PolicyError::Mode)?;
        let max_age = max_age.ok_or(PolicyError::MaxAge)?;
        if mx.is_empty() && mode != Mode::None {
            return Err(PolicyError::MxCount);
        }
        Ok(Self { mode, max_age, mx })
    }

    /// True if the host of this name is one of the domain's (RFC 8461 §4.1).
    pub fn matches(&self, host: &str) -> bool {
        Domain::parse(host).is_ok_and(|host| self.mx.iter().any(|pattern| pattern.matches(&host)))
    }

    /// Its lines as reports show them (RFC 8460 §4.4).
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", self.mode.name())];
        lines.extend(self.mx.iter().map(|pattern| format!("mx: {pattern}")));
        lines.push(format!("max_age: {}", self.max_age.as_secs()));
        lines
    }
}

impl Pattern {
    /// A host name, or `*.` with one behind it.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let (is_wildcard, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        if name.ends_with('.') {
            return Err(PolicyError::Mx);
        }
        Ok(Self { is_wildcard, name: Domain::parse(name).map_err(|_| PolicyError::Mx)? })
    }

    fn matches(&self, host: &Domain) -> bool {
        if !self.is_wildcard {
            return *host == self.name;
        }
        // The wildcard is one whole label, no more and no less.
        host.as_str().split_once('.').is_some_and(|(_, rest)| rest == self.name.as_str())
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.is_wildcard { "*." } else { "" }, self.name)
    }
}

impl TryFrom<String> for Pattern {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.to_string()
    }
}

/// RFC 8461 §3.2: a name, a colon, blanks, a value; blanks may end the line.
fn field(line: &str) -> Result<(&str, &str), PolicyError> {
    let (name, value) = line.split_once(':').ok_or(PolicyError::Line)?;
    let is_name = (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if is_name { Ok((name, value.trim_matches(BLANK))) } else { Err(PolicyError::Line) }
}

fn parse_mode(value: &str) -> Result<Mode, PolicyError> {
    [Mode::Enforce, Mode::Testing, Mode::None].into_iter().find(|mode| mode.name() == value).ok_or(PolicyError::Mode)
}

fn parse_max_age(value: &str) -> Result<Duration, PolicyError> {
    let is_number = (1..=10).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let seconds = value.parse::<u64>().ok().filter(|seconds| is_number && *seconds <= MAX_AGE);
    seconds.map(Duration::from_secs).ok_or(PolicyError::MaxAge)
}

const BLANK: [char; 2] = [' ', '\t'];
/// RFC 8461 §3.2: a year.
const MAX_AGE: u64 = 31_557_600;
const MAX_PATTERNS: usize = 100;
/// Octets of a TXT record that anybody needs.
const MAX_RECORD: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_give_the_id() {
        let long = format!("v=STSv1; id={};", "a".repeat(33));
        let huge = format!("v=STSv1; id=1; x={};", "y".repeat(2_000));
        for (case, records, want) in [
            ("as in the RFC", vec!["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z")),
            ("no blanks, no end", vec!["v=STSv1;id=1"], Some("1")),
            ("extension", vec!["v=STSv1; a=b; id=1; c=d"], Some("1")),
            ("beside another record", vec!["v=spf1 -all", "v=STSv1; id=1;"], Some("1")),
            ("none", vec![], None),
            ("another record", vec!["v=spf1 -all"], None),
            ("two records", vec!["v=STSv1; id=1;", "v=STSv1; id=1;"], None),
            ("other version", vec!["v=STSv2; id=1;"], None),
            ("other case", vec!["V=STSV1; id=1;"], None),
            ("blank before the version", vec![" v=STSv1; id=1;"], None),
            ("no id", vec!["v=STSv1;"], None),
            ("empty id", vec!["v=STSv1; id=;"], None),
            ("id twice", vec!["v=STSv1; id=1; id=2;"], None),
            ("id with a sign", vec!["v=STSv1; id=2016-08;"], None),
            ("long id", vec![&long], None),
            ("huge", vec![&huge], None),
        ] {
            let records: Vec<Vec<u8>> = records.iter().map(|record| record.as_bytes().to_vec()).collect();
            assert_eq!(record_id(&records).as_deref(), want, "{case}");
        }
        assert_eq!(record_id(&[b"v=STSv1; id=\xff;".to_vec()]), None);
    }

    #[test]
    fn policies_good_and_bad() {
        use PolicyError::{Encoding, Line, MaxAge, Mode as NoMode, Mx, MxCount, TooLong, Version};
        let lines = |lines: &[&str]| lines.join("\r\n");
        let many = |count: usize| {
            let mx = "mx: a.example.test\n".repeat(count);
            format!("version: STSv1\nmode: enforce\nmax_age: 1\n{mx}")
        };
        let good = lines(&["version: STSv1", "mode: enforce", "mx: mail.example.test", "max_age: 604800", ""]);
        for (case, text, want) in [
            ("as in the RFC", good.clone(), Ok((Mode::Enforce, 604_800, 1))),
            ("LF", good.replace('\r', ""), Ok((Mode::Enforce, 604_800, 1))),
            ("no last line end", good.trim_end().to_owned(), Ok((Mode::Enforce, 604_800, 1))),
            ("no blanks", good.replace(": ", ":"), Ok((Mode::Enforce, 604_800, 1))),
            ("blanks at the ends", good.replace('\r', " \t\r"), Ok((Mode::Enforce, 604_800, 1))),
            ("testing", good.replace("enforce", "testing"), Ok((Mode::Testing, 604_800, 1))),
            ("none without mx", lines(&["version: STSv1", "mode: none", "max_age: 1"]), Ok((Mode::None, 1, 0))),
            ("extension", format!("{good}some_thing.new: x: y\r\n"), Ok((Mode::Enforce, 604_800, 1))),
            ("mode twice", format!("{good}mode: none\r\n"), Ok((Mode::Enforce, 604_800, 1))),
            ("a year", good.replace("604800", "31557600"), Ok((Mode::Enforce, 31_557_600, 1))),
            ("at once", good.replace("604800", "0"), Ok((Mode::Enforce, 0, 1))),
            ("100 hosts", many(100), Ok((Mode::Enforce, 1, 100))),
            ("101 hosts", many(101), Err(MxCount)),
            ("more than a year", good.replace("604800", "31557601"), Err(MaxAge)),
            ("for ever", good.replace("604800", "99999999999999999999"), Err(MaxAge)),
            ("negative", good.replace("604800", "-1"), Err(MaxAge)),
            ("signed", good.replace("604800", "+1"), Err(MaxAge)),
            ("no max_age", good.replace("max_age", "age"), Err(MaxAge)),
            ("empty", String::new(), Err(Version)),
            ("version later", lines(&["mode: none", "version: STSv1", "max_age: 1"]), Err(Version)),
            ("other version", good.replace("STSv1", "STSv2"), Err(Version)),
            ("no mode", good.replace("mode", "node"), Err(NoMode)),
            ("unknown mode", good.replace("enforce", "Enforce"), Err(NoMode)),
            ("no mx", good.replace("mx:", "my:"), Err(MxCount)),
            ("mx that is an address", good.replace("mail.example.test", "[192.0.2.1]"), Err(Mx)),
            ("mx with a wildcard inside", good.replace("mail.", "mail.*."), Err(Mx)),
            ("mx with half a wildcard", good.replace("mail.", "m*."), Err(Mx)),
            ("wildcard alone", good.replace("mail.example.test", "*."), Err(Mx)),
            ("a page", "<html>\n</html>".to_owned(), Err(Line)),
            ("no colon", format!("{good}x\r\n"), Err(Line)),
            ("long", format!("{good}{}", "x: y\n".repeat(20_000)), Err(TooLong)),
        ] {
            let parsed = Policy::parse(text.as_bytes()).map(|p| (p.mode, p.max_age.as_secs(), p.mx.len()));
            assert_eq!(parsed, want, "{case}");
        }
        assert_eq!(Policy::parse(b"version: STSv1\n\xff"), Err(Encoding));
    }

    #[test]
    fn a_wildcard_is_the_left_most_label() {
        for (pattern, host, want) in [
            ("mail.example.test", "mail.example.test", true),
            ("mail.example.test", "MAIL.Example.TEST.", true),
            ("mail.example.test", "mail2.example.test", false),
            ("mail.example.test", "a.mail.example.test", false),
            ("*.example.test", "mail.example.test", true),
            ("*.example.test", "example.test", false),
            ("*.example.test", "a.mail.example.test", false),
            ("*.example.test", "mail.example.test.evil.test", false),
            ("*.example.test", "mailexample.test", false),
            ("*.test", "test", false),
            ("*.bücher.test", "mx.xn--bcher-kva.test", true),
            ("*.example.test", "[192.0.2.1]", false),
            ("*.example.test", "", false),
        ] {
            let policy = Policy {
                mode: Mode::Enforce,
                max_age: Duration::from_secs(1),
                mx: vec![Pattern::parse(pattern).unwrap()],
            };
            assert_eq!(policy.matches(host), want, "{pattern} {host}");
            let again = serde_json::from_str::<Policy>(&serde_json::to_string(&policy).unwrap()).unwrap();
            assert_eq!(again, policy);
        }
    }

    #[test]
    fn lines_are_a_policy_again() {
        let text = b"version: STSv1\nmode: testing\nmx: *.example.test\nmx: b.test\nmax_age: 86400\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!(Policy::parse(policy.lines().join("\n").as_bytes()), Ok(policy));
    }
}
