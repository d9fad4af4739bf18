//! Reports on how connections to a domain were secured (RFC 8460): the record that says where they go, what is counted,
//! and the report in JSON.
//!
//! Deviation: a report does not say from which of our addresses a session came (`sending-mta-ip`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mail::{Address, Domain, Timestamp};

/// The name under which a domain asks for reports (RFC 8460 §3).
pub fn record_name(domain: &Domain) -> String {
    format!("_smtp._tls.{domain}.")
}

/// Where a report goes (RFC 8460 §3: `rua`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By mail.
    Mail(Address),
    /// By HTTPS; a URL.
    Https(String),
}

/// Where reports go, from the TXT records of a domain's [`record_name`]: nowhere if not exactly one of them is a record
/// of TLSRPT (RFC 8460 §3). What is neither `mailto:` nor `https:` is passed over, and what comes after the fifth.
pub fn places(records: &[Vec<u8>]) -> Vec<Place> {
    let mut candidates = records.iter().filter(|record| record.starts_with(b"v=TLSRPTv1;"));
    let (Some(record), None) = (candidates.next(), candidates.next()) else { return Vec::new() };
    let Some(text) = std::str::from_utf8(record).ok().filter(|text| text.len() <= MAX_RECORD) else {
        return Vec::new();
    };
    let mut fields = text.split(';').skip(1).filter_map(|field| field.split_once('='));
    let rua = fields.find(|(name, _)| name.trim_matches(BLANK) == "rua");
    let urls = rua.map_or("", |(_, urls)| urls).split(',').map(|url| url.trim_matches(BLANK));
    urls.filter_map(place).take(MAX_PLACES).collect()
}

fn place(url: &str) -> Option<Place> {
    let scheme = |name: &str| url.get(..name.len()).filter(|s| s.eq_ignore_ascii_case(name)).map(|s| &url[s.len()..]);
    if let Some(address) = scheme("mailto:") {
        let address = decoded(address.split('?').next()?)?;
        return Address::parse(&address).ok().filter(|a| a.domain().is_some() && a.is_ascii()).map(Place::Mail);
    }
    scheme("https://")?;
    let is_url = url.len() <= MAX_URL && url.bytes().all(|b| b.is_ascii_graphic());
    is_url.then(|| Place::Https(decoded_signs(url)))
}

/// RFC 3986 §2.1; `None` if a sign is half of one or no text comes out.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let digit =
            |octet: Option<u8>| octet.and_then(|o| char::from(o).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        out.push(digit(octets.next())? << 4 | digit(octets.next())?);
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

/// What the record must write otherwise (RFC 8460 §3: comma, exclamation mark, semicolon).
fn decoded_signs(url: &str) -> String {
    ["%2C", "%2c"].iter().fold(url.replace("%21", "!"), |url, sign| url.replace(sign, ",")).replace("%3B", ";")
}

/// By what sessions were judged (RFC 8460 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// TLSA records of a host.
    Tlsa,
    /// A policy of MTA-STS.
    Sts,
    /// Neither.
    NoPolicyFound,
}

/// What went wrong (RFC 8460 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    /// The host does not offer STARTTLS.
    StarttlsNotSupported,
    /// The certificate is of another name.
    CertificateHostMismatch,
    /// The certificate is not valid any more.
    CertificateExpired,
    /// The certificate leads to nobody who is trusted.
    CertificateNotTrusted,
    /// Anything else.
    ValidationFailure,
    /// There are TLSA records, and none can be used.
    TlsaInvalid,
    /// The DNS gives no proven answer.
    DnssecInvalid,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// What was fetched is no policy.
    StsPolicyInvalid,
    /// The policy host's certificate will not do.
    StsWebpkiInvalid,
}

/// What is counted of one policy: what the domain published, and how the sessions went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTally {
    /// By what.
    pub kind: PolicyKind,
    /// The policy as it was found.
    pub lines: Vec<String>,
    /// The hosts that it names.
    pub mx: Vec<String>,
    /// Sessions that went well.
    pub successes: u64,
    /// Those that did not.
    pub failures: Vec<FailureTally>,
}

/// Sessions that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureTally {
    /// How.
    pub result: ResultType,
    /// The host's name from the MX record, if it came to one.
    pub host: Option<String>,
    /// In our words.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What is counted of one domain on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Each policy that was met.
    pub policies: Vec<PolicyTally>,
    /// Sessions that carried reports of ours, which were counted once.
    #[serde(default)]
    pub own: u64,
}

