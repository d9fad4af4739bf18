//! DNS block lists (RFC 5782): what is asked, what an answer means, and what follows from it.
//!
//! An answer that could not be had is unknown and never a refusal. So is one that a list gives in place of an answer, of
//! 127.255.255.0/24 ("you ask too much", "not through this resolver"), and one outside 127.0.0.0/8, which no list gives:
//! a resolver, or whoever has bought the list's name, answers everything.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::gateway::Client;
use crate::directory::Directory;
use crate::mail::{AddressLiteral, Domain};

/// A list, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocklist {
    /// Below which name it is asked.
    pub zone: Domain,
    /// What becomes of mail from a client that it lists.
    pub action: Action,
    /// Which of its answers count.
    pub codes: Codes,
    /// How long a client waits for it.
    pub timeout: Duration,
}

/// What becomes of mail from a listed client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is refused.
    Refuse,
    /// It is junk.
    Junk,
    /// It carries a field that says so.
    Mark,
}

/// Answers that count (RFC 5782 §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes(Vec<CodeRange>);

/// Answers from one to another, both of 127.0.0.0/8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRange(RangeInclusive<Ipv4Addr>);

/// Not a range of answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an answer such as \"127.0.0.2\", or two with a \"-\" between them; none of 127.255.255.0/24, which are errors"
)]
pub struct CodeError;

impl FromStr for CodeRange {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let code = |text: &str| text.trim().parse::<Ipv4Addr>().ok().filter(|a| a.is_loopback() && !is_error(*a));
        match (code(first), code(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(CodeError),
        }
    }
}

impl Codes {
    /// These.
    pub fn new(ranges: Vec<CodeRange>) -> Self {
        Self(ranges)
    }

    /// Every answer that a list can give.
    fn any() -> Self {
        Self(vec![CodeRange(Ipv4Addr::new(127, 0, 0, 0)..=Ipv4Addr::new(127, 255, 254, 255))])
    }

    fn count(&self, code: Ipv4Addr) -> bool {
        self.0.iter().any(|range| range.0.contains(&code))
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self(vec![CodeRange(Ipv4Addr::new(127, 0, 0, 2)..=Ipv4Addr::new(127, 0, 0, 254))])
    }
}

/// Whom lists are asked about: the client of a transaction, or the one that a gateway has handed over. Not about a trusted
/// relay, and not about an address that no list can know.
pub fn subject(directory: &Directory, client: Client) -> Option<IpAddr> {
    let (Client::Direct(address) | Client::HandedOver(address)) = client else { return None };
    let address = address.to_canonical();
    (directory.relay(address).is_none() && is_public(address)).then_some(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // RFC 6598 §7
            let is_shared = first == 100 && second & 0xc0 == 64;
            let is_nowhere = first == 0 || v4.is_broadcast() || v4.is_multicast();
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared || is_nowhere)
        }
        IpAddr::V6(v6) => {
            let is_nowhere = v6.is_unspecified() || v6.is_multicast();
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || is_nowhere)
        }
    }
}

/// The name that is asked for (RFC 5782 §2.1, §2.4), absolute.
pub fn name(zone: &Domain, client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.{zone}.")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            nibbles.chain([format!("{zone}.")]).collect()
        }
    }
}

/// What a list has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It lists the client, with these of the codes that count.
    Listed(Vec<Ipv4Addr>),
    /// It does not, or with codes that do not count.
    NotListed,
    /// That is not known.
    Unknown(Unknown),
}

/// Why an answer is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// There was none in time, or one of failure.
    NoAnswer,
    /// The list has answered that it does not answer.
    Error,
    /// No list answers like that.
    Strange,
    /// The list is switched off.
    Off,
}

/// What the addresses at a list's name mean; none: there is no such name. `None`: there was no answer.
pub fn answer(codes: &Codes, found: Option<&[Ipv4Addr]>) -> Answer {
    let Some(found) = found else { return Answer::Unknown(Unknown::NoAnswer) };
    if found.iter().any(|code| is_error(*code)) {
        return Answer::Unknown(Unknown::Error);
    }
    if found.iter().any(|code| !code.is_loopback()) {
        return Answer::Unknown(Unknown::Strange);
    }
    let mut listed: Vec<Ipv4Addr> = found.iter().copied().filter(|code| codes.count(*code)).collect();
    listed.sort_unstable();
    listed.dedup();
    listed.truncate(MAX_CODES);
    if listed.is_empty() { Answer::NotListed } else { Answer::Listed(listed) }
}

