//! The organisation of policy semantics §2 on a server of its own: changed and asked through the admin API, read
//! through IMAP, written to over SMTP from any client address (the port-25 listener believes a PROXY header).

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::super::dns::DnsServer;
use super::super::imap::Imap;
use super::super::server::{PASSWORD, Server};
use super::super::smtp::Smtp;
use super::super::wire::Wire;

use super::person::{self, Answer};

/// The fixture as it is written.
pub const FIXTURE: &str = include_str!("../../fixtures/acme.toml");

/// A client address that no list knows.
pub const CLIENT: &str = "192.0.2.10";

/// What the PROXY header says that the client connected to.
const OWN_ADDRESS: &str = "192.0.2.1";

pub struct Acme {
    pub server: Server,
    pub dns: DnsServer,
    sessions: BTreeMap<String, Imap>,
}

impl Acme {
    pub fn start() -> Self {
        Self::over(DnsServer::start(), "")
    }

    /// With this DNS, and more in the configuration.
    pub fn over(dns: DnsServer, more: &str) -> Self {
        let mut server = Server::prepared_behind_proxy(&format!("{}{more}", dns.config()));
        server.run();
        let acme = Self { server, dns, sessions: BTreeMap::new() };
        acme.apply(FIXTURE);
        for domain in ["partner.test", "trusted.test", "ext.test", "evil.test"] {
            acme.publish(domain, None);
        }
        acme
    }

    /// Makes the objects that `toml` names as it says.
    pub fn apply(&self, toml: &str) {
        let (status, answer) = self.call("POST", "/apply", "application/toml", toml);
        assert_eq!(status, 200, "apply: {answer}\n{toml}");
    }

    /// Takes back whatever has been applied since the start.
    pub fn reset(&self) {
        self.apply(&FIXTURE.replacen("name = \"acme\"", "name = \"acme\"\nprune = true", 1));
        // Relays are no organisation's, and so no file takes them away.
        for relay in self.get("/relays")["items"].as_array().expect("a list") {
            let network = relay["network"].as_str().expect("a network").replace('/', "%2F");
            assert_eq!(self.api("DELETE", &format!("/relays/{network}"), "").0, 204, "{network}");
        }
    }

    /// One request to the admin API with a JSON body (empty for none): status and answer.
    pub fn api(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.call(method, path, "application/json", body)
    }

    /// A request that must succeed.
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.api("GET", path, "");
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// One request of an account over TCP.
    pub fn as_account(&self, user: &str, method: &str, path: &str, body: &str) -> Answer {
        person::request(self.server.address("admin"), &person::basic(user), method, path, body)
    }

    fn call(&self, method: &str, path: &str, media_type: &str, body: &str) -> (u16, Value) {
        let (head, body) = self.server.api(method, path, media_type, body);
        let status = head.get(9..12).and_then(|s| s.parse().ok()).expect("a status");
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Publishes an MX that nobody answers at, and this SPF record if there is one.
    pub fn publish(&self, domain: &str, spf: Option<&str>) {
        self.dns.remove(domain).mx(domain, 10, "mx.invalid.test");
        if let Some(spf) = spf {
            self.dns.txt(domain, spf);
        }
    }

    /// A session on port 25 of a client at `address`.
    pub fn host(&self, address: &str) -> Smtp {
        let mut smtp = Smtp { wire: Wire::connect(self.server.address("smtp")) };
        smtp.wire.send(format!("PROXY TCP4 {address} {OWN_ADDRESS} 40000 25\r\n").as_bytes());
        smtp.expect(220);
        smtp.command("EHLO mail.client.test", 250);
        smtp
    }

    /// A session on the submission port, logged in.
    pub fn login(&self, user: &str) -> Smtp {
        let mut smtp = Smtp::open(self.server.address("submission"));
        smtp.command(&auth_plain(&full(user), PASSWORD), 235);
        smtp
    }

    /// The IMAP session of an account, opened once, and again after a row that ended it by freezing the account.
    pub fn imap(&mut self, user: &str) -> &mut Imap {
        let address = self.server.address("imap");
        if let Some(imap) = self.sessions.get_mut(&full(user)) {
            let tag = imap.next_tag();
            let is_sent = imap.wire.try_send(format!("{tag} NOOP\r\n").as_bytes()).is_ok();
            if !is_sent || imap.try_until(&tag).is_err() {
                self.sessions.remove(&full(user));
            }
        }
        self.sessions.entry(full(user)).or_insert_with_key(|user| Imap::login(address, user, PASSWORD))
    }

    /// The UIDs in a folder of messages that contain `text`; none if there is no such folder.
    pub fn find(&mut self, user: &str, folder: &str, text: &str) -> Vec<u32> {
        let imap = self.imap(user);
        if !imap.command(&format!("SELECT \"{folder}\"")).is_ok() {
            return Vec::new();
        }
        let lines = imap.ok(&format!("UID SEARCH TEXT \"{text}\"")).lines();
        let found = lines.iter().find_map(|line| line.strip_prefix("* SEARCH")).unwrap_or_default();
        found.split_whitespace().map(|uid| uid.parse().expect("a UID")).collect()
    }

    /// The octets of a message of the folder selected last.
    pub fn fetch(&mut self, user: &str, uid: u32) -> String {
        let answer = self.imap(user).ok(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        let whole = answer.untagged.iter().find_map(|r| super::super::imap::nstring_after(r, b"BODY["));
        String::from_utf8_lossy(&whole.expect("a body")).into_owned()
    }

    /// Entries in all mailboxes together; nothing may be wrong with the store.
    pub fn entries(&self) -> u64 {
        let check = self.get("/check");
        assert_eq!(check["findings"], Value::Array(Vec::new()), "the store");
        check["entries"].as_u64().expect("a number")
    }
}

/// AUTH PLAIN with its initial response.
pub fn auth_plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{user}\0{password}")))
}

/// Names without a domain are of corp.test.
pub fn full(name: &str) -> String {
    if name.contains('@') || name.is_empty() { name.to_owned() } else { format!("{name}@corp.test") }
}
