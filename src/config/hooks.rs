//! `[[hook]]`: programs that are asked about sessions and messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use serde::Deserialize;

use super::check::Problem;
use super::quantity::{Size, Time};
use crate::hooks::clamd::OnVirus;
use crate::hooks::http::Sends;
use crate::hooks::milter::{self, Address, Macros};
use crate::hooks::rspamd::{Learn, OnReject};
use crate::hooks::{Clamd, Hook, Hooks, HttpHook, Kind, Listens, Milter, OnFailure, Rspamd, Settings, Stage};
use crate::net::http_client::{HttpClient, Names, Url};
use crate::net::roots::roots;
use crate::proto::signature::Secret;

/// A `[[hook]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookTable {
    /// For logs, traces and commands.
    name: String,
    /// What it speaks.
    kind: KindWord,
    /// Whose sessions it hears of.
    #[serde(default = "everybody")]
    listeners: Vec<Listens>,
    /// When it is asked: milter and http.
    stages: Option<Vec<Stage>>,
    /// How long an answer may take.
    timeout: Option<Time>,
    /// What happens without one.
    #[serde(default)]
    on_failure: OnFailure,
    /// Questions at once.
    at_once: Option<usize>,
    /// Where it listens: milter and clamd.
    address: Option<String>,
    /// Where it is asked: http and rspamd.
    url: Option<String>,
    /// Authorities to trust beside the system's: http and rspamd.
    ca_file: Option<PathBuf>,
    /// What requests and answers are signed with: http.
    secret_file: Option<PathBuf>,
    /// What it is sent of a message: http.
    sends: Option<Sends>,
    /// How often it is asked again: http.
    retries: Option<u32>,
    /// Where it learns: rspamd.
    learn_url: Option<String>,
    /// With which password: rspamd.
    learn_password_file: Option<PathBuf>,
    /// What becomes of what it wants rejected: rspamd.
    on_reject: Option<OnReject>,
    /// What becomes of viruses: clamd.
    on_virus: Option<OnVirus>,
    /// Octets of a message that it is sent: rspamd and clamd. Octets of a body that it may send: milter.
    max_size: Option<Size>,
    /// What it is told at a stage beside the command, unless it asks for others: milter.
    macros: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    Milter,
    Http,
    Rspamd,
    Clamd,
}

fn everybody() -> Vec<Listens> {
    vec![Listens::Smtp, Listens::Submission]
}

/// Checks the tables, whose relative paths are relative to `folder`.
pub(super) fn check(tables: Vec<HookTable>, folder: &Path) -> Result<Arc<Hooks>, Problem> {
    let mut all: Vec<Arc<Hook>> = Vec::new();
    for (at, table) in tables.into_iter().enumerate() {
        let place = Place { number: at.saturating_add(1), folder };
        let hook = place.hook(table)?;
        if all.iter().any(|other| other.settings.name == hook.settings.name) {
            return Err(place.wrong("name", &hook.settings.name, "a name that no other hook has"));
        }
        all.push(Arc::new(hook));
    }
    Ok(Arc::new(Hooks::new(all)))
}

struct Place<'a> {
    number: usize,
    folder: &'a Path,
}

