//! The records to publish.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::directory::DomainKeys;
use crate::mail::Domain;

/// What this server is to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub hostname: Domain,
    /// From where it sends and where it is reached; empty if nobody said so.
    pub addresses: Vec<IpAddr>,
    /// What clients may use.
    pub services: Vec<(Service, u16)>,
    /// How strictly others are to ask for TLS.
    pub sts: StsMode,
}

/// What clients may use (RFC 6186 §3, RFC 8314 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Submission over implicit TLS.
    Submissions,
    /// Submission.
    Submission,
    /// IMAP over implicit TLS.
    Imaps,
    /// IMAP.
    Imap,
    /// POP3 over implicit TLS.
    Pop3s,
}

/// `mode` of the policy (RFC 8461 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StsMode {
    /// There is no policy.
    None,
    /// Failures are reported, and mail comes all the same.
    #[default]
    Testing,
    /// Mail comes with TLS or not at all.
    Enforce,
}

/// What an entry is for, and so how one is judged that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The domain's MX.
    Mx,
    /// An address of the host; `None` if nobody said which.
    Address(Option<IpAddr>),
    /// The name of an address of the host.
    Pointer(IpAddr),
    /// SPF of the domain.
    Spf,
    /// SPF of the host's own name, for mail without a reverse-path (RFC 7208 §2.4).
    HostSpf,
    /// A key: what it is called, and where its pair stands.
    Dkim {
        /// The pair's name.
        pair: String,
        /// `active`, `pending`, `retired`.
        state: &'static str,
    },
    /// DMARC.
    Dmarc,
    /// That there is an MTA-STS policy.
    MtaSts,
    /// Where TLS reports go.
    TlsReports,
    /// A service for clients.
    Service(Service),
    /// A name under which programs look for settings: a hint, since something else has to answer there.
    Hint,
}

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, absolute, without the last dot.
    pub name: String,
    /// `MX`, `TXT` …
    pub record: &'static str,
    /// Its data as a zone file has it, text without quotes; empty if only the administrator knows it.
    pub value: String,
    /// What it is for.
    pub kind: Kind,
}

impl Service {
    /// All of them, the preferred first (RFC 8314 §3).
    pub const ALL: [Self; 5] = [Self::Submissions, Self::Submission, Self::Imaps, Self::Imap, Self::Pop3s];

    /// The label of its SRV record.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Submissions => "_submissions",
            Self::Submission => "_submission",
            Self::Imaps => "_imaps",
            Self::Imap => "_imap",
            Self::Pop3s => "_pop3s",
        }
    }
}

impl StsMode {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Testing => "testing",
            Self::Enforce => "enforce",
        }
    }
}

impl Kind {
    /// What it is, for people and programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Address(_) => "host-address",
            Self::Pointer(_) => "host-name",
            Self::Spf => "spf",
            Self::HostSpf => "host-spf",
            Self::Dkim { .. } => "dkim",
            Self::Dmarc => "dmarc",
            Self::MtaSts => "mta-sts",
            Self::TlsReports => "tls-reports",
            Self::Service(_) => "service",
            Self::Hint => "hint",
        }
    }

    /// Without it mail is lost, refused or taken for forged; others are good to have.
    pub fn is_needed(&self) -> bool {
        match self {
            Self::Mx | Self::Address(_) | Self::Pointer(_) | Self::Spf | Self::Dkim { .. } | Self::Dmarc => true,
            Self::HostSpf | Self::MtaSts | Self::TlsReports | Self::Service(_) | Self::Hint => false,
        }
    }
}