fn is_error(code: Ipv4Addr) -> bool {
    matches!(code.octets(), [127, 255, 255, _])
}

/// What a test of a list has shown (RFC 5782 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// It lists what it must, and does not list what it must not.
    Passed,
    /// There was no answer, so that nothing is shown.
    NoAnswer,
    /// It lists what every list does not.
    ListsEverything,
    /// It does not list what every list does.
    ListsNothing,
    /// It answers with an error.
    AnswersErrors,
    /// It answers what no list does.
    AnswersStrangely,
}

/// The address that every list has, and the one that none has (RFC 5782 §5).
pub const LISTED_BY_ALL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// See [`LISTED_BY_ALL`].
pub const LISTED_BY_NONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the two answers show: about [`LISTED_BY_ALL`] and about [`LISTED_BY_NONE`]. Whichever code stands there counts.
pub fn test(by_all: Option<&[Ipv4Addr]>, by_none: Option<&[Ipv4Addr]>) -> Test {
    use Answer::{Listed, NotListed, Unknown as No};
    let any = Codes::any();
    match (answer(&any, by_all), answer(&any, by_none)) {
        (No(Unknown::Error), _) | (_, No(Unknown::Error)) => Test::AnswersErrors,
        (No(Unknown::Strange), _) | (_, No(Unknown::Strange)) => Test::AnswersStrangely,
        (_, Listed(_)) => Test::ListsEverything,
        (No(_), _) | (_, No(_)) => Test::NoAnswer,
        (NotListed, NotListed) => Test::ListsNothing,
        (Listed(_), NotListed) => Test::Passed,
    }
}

/// Whether a list is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Not yet: nothing is known of it.
    #[default]
    Untested,
    /// It is.
    On,
    /// It is not, since it has failed its test.
    Off,
}

impl Standing {
    /// After a test: one that has failed waits for one that passes, and what shows nothing changes nothing.
    pub fn after(self, test: Test) -> Self {
        match test {
            Test::Passed => Self::On,
            Test::NoAnswer => self,
            Test::ListsEverything | Test::ListsNothing | Test::AnswersErrors | Test::AnswersStrangely => Self::Off,
        }
    }
}

/// What one list has said of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Which list.
    pub zone: Domain,
    /// What follows if it lists the client.
    pub action: Action,
    /// What it has answered.
    pub answer: Answer,
    /// Why it lists the client, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Listing {
    /// It lists the client.
    pub fn is_listed(&self) -> bool {
        matches!(self.answer, Answer::Listed(_))
    }
}

/// Why a client is refused; what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    client: IpAddr,
    zone: Domain,
    text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, zone, text } = self;
        write!(f, "client {} blocked using {zone}", AddressLiteral::Ip(*client))?;
        text.iter().try_for_each(|text| write!(f, "; {text}"))
    }
}

/// The refusal that lists ask for: the first that lists the client.
pub fn refusal(client: IpAddr, listings: &[Listing]) -> Option<Refusal> {
    let listing = listings.iter().find(|listing| listing.action == Action::Refuse && listing.is_listed())?;
    Some(Refusal { client, zone: listing.zone.clone(), text: listing.text.clone() })
}

/// True if a list makes the client's mail junk.
pub fn is_junk(listings: &[Listing]) -> bool {
    listings.iter().any(|listing| listing.action == Action::Junk && listing.is_listed())
}

/// The fields that say which lists have the client, complete with CRLF.
pub fn fields(client: IpAddr, listings: &[Listing]) -> String {
    let field = |listing: &Listing| {
        let Answer::Listed(codes) = &listing.answer else { return None };
        let codes: Vec<String> = codes.iter().map(Ipv4Addr::to_string).collect();
        let (zone, codes) = (&listing.zone, codes.join(", "));
        Some(format!("{FIELD}: {zone};\r\n\tclient={client};\r\n\tcodes={codes}\r\n"))
    };
    listings.iter().filter_map(field).collect()
}