/// A policy without its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// By what.
    pub kind: PolicyKind,
    /// The policy.
    pub lines: Vec<String>,
    /// The hosts that it names.
    pub mx: Vec<String>,
}

impl Tally {
    /// Counts a session. Beyond 16 policies, or 64 ways to fail, what is new joins the last of its like.
    pub fn count(&mut self, judged: &Judged, failure: Option<(ResultType, Option<&str>, &str)>) {
        let found = self.policies.iter().position(|p| p.kind == judged.kind && p.lines == judged.lines);
        let at = found.unwrap_or_else(|| {
            if self.policies.len() < MAX_POLICIES {
                let Judged { kind, lines, mx } = judged.clone();
                self.policies.push(PolicyTally { kind, lines, mx, successes: 0, failures: Vec::new() });
            }
            self.policies.len().saturating_sub(1)
        });
        let Some(policy) = self.policies.get_mut(at) else { return };
        match failure {
            None => policy.successes = policy.successes.saturating_add(1),
            Some((result, host, reason)) => {
                let reason: String = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
                policy.add(FailureTally { result, host: host.map(str::to_owned), reason, count: 1 });
            }
        }
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: Self) {
        self.own = self.own.saturating_add(other.own);
        for theirs in other.policies {
            let is_full = self.policies.len() >= MAX_POLICIES;
            let found = self.policies.iter().position(|p| p.kind == theirs.kind && p.lines == theirs.lines);
            let at = found.or_else(|| is_full.then(|| self.policies.len().saturating_sub(1)));
            match at.and_then(|at| self.policies.get_mut(at)) {
                Some(ours) => {
                    ours.successes = ours.successes.saturating_add(theirs.successes);
                    theirs.failures.into_iter().for_each(|failure| ours.add(failure));
                }
                None => self.policies.push(theirs),
            }
        }
    }

    /// With the details left out that take the most room; no session is lost.
    pub fn shortened(mut self) -> Self {
        for policy in &mut self.policies {
            policy.lines.truncate(MAX_LINES_SHORT);
            policy.mx.truncate(MAX_LINES_SHORT);
            let failures = std::mem::take(&mut policy.failures);
            for failure in failures {
                let same = policy.failures.iter_mut().find(|f| f.result == failure.result);
                match same {
                    Some(same) => same.count = same.count.saturating_add(failure.count),
                    None => policy.failures.push(failure),
                }
            }
        }
        self
    }

    /// The sessions of one kind of policy, of which there are the most: one session counts for each kind.
    pub fn sessions(&self) -> u64 {
        let of_kind = |kind: PolicyKind| {
            let policies = self.policies.iter().filter(|p| p.kind == kind);
            policies.map(|p| p.successes.saturating_add(p.failed())).fold(0, u64::saturating_add)
        };
        let kinds = [PolicyKind::Tlsa, PolicyKind::Sts, PolicyKind::NoPolicyFound];
        kinds.map(of_kind).into_iter().max().unwrap_or(0)
    }
}

impl PolicyTally {
    fn add(&mut self, failure: FailureTally) {
        let is_same =
            |f: &FailureTally| f.result == failure.result && f.host == failure.host && f.reason == failure.reason;
        let at = self.failures.iter().position(is_same);
        let is_full = self.failures.len() >= MAX_FAILURES;
        match at.or_else(|| is_full.then(|| self.failures.len().saturating_sub(1))).map(|at| self.failures.get_mut(at))
        {
            Some(Some(same)) => same.count = same.count.saturating_add(failure.count),
            _ => self.failures.push(failure),
        }
    }

    fn failed(&self) -> u64 {
        self.failures.iter().map(|failure| failure.count).fold(0, u64::saturating_add)
    }
}

/// What a report is about and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Who reports.
    pub organisation: &'a str,
    /// Whom to ask about it.
    pub contact: &'a str,
    /// Unlike that of any other report.
    pub id: &'a str,
    /// The domain that it is about.
    pub domain: &'a Domain,
    /// The first second of the day, in UTC.
    pub start: Timestamp,
    /// What was counted.
    pub tally: &'a Tally,
}