impl Place<'_> {
    fn wrong(&self, key: &'static str, value: &str, allowed: impl Into<Cow<'static, str>>) -> Problem {
        Problem::Hook { number: self.number, key, value: value.to_owned(), allowed: allowed.into() }
    }

    fn hook(&self, table: HookTable) -> Result<Hook, Problem> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if table.name.is_empty() || table.name.len() > 64 || !table.name.chars().all(is_name) {
            return Err(self.wrong("name", &table.name, "1 to 64 letters, digits, hyphens, underscores and dots"));
        }
        if table.at_once == Some(0) {
            return Err(self.wrong("at_once", "0", "at least 1"));
        }
        self.check_keys(&table)?;
        let timeout = table.timeout.map_or(TIMEOUT, |time| time.0);
        if timeout.is_zero() || timeout > LONGEST {
            return Err(self.wrong("timeout", &format!("{} ms", timeout.as_millis()), "from 1 ms to 10 min"));
        }
        let all = match table.kind {
            KindWord::Milter => MILTER_STAGES,
            KindWord::Http => HTTP_STAGES,
            KindWord::Rspamd | KindWord::Clamd => &[Stage::Data],
        };
        let by_default = if table.kind == KindWord::Milter { all } else { &[Stage::Data] };
        let stages = table.stages.clone().unwrap_or_else(|| by_default.to_vec());
        if let Some(stage) = stages.iter().find(|stage| !all.contains(stage)) {
            let allowed = "connect, ehlo, mail, rcpt, data; http also auth and header";
            return Err(self.wrong("stages", stage.name(), allowed));
        }
        if stages.is_empty() || table.listeners.is_empty() {
            return Err(self.wrong("stages, listeners", "[]", "one at least"));
        }
        let settings = Settings {
            name: table.name.clone(),
            listeners: table.listeners.clone(),
            stages,
            timeout,
            on_failure: table.on_failure,
            at_once: table.at_once.unwrap_or(match table.kind {
                KindWord::Rspamd => WHOLE_AT_ONCE,
                KindWord::Milter | KindWord::Http | KindWord::Clamd => AT_ONCE,
            }),
        };
        let kind = self.kind(table, timeout)?;
        Ok(Hook::new(settings, kind))
    }

    /// A key that means nothing for the kind is a mistake.
    fn check_keys(&self, table: &HookTable) -> Result<(), Problem> {
        use KindWord::{Clamd, Http, Milter, Rspamd};
        for (key, is_given, kinds) in [
            ("stages", table.stages.is_some(), &[Milter, Http][..]),
            ("address", table.address.is_some(), &[Milter, Clamd]),
            ("url", table.url.is_some(), &[Http, Rspamd]),
            ("ca_file", table.ca_file.is_some(), &[Http, Rspamd]),
            ("secret_file", table.secret_file.is_some(), &[Http]),
            ("sends", table.sends.is_some(), &[Http]),
            ("retries", table.retries.is_some(), &[Http]),
            ("learn_url", table.learn_url.is_some(), &[Rspamd]),
            ("learn_password_file", table.learn_password_file.is_some(), &[Rspamd]),
            ("on_reject", table.on_reject.is_some(), &[Rspamd]),
            ("on_virus", table.on_virus.is_some(), &[Clamd]),
            ("max_size", table.max_size.is_some(), &[Milter, Rspamd, Clamd]),
            ("macros", table.macros.is_some(), &[Milter]),
        ] {
            if is_given && !kinds.contains(&table.kind) {
                return Err(self.wrong(key, "given", "for other kinds of hooks only"));
            }
        }
        Ok(())
    }

    fn kind(&self, table: HookTable, timeout: Duration) -> Result<Kind, Problem> {
        let octets = |by_default| table.max_size.map_or(by_default, |size| size.0).max(1);
        Ok(match table.kind {
            KindWord::Milter => {
                let max_body = usize::try_from(octets(MILTER_OCTETS)).unwrap_or(usize::MAX);
                Kind::Milter(Milter::new(milter::Settings {
                    address: self.address(table.address.as_deref())?,
                    name: table.name,
                    connect_timeout: timeout.min(CONNECT),
                    timeout,
                    macros: self.macros(table.macros.unwrap_or_default())?,
                    max_body,
                }))
            }
            KindWord::Clamd => Kind::Clamd(Clamd {
                address: self.address(table.address.as_deref())?,
                on_virus: table.on_virus.unwrap_or_default(),
                octets: octets(CLAMD_OCTETS),
            }),
            KindWord::Http => {
                let retries = table.retries.unwrap_or(1);
                if retries > MAX_RETRIES {
                    return Err(self.wrong("retries", &retries.to_string(), "from 0 to 10"));
                }
                Kind::Http(HttpHook {
                    url: self.url("url", table.url.as_deref())?,
                    secret: table.secret_file.as_deref().map(|file| self.secret(file)).transpose()?,
                    sends: table.sends.unwrap_or_default(),
                    retries,
                    client: self.client(table.ca_file.as_deref())?,
                })
            }
            KindWord::Rspamd => Kind::Rspamd(Rspamd {
                check: self.url("url", table.url.as_deref().map(|url| below(url, "checkv2")).as_deref())?,
                learn: self.learn(&table)?,
                on_reject: table.on_reject.unwrap_or_default(),
                octets: octets(RSPAMD_OCTETS),
                client: self.client(table.ca_file.as_deref())?,
            }),
        })
    }

    fn macros(&self, written: BTreeMap<String, Vec<String>>) -> Result<Macros, Problem> {
        let mut macros = Macros::default();
        for (stage, names) in written {
            macros.set(&stage, &names).map_err(|error| self.wrong("macros", &error.value, error.allowed))?;
        }
        Ok(macros)
    }

    fn learn(&self, table: &HookTable) -> Result<Option<Learn>, Problem> {
        let Some(url) = table.learn_url.as_deref() else {
            let file = table.learn_password_file.as_deref();
            return match file {
                None => Ok(None),
                Some(file) => {
                    Err(self.wrong("learn_password_file", &file.display().to_string(), "only with a learn_url"))
                }
            };
        };
        let of = |path| self.url("learn_url", Some(&below(url, path)));
        let password = table.learn_password_file.as_deref().map(|file| self.first_line("learn_password_file", file));
        Ok(Some(Learn { spam: of("learnspam")?, ham: of("learnham")?, password: password.transpose()? }))
    }

    fn address(&self, text: Option<&str>) -> Result<Address, Problem> {
        const ALLOWED: &str = "a host with port, or unix: and the path of a socket";
        let text = text.unwrap_or_default();
        let path = text.strip_prefix("unix:").filter(|path| !path.is_empty()).map(|path| self.folder.join(path));
        match path {
            Some(path) => Ok(Address::Unix(path)),
            None => Address::parse(text).map_err(|_| self.wrong("address", text, ALLOWED)),
        }
    }

    fn url(&self, key: &'static str, text: Option<&str>) -> Result<Url, Problem> {
        const ALLOWED: &str = "http://HOST:PORT/PATH, https://HOST/PATH or unix:/SOCKET:/PATH";
        let text = text.unwrap_or_default();
        text.parse().map_err(|_| self.wrong(key, text, ALLOWED))
    }

    fn client(&self, ca_file: Option<&Path>) -> Result<HttpClient, Problem> {
        let trusted = match ca_file {
            None => roots(None),
            Some(file) => roots(Some(&self.folder.join(file))),
        };
        let shown = || ca_file.map(|file| file.display().to_string()).unwrap_or_default();
        let trusted: RootCertStore =
            trusted.map_err(|_| self.wrong("ca_file", &shown(), "a PEM file with certificates"))?;
        HttpClient::new(Names::System, trusted, KEPT).map_err(|_| self.wrong("url", "", "TLS, which is not available"))
    }

    fn secret(&self, file: &Path) -> Result<Secret, Problem> {
        let text = self.first_line("secret_file", file)?;
        let allowed = "a file with whsec_ and base64, or with a text of 16 octets at least";
        Secret::parse(&text).ok_or_else(|| self.wrong("secret_file", &file.display().to_string(), allowed))
    }

    fn first_line(&self, key: &'static str, file: &Path) -> Result<String, Problem> {
        let text = std::fs::read_to_string(self.folder.join(file));
        let line = text.ok().and_then(|text| text.lines().next().map(str::to_owned)).filter(|line| !line.is_empty());
        line.ok_or_else(|| self.wrong(key, &file.display().to_string(), "a file that can be read, with a first line"))
    }
}

/// A path below a URL that has none.
fn below(url: &str, path: &str) -> String {
    let url = url.trim_end_matches('/').trim_end_matches(':');
    match url.strip_prefix("unix:") {
        Some(_) => format!("{url}:/{path}"),
        None => format!("{url}/{path}"),
    }
}

const MILTER_STAGES: &[Stage] = &[Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data];
const HTTP_STAGES: &[Stage] =
    &[Stage::Connect, Stage::Ehlo, Stage::Auth, Stage::Mail, Stage::Rcpt, Stage::Header, Stage::Data];
const AT_ONCE: usize = 100;
/// Of what is sent whole messages from memory: 400 MiB at the worst.
const WHOLE_AT_ONCE: usize = 20;
const TIMEOUT: Duration = Duration::from_secs(20);
/// A milter that does not listen is not waited for longer.
const CONNECT: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);
const MAX_RETRIES: u32 = 10;
const MILTER_OCTETS: u64 = 64 << 20;
const RSPAMD_OCTETS: u64 = 20 << 20;
/// What clamd takes by default (`StreamMaxLength`).
const CLAMD_OCTETS: u64 = 25 << 20;
/// Connections to a hook that are kept.
const KEPT: usize = 32;
