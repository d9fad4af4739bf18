//! What is to be said of the records that are there.

use std::net::IpAddr;

use super::records::{Entry, Kind, pointer};
use crate::mail::Domain;
use crate::proto::authres::SpfResult;

/// What the DNS said of a name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These, as a zone file has them; text joined and without quotes.
    Found(Vec<String>),
    /// There are none.
    Nothing,
    /// It could not be asked now.
    Unknown,
}

/// What the DNS said.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Of each entry, in their order.
    pub entries: Vec<Answer>,
    /// The addresses of the host by the DNS.
    pub addresses: Vec<IpAddr>,
    /// Whether the domain's SPF lets these addresses of the host send.
    pub spf: Vec<(IpAddr, SpfResult)>,
    /// The names of addresses of the host that the configuration does not know.
    pub names: Vec<(IpAddr, Answer)>,
}

/// What is to be said of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The record to publish.
    pub entry: Entry,
    /// How it stands.
    pub standing: Standing,
    /// What is there.
    pub found: Vec<String>,
    /// What is wrong with it, for people.
    pub note: String,
}

/// How a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it should.
    Right,
    /// It is not there.
    Missing,
    /// Something else is there.
    Wrong,
    /// It cannot be known now.
    Unknown,
}

impl Standing {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }
}

impl Finding {
    /// Somebody has to do something: it is wrong, or missing and needed.
    pub fn is_problem(&self) -> bool {
        match self.standing {
            Standing::Wrong => true,
            Standing::Missing => self.entry.kind.is_needed(),
            Standing::Right | Standing::Unknown => false,
        }
    }
}

/// Compares what is to be published with what is.
pub fn compare(host: &Domain, entries: &[Entry], answers: &Answers) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        entries.iter().zip(&answers.entries).map(|(entry, answer)| finding(entry, answer, host, answers)).collect();
    let further =
        answers.names.iter().map(|(address, answer)| finding(&pointer(host, *address), answer, host, answers));
    findings.extend(further);
    findings
}

fn finding(entry: &Entry, answer: &Answer, host: &Domain, answers: &Answers) -> Finding {
    let (found, verdict) = match answer {
        Answer::Unknown => (Vec::new(), (Standing::Unknown, "the DNS does not answer".to_owned())),
        Answer::Nothing => (Vec::new(), (Standing::Missing, String::new())),
        Answer::Found(found) => (found.clone(), judge(entry, found, host, answers)),
    };
    let (standing, note) = verdict;
    Finding { entry: entry.clone(), standing, found, note }
}

fn judge(entry: &Entry, found: &[String], host: &Domain, answers: &Answers) -> (Standing, String) {
    let right = (Standing::Right, String::new());
    let wrong = |note: &str| (Standing::Wrong, note.to_owned());
    let names_host = |text: &String| text.rsplit(' ').next().is_some_and(|name| is_name(name, host));
    match &entry.kind {
        Kind::Mx if found.iter().any(names_host) => right,
        // RFC 7505 §3
        Kind::Mx if found.iter().any(|mx| mx.ends_with(" .")) => {
            wrong("null MX: the domain says that it takes no mail")
        }
        Kind::Mx => wrong("mail for the domain goes to other hosts"),
        Kind::Address(None) => right,
        Kind::Address(Some(wanted)) if found.iter().any(|text| text.parse() == Ok(*wanted)) => right,
        Kind::Address(Some(_)) => wrong("the host name leads elsewhere"),
        Kind::Pointer(_) if found.iter().any(names_host) => right,
        Kind::Pointer(_) => wrong("the address has another name than the host gives itself (EHLO)"),
        Kind::Spf => spf(found, answers),
        Kind::HostSpf => one(found, "v=spf1", |_| right.clone()),
        Kind::Dkim { .. } if tag(&entry.value, "p").is_some_and(|key| found.iter().any(|t| has_key(t, &key))) => right,
        Kind::Dkim { .. } => wrong("another key is published"),
        Kind::Dmarc => one(found, "v=DMARC1", |text| match tag(text, "p").as_deref() {
            Some("none" | "quarantine" | "reject") => right.clone(),
            _ => wrong("p= is neither none, quarantine nor reject"),
        }),
        Kind::MtaSts => one(found, "v=STSv1", |text| match tag(text, "id") {
            Some(id) if (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()) => right.clone(),
            _ => wrong("id= is not 1 to 32 letters and digits"),
        }),
        Kind::TlsReports => one(found, "v=TLSRPTv1", |text| match tag(text, "rua") {
            Some(_) => right.clone(),
            None => wrong("rua= is missing"),
        }),
        Kind::Service(_) if found.contains(&entry.value) => right,
        // Weight and priority are the administrator's.
        Kind::Service(_) if found.iter().any(|text| same_service(text, &entry.value)) => right,
        Kind::Service(_) => wrong("another host or port is named"),
        Kind::Hint => right,
    }
}

/// RFC 7208 §3.2: several records are as bad as none.
fn spf(found: &[String], answers: &Answers) -> (Standing, String) {
    one(found, "v=spf1", |_| {
        let bad = answers.spf.iter().filter(|(_, result)| *result != SpfResult::Pass);
        let bad: Vec<&(IpAddr, SpfResult)> = bad.collect();
        if bad.iter().any(|(_, result)| *result == SpfResult::TempError) {
            return (Standing::Unknown, "the DNS does not answer about all that the record names".to_owned());
        }
        let texts: Vec<String> = bad.iter().map(|(address, result)| format!("{result} for {address}")).collect();
        match (texts.is_empty(), answers.spf.is_empty()) {
            (false, _) => (Standing::Wrong, format!("mail from this host does not pass: {}", texts.join(", "))),
            (true, true) => (Standing::Unknown, "the addresses of this host are not known".to_owned()),
            (true, false) => (Standing::Right, String::new()),
        }
    })
}

/// Of several texts at a name those of one version count, and there may be one.
fn one(found: &[String], version: &str, judge: impl FnOnce(&str) -> (Standing, String)) -> (Standing, String) {
    let is_it = |text: &&String| {
        let rest = text.get(..version.len()).filter(|start| start.eq_ignore_ascii_case(version));
        rest.is_some() && !text.get(version.len()..).is_some_and(|t| t.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    let mut all = found.iter().filter(is_it);
    match (all.next(), all.next()) {
        (None, _) => (Standing::Missing, String::new()),
        (Some(text), None) => judge(text),
        (Some(_), Some(_)) => (Standing::Wrong, format!("several {version} records: receivers ignore all of them")),
    }
}

/// The value of a tag (RFC 6376 §3.2), without white space.
fn tag(text: &str, name: &str) -> Option<String> {
    let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
    let (_, value) = tags.find(|(found, _)| found.trim() == name)?;
    Some(value.chars().filter(|c| !c.is_ascii_whitespace()).collect())
}

fn has_key(text: &str, key: &str) -> bool {
    tag(text, "p").as_deref() == Some(key)
}

fn is_name(text: &str, host: &Domain) -> bool {
    Domain::parse(text.strip_suffix('.').unwrap_or(text)).is_ok_and(|name| name == *host)
}

/// The same port and target.
fn same_service(found: &str, wanted: &str) -> bool {
    let end = |text: &str| text.splitn(3, ' ').nth(2).map(str::to_ascii_lowercase);
    end(found).is_some() && end(found) == end(wanted)
}
