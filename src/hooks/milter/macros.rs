//! What filters are told beside the commands: macros, by the names that Sendmail gave them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::hooks::Facts;
use crate::proto::milter::MacroStage;

/// The macros that a filter is told without asking for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macros(BTreeMap<MacroStage, Vec<String>>);

/// A stage or a name that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} cannot be; allowed: {allowed}")]
pub struct MacroError {
    /// What was written.
    pub value: String,
    /// What could have been.
    pub allowed: String,
}

/// The usual ones.
impl Default for Macros {
    fn default() -> Self {
        let names = |stage| usual(stage).iter().map(|name| wire_name(name)).collect();
        Self(STAGES.iter().map(|(_, stage)| (*stage, names(*stage))).collect())
    }
}

impl Macros {
    /// Has these told at the stage of that name instead of those before. Names are written as filters read them: one
    /// character, or more in braces.
    pub fn set(&mut self, stage: &str, names: &[String]) -> Result<(), MacroError> {
        let list = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
        let Some((_, place)) = STAGES.iter().find(|(name, _)| *name == stage) else {
            let allowed = list(&mut STAGES.iter().map(|(name, _)| (*name).to_owned()));
            return Err(MacroError { value: stage.to_owned(), allowed });
        };
        let is_known = |written: &str| MACROS.iter().any(|(name, _)| wire_name(name) == written);
        if let Some(unknown) = names.iter().find(|written| !is_known(written)) {
            let allowed = list(&mut MACROS.iter().map(|(name, _)| wire_name(name)));
            return Err(MacroError { value: format!("{stage}: {unknown}"), allowed });
        }
        self.0.insert(*place, names.to_vec());
        Ok(())
    }

    /// Those of a stage.
    pub(super) fn at(&self, stage: MacroStage) -> &[String] {
        self.0.get(&stage).map_or(&[], Vec::as_slice)
    }
}

/// Names and values of those macros of which something is known.
pub(super) fn values(names: &[String], facts: &Facts) -> Vec<(Vec<u8>, Vec<u8>)> {
    let told = names.iter().map(|name| bare(name));
    told.filter_map(|name| Some((wire_name(name).into_bytes(), value(name, facts)?.into_bytes()))).collect()
}

/// What is sent without being asked for, unless the configuration names others.
fn usual(stage: MacroStage) -> &'static [&'static str] {
    match stage {
        MacroStage::Connect => {
            &["j", "_", "v", "daemon_name", "daemon_addr", "daemon_port", "client_addr", "client_name", "client_port"]
        }
        MacroStage::Helo => &["tls_version", "cipher", "cipher_bits"],
        MacroStage::Mail => &["i", "auth_type", "auth_authen", "mail_addr", "mail_host", "mail_mailer"],
        MacroStage::Rcpt => &["i", "rcpt_addr", "rcpt_host", "rcpt_mailer"],
        MacroStage::Data | MacroStage::EndOfHeader | MacroStage::EndOfMessage => &["i"],
    }
}

/// The value of a macro; `None` if there is no such macro or nothing is known.
fn value(name: &str, facts: &Facts) -> Option<String> {
    let (_, value) = MACROS.iter().find(|(known, _)| *known == name)?;
    value(facts)
}

type Value = fn(&Facts) -> Option<String>;

/// All macros that there are, without braces.
const MACROS: [(&str, Value); 21] = [
    ("i", |facts| facts.envelope.as_ref()?.id.map(|id| id.to_string())),
    ("j", |facts| Some(facts.hostname.clone())),
    ("v", |_| Some(concat!("Posthouse ", env!("CARGO_PKG_VERSION")).to_owned())),
    ("_", |facts| Some(client_name(facts))),
    ("client_name", |facts| Some(client_name(facts))),
    ("client_addr", |facts| Some(client(facts).to_string())),
    ("client_port", |facts| Some(facts.peer.client.port().to_string())),
    ("daemon_name", |facts| Some(facts.listener.to_owned())),
    ("daemon_addr", |facts| Some(facts.peer.local.ip().to_canonical().to_string())),
    ("daemon_port", |facts| Some(facts.peer.local.port().to_string())),
    ("tls_version", |facts| Some(facts.tls.as_ref()?.version.clone())),
    ("cipher", |facts| Some(facts.tls.as_ref()?.cipher.clone())),
    ("cipher_bits", |facts| bits(&facts.tls.as_ref()?.cipher).map(str::to_owned)),
    // The mechanism is not kept; filters ask whether there was one.
    ("auth_type", |facts| facts.login.as_ref().map(|_| "SASL".to_owned())),
    ("auth_authen", |facts| facts.login.as_ref().map(ToString::to_string)),
    ("mail_addr", |facts| Some(facts.envelope.as_ref()?.reverse_path.clone())),
    ("mail_host", |facts| Some(host(&facts.envelope.as_ref()?.reverse_path).to_owned())),
    ("mail_mailer", |facts| facts.envelope.as_ref().map(|_| MAILER.to_owned())),
    ("rcpt_addr", |facts| recipient(facts).map(str::to_owned)),
    ("rcpt_host", |facts| recipient(facts).map(|address| host(address).to_owned())),
    ("rcpt_mailer", |facts| recipient(facts).map(|_| MAILER.to_owned())),
];

