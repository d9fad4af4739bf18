//! A network of hosts: servers of ours and a Postfix, each at an address of its own and all at one port, with one DNS and
//! one authority for their certificates.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;

use super::postfix::{Postfix, Setup};
use crate::certificates::{Authority, Identity};
use crate::dns::DnsServer;
use crate::imap::Imap;
use crate::policy::auth_plain;
use crate::server::{PASSWORD, Server};
use crate::smtp::{Reply, Smtp};

/// Where the hosts are. `mx.a.test` takes mail for `a.test` at the address that ends in that letter's code.
pub struct Network {
    pub dns: DnsServer,
    pub authority: Authority,
    pub port: u16,
    /// The first three octets of all addresses, which no other test has.
    octets: [u8; 3],
    anchor: String,
}

/// Postfix's letter.
const P: char = 'p';

impl Network {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let [.., high, low] = number.to_be_bytes();
        let octets = [127, high | 1, low];
        let address = |last| Ipv4Addr::new(octets[0], octets[1], octets[2], last);
        // Nobody else is at these addresses, so whoever could take the port before us would take it on all.
        let first = TcpListener::bind((address(1), 0)).expect("a port");
        let port = first.local_addr().expect("an address").port();
        let dns = DnsServer::start();
        let anchor = dns.sign();
        let network = Self { dns, authority: Authority::new("Of the network"), port, octets, anchor };
        for host in ['a', 'b', P] {
            let (domain, name) = (format!("{host}.test"), mx(host));
            network.dns.mx(&domain, 10, &name).address_of(&name, &network.ip(host).to_string());
        }
        network
    }

    pub fn ip(&self, host: char) -> Ipv4Addr {
        let last = u8::try_from(host).expect("a letter");
        Ipv4Addr::new(self.octets[0], self.octets[1], self.octets[2], last)
    }

    fn address(&self, host: char) -> SocketAddr {
        SocketAddr::new(self.ip(host).into(), self.port)
    }

    /// Where the host of that letter takes mail.
    pub fn mail_at(&self, host: char) -> SocketAddr {
        self.address(host)
    }

    /// Publishes a policy of MTA-STS that is enforced and names one host, from a policy host at that letter.
    pub fn policy(&self, domain: &str, host: char, mx: &str) {
        let name = format!("mta-sts.{domain}");
        self.dns.txt(&format!("_mta-sts.{domain}"), "v=STSv1; id=1;").address_of(&name, &self.ip(host).to_string());
        let config = self.authority.issue(&[&name], false).server();
        let listener = TcpListener::bind(self.address(host)).expect("an address");
        let policy = format!("version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(connection) = ServerConnection::new(config.clone()) else { continue };
                let mut lines = BufReader::new(StreamOwned::new(connection, stream));
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|octets| octets > 2) {
                    line.clear();
                }
                let length = policy.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
                let _ = lines.get_mut().write_all(format!("{head}{policy}").as_bytes());
            }
        });
    }

    /// A certificate for the host of that letter.
    pub fn identity(&self, host: char) -> Identity {
        self.authority.issue(&[&mx(host)], false)
    }

    /// A running server of ours. `outbound` is TOML that goes on after the first keys of `[outbound]`.
    pub fn server(&self, host: char, outbound: &str) -> Server {
        self.server_that_trusts(host, outbound, &self.authority)
    }

    /// The same, trusting another authority.
    pub fn server_that_trusts(&self, host: char, outbound: &str, authority: &Authority) -> Server {
        self.server_that_is(host, outbound, authority, &self.identity(host))
    }

    /// The same, with this certificate.
    pub fn server_that_is(&self, host: char, outbound: &str, authority: &Authority, identity: &Identity) -> Server {
        // One takes no large messages.
        let limits = if host == 'b' { "[limits]\nmessage_size = \"64 KiB\"\n\n" } else { "" };
        let extra = format!(
            "{}\ntrust_anchor = \"root.key\"\n\n{limits}[outbound]\nport = {}\nhttps_port = {}\n\
             allow_loopback = true\nca_file = \"authority.pem\"\nfirst_retry = \"1 s\"\nlongest_retry = \"1 s\"\n{outbound}",
            self.dns.config().trim_end(),
            self.port,
            self.port,
        );
        let mut server = Server::prepared_as(&mx(host), self.address(host), &extra);
        let (chain, key) = identity.pem();
        for (name, text) in
            [("root.key", &self.anchor), ("authority.pem", &authority.pem()), ("cert.pem", &chain), ("key.pem", &key)]
        {
            fs::write(server.path().join(name), text).expect("written");
        }
        fs::write(server.path().join("relay.password"), PASSWORD).expect("written");
        fs::write(server.path().join("wrong.password"), "guessed").expect("written");
        server.run();
        apply(
            &server,
            &format!(
                "[[organisation]]\nname = \"{host}\"\nexternal_forward = \"allow\"\n\n[[domain]]\n\
                 name = \"{host}.test\"\norganisation = \"{host}\"\n"
            ),
        );
        server
    }

    /// A running Postfix, at which the first addresses stand for the second.
    pub fn postfix(&self, aliases: &[(&str, &str)]) -> Postfix {
        let routes = ['a', 'b'].map(|host| (format!("{host}.test"), self.ip(host)));
        let routes: Vec<(&str, Ipv4Addr)> = routes.iter().map(|(domain, ip)| (domain.as_str(), *ip)).collect();
        let identity = self.identity(P).pem();
        Postfix::start(&Setup { address: self.address(P), routes: &routes, aliases, identity })
    }
}