impl Report<'_> {
    /// In JSON (RFC 8460 §4.4).
    pub fn json(&self) -> Vec<u8> {
        let policies: Vec<Value> = self.tally.policies.iter().map(|policy| self.policy(policy)).collect();
        let report = json!({
            "organization-name": self.organisation,
            "date-range": { "start-datetime": utc(self.start), "end-datetime": utc(self.end()) },
            "contact-info": self.contact,
            "report-id": self.id,
            "policies": policies,
        });
        report.to_string().into_bytes()
    }

    /// The name of its file (RFC 8460 §5.1), without an ending.
    pub fn file_name(&self, submitter: &Domain) -> String {
        let (start, end) = (self.start.seconds(), self.end().seconds());
        format!("{submitter}!{}!{start}!{end}!001", self.domain)
    }

    /// The last second of the day.
    fn end(&self) -> Timestamp {
        Timestamp::from_seconds(self.start.seconds().saturating_add(DAY - 1))
    }

    fn policy(&self, policy: &PolicyTally) -> Value {
        let mut details: BTreeMap<(ResultType, Option<&str>, &str), u64> = BTreeMap::new();
        for failure in &policy.failures {
            let key = (failure.result, failure.host.as_deref(), failure.reason.as_str());
            let count = details.entry(key).or_default();
            *count = count.saturating_add(failure.count);
        }
        let details: Vec<Value> = details
            .into_iter()
            .map(|((result, host, reason), count)| {
                let mut detail = json!({ "result-type": result, "failed-session-count": count });
                if let (Some(fields), Some(host)) = (detail.as_object_mut(), host) {
                    fields.insert("receiving-mx-hostname".to_owned(), host.into());
                }
                if let (Some(fields), false) = (detail.as_object_mut(), reason.is_empty()) {
                    fields.insert("failure-reason-code".to_owned(), reason.into());
                }
                detail
            })
            .collect();
        json!({
            "policy": {
                "policy-type": policy.kind,
                "policy-string": policy.lines,
                "policy-domain": self.domain.as_str(),
                "mx-host": policy.mx,
            },
            "summary": {
                "total-successful-session-count": policy.successes,
                "total-failure-session-count": policy.failed(),
            },
            "failure-details": details,
        })
    }
}

fn utc(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.seconds()).unwrap_or_default().to_string()
}

