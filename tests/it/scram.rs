//! SCRAM-SHA-256 and its PLUS form with the `tls-exporter` binding (RFC 5802, RFC 7677, RFC 9266), over SMTP and IMAP,
//! by a client of the test's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::imap::Imap;
use super::server::{self, PASSWORD};
use super::smtp::Smtp;

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn field<'t>(message: &'t str, name: &str) -> &'t str {
    message.split(',').find_map(|f| f.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// The client's side of one exchange.
pub struct Client {
    header: String,
    bare: String,
    binding: Vec<u8>,
}

impl Client {
    pub fn new(user: &str, header: &str, binding: &[u8]) -> Self {
        Self { header: header.to_owned(), bare: format!("n={user},r=clientnonce"), binding: binding.to_vec() }
    }

    pub fn first(&self) -> String {
        STANDARD.encode(format!("{}{}", self.header, self.bare))
    }

    /// The final message, and the signature that the server must show.
    fn last(&self, challenge: &str, password: &str) -> (String, String) {
        let server_first = String::from_utf8(STANDARD.decode(challenge).expect("base64")).expect("text");
        let nonce = field(&server_first, "r=");
        assert!(nonce.starts_with("clientnonce") && nonce.len() > "clientnonce".len() + 10, "{nonce}");
        let salt = STANDARD.decode(field(&server_first, "s=")).expect("base64");
        let rounds: u32 = field(&server_first, "i=").parse().expect("a number");
        assert!(rounds >= 4096, "RFC 7677 §4: {rounds}");
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, rounds, &mut salted);
        let client_key = hmac(&salted, b"Client Key");
        let stored_key = Sha256::digest(&client_key);
        let channel = STANDARD.encode([self.header.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={channel},r={nonce}");
        let auth_message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = hmac(&stored_key, auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_signature = hmac(&hmac(&salted, b"Server Key"), auth_message.as_bytes());
        (
            STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof))),
            STANDARD.encode(format!("v={}", STANDARD.encode(server_signature))),
        )
    }
}

/// Over SMTP; true if it ends in 235.
fn smtp_login(smtp: &mut Smtp, mechanism: &str, client: &Client, password: &str) -> bool {
    smtp.wire.send(format!("AUTH {mechanism} {}\r\n", client.first()).as_bytes());
    let challenge = smtp.reply();
    if challenge.code != 334 {
        return false;
    }
    let (last, signature) = client.last(&challenge.lines[0], password);
    smtp.wire.send(format!("{last}\r\n").as_bytes());
    let reply = smtp.reply();
    if reply.code != 334 {
        return false;
    }
    assert_eq!(reply.lines[0], signature, "the server's signature");
    smtp.wire.send(b"\r\n");
    smtp.reply().code == 235
}

/// Over IMAP; true if it ends in OK.
fn imap_login(imap: &mut Imap, mechanism: &str, client: &Client, password: &str) -> bool {
    imap.wire.send(format!("s AUTHENTICATE {mechanism} {}\r\n", client.first()).as_bytes());
    let response = String::from_utf8(imap.response()).expect("text");
    let Some(challenge) = response.strip_prefix("+ ") else { return false };
    let (last, signature) = client.last(challenge, password);
    imap.wire.send(format!("{last}\r\n").as_bytes());
    let response = String::from_utf8(imap.response()).expect("text");
    let Some(shown) = response.strip_prefix("+ ") else { return false };
    assert_eq!(shown, signature, "the server's signature");
    imap.wire.send(b"\r\n");
    imap.until("s").is_ok()
}

#[test]
fn scram_proves_the_password_both_ways() {
    let server = server::shared();
    let user = format!("{}@example.test", server.fresh_account("scram"));
    let client = Client::new(&user, "n,,", b"");
    let nobody = Client::new("nobody@example.test", "n,,", b"");
    let submission = || Smtp::open(server.address("submission"));
    assert!(smtp_login(&mut submission(), "SCRAM-SHA-256", &client, PASSWORD));
    assert!(!smtp_login(&mut submission(), "SCRAM-SHA-256", &client, "wrong"));
    assert!(!smtp_login(&mut submission(), "SCRAM-SHA-256", &nobody, PASSWORD));
    let imap = || Imap::open(server.address("imap"));
    assert!(imap_login(&mut imap(), "SCRAM-SHA-256", &client, PASSWORD));
    assert!(!imap_login(&mut imap(), "SCRAM-SHA-256", &client, "wrong"));
    assert!(!imap_login(&mut imap(), "SCRAM-SHA-256", &nobody, PASSWORD));
}

#[test]
fn scram_plus_binds_to_the_tls_connection() {
    let server = server::shared();
    let user = format!("{}@example.test", server.fresh_account("plus"));
    let open = || {
        let mut smtp = Smtp::greeted(server.address("submission"));
        smtp.command("EHLO client.example.test", 250);
        smtp.command("STARTTLS", 220);
        smtp.wire.start_tls(&server.certificate()).expect("a handshake");
        smtp.command("EHLO client.example.test", 250);
        smtp
    };
    let mut smtp = open();
    let binding = smtp.wire.exporter().expect("TLS");
    let bound = Client::new(&user, "p=tls-exporter,,", &binding);
    assert!(smtp_login(&mut smtp, "SCRAM-SHA-256-PLUS", &bound, PASSWORD));
    // The binding of another connection: somebody stands between.
    let elsewhere = Client::new(&user, "p=tls-exporter,,", &[0; 32]);
    assert!(!smtp_login(&mut open(), "SCRAM-SHA-256-PLUS", &elsewhere, PASSWORD));
    // A client that could bind, but believes that the server cannot: a downgrade (RFC 5802 §6).
    let downgraded = Client::new(&user, "y,,", b"");
    assert!(!smtp_login(&mut open(), "SCRAM-SHA-256", &downgraded, PASSWORD));
    let plain = Client::new(&user, "n,,", b"");
    assert!(smtp_login(&mut open(), "SCRAM-SHA-256", &plain, PASSWORD));

    let mut imap = Imap::raw(server.address("imaps"));
    imap.wire.start_tls(&server.certificate()).expect("a handshake");
    imap.response();
    let bound = Client::new(&user, "p=tls-exporter,,", &imap.wire.exporter().expect("TLS"));
    assert!(imap_login(&mut imap, "SCRAM-SHA-256-PLUS", &bound, PASSWORD));
}
