//! Sending the reports of RFC 8460: by mail through our queue, or by HTTPS, within four hours of the end of a day in UTC.
//!
//! A report that cannot be posted is tried each hour for a day. One that goes by mail gets there whatever becomes of TLS,
//! and its session is not counted (RFC 8460 §3): two servers do not report on their reports for ever.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::counts::{PAGE, Row, before, day_of, encode};
use super::{Inquiry, seconds_between};
use crate::accept::{self, Desk};
use crate::directory::Directory;
use crate::mail::{Address, Domain, Timestamp, TlsWish};
use crate::net::dns::DnsError;
use crate::net::http_client::{Excess, Limits, Request, Url};
use crate::proto::message::compose::{TlsReport, tls_report};
use crate::proto::tls_report::{DAY, Place, Report, places, record_name};
use crate::routing::{self, Resolution};
use crate::store::{Error, StateKey, short_hash};

/// How reports are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporting {
    /// Whom receivers may ask; `None` for the postmaster of this host.
    pub contact: Option<Address>,
}

/// What is to be tried again, and when.
#[derive(Debug, Default)]
pub(super) struct Reports {
    later: Mutex<BTreeMap<Vec<u8>, Timestamp>>,
}

impl Inquiry {
    /// Sends what is due.
    pub(super) async fn send_reports(&self, desk: &Desk, directory: &Directory, now: Timestamp) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = before(&self.store, day_of(now), after.take()).await?;
            for (key, day, row) in &rows {
                self.send_report(desk, directory, (key, *day, row.as_ref()), now).await?;
            }
            match rows.last() {
                Some((last, _, _)) if rows.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    async fn send_report(
        &self,
        desk: &Desk,
        directory: &Directory,
        (key, day, row): (&StateKey, u32, Option<&Row>),
        now: Timestamp,
    ) -> Result<(), Error> {
        let start = Timestamp::from_seconds(i64::from(day).saturating_mul(DAY));
        let over = seconds_between(start, now).saturating_sub(DAY);
        let (Some(row), Some(reporting), true) = (row, &self.reporting, over < GIVE_UP) else {
            return self.done(key).await;
        };
        if over < delay(&row.domain) || self.reports.is_later(key, now) {
            return Ok(());
        }
        if row.tally.sessions() <= row.tally.own {
            return self.done(key).await;
        }
        let records = match self.dns.txt(&record_name(&row.domain)).await {
            Ok(records) => records,
            Err(DnsError::NotFound) => return self.done(key).await,
            Err(DnsError::Temporary) => return self.later(key, now),
        };
        let contact =
            reporting.contact.as_ref().map_or_else(|| format!("postmaster@{}", desk.hostname), Address::to_string);
        let id = short_hash(&format!("{}!{}!{day}", desk.hostname, row.domain));
        let report = Report {
            organisation: desk.hostname.as_str(),
            contact: &contact,
            id: &id,
            domain: &row.domain,
            start,
            tally: &row.tally,
        };
        let packed = gzip(&report.json());
        let file_name = format!("{}.json.gz", report.file_name(&desk.hostname));
        let mut row = row.clone();
        let mut all_sent = true;
        for place in places(&records) {
            let name = match &place {
                Place::Mail(address) => format!("mailto:{address}"),
                Place::Https(url) => url.clone(),
            };
            if row.sent.contains(&name) {
                continue;
            }
            let is_sent = match place {
                Place::Mail(to) => {
                    self.mail(desk, directory, &to, (&report, &file_name, &packed)).await?;
                    true
                }
                Place::Https(url) => self.post(&url, &packed).await,
            };
            tracing::info!(domain = %row.domain, to = %name, is_sent, "report on TLS");
            if is_sent {
                row.sent.push(name);
                self.store.put_state(key.clone(), encode(&row)).await?;
            }
            all_sent &= is_sent;
        }
        if all_sent { self.done(key).await } else { self.later(key, now) }
    }

    /// The report goes the way of all messages that this server makes: its failure tells nobody (RFC 8460 §5.3).
    async fn mail(
        &self,
        desk: &Desk,
        directory: &Directory,
        to: &Address,
        (report, file_name, packed): (&Report<'_>, &str, &[u8]),
    ) -> Result<(), Error> {
        // Whoever runs a domain elsewhere does not choose who gets mail here, past every permission.
        if !matches!(routing::look_up(directory, to), Resolution::Foreign(_)) {
            tracing::info!(%to, "report on TLS not sent: the address is hosted here");
            return Ok(());
        }
        accept::send(desk, directory, (to, TlsWish::Optional), |stamp| {
            let (domain, id) = (report.domain, report.id);
            tls_report(&TlsReport { stamp: *stamp, to, domain, id, file_name, report: packed })
        })
        .await
    }

    /// RFC 8460 §5.4: any answer of success will do.
    async fn post(&self, url: &str, packed: &[u8]) -> bool {
        let Some(place) = url.parse().ok().filter(Url::is_https) else {
            tracing::debug!(%url, "report on TLS not posted: not a URL that can be asked");
            return false;
        };
        let request = Request::post(place, "application/tlsrpt+gzip", packed.to_vec());
        match self.https.ask(&request, POST).await {
            Ok(answer) => (200..300).contains(&answer.status),
            Err(error) => {
                tracing::debug!(%url, %error, "report on TLS not posted");
                false
            }
        }
    }

    async fn done(&self, key: &StateKey) -> Result<(), Error> {
        self.reports.later.lock().unwrap_or_else(PoisonError::into_inner).remove(key.octets());
        self.store.delete_state(key.clone()).await
    }

    fn later(&self, key: &StateKey, now: Timestamp) -> Result<(), Error> {
        let at = Timestamp::from_seconds(now.seconds().saturating_add(TRY_AGAIN));
        self.reports.later.lock().unwrap_or_else(PoisonError::into_inner).insert(key.octets().to_vec(), at);
        Ok(())
    }
}

impl Reports {
    fn is_later(&self, key: &StateKey, now: Timestamp) -> bool {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).get(key.octets()).is_some_and(|at| now < *at)
    }
}

/// Seconds after the end of the day, so that not all reports of the world go out at midnight (RFC 8460 §4.1).
fn delay(domain: &Domain) -> i64 {
    let hash = short_hash(domain.as_str());
    i64::from_str_radix(hash.get(..8).unwrap_or("0"), 16).unwrap_or(0) % SPREAD
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(octets);
    encoder.finish().unwrap_or_default()
}

/// Seconds.
const SPREAD: i64 = 4 * 3_600;
/// Seconds.
const TRY_AGAIN: i64 = 3_600;
/// Seconds after the end of its day at which a report is of no use: RFC 8460 §5.5 tries for 24 hours.
const GIVE_UP: i64 = SPREAD + DAY;
/// What is answered beyond its status is of no interest.
const POST: Limits = Limits { time: Duration::from_secs(60), octets: 0, excess: Excess::IsCut };
