//! A row of a decision table (policy semantics §21) and what runs it: one transaction, the replies word for word, who
//! has the message afterwards by IMAP, by the trace and by a count of all entries, what waits in the queue, and which
//! notices the sender got.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::super::signer::{Key, Signer, key_name};
use super::super::smtp::{Smtp, dot_stuffed};
use super::acme::{Acme, CLIENT, full};
use super::{is_known_gap, replies};

/// What SPF says of the client for the domain of MAIL FROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spf {
    None,
    Pass,
    SoftFail,
    Fail,
    TempError,
}

/// Who opens the session.
#[derive(Clone, Copy, Debug)]
enum Session {
    Login(&'static str),
    /// The submission port, without AUTH.
    Anonymous,
    Host,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub id: &'static str,
    setup: String,
    session: Session,
    spf: Spf,
    signers: Vec<&'static str>,
    mail: String,
    mail_parameters: &'static str,
    mail_reply: &'static str,
    from: Option<String>,
    to: Option<String>,
    subject: String,
    header: String,
    body: String,
    recipients: Vec<(String, &'static str)>,
    end: &'static str,
    got: Vec<&'static str>,
    reported: Vec<&'static str>,
    out: Vec<(&'static str, &'static str)>,
    notices: Vec<Notice>,
    full: Vec<&'static str>,
    dsns_out: Vec<&'static str>,
    generated: usize,
}

/// A DSN in somebody's INBOX.
#[derive(Clone, Debug)]
struct Notice {
    to: &'static str,
    status: &'static str,
    has: &'static str,
    lacks: &'static str,
}

/// The reply at the end of data that names the message.
pub const ACCEPTED: &str = "250 2.0.0 Accepted <id>";
/// The same to a user of whose message a part is held.
pub const HELD: &str = "250 2.0.0 Accepted <id>, held for approval";
/// No recipient was accepted, so that there is no DATA.
const NO_DATA: &str = "";

/// A row in which the stranger of §2 writes from a host of whom the DNS knows nothing.
pub fn row(id: &'static str) -> Row {
    Row {
        id,
        setup: String::new(),
        session: Session::Host,
        spf: Spf::None,
        signers: Vec::new(),
        mail: "stranger@ext.test".to_owned(),
        mail_parameters: "",
        mail_reply: replies::MAIL_OK,
        from: None,
        to: None,
        subject: format!("row {id}"),
        header: String::new(),
        body: "Hello.\r\n".to_owned(),
        recipients: Vec::new(),
        end: NO_DATA,
        got: Vec::new(),
        reported: Vec::new(),
        out: Vec::new(),
        notices: Vec::new(),
        full: Vec::new(),
        dsns_out: Vec::new(),
        generated: 0,
    }
}

/// A row in which `user` of corp.test is logged in and writes under that address.
pub fn auth(id: &'static str, user: &'static str) -> Row {
    Row { session: Session::Login(user), mail: full(user), ..row(id) }
}

impl Row {
    /// What the row changes in the fixture, as TOML.
    pub fn setup(mut self, toml: &str) -> Self {
        self.setup.push_str(toml);
        self
    }

    /// A session on the submission port without a login.
    pub fn anonymous(mut self) -> Self {
        self.session = Session::Anonymous;
        self
    }

    /// MAIL FROM, and From unless that is said too.
    pub fn mail(mut self, address: &str) -> Self {
        self.mail = full(address);
        self
    }

    pub fn mail_parameters(mut self, parameters: &'static str) -> Self {
        self.mail_parameters = parameters;
        self
    }

    /// The reply to MAIL, if it is not ok.
    pub fn mail_reply(mut self, reply: &'static str) -> Self {
        self.mail_reply = reply;
        self
    }

    pub fn spf(mut self, spf: Spf) -> Self {
        self.spf = spf;
        self
    }

    /// A DKIM signature of this domain that verifies.
    pub fn signed(mut self, domain: &'static str) -> Self {
        self.signers.push(domain);
        self
    }

    /// The From field.
    pub fn from(mut self, value: &str) -> Self {
        self.from = Some(value.to_owned());
        self
    }

    /// The To field; the first recipient otherwise.
    pub fn to(mut self, value: &str) -> Self {
        self.to = Some(value.to_owned());
        self
    }

    pub fn subject(mut self, value: &str) -> Self {
        self.subject = value.to_owned();
        self
    }

    /// Further header fields, each with its CRLF.
    pub fn header(mut self, fields: &str) -> Self {
        self.header.push_str(fields);
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// A recipient and the reply to it.
    pub fn rcpt(mut self, address: &str, reply: &'static str) -> Self {
        if reply == replies::OK && self.end == NO_DATA {
            self.end = ACCEPTED;
        }
        let bracketed = if address.starts_with('<') { address.to_owned() } else { format!("<{}>", full(address)) };
        self.recipients.push((bracketed, reply));
        self
    }

    /// The reply at the end of data.
    pub fn end(mut self, reply: &'static str) -> Self {
        self.end = reply;
        self
    }

    /// Who has the message afterwards, each once, and nobody else: `alice`, or `erin:Folder`.
    pub fn got(mut self, accounts: &[&'static str]) -> Self {
        self.got = accounts.to_vec();
        self
    }

    /// Who has a report of the message, each once: `erin:Folder`.
    pub fn reported(mut self, accounts: &[&'static str]) -> Self {
        self.reported = accounts.to_vec();
        self
    }

    /// A copy that waits for another host: recipient and how its reverse-path starts.
    pub fn out(mut self, recipient: &'static str, reverse_path: &'static str) -> Self {
        self.out.push((recipient, reverse_path));
        self
    }

    /// A copy that waits until there is room for it here.
    pub fn waits(mut self, recipient: &'static str) -> Self {
        self.full.push(recipient);
        self
    }

    /// A DSN of this status for an account here; it names `has`, and does not name `lacks`.
    pub fn notice(mut self, to: &'static str, status: &'static str, has: &'static str, lacks: &'static str) -> Self {
        self.notices.push(Notice { to, status, has, lacks });
        self
    }

    /// A message of this server from the null reverse-path waits for somebody elsewhere.
    pub fn dsn_out(mut self, to: &'static str) -> Self {
        self.dsns_out.push(to);
        self
    }

    /// Messages to accounts here that this server makes beside the notices named.
    pub fn generated(mut self, count: usize) -> Self {
        self.generated = count;
        self
    }
}

/// What a row came to.
pub struct Outcome {
    /// The message's id in the store, if it was accepted.
    pub message: Option<String>,
    /// A text that this message and notices about it have, and no other.
    pub nonce: String,
    /// What was not as the row says.
    pub faults: Vec<String>,
}

/// Runs a table; every row that is not as it says is named.
pub fn run(acme: &mut Acme, rows: Vec<Row>) {
    let mut failed = Vec::new();
    for row in rows {
        let faults = play(acme, &row).faults;
        match (faults.is_empty(), is_known_gap(row.id)) {
            (true, true) => failed.push(format!("{}: passes, take it off the list of gaps", row.id)),
            (false, false) => failed.push(format!("{}: {}", row.id, faults.join("\n     "))),
            (true, false) | (false, true) => {}
        }
    }
    assert!(failed.is_empty(), "{} rows:\n{}", failed.len(), failed.join("\n"));
}

/// Runs one row, with the fixture as it was afterwards.
pub fn play(acme: &mut Acme, row: &Row) -> Outcome {
    if !row.setup.is_empty() {
        acme.apply(&row.setup);
    }
    let outcome = keep(acme, row);
    if !row.setup.is_empty() {
        acme.reset();
    }
    outcome
}

/// Runs one row and leaves what its setup has changed.
pub fn keep(acme: &mut Acme, row: &Row) -> Outcome {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nonce = format!("{}.{}@rows.test", row.id, NEXT.fetch_add(1, Ordering::Relaxed));
    let before = (acme.entries(), from_nobody(acme));
    publish(acme, row);
    let mut faults = Vec::new();
    let message = converse(acme, row, &nonce, &mut faults);
    check_copies(acme, row, message.as_deref(), &nonce, before.0, &mut faults);
    let mut wanted = before.1;
    wanted.extend(row.dsns_out.iter().map(|to| (*to).to_owned()));
    wanted.extend(row.out.iter().filter(|(_, from)| from.is_empty()).map(|(to, _)| (*to).to_owned()));
    wanted.sort();
    let queued = from_nobody(acme);
    if queued != wanted {
        faults.push(format!("queue of the null reverse-path: expected {wanted:?}, got {queued:?}"));
    }
    for signer in &row.signers {
        acme.dns.remove(&key_name(signer, Key::Ed25519));
    }
    if let Some(domain) = domain(&row.mail) {
        acme.publish(domain, None);
    }
    Outcome { message, nonce, faults }
}

fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

fn publish(acme: &Acme, row: &Row) {
    let Some(domain) = domain(&row.mail) else { return };
    match row.spf {
        Spf::None => acme.publish(domain, None),
        Spf::Pass => acme.publish(domain, Some(&format!("v=spf1 ip4:{CLIENT} -all"))),
        Spf::SoftFail => acme.publish(domain, Some("v=spf1 ~all")),
        Spf::Fail => acme.publish(domain, Some("v=spf1 -all")),
        Spf::TempError => drop(acme.dns.servfail(domain)),
    }
}

/// The transaction; the id of the message if it was accepted.
fn converse(acme: &Acme, row: &Row, nonce: &str, faults: &mut Vec<String>) -> Option<String> {
    let mut expect = |at: &str, reply: String, wanted: &str| {
        if reply != wanted {
            faults.push(format!("{at}: expected {wanted}, got {reply}"));
        }
    };
    let mut smtp = match row.session {
        Session::Login(user) => acme.login(user),
        Session::Anonymous => Smtp::open(acme.server.address("submission")),
        Session::Host => acme.host(CLIENT),
    };
    let reply = say(&mut smtp, &format!("MAIL FROM:<{}>{}", row.mail, row.mail_parameters));
    let is_open = reply.starts_with("250");
    expect("MAIL", reply, row.mail_reply);
    if !is_open {
        return None;
    }
    for (address, wanted) in &row.recipients {
        expect(address, say(&mut smtp, &format!("RCPT TO:{address}")), wanted);
    }
    let reply = say(&mut smtp, "DATA");
    if !reply.starts_with("354") {
        expect("DATA", String::new(), row.end);
        return None;
    }
    smtp.wire.send(&dot_stuffed(&message(acme, row, nonce)));
    let reply = text(&mut smtp);
    let id = reply.strip_prefix("250 2.0.0 Accepted ").map(|rest| rest.split([',', ' ']).next().unwrap_or(rest));
    let id = id.map(str::to_owned);
    let shown = id.as_ref().map_or_else(|| reply.clone(), |id| reply.replace(id, "<id>"));
    expect("end of data", shown, row.end);
    id
}

fn message(acme: &Acme, row: &Row, nonce: &str) -> Vec<u8> {
    let from = row.from.clone().unwrap_or_else(|| match (row.mail.as_str(), &row.session) {
        ("", Session::Login(user)) => full(user),
        ("", _) => "daemon@ext.test".to_owned(),
        (mail, _) => mail.to_owned(),
    });
    // A row without an author says so by an empty From.
    let from = if from.is_empty() { from } else { format!("From: {from}\r\n") };
    let to = row.to.clone().or_else(|| row.recipients.first().map(|(address, _)| address.clone())).unwrap_or_default();
    let message = format!(
        "{from}To: {to}\r\nSubject: {}\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\nMessage-ID: \
         <{nonce}>\r\n{}\r\n{}",
        row.subject, row.header, row.body
    );
    let sign = |message: Vec<u8>, domain: &&str| Signer::new(&acme.dns, domain, Key::Ed25519).sign(&message);
    row.signers.iter().fold(message.into_bytes(), sign)
}

/// A command and its reply as one line.
pub fn say(smtp: &mut Smtp, command: &str) -> String {
    smtp.wire.send(format!("{command}\r\n").as_bytes());
    text(smtp)
}

pub fn text(smtp: &mut Smtp) -> String {
    let reply = smtp.reply();
    format!("{} {}", reply.code, reply.lines.join(" | "))
}

/// Who has it: by the trace all and nobody else, by IMAP whoever can log in, by the count nobody beyond.
fn check_copies(acme: &mut Acme, row: &Row, message: Option<&str>, nonce: &str, before: u64, faults: &mut Vec<String>) {
    if let Some(id) = message {
        let mut traced = deliveries(acme, id);
        // What shows it to those who decide is no delivery.
        let delivered = row.got.iter().filter(|name| !name.ends_with(":Approvals")).chain(&row.reported);
        let mut wanted: Vec<String> = delivered.map(|name| (*name).to_owned()).collect();
        traced.sort();
        wanted.sort();
        if traced != wanted {
            faults.push(format!("trace: expected {wanted:?}, got {traced:?}"));
        }
        check_queue(acme, row, id, faults);
    }
    for name in &row.got {
        let (user, folder) = name.split_once(':').unwrap_or((name, "INBOX"));
        if CLOSED.contains(&user) {
            continue;
        }
        let text = format!("Message-ID: <{nonce}>");
        let found = acme.find(user, folder, nonce);
        let whole: Vec<String> = found.iter().map(|uid| acme.fetch(user, *uid)).collect();
        let copies = whole.iter().filter(|m| header(m).contains(&text)).count();
        if copies != 1 {
            faults.push(format!("IMAP: {copies} copies in {name}"));
        }
    }
    for notice in &row.notices {
        check_notice(acme, notice, nonce, faults);
    }
    let grown = acme.entries().wrapping_sub(before);
    let wanted = (row.got.len() + row.reported.len() + row.notices.len() + row.generated) as u64;
    if grown != wanted {
        faults.push(format!("entries: expected {wanted} more, got {grown}"));
    }
}

/// The deliveries of a message as the trace has them: `alice`, or `erin:Folder`.
pub fn deliveries(acme: &Acme, id: &str) -> Vec<String> {
    let trace = acme.get(&format!("/trace/{id}"));
    let items = trace["deliveries"].as_array().cloned().unwrap_or_default();
    items.iter().filter(|d| d["state"] == "delivered").map(delivery).collect()
}

fn delivery(delivery: &Value) -> String {
    let account = delivery["account"].as_str().unwrap_or_default();
    let account = account.strip_suffix("@corp.test").unwrap_or(account);
    match delivery["folder"].as_str() {
        Some("INBOX") => account.to_owned(),
        folder => format!("{account}:{}", folder.unwrap_or("?")),
    }
}

fn check_queue(acme: &Acme, row: &Row, id: &str, faults: &mut Vec<String>) {
    let queue = queued(acme, id);
    let wanted: Vec<(&str, &str)> = row.out.iter().copied().chain(row.full.iter().map(|to| (*to, ""))).collect();
    let agrees = |(recipient, reverse_path): &(&str, &str)| {
        let is_it = |(to, from): &&(String, String)| {
            to == recipient && if reverse_path.is_empty() { from.is_empty() } else { from.starts_with(reverse_path) }
        };
        queue.iter().filter(is_it).count() == 1
    };
    if queue.len() != wanted.len() || !wanted.iter().all(agrees) {
        faults.push(format!("queue: expected {wanted:?}, got {queue:?}"));
    }
}

/// What waits of a message: recipient and reverse-path.
pub fn queued(acme: &Acme, id: &str) -> Vec<(String, String)> {
    let queue = acme.get("/queue");
    let items = queue["items"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = items.iter().filter(|item| item["message"] == id);
    items.map(|item| (text(&item["recipient"]), text(&item["reverse_path"]))).collect()
}

/// To whom messages from the null reverse-path wait.
fn from_nobody(acme: &Acme) -> Vec<String> {
    let queue = acme.get("/queue");
    let items = queue["items"].as_array().cloned().unwrap_or_default();
    let items = items.iter().filter(|item| item["reverse_path"] == "" && item["kind"] == "remote");
    let mut recipients: Vec<String> =
        items.map(|item| item["recipient"].as_str().unwrap_or_default().to_owned()).collect();
    recipients.sort();
    recipients
}

fn check_notice(acme: &mut Acme, notice: &Notice, nonce: &str, faults: &mut Vec<String>) {
    let found = acme.find(notice.to, "INBOX", nonce);
    let whole: Vec<String> = found.iter().map(|uid| acme.fetch(notice.to, *uid)).collect();
    let dsns: Vec<&String> = whole.iter().filter(|m| header(m).contains("report-type=delivery-status")).collect();
    let status = format!("Status: {}\r\n", notice.status);
    match dsns.as_slice() {
        [dsn] if !dsn.contains(&status) => faults.push(format!("notice: not of status {}: {dsn}", notice.status)),
        [dsn] if !dsn.contains(notice.has) => faults.push(format!("notice: does not name {}: {dsn}", notice.has)),
        [dsn] if !notice.lacks.is_empty() && dsn.contains(notice.lacks) => {
            faults.push(format!("notice: names {}: {dsn}", notice.lacks));
        }
        [_] => {}
        others => faults.push(format!("notice: {} in the INBOX of {}", others.len(), notice.to)),
    }
}

fn header(message: &str) -> &str {
    message.split("\r\n\r\n").next().unwrap_or(message)
}

/// Accounts of the fixture to which nobody can log in: what they have, the trace and the count tell.
const CLOSED: [&str; 2] = ["frank", "support"];
