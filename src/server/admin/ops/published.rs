//! What domains publish in the DNS, and what is there of it: on demand, and every day.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::error::OpError;
use super::super::published::{DnsCheck, DnsView, RecordView};
use super::Admin;
use super::domain::domain_in;
use crate::mail::{Address, Domain, DomainId, ReversePath};
use crate::net::dns::{Dns, DnsError};
use crate::policy::published::{Answer, Answers, Entry, Finding, Kind, compare, entries, sts_policy};
use crate::store::StateKey;

impl Admin {
    /// What a domain is to publish.
    pub fn dns(&self, name: &Domain) -> Result<DnsView, OpError> {
        let entries = self.entries(name)?;
        let zone = entries.iter().map(|entry| format!("{entry}\n")).collect();
        let records = entries.iter().map(RecordView::of).collect();
        let mta_sts_policy = sts_policy(&self.services.publish.site(&self.services.hostname));
        Ok(DnsView { domain: name.to_string(), records, zone, mta_sts_policy })
    }

    /// Asks the DNS now, and keeps what it says.
    pub async fn check_dns(&self, name: &Domain) -> Result<DnsCheck, OpError> {
        let id = domain_in(&self.services.directory.current(), name)?.id;
        let findings = self.compare_dns(name).await?;
        let check = DnsCheck::of(name, self.services.clock.now(), &findings);
        let mut octets = vec![VERSION];
        // Plain values with string keys: writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut octets, &check);
        if let Some(key) = state_key(id) {
            self.services.store.put_state(key, octets).await?;
        }
        Ok(check)
    }

    /// What the DNS said last; `None` if it was not asked yet.
    pub async fn last_dns_check(&self, name: &Domain) -> Result<Option<DnsCheck>, OpError> {
        let id = domain_in(&self.services.directory.current(), name)?.id;
        let Some(key) = state_key(id) else { return Ok(None) };
        let stored = self.services.store.state(key).await?.unwrap_or_default();
        match stored.split_first() {
            Some((&VERSION, json)) => Ok(serde_json::from_slice(json).ok()),
            _ => Ok(None),
        }
    }

    /// Compares what a domain is to publish with what the DNS has.
    pub(super) async fn compare_dns(&self, name: &Domain) -> Result<Vec<Finding>, OpError> {
        let entries = self.entries(name)?;
        let (dns, host) = (self.services.email_auth.dns(), &self.services.hostname);
        let mut answers = Answers::default();
        for entry in &entries {
            answers.entries.push(answer(dns, entry).await);
        }
        let configured = &self.services.publish.addresses;
        answers.addresses = host_addresses(dns, host).await;
        let further: Vec<IpAddr> = answers.addresses.iter().filter(|a| !configured.contains(a)).copied().collect();
        // Without a configured address the DNS knows best from where this host sends.
        let sources = if configured.is_empty() { &further } else { configured };
        if configured.is_empty() {
            for address in &further {
                answers.names.push((*address, names(dns, *address).await));
            }
        }
        if let Ok(postmaster) = Address::parse(&format!("postmaster@{name}")) {
            let path = ReversePath::Address(postmaster);
            for source in sources {
                let result = self.services.email_auth.spf(*source, host.as_str(), host.as_str(), &path).await;
                answers.spf.push((*source, result));
            }
        }
        Ok(compare(host, &entries, &answers))
    }

    fn entries(&self, name: &Domain) -> Result<Vec<Entry>, OpError> {
        let directory = self.services.directory.current();
        let id = domain_in(&directory, name)?.id;
        let site = self.services.publish.site(&self.services.hostname);
        Ok(entries(&site, name, directory.keys(id).map(|keys| &**keys)))
    }

