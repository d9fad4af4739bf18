use std::collections::BTreeSet;
use std::fs;

use super::*;

const DEFAULT: &str = include_str!("../../conf/posthouse.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/posthouse/posthouse.toml")).map_err(|e| e.to_string())
}

fn with_listener(listener: &str) -> String {
    format!("hostname = \"mail.example.test\"\ndata_dir = \"data\"\n[[listener]]\n{listener}\n")
}

/// The default file with every commented key in force.
fn uncommented() -> String {
    let without_files = |line: &&str| !line.contains("certificate = ") && !line.contains("key = ");
    let lines = DEFAULT.lines().map(|line| match line.strip_prefix("# ") {
        Some(key) if key.split_once(" = ").is_some_and(|(name, _)| is_key(name)) => key,
        _ => line,
    });
    lines.filter(without_files).fold(String::new(), |text, line| text + line + "\n")
}

fn is_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The keys a section knows, as its own error message lists them.
fn keys(section: &str) -> BTreeSet<String> {
    let text = format!("{section}\nno_such_key = 1\n");
    let error = toml::from_str::<File>(&text).unwrap_err();
    let message = error.message().to_owned();
    let (_, known) = message.split_once("expected").unwrap_or_else(|| panic!("{section}: {message}"));
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn default_file_is_the_demo() {
    let config = parse(DEFAULT).unwrap();
    assert_eq!(config.hostname.as_str(), "mail.example.test");
    assert_eq!(config.certificate, Some(Certificate::SelfSigned { intended: true }));
    let listeners: Vec<_> = config.listeners.iter().map(|l| (l.protocol, l.bind.to_string(), l.tls)).collect();
    assert_eq!(
        listeners,
        [
            (Protocol::Smtp, "127.0.0.1:2525".into(), TlsMode::Starttls),
            (Protocol::Submission, "127.0.0.1:2587".into(), TlsMode::Starttls),
            (Protocol::Submissions, "127.0.0.1:2465".into(), TlsMode::Implicit),
            (Protocol::Imap, "127.0.0.1:2143".into(), TlsMode::Starttls),
            (Protocol::Imaps, "127.0.0.1:2993".into(), TlsMode::Implicit),
            (Protocol::Admin, "127.0.0.1:2080".into(), TlsMode::None),
        ]
    );
    assert!(config.listeners.iter().all(|listener| listener.allow_plaintext_auth));
}

#[test]
fn default_file_documents_every_key_and_no_other() {
    let mut count = 0;
    for section in [
        "",
        "[[listener]]",
        "[tls]",
        "[store]",
        "[limits]",
        "[timeouts]",
        "[dns]",
        "[outbound]",
        "[[outbound.route]]",
        "[[webhook]]",
        "[[blocklist]]",
        "[metrics]",
        "[log]",
    ] {
        for key in keys(section) {
            let documented = DEFAULT.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ']);
                line.split_once('=').is_some_and(|(name, _)| name.trim() == key)
                    || line.starts_with(&format!("[{key}]"))
                    || line.starts_with(&format!("[[{key}]]"))
                    || line.starts_with(&format!("[[outbound.{key}]]"))
            });
            assert!(documented, "{section} {key} is not in conf/posthouse.toml");
            count += 1;
        }
    }
    assert!(count > 25, "only {count} keys were found");
    // A key that is documented and does not exist would be refused here.
    parse(&uncommented()).unwrap();
}

#[test]
fn documented_defaults_are_the_defaults() {
    let written = parse(&uncommented()).unwrap();
    let left_out = parse(DEFAULT).unwrap();
    assert!(uncommented().contains("\nmessage_size = "), "comments were taken off");
    assert_eq!(format!("{written:?}"), format!("{left_out:?}"));
}

#[test]
fn bad_configurations_give_their_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_configs");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# expect: ")).collect();
        assert!(!expected.is_empty(), "{} says nothing about what is expected", path.display());
        let error = Config::load(&path).expect_err(&path.display().to_string()).to_string();
        for part in expected {
            assert!(error.contains(part), "{}: expected {part:?} in\n{error}", path.display());
        }
        assert!(error.starts_with(&path.display().to_string()), "the file is named: {error}");
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} files");
}

#[test]
fn paths_are_relative_to_the_file() {
    let listener = with_listener(
        "protocol = \"imaps\"\nbind = \"127.0.0.1:993\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"",
    );
    let config = parse(&listener).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/posthouse/data"));
    let files = Certificate::Files { certificate: "/etc/posthouse/c.pem".into(), key: "/k.pem".into() };
    assert_eq!(config.certificate, Some(files));
}

#[test]
fn listener_defaults() {
    use TlsMode::{Implicit, None, Starttls};
    for (listener, section, tls, plaintext_auth) in [
        ("protocol = \"smtp\"\nbind = \"127.0.0.1:25\"", "", None, true),
        ("protocol = \"smtp\"\nbind = \"127.0.0.1:25\"", "[tls]\nself_signed = true", Starttls, true),
        ("protocol = \"imap\"\nbind = \"[::1]:143\"\ntls = \"none\"", "[tls]\nself_signed = true", None, true),
        ("protocol = \"imap\"\nbind = \"192.0.2.1:143\"", "", None, false),
        ("protocol = \"imap\"\nbind = \"0.0.0.0:143\"\nallow_plaintext_auth = true", "", None, true),
        ("protocol = \"imap\"\nbind = \"127.0.0.1:143\"\nallow_plaintext_auth = false", "", None, false),
        ("protocol = \"imap\"\nbind = \"127.0.0.1:143\"\nproxy_protocol = [\"127.0.0.1\"]", "", None, false),
        ("protocol = \"imaps\"\nbind = \"[::]:993\"", "", Implicit, false),
        ("protocol = \"submissions\"\nbind = \"127.0.0.1:0\"", "", Implicit, true),
    ] {
        let config = parse(&format!("{}{section}\n", with_listener(listener))).unwrap();
        let parsed = &config.listeners[0];
        assert_eq!((parsed.tls, parsed.allow_plaintext_auth), (tls, plaintext_auth), "{listener} {section}");
        let certificate = (tls != None).then_some(Certificate::SelfSigned { intended: !section.is_empty() });
        assert_eq!(config.certificate, certificate, "{listener} {section}");
    }
}

#[test]
fn resolvers_are_those_written_or_the_systems() {
    let listener = "protocol = \"smtp\"\nbind = \"127.0.0.1:0\"\n";
    let written =
        format!("{}[dns]\nservers = [\"127.0.0.1:5353\", \"[::1]:53\"]\ntimeout = \"1 s\"", with_listener(listener));
    let dns = parse(&written).unwrap().dns;
    assert_eq!(dns.servers, ["127.0.0.1:5353".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    assert_eq!(dns.timeout, Duration::from_secs(1));
    assert!(parse(&with_listener(listener)).unwrap().dns.servers.is_empty());
}

#[test]
fn many_listeners_may_take_any_free_port() {
    let listener =
        "protocol = \"smtp\"\nbind = \"127.0.0.1:0\"\n[[listener]]\nprotocol = \"imap\"\nbind = \"127.0.0.1:0\"";
    assert_eq!(parse(&with_listener(listener)).unwrap().listeners.len(), 2);
}

#[test]
fn error_names_line_key_and_allowed_keys() {
    let error =
        parse("hostname = \"mail.example.test\"\ndata_dir = \"d\"\n\n[store]\nmemroy = \"1 GiB\"\n").unwrap_err();
    for part in ["line 5", "memroy", "`memory`"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}
