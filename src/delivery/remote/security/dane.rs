//! Which TLSA records count for a host (RFC 7672 §2).

use crate::net::dns::Dns;
use crate::net::dnssec::{Dnssec, DnssecError};
use crate::proto::dane::{Tlsa, record_name};

/// What the DNS says of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dane {
    /// Nothing that is proven.
    None,
    /// Records that can be used, for the host under this name, and whether there are others.
    Records { base: String, records: Vec<Tlsa> },
    /// There are records, and none can be used: TLS without proof (RFC 7672 §2.2).
    Unusable { base: String },
}

/// Why a host must not be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unproven(pub String);

/// Looks for the records of a host that takes mail at `port`. The MX record that names it is proven already.
pub(super) async fn look_up(dns: &Dns, host: &str, port: u16) -> Result<Dane, Unproven> {
    let Some(dnssec) = dns.dnssec().await else { return Ok(Dane::None) };
    let unproven = |what: &str, error: DnssecError| Unproven(format!("DANE: {what}: {error}"));
    // RFC 7672 §2.2.2: where the addresses are not signed nobody asks for TLSA records, which some servers answer badly.
    let addresses = dnssec.addresses(host).await.map_err(|error| unproven(&format!("address of {host}"), error))?;
    let mut bases = Vec::new();
    // RFC 7672 §2.2.2: the name behind the aliases first, if all of them are proven, then the one that was written.
    if addresses.is_secure {
        bases.push(addresses.name.clone());
    }
    if addresses.is_start_secure && !bases.iter().any(|base| base == host) {
        bases.push(host.to_owned());
    }
    for base in bases {
        let name = record_name(port, &base);
        let found = match of_base(dnssec, &name).await {
            Ok(found) => found,
            // RFC 7672 §2.1.2: without an answer nobody knows whether the host must prove itself.
            Err(error) => return Err(unproven(&format!("TLSA records {}", name.trim_end_matches('.')), error)),
        };
        if let Some(records) = found {
            let is_unusable = records.is_empty();
            return Ok(if is_unusable { Dane::Unusable { base } } else { Dane::Records { base, records } });
        }
    }
    Ok(Dane::None)
}

/// The records that can be used; `None` if there are none that are proven.
async fn of_base(dnssec: &Dnssec, name: &str) -> Result<Option<Vec<Tlsa>>, DnssecError> {
    let found = dnssec.tlsa(name).await?;
    if !found.is_secure || found.records.is_empty() {
        return Ok(None);
    }
    let usable = found.records.into_iter().take(MAX_RECORDS);
    Ok(Some(usable.filter_map(|r| Tlsa::new(r.usage, r.selector, r.matching, r.data)).collect()))
}

/// More than any host needs while its keys change.
const MAX_RECORDS: usize = 32;
