//! `[[webhook]]`: who is told of what happens to messages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::check::Problem;
use super::quantity::Time;
use crate::mail::{EventKind, EventKinds};
use crate::proto::signature::Secret;
use crate::webhook::Settings;

/// A `[[webhook]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookTable {
    /// For logs and commands.
    name: String,
    /// Where it listens.
    url: String,
    /// The file with the secrets that sign.
    secret_file: PathBuf,
    /// What it is told of.
    events: Vec<String>,
    /// How long an answer may take.
    timeout: Option<Time>,
    /// How old an event is when it is given up.
    give_up_after: Option<Time>,
    /// Events told at once.
    connections: Option<usize>,
    /// Events that may wait.
    most_waiting: Option<usize>,
    /// Authorities to trust beside the system's.
    ca_file: Option<PathBuf>,
}

/// Checks the tables, whose relative paths are relative to `folder`.
pub(super) fn check(tables: Vec<WebhookTable>, folder: &Path) -> Result<Vec<Settings>, Problem> {
    let mut all: Vec<Settings> = Vec::with_capacity(tables.len());
    for (at, table) in tables.into_iter().enumerate() {
        let number = at.saturating_add(1);
        let settings = webhook(number, table, folder)?;
        if all.iter().any(|other| other.name == settings.name) {
            return Err(wrong(number, "name", &settings.name, "a name that no other webhook has"));
        }
        all.push(settings);
    }
    Ok(all)
}

fn webhook(number: usize, table: WebhookTable, folder: &Path) -> Result<Settings, Problem> {
    let is_name = |name: &str| {
        let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
    };
    if !is_name(&table.name) {
        return Err(wrong(number, "name", &table.name, "1 to 40 of a to z, 0 to 9 and -"));
    }
    let url = table.url.parse().map_err(|_| wrong(number, "url", &table.url, URL))?;
    let kind = |name: &String| EventKind::parse(name).ok_or_else(|| wrong(number, "events", name, EVENTS));
    let events: EventKinds = table.events.iter().map(kind).collect::<Result<_, _>>()?;
    if events == EventKinds::NONE {
        return Err(wrong(number, "events", "[]", EVENTS));
    }
    let time = |key, written: Option<Time>, default: Duration, (least, most): (Duration, Duration), allowed| {
        let time = written.map_or(default, |time| time.0);
        let is_allowed = (least..=most).contains(&time);
        if is_allowed { Ok(time) } else { Err(wrong(number, key, &format!("{time:?}"), allowed)) }
    };
    let among = |key, written: Option<usize>, default: usize, most: usize, allowed| match written.unwrap_or(default) {
        n if (1..=most).contains(&n) => Ok(n),
        n => Err(wrong(number, key, &n.to_string(), allowed)),
    };
    let (timeouts, patience) = ((TIMEOUT.0, TIMEOUT.1), (GIVE_UP.0, GIVE_UP.1));
    Ok(Settings {
        url,
        secrets: secrets(number, &folder.join(table.secret_file))?,
        events,
        timeout: time("timeout", table.timeout, Duration::from_secs(10), timeouts, "from 100 ms to 2 min")?,
        give_up_after: time(
            "give_up_after",
            table.give_up_after,
            Duration::from_hours(72),
            patience,
            "from 1 min to 720 h",
        )?,
        connections: among("connections", table.connections, 4, 100, "from 1 to 100")?,
        most_waiting: among("most_waiting", table.most_waiting, 100_000, 1_000_000, "from 1 to 1000000")?,
        ca_file: table.ca_file.map(|path| folder.join(path)),
        name: table.name,
    })
}

/// One on each line; what signs now and what is to be changed for it.
fn secrets(number: usize, path: &Path) -> Result<Vec<Secret>, Problem> {
    let unusable = |why: String| Problem::Secret { number, path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !(1..=MAX_SECRETS).contains(&lines.len()) {
        return Err(unusable(format!("it must have from 1 to {MAX_SECRETS} lines, each with a secret")));
    }
    let secret = |line: &&str| Secret::parse(line).ok_or_else(|| unusable(SECRET.to_owned()));
    lines.iter().map(secret).collect()
}

fn wrong(number: usize, key: &'static str, value: &str, allowed: &'static str) -> Problem {
    Problem::Webhook { number, key, value: value.to_owned(), allowed }
}

const MAX_NAME: usize = 40;
const MAX_SECRETS: usize = 5;
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(2));
/// What the trace keeps is told much sooner than it goes.
const GIVE_UP: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(720));
const URL: &str = "http://HOST/PATH, https://HOST/PATH or unix:/SOCKET:/PATH, without user and fragment";
const EVENTS: &str = "some of accepted, delivered, refused, held, released, relayed, deferred, bounced";
const SECRET: &str = "a secret is whsec_ and base64, or text, of at least 16 octets";