/// What a list says of itself, so that it can stand in a reply: printable ASCII, and not too much.
pub fn safe_text(text: &[u8]) -> Option<String> {
    let plain = |octet: &u8| match octet {
        b' '..=b'~' => char::from(*octet),
        b'\t' | b'\r' | b'\n' => ' ',
        _ => '?',
    };
    let text: String = text.iter().map(plain).take(MAX_TEXT).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The field in front of a listed client's mail.
const FIELD: &str = "X-Blocklist";
/// Codes of one answer that are kept.
const MAX_CODES: usize = 8;
/// With the rest of the reply it stays below the 512 octets of RFC 5321 §4.5.3.1.5.
const MAX_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Domain {
        Domain::parse("bl.example").unwrap()
    }

    fn codes(text: &[&str]) -> Vec<Ipv4Addr> {
        text.iter().map(|code| code.parse().unwrap()).collect()
    }

    #[test]
    fn names() {
        for (client, want) in [
            ("192.0.2.99", "99.2.0.192.bl.example."),
            ("::ffff:192.0.2.99", "99.2.0.192.bl.example."),
            // RFC 5782 §2.4
            (
                "2001:db8:1:2:3:4:567:89ab",
                "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example.",
            ),
        ] {
            assert_eq!(name(&zone(), client.parse().unwrap()), want, "{client}");
        }
    }

    #[test]
    fn whom_lists_are_asked_about() {
        let directory = Directory::default();
        for (client, want) in [
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("::ffff:192.0.2.1", true),
            ("100.63.0.1", true),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.1.1", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            let address: IpAddr = client.parse().unwrap();
            for by in [Client::Direct(address), Client::HandedOver(address)] {
                assert_eq!(subject(&directory, by).is_some(), want, "{by:?}");
            }
        }
        for unknown in [Client::InReceived, Client::Unnamed] {
            assert_eq!(subject(&directory, unknown), None);
        }
    }

    #[test]
    fn code_ranges() {
        for (text, inside, outside) in [
            ("127.0.0.2", &["127.0.0.2"][..], &["127.0.0.1", "127.0.0.3"][..]),
            ("127.0.0.2-127.0.0.11", &["127.0.0.2", "127.0.0.9", "127.0.0.11"], &["127.0.0.12", "127.0.1.2"]),
            ("127.0.1.0 - 127.0.1.255", &["127.0.1.0"], &["127.0.0.255", "127.0.2.0"]),
        ] {
            let range = Codes::new(vec![text.parse().unwrap()]);
            assert!(codes(inside).into_iter().all(|code| range.count(code)), "{text}");
            assert!(!codes(outside).into_iter().any(|code| range.count(code)), "{text}");
        }
        for text in ["", "-", "127.0.0.2-", "127.0.0.9-127.0.0.2", "192.0.2.1", "127.255.255.254", "2", "::1"] {
            assert_eq!(text.parse::<CodeRange>(), Err(CodeError), "{text}");
        }
    }

    #[test]
    fn answers() {
        let listed = |text: &[&str]| Answer::Listed(codes(text));
        let some = Codes::new(vec!["127.0.0.4-127.0.0.9".parse().unwrap()]);
        for (case, by, found, want) in [
            ("not there", Codes::default(), Some(&[][..]), Answer::NotListed),
            ("listed", Codes::default(), Some(&["127.0.0.2"]), listed(&["127.0.0.2"])),
            (
                "twice",
                Codes::default(),
                Some(&["127.0.0.9", "127.0.0.2", "127.0.0.9"]),
                listed(&["127.0.0.2", "127.0.0.9"]),
            ),
            ("not by default", Codes::default(), Some(&["127.0.0.1"]), Answer::NotListed),
            ("nor that", Codes::default(), Some(&["127.0.0.255"]), Answer::NotListed),
            ("does not count", some.clone(), Some(&["127.0.0.2"]), Answer::NotListed),
            ("one counts", some, Some(&["127.0.0.2", "127.0.0.5"]), listed(&["127.0.0.5"])),
            ("error", Codes::default(), Some(&["127.255.255.254"]), Answer::Unknown(Unknown::Error)),
            (
                "error and a code",
                Codes::default(),
                Some(&["127.0.0.2", "127.255.255.252"]),
                Answer::Unknown(Unknown::Error),
            ),
            ("bought", Codes::default(), Some(&["203.0.113.80"]), Answer::Unknown(Unknown::Strange)),
            ("no answer", Codes::default(), None, Answer::Unknown(Unknown::NoAnswer)),
        ] {
            assert_eq!(answer(&by, found.map(codes).as_deref()), want, "{case}");
        }
    }

    #[test]
    fn tests_of_lists() {
        let there = Some(&["127.0.0.2"][..]);
        let no: Option<&[&str]> = Some(&[]);
        for (case, by_all, by_none, want) in [
            ("right", there, no, Test::Passed),
            ("right, with a code of its own", Some(&["127.0.1.2"][..]), no, Test::Passed),
            ("all", there, there, Test::ListsEverything),
            ("all, as a wildcard", Some(&["127.0.0.1"]), Some(&["127.0.0.1"]), Test::ListsEverything),
            ("nothing", no, no, Test::ListsNothing),
            ("the other way round", no, there, Test::ListsEverything),
            ("errors", Some(&["127.255.255.254"]), Some(&["127.255.255.254"]), Test::AnswersErrors),
            ("bought", Some(&["203.0.113.80"]), Some(&["203.0.113.80"]), Test::AnswersStrangely),
            ("no answer", None, None, Test::NoAnswer),
            ("half an answer", there, None, Test::NoAnswer),
            ("enough of an answer", None, there, Test::ListsEverything),
        ] {
            let found = test(by_all.map(codes).as_deref(), by_none.map(codes).as_deref());
            assert_eq!(found, want, "{case}");
        }
    }

    #[test]
    fn a_list_that_fails_waits_for_a_test_that_passes() {
        use Standing::{Off, On, Untested};
        for (before, test, after) in [
            (Untested, Test::Passed, On),
            (Untested, Test::NoAnswer, Untested),
            (Untested, Test::ListsNothing, Off),
            (On, Test::NoAnswer, On),
            (On, Test::ListsEverything, Off),
            (On, Test::AnswersErrors, Off),
            (On, Test::AnswersStrangely, Off),
            (Off, Test::NoAnswer, Off),
            (Off, Test::Passed, On),
        ] {
            assert_eq!(before.after(test), after, "{before:?} {test:?}");
        }
    }

    #[test]
    fn what_follows() {
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let listing = |action, answer| Listing { zone: zone(), action, answer, text: None };
        let listed = || Answer::Listed(codes(&["127.0.0.2"]));
        let unknown = || Answer::Unknown(Unknown::NoAnswer);
        for (case, listings, refused, junk, marked) in [
            ("none", vec![], false, false, 0),
            ("refuse", vec![listing(Action::Refuse, listed())], true, false, 1),
            ("junk", vec![listing(Action::Junk, listed())], false, true, 1),
            ("mark", vec![listing(Action::Mark, listed())], false, false, 1),
            ("all", [Action::Mark, Action::Junk, Action::Refuse].map(|a| listing(a, listed())).into(), true, true, 3),
            ("unknown", vec![listing(Action::Refuse, unknown()), listing(Action::Junk, unknown())], false, false, 0),
            ("not listed", vec![listing(Action::Refuse, Answer::NotListed)], false, false, 0),
        ] {
            assert_eq!(refusal(client, &listings).is_some(), refused, "{case}");
            assert_eq!(is_junk(&listings), junk, "{case}");
            assert_eq!(fields(client, &listings).matches("X-Blocklist: ").count(), marked, "{case}");
        }
        let text = safe_text(b"see https://bl.example/\r\n250 2.0.0 OK \x00\xff").unwrap();
        assert_eq!(text, "see https://bl.example/  250 2.0.0 OK ??");
        assert_eq!(safe_text(&[b'x'; 1000]).unwrap().len(), MAX_TEXT);
        assert_eq!(safe_text(b" \r\n"), None);
        let refused = refusal(client, &[Listing { text: Some(text), ..listing(Action::Refuse, listed()) }]).unwrap();
        let want = "client [192.0.2.1] blocked using bl.example; see https://bl.example/  250 2.0.0 OK ??";
        assert_eq!(refused.to_string(), want);
        let field = fields(client, &[listing(Action::Mark, listed())]);
        assert_eq!(field, "X-Blocklist: bl.example;\r\n\tclient=192.0.2.1;\r\n\tcodes=127.0.0.2\r\n");
    }

    #[test]
    fn listings_round_trip_as_they_are_stored() {
        for (answer, text) in [
            (Answer::NotListed, r#""not-listed""#),
            (Answer::Listed(codes(&["127.0.0.2"])), r#"{"listed":["127.0.0.2"]}"#),
            (Answer::Unknown(Unknown::NoAnswer), r#"{"unknown":"no-answer"}"#),
        ] {
            let listing = Listing { zone: zone(), action: Action::Junk, answer, text: None };
            let written = serde_json::to_string(&listing).unwrap();
            assert_eq!(written, format!(r#"{{"zone":"bl.example","action":"junk","answer":{text}}}"#));
            assert_eq!(serde_json::from_str::<Listing>(&written).unwrap(), listing);
        }
    }
}
