//! `[[blocklist]]`: DNS block lists.

use std::time::Duration;

use serde::Deserialize;

use super::Problem;
use super::quantity::Time;
use crate::mail::Domain;
use crate::policy::blocklist::{Action, Blocklist, Codes};

/// A `[[blocklist]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlocklistTable {
    /// Below which name it is asked.
    zone: String,
    /// What becomes of mail from a client that it lists.
    action: Action,
    /// Answers that count.
    codes: Option<Vec<String>>,
    /// How long a client waits for it.
    timeout: Option<Time>,
}

/// Checks the tables.
pub(super) fn check(tables: Vec<BlocklistTable>) -> Result<Vec<Blocklist>, Problem> {
    if tables.len() > MAX_LISTS {
        return Err(Problem::Range { key: "blocklist", allowed: "at most 16" });
    }
    let mut lists: Vec<Blocklist> = Vec::with_capacity(tables.len());
    for (at, table) in tables.into_iter().enumerate() {
        let number = at.saturating_add(1);
        let problem = |key, value, allowed| Problem::Blocklist { number, key, value, allowed };
        let is_zone = |zone: &Domain| zone.as_str().contains('.') && zone.as_str().len() <= MAX_ZONE;
        let zone = Domain::parse(&table.zone).ok().filter(is_zone);
        let zone = zone.ok_or_else(|| problem("zone", table.zone.clone(), "a domain of at most 150 octets"))?;
        if lists.iter().any(|list| list.zone == zone) {
            return Err(problem("zone", table.zone, "each list once"));
        }
        let codes = match table.codes {
            None => Codes::default(),
            Some(codes) if codes.is_empty() || codes.len() > MAX_CODES => {
                return Err(problem("codes", format!("{} entries", codes.len()), "1 to 64 entries"));
            }
            Some(codes) => {
                let code = |text: String| text.parse().map_err(|_| problem("codes", text, CODE));
                Codes::new(codes.into_iter().map(code).collect::<Result<_, _>>()?)
            }
        };
        let timeout = table.timeout.map_or(TIMEOUT, |time| time.0);
        if !(Duration::from_millis(100)..=Duration::from_secs(60)).contains(&timeout) {
            return Err(problem("timeout", format!("{timeout:?}"), "from \"100 ms\" to \"1 min\""));
        }
        lists.push(Blocklist { zone, action: table.action, codes, timeout });
    }
    Ok(lists)
}

const CODE: &str =
    "an answer such as \"127.0.0.2\", or two with a \"-\" between them; none of 127.255.255.0/24, which are errors";
/// Asked all at once for each client.
const MAX_LISTS: usize = 16;
const MAX_CODES: usize = 64;
/// With the 64 octets that an IPv6 address takes it is still a name (RFC 1035 §2.3.4).
const MAX_ZONE: usize = 150;
const TIMEOUT: Duration = Duration::from_secs(3);