    /// Sees to keys and records as long as the server runs: keys for new domains at once, those whose time has come
    /// every hour, and once a day what the DNS has of every domain.
    pub async fn keep_published(self: Arc<Self>) {
        let mut changes = self.services.directory.changes();
        let mut hour = tokio::time::interval(HOUR);
        hour.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first comes at once, when nobody has had time to do anything.
        hour.tick().await;
        let mut hours = 0_u64;
        loop {
            if self.services.publish.automatic_keys {
                self.make_missing_keys().await;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = hour.tick() => {
                    self.turn_keys().await;
                    if hours.is_multiple_of(HOURS_OF_DAY) {
                        self.check_all().await;
                    }
                    hours = hours.wrapping_add(1);
                }
            }
        }
    }

    /// Asks the DNS about every domain, and warns of what is wrong.
    async fn check_all(&self) {
        let directory = self.services.directory.current();
        let names: Vec<Domain> = directory.domains().map(|domain| domain.name.clone()).collect();
        for domain in names {
            match self.check_dns(&domain).await {
                Ok(check) => {
                    for found in check.records.iter().filter(|record| record.problem) {
                        let (name, purpose) = (&found.record.name, &found.record.purpose);
                        tracing::warn!(%domain, name, purpose, standing = found.standing, note = found.note, "dns record");
                    }
                }
                Err(error) => tracing::error!(%domain, %error, "dns records were not checked"),
            }
        }
    }
}

fn state_key(id: DomainId) -> Option<StateKey> {
    StateKey::new(format!("dns/{id}"))
}

/// What the DNS has of an entry.
async fn answer(dns: &Dns, entry: &Entry) -> Answer {
    let name = format!("{}.", entry.name);
    match (&entry.kind, entry.record) {
        (Kind::Pointer(address), _) => names(dns, *address).await,
        // Where nobody said which address, either kind will do.
        (Kind::Address(None), _) => match (addresses(dns, &name, "A").await, addresses(dns, &name, "AAAA").await) {
            (found @ Answer::Found(_), _) | (Answer::Nothing, found) => found,
            (unknown @ Answer::Unknown, _) => unknown,
        },
        (_, record @ ("A" | "AAAA")) => addresses(dns, &name, record).await,
        (_, "MX") => told(dns.mx(&name).await, |mx| format!("{} {}", mx.preference, mx.exchange)),
        (_, "TXT") => told(dns.txt(&name).await, |text| String::from_utf8_lossy(&text).into_owned()),
        (_, "SRV") => told(dns.srv(&name).await, |srv| srv.to_string()),
        (_, "CNAME") => told(dns.cname(&name).await, |target| target),
        _ => Answer::Unknown,
    }
}

async fn addresses(dns: &Dns, name: &str, record: &str) -> Answer {
    match record {
        "A" => told(dns.ipv4(name).await, |a| a.to_string()),
        _ => told(dns.ipv6(name).await, |a| a.to_string()),
    }
}

async fn names(dns: &Dns, address: IpAddr) -> Answer {
    told(dns.ptr(address).await, |name| name)
}

async fn host_addresses(dns: &Dns, host: &Domain) -> Vec<IpAddr> {
    let name = format!("{host}.");
    let v4 = dns.ipv4(&name).await.unwrap_or_default().into_iter().map(IpAddr::V4);
    let v6 = dns.ipv6(&name).await.unwrap_or_default().into_iter().map(IpAddr::V6);
    v4.chain(v6).take(MAX_ADDRESSES).collect()
}

fn told<T>(answer: Result<Vec<T>, DnsError>, show: impl Fn(T) -> String) -> Answer {
    match answer {
        Ok(found) => Answer::Found(found.into_iter().take(MAX_FOUND).map(show).collect()),
        Err(DnsError::NotFound) => Answer::Nothing,
        Err(DnsError::Temporary) => Answer::Unknown,
    }
}

const VERSION: u8 = 1;
const HOUR: Duration = Duration::from_secs(3600);
const HOURS_OF_DAY: u64 = 24;
/// Of the host.
const MAX_ADDRESSES: usize = 16;
/// Records at one name.
const MAX_FOUND: usize = 50;
