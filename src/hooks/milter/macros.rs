//! What filters are told beside the commands: macros, by the names that Sendmail gave them.

use std::net::IpAddr;

use super::agreement::Agreement;
use crate::hooks::Facts;
use crate::proto::milter::MacroStage;

/// Names and values for a stage: what the filter asked for, or what is usual; of that what it may be told and is known.
pub(super) fn values(
    stage: MacroStage,
    agreement: &Agreement,
    allowed: Option<&[String]>,
    facts: &Facts,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let asked = agreement.macros.iter().find(|(of, _)| *of == stage).map(|(_, names)| names);
    let names: Vec<&str> = match asked {
        Some(names) => names.iter().map(|name| bare(name)).collect(),
        None => usual(stage).to_vec(),
    };
    let may_be_told = |name: &&str| allowed.is_none_or(|allowed| allowed.iter().any(|other| bare(other) == *name));
    let told = names.into_iter().filter(may_be_told);
    told.filter_map(|name| Some((wire_name(name), value(name, facts)?.into_bytes()))).collect()
}

/// What is sent without being asked for.
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
    let envelope = facts.envelope.as_ref();
    let recipient = || envelope?.recipients.last().map(|recipient| recipient.address.as_str());
    let cipher = facts.tls.as_ref().map(|tls| tls.cipher.as_str());
    match name {
        "i" => envelope?.id.map(|id| id.to_string()),
        "j" => Some(facts.hostname.clone()),
        "v" => Some(concat!("Posthouse ", env!("CARGO_PKG_VERSION")).to_owned()),
        "_" | "client_name" => Some(client_name(facts)),
        "daemon_name" => Some(facts.listener.to_owned()),
        "daemon_addr" => Some(facts.peer.local.ip().to_canonical().to_string()),
        "daemon_port" => Some(facts.peer.local.port().to_string()),
        "client_addr" => Some(client(facts).to_string()),
        "client_port" => Some(facts.peer.client.port().to_string()),
        "tls_version" => facts.tls.as_ref().map(|tls| tls.version.clone()),
        "cipher" => cipher.map(str::to_owned),
        "cipher_bits" => cipher.and_then(bits).map(str::to_owned),
        "auth_type" => facts.login.is_some().then(|| AUTH_TYPE.to_owned()),
        "auth_authen" => facts.login.as_ref().map(ToString::to_string),
        "mail_addr" => Some(envelope?.reverse_path.clone()),
        "mail_host" => Some(host(&envelope?.reverse_path).to_owned()),
        "mail_mailer" => envelope.map(|_| MAILER.to_owned()),
        "rcpt_addr" => recipient().map(str::to_owned),
        "rcpt_host" => recipient().map(|address| host(address).to_owned()),
        "rcpt_mailer" => recipient().map(|_| MAILER.to_owned()),
        _ => None,
    }
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
fn wire_name(name: &str) -> Vec<u8> {
    if name.len() == 1 { name.into() } else { format!("{{{name}}}").into_bytes() }
}

/// The mechanism is not kept; filters ask whether there was one.
const AUTH_TYPE: &str = "SASL";
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
        assert_eq!((wire_name("i"), wire_name("cipher")), (b"i".to_vec(), b"{cipher}".to_vec()));
    }
}