/// Everything that a domain has to publish.
pub fn entries(site: &Site, domain: &Domain, keys: Option<&DomainKeys>) -> Vec<Entry> {
    let host = &site.hostname;
    let entry = |name: String, record, value: String, kind| Entry { name, record, value, kind };
    let mut all = vec![entry(domain.to_string(), "MX", format!("10 {host}."), Kind::Mx)];
    all.extend(host_entries(site));
    all.push(entry(domain.to_string(), "TXT", "v=spf1 mx -all".to_owned(), Kind::Spf));
    if host != domain {
        all.push(entry(host.to_string(), "TXT", "v=spf1 a -all".to_owned(), Kind::HostSpf));
    }
    for pair in keys.iter().flat_map(|keys| &keys.pairs) {
        let state = pair.state.name();
        all.extend(pair.keys.iter().map(|key| {
            let kind = Kind::Dkim { pair: pair.name.clone(), state };
            entry(format!("{}._domainkey.{domain}", key.selector), "TXT", key.record(), kind)
        }));
    }
    let dmarc = format!("v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}");
    all.push(entry(format!("_dmarc.{domain}"), "TXT", dmarc, Kind::Dmarc));
    if let Some(policy) = sts_policy(site) {
        all.push(entry(format!("_mta-sts.{domain}"), "TXT", format!("v=STSv1; id={}", id_of(&policy)), Kind::MtaSts));
    }
    let reports = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
    all.push(entry(format!("_smtp._tls.{domain}"), "TXT", reports, Kind::TlsReports));
    for service in Service::ALL {
        let port = site.services.iter().find(|(offered, _)| *offered == service).map(|(_, port)| *port);
        // RFC 6186 §3.4: what is not there is said not to be there.
        let value = port.map_or_else(|| "0 0 0 .".to_owned(), |port| format!("0 1 {port} {host}."));
        all.push(entry(format!("{}._tcp.{domain}", service.label()), "SRV", value, Kind::Service(service)));
    }
    if site.sts != StsMode::None {
        all.push(entry(format!("mta-sts.{domain}"), "CNAME", format!("{host}."), Kind::Hint));
    }
    for label in ["autoconfig", "autodiscover"] {
        all.push(entry(format!("{label}.{domain}"), "CNAME", format!("{host}."), Kind::Hint));
    }
    all
}

/// The addresses of the host and their names.
fn host_entries(site: &Site) -> Vec<Entry> {
    let host = &site.hostname;
    let record = |address: &IpAddr| if address.is_ipv4() { "A" } else { "AAAA" };
    let mut all: Vec<Entry> = site
        .addresses
        .iter()
        .map(|address| Entry {
            name: host.to_string(),
            record: record(address),
            value: address.to_string(),
            kind: Kind::Address(Some(*address)),
        })
        .collect();
    if all.is_empty() {
        all.push(Entry { name: host.to_string(), record: "A", value: String::new(), kind: Kind::Address(None) });
    }
    all.extend(site.addresses.iter().map(|address| pointer(host, *address)));
    all
}

/// The record that names an address (RFC 1035 §3.5, RFC 3596 §2.5).
pub(super) fn pointer(host: &Domain, address: IpAddr) -> Entry {
    let name = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().map(|o| format!("{:x}.{:x}.", o & 0xf, o >> 4));
            format!("{}ip6.arpa", nibbles.collect::<String>())
        }
    };
    Entry { name, record: "PTR", value: format!("{host}."), kind: Kind::Pointer(address) }
}

/// The policy to serve at `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` (RFC 8461 §3.2); `None` if there is to be none.
pub fn sts_policy(site: &Site) -> Option<String> {
    let (mode, host) = (site.sts.name(), &site.hostname);
    let text = format!("version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 604800\r\n");
    (site.sts != StsMode::None).then_some(text)
}

/// Another policy has another id (RFC 8461 §3.1: 1 to 32 letters and digits).
fn id_of(policy: &str) -> String {
    Sha256::digest(policy.as_bytes()).iter().take(10).map(|octet| format!("{octet:02x}")).collect()
}

/// A line of a zone file (RFC 1035 §5.1); text in strings of at most 255 octets (§3.3.14). What is a hint or not known is
/// a comment.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, record, value, kind } = self;
        match kind {
            Kind::Address(None) => write!(f, "; {name}. IN A and AAAA: the addresses of this host"),
            Kind::Hint => write!(f, "; {name}. IN {record} {value}"),
            // It lies in the zone of whoever gives out the address.
            Kind::Pointer(_) => write!(f, "; {name}. IN {record} {value}"),
            _ if *record == "TXT" => {
                write!(f, "{name}. IN TXT")?;
                let mut rest = value.as_str();
                while !rest.is_empty() {
                    // Records are ASCII.
                    let (string, more) = rest.split_at_checked(STRING).unwrap_or((rest, ""));
                    write!(f, " \"{string}\"")?;
                    rest = more;
                }
                Ok(())
            }
            _ => write!(f, "{name}. IN {record} {value}"),
        }
    }
}

const STRING: usize = 255;