/// Seconds.
pub const DAY: i64 = 86_400;
const BLANK: [char; 2] = [' ', '\t'];
const MAX_RECORD: usize = 2_048;
const MAX_PLACES: usize = 5;
const MAX_URL: usize = 1_024;
const MAX_POLICIES: usize = 16;
const MAX_FAILURES: usize = 64;
const MAX_LINES_SHORT: usize = 5;
/// Characters of a reason.
const MAX_REASON: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[&str]) -> Vec<String> {
        let records: Vec<Vec<u8>> = records.iter().map(|record| record.as_bytes().to_vec()).collect();
        let shown = |place| match place {
            Place::Mail(address) => format!("mail {address}"),
            Place::Https(url) => url,
        };
        places(&records).into_iter().map(shown).collect()
    }

    #[test]
    fn records_say_where_reports_go() {
        for (case, records, want) in [
            ("mail", vec!["v=TLSRPTv1;rua=mailto:reports@example.test"], vec!["mail reports@example.test"]),
            (
                "https",
                vec!["v=TLSRPTv1; rua=https://r.example.test/v1/tlsrpt;"],
                vec!["https://r.example.test/v1/tlsrpt"],
            ),
            (
                "both, and an unknown one",
                vec!["v=TLSRPTv1; rua=MAILTO:a@b.test?subject=x , ftp://x.test/,https://c.test/%2C"],
                vec!["mail a@b.test", "https://c.test/,"],
            ),
            ("written with signs", vec!["v=TLSRPTv1; rua=mailto:a%2Bb@c.test"], vec!["mail a+b@c.test"]),
            ("beside another record", vec!["x", "v=TLSRPTv1; rua=mailto:a@b.test"], vec!["mail a@b.test"]),
            ("extension first", vec!["v=TLSRPTv1; x=y; rua=mailto:a@b.test"], vec!["mail a@b.test"]),
            ("none", vec![], vec![]),
            ("two", vec!["v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:a@b.test"], vec![]),
            ("other version", vec!["v=TLSRPTv2; rua=mailto:a@b.test"], vec![]),
            ("no rua", vec!["v=TLSRPTv1;"], vec![]),
            ("no address", vec!["v=TLSRPTv1; rua=mailto:nobody"], vec![]),
            ("a literal", vec!["v=TLSRPTv1; rua=mailto:a@[192.0.2.1]"], vec![]),
            ("a line end", vec!["v=TLSRPTv1; rua=mailto:a%0d%0aBcc:b@c.test"], vec![]),
            ("plain http", vec!["v=TLSRPTv1; rua=http://a.test/"], vec![]),
        ] {
            assert_eq!(read(&records), want, "{case}");
        }
        let many = format!("v=TLSRPTv1; rua={}", "mailto:a@b.test,".repeat(20));
        assert_eq!(read(&[&many]).len(), MAX_PLACES);
    }

    #[test]
    fn a_report_is_as_in_the_rfc() {
        let sts = Judged {
            kind: PolicyKind::Sts,
            lines: vec!["version: STSv1".into(), "mode: testing".into()],
            mx: vec!["*.mail.company-y.example".into()],
        };
        let mut tally = Tally::default();
        tally.count(&sts, None);
        for _ in 0..2 {
            tally.count(&sts, Some((ResultType::CertificateExpired, Some("mx1.mail.company-y.example"), "")));
        }
        let mut other = Tally::default();
        other.count(&sts, Some((ResultType::StarttlsNotSupported, Some("mx2.mail.company-y.example"), "why\r\n")));
        other.count(&Judged { kind: PolicyKind::NoPolicyFound, lines: vec![], mx: vec![] }, None);
        tally.merge(other);
        assert_eq!(tally.sessions(), 4);
        let domain = Domain::parse("company-y.example").unwrap();
        let start = Timestamp::from_seconds(1_459_468_800);
        let report = Report {
            organisation: "Company-X",
            contact: "sts-reporting@company-x.example",
            id: "5065427c-23d3",
            domain: &domain,
            start,
            tally: &tally,
        };
        let written: Value = serde_json::from_slice(&report.json()).unwrap();
        let failure = |result: &str, count: u64, host: &str| json!({ "result-type": result, "failed-session-count": count, "receiving-mx-hostname": host });
        let mut no_starttls = failure("starttls-not-supported", 1, "mx2.mail.company-y.example");
        no_starttls["failure-reason-code"] = "why".into();
        let want = json!({
            "organization-name": "Company-X",
            "date-range": { "start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z" },
            "contact-info": "sts-reporting@company-x.example",
            "report-id": "5065427c-23d3",
            "policies": [
                {
                    "policy": {
                        "policy-type": "sts",
                        "policy-string": ["version: STSv1", "mode: testing"],
                        "policy-domain": "company-y.example",
                        "mx-host": ["*.mail.company-y.example"],
                    },
                    "summary": { "total-successful-session-count": 1, "total-failure-session-count": 3 },
                    "failure-details": [no_starttls, failure("certificate-expired", 2, "mx1.mail.company-y.example")],
                },
                {
                    "policy": {
                        "policy-type": "no-policy-found",
                        "policy-string": [],
                        "policy-domain": "company-y.example",
                        "mx-host": [],
                    },
                    "summary": { "total-successful-session-count": 1, "total-failure-session-count": 0 },
                    "failure-details": [],
                },
            ],
        });
        assert_eq!(written, want);
        let submitter = Domain::parse("mail.company-x.example").unwrap();
        assert_eq!(report.file_name(&submitter), "mail.company-x.example!company-y.example!1459468800!1459555199!001");
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let mut tally = Tally::default();
        for number in 0..1_000u64 {
            let judged = Judged { kind: PolicyKind::Tlsa, lines: vec![number.to_string()], mx: vec![] };
            for way in 0..100u64 {
                tally.count(&judged, Some((ResultType::ValidationFailure, Some("h.test"), &way.to_string())));
            }
        }
        assert!(
            tally.policies.len() == MAX_POLICIES && tally.policies.iter().all(|p| p.failures.len() <= MAX_FAILURES)
        );
        assert_eq!(tally.sessions(), 100_000, "and none is lost");
        assert_eq!(serde_json::from_slice::<Tally>(&serde_json::to_vec(&tally).unwrap()).unwrap(), tally);
    }
}