/// Stages as the configuration names them.
const STAGES: [(&str, MacroStage); 7] = [
    ("connect", MacroStage::Connect),
    ("ehlo", MacroStage::Helo),
    ("mail", MacroStage::Mail),
    ("rcpt", MacroStage::Rcpt),
    ("data", MacroStage::Data),
    ("end_of_header", MacroStage::EndOfHeader),
    ("end_of_message", MacroStage::EndOfMessage),
];

/// The one that is asked about, or the last.
fn recipient(facts: &Facts) -> Option<&str> {
    facts.envelope.as_ref()?.recipients.last().map(|recipient| recipient.address.as_str())
}

/// Who connects.
pub(super) fn client(facts: &Facts) -> IpAddr {
    facts.peer.client.ip().to_canonical()
}

/// The client's address in brackets, as Sendmail has it for one whose name is not known: nobody has looked for it.
pub(super) fn client_name(facts: &Facts) -> String {
    match client(facts) {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// The part behind the `@`; empty if there is none.
fn host(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, host)| host)
}

/// Of the cipher's key.
fn bits(cipher: &str) -> Option<&'static str> {
    match cipher {
        _ if cipher.contains("AES_128") => Some("128"),
        _ if cipher.contains("AES_256") || cipher.contains("CHACHA20") => Some("256"),
        _ => None,
    }
}

/// Without the braces of a long name.
fn bare(name: &str) -> &str {
    name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name)
}

/// Long names stand in braces.
fn wire_name(name: &str) -> String {
    if name.len() == 1 { name.to_owned() } else { format!("{{{name}}}") }
}

/// How mail goes on is not known while filters are asked.
const MAILER: &str = "esmtp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_values() {
        for (address, want) in [("a@b.test", "b.test"), ("\"a@b\"@c.test", "c.test"), ("postmaster", ""), ("", "")] {
            assert_eq!(host(address), want, "{address}");
        }
        for (cipher, want) in [
            ("TLS13_AES_256_GCM_SHA384", Some("256")),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some("128")),
            ("TLS13_CHACHA20_POLY1305_SHA256", Some("256")),
            ("TLS_NULL", None),
        ] {
            assert_eq!(bits(cipher), want, "{cipher}");
        }
        assert_eq!((bare("{i}"), bare("i"), bare("{mail_addr}")), ("i", "i", "mail_addr"));
        assert_eq!((wire_name("i"), wire_name("cipher")), ("i".to_owned(), "{cipher}".to_owned()));
    }

    #[test]
    fn the_usual_macros_are_known() {
        for (stage, place) in STAGES {
            let names: Vec<String> = usual(place).iter().map(|name| wire_name(name)).collect();
            let mut macros = Macros::default();
            assert_eq!(macros.set(stage, &names), Ok(()), "{stage}");
        }
    }

    #[test]
    fn what_is_no_macro_is_refused() {
        for (stage, name, value, allowed) in [
            ("helo", "j", "helo", "connect, ehlo, mail"),
            ("mail", "{nothing}", "mail: {nothing}", "i, j, v, _, {client_name}"),
            ("mail", "mail_addr", "mail: mail_addr", "{mail_addr}"),
            ("mail", "{j}", "mail: {j}", "i, j, v, _"),
            ("mail", "", "mail: ", "i, j, v, _"),
            ("mail", "j v", "mail: j v", "i, j, v, _"),
        ] {
            let error = Macros::default().set(stage, &[name.to_owned()]).unwrap_err();
            assert_eq!(error.value, value);
            assert!(error.allowed.contains(allowed), "{value}: {}", error.allowed);
        }
    }
}