fn mx(host: char) -> String {
    format!("mx.{host}.test")
}

/// Makes the objects that `toml` names as it says.
pub fn apply(server: &Server, toml: &str) {
    let file = server.path().join("objects.toml");
    fs::write(&file, toml).expect("written");
    server.cli(&["apply", &file.display().to_string()], "");
}

/// Makes accounts; what they have beside the password is TOML.
pub fn accounts(server: &Server, accounts: &[(&str, &str)]) {
    let account = |(address, more): &(&str, &str)| {
        format!("[[account]]\naddress = \"{address}\"\npassword = \"{PASSWORD}\"\n{more}\n\n")
    };
    apply(server, &accounts.iter().map(account).collect::<String>());
}

/// A submission session, logged in.
pub fn login(server: &Server, user: &str) -> Smtp {
    let mut smtp = Smtp::open(server.address("submission"));
    smtp.command(&auth_plain(user, PASSWORD), 235);
    smtp
}

/// A message with this subject, its body of `size` octets or somewhat more.
pub fn text(from: &str, to: &str, subject: &str, size: usize) -> String {
    let line = "All of it is text that says nothing.\r\n";
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{}@test>\r\nDate: Thu, 1 Jan 2026 12:00:00 +0000\r\n\r\n{}",
        subject.replace(' ', "-"),
        line.repeat(size / line.len() + 1)
    )
}

/// Sends a message in a session and wants it taken.
#[track_caller]
pub fn send(mut session: Smtp, from: &str, to: &str, subject: &str, size: usize) {
    let reply: Reply = session.send(from, &[to], text(from, to, subject, size).as_bytes());
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// Submits a small message.
#[track_caller]
pub fn submit(server: &Server, from: &str, to: &str, subject: &str) {
    send(login(server, from), from, to, subject, 10);
}

/// What an account has in INBOX that contains `text`.
pub fn inbox(server: &Server, user: &str, text: &str) -> Vec<String> {
    Imap::login(server.address("imap"), user, PASSWORD).messages("INBOX", text)
}

/// What waits.
pub fn queue(server: &Server) -> Vec<Value> {
    serde_json::from_str(&server.cli(&["queue", "list", "--json"], "")).expect("JSON")
}

/// Among these is one report of a failure to reach that address, and these are in it.
#[track_caller]
pub fn report(reports: &[String], recipient: &str, lines: &[&str]) {
    let of_it = format!("Final-Recipient: rfc822; {recipient}");
    let found: Vec<&String> = reports.iter().filter(|report| report.contains(&of_it)).collect();
    assert_eq!(found.len(), 1, "{of_it}: {reports:#?}");
    let unfolded = found[0].replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    for line in lines.iter().chain(&["Action: failed", "Content-Type: multipart/report"]) {
        assert!(unfolded.contains(line), "{line}\n{unfolded}");
    }
}
