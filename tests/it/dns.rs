//! A DNS of a test's own: a name server on a loopback port, for UDP and TCP, whose zone the test changes while it runs.
//! What it does not hold does not exist. Every TTL is zero, so that no answer outlives a change.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TLSA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

#[path = "dns_signing.rs"]
mod signing;
use signing::Signing;

/// The server; it ends with the process.
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Zone>,
}

/// What it answers.
#[derive(Default)]
struct Zone {
    names: Mutex<BTreeMap<String, Answer>>,
    questions: AtomicU32,
    signing: Mutex<Option<Signing>>,
}

/// What is answered for a name.
#[derive(Clone)]
enum Answer {
    Records(Vec<RData>),
    Failure(ResponseCode),
    Silence,
    Garbage,
    /// An alias of a name that is an alias again, without end.
    EndlessAlias,
}

impl DnsServer {
    pub fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
            let address = udp.local_addr().expect("an address");
            // The same port for both, which somebody else may have.
            if let Ok(tcp) = TcpListener::bind(address) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("an address");
        let zone = Arc::new(Zone::default());
        let of_udp = zone.clone();
        std::thread::spawn(move || of_udp.serve_udp(&udp));
        let of_tcp = zone.clone();
        std::thread::spawn(move || of_tcp.serve_tcp(&tcp));
        Self { address, zone }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As TOML, for the configuration of a server under test.
    #[allow(dead_code, reason = "not every test that shares this file starts a server")]
    pub fn config(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\ntimeout = \"1 s\"\n\n", self.address)
    }

    /// How many questions have come.
    pub fn questions(&self) -> u32 {
        self.zone.questions.load(Ordering::SeqCst)
    }

    /// Adds a TXT record; long text is split into strings of 255 octets.
    pub fn txt(&self, name: &str, text: &str) -> &Self {
        let strings: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
        self.add(name, RData::TXT(TXT::from_bytes(strings)))
    }

    /// Adds an A or AAAA record.
    pub fn address_of(&self, name: &str, address: &str) -> &Self {
        let data = match address.parse().expect("an address") {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        self.add(name, data)
    }

    pub fn mx(&self, name: &str, preference: u16, exchange: &str) -> &Self {
        self.add(name, RData::MX(MX::new(preference, absolute(exchange))))
    }

    pub fn ptr(&self, address: &str, name: &str) -> &Self {
        let reverse = Name::from(address.parse::<IpAddr>().expect("an address"));
        self.add(&reverse.to_ascii(), RData::PTR(PTR(absolute(name))))
    }

    pub fn alias(&self, name: &str, target: &str) -> &Self {
        self.add(name, RData::CNAME(CNAME(absolute(target))))
    }

    pub fn tlsa(&self, name: &str, (usage, selector, matching): (u8, u8, u8), data: &[u8]) -> &Self {
        let (usage, selector) = (CertUsage::from(usage), Selector::from(selector));
        self.add(name, RData::TLSA(TLSA::new(usage, selector, Matching::from(matching), data.to_vec())))
    }

    /// Signs from now on, and gives the key as a validator reads it.
    pub fn sign(&self) -> String {
        let signing = Signing::new();
        let anchor = signing.anchor();
        *self.zone.signing.lock().expect("not poisoned") = Some(signing);
        anchor
    }

    /// A zone that is not signed.
    pub fn unsigned(&self, zone: &str) -> &Self {
        self.signing(|signing| signing.unsigned.push(absolute(zone)))
    }

    /// The records of this name are signed wrongly.
    pub fn signed_wrongly(&self, name: &str) -> &Self {
        self.signing(|signing| signing.wrong.push(absolute(name)))
    }

    /// The records of this name come without signatures, though its zone is signed.
    pub fn stripped(&self, name: &str) -> &Self {
        self.signing(|signing| signing.stripped.push(absolute(name)))
    }

    /// That this name is not there is said by another zone, which is not signed.
    pub fn denied_by(&self, name: &str, zone: &str) -> &Self {
        self.signing(|signing| signing.forged_denials.push((absolute(name), absolute(zone))))
    }

    fn signing(&self, change: impl FnOnce(&mut Signing)) -> &Self {
        change(self.zone.signing.lock().expect("not poisoned").as_mut().expect("a signed zone"));
        self
    }

    pub fn servfail(&self, name: &str) -> &Self {
        self.set(name, Answer::Failure(ResponseCode::ServFail))
    }

    pub fn silence(&self, name: &str) -> &Self {
        self.set(name, Answer::Silence)
    }

    pub fn garbage(&self, name: &str) -> &Self {
        self.set(name, Answer::Garbage)
    }

    pub fn endless_alias(&self, name: &str) -> &Self {
        self.set(name, Answer::EndlessAlias)
    }

    /// Forgets everything about a name.
    pub fn remove(&self, name: &str) -> &Self {
        self.zone.names.lock().expect("not poisoned").remove(&key(name));
        self
    }

    fn set(&self, name: &str, answer: Answer) -> &Self {
        self.zone.names.lock().expect("not poisoned").insert(key(name), answer);
        self
    }

    fn add(&self, name: &str, data: RData) -> &Self {
        let mut names = self.zone.names.lock().expect("not poisoned");
        match names.entry(key(name)).or_insert_with(|| Answer::Records(Vec::new())) {
            Answer::Records(records) => records.push(data),
            other => *other = Answer::Records(vec![data]),
        }
        drop(names);
        self
    }
}

impl Zone {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let Some(answer) = self.answer(&buffer[..length]) else { continue };
            // What does not fit is asked for again over TCP.
            let answer = if answer.len() > 1232 { truncated(&answer) } else { answer };
            let _ = socket.send_to(&answer, client);
        }
    }

    fn serve_tcp(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let zone = self.clone();
            std::thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                    if stream.read_exact(&mut question).is_err() {
                        return;
                    }
                    let Some(answer) = zone.answer(&question) else { continue };
                    let length = u16::try_from(answer.len()).expect("it fits");
                    let _ = stream.write_all(&[&length.to_be_bytes()[..], &answer].concat());
                }
            });
        }
    }

    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let request = Message::from_vec(question).ok()?;
        let query = request.queries.first()?.clone();
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.metadata.recursion_desired = true;
        response.metadata.recursion_available = true;
        response.add_query(query.clone());
        let name = query.name().to_lowercase().to_ascii();
        let answer = self.names.lock().expect("not poisoned").get(&key(&name)).cloned();
        match answer {
            Some(Answer::Silence) => return None,
            // The id is right, and the rest is not.
            Some(Answer::Garbage) => {
                return Some([&question[..2], &[0x81, 0x80, 0, 9, 0xff, 0xff], &[0xc0; 40]].concat());
            }
            Some(Answer::Failure(code)) => response.metadata.response_code = code,
            Some(Answer::EndlessAlias) => {
                let target = format!("x{}.{name}", self.questions.load(Ordering::SeqCst));
                let target = absolute(&target[target.len().saturating_sub(200)..]);
                let names = &mut self.names.lock().expect("not poisoned");
                names.insert(key(&target.to_ascii()), Answer::EndlessAlias);
                response.add_answer(Record::from_rdata(query.name().clone(), 0, RData::CNAME(CNAME(target))));
            }
            Some(Answer::Records(_)) => {
                let names = self.names.lock().expect("not poisoned");
                follow(&names, query.name().clone(), &query, &mut response);
            }
            None => response.metadata.response_code = ResponseCode::NXDomain,
        }
        self.sign(&request, &query, &mut response);
        Some(response.to_vec().expect("a message"))
    }

    /// For those who ask for it.
    fn sign(&self, request: &Message, query: &Query, response: &mut Message) {
        let signing = self.signing.lock().expect("not poisoned");
        let Some(signing) = signing.as_ref() else { return };
        let own = signing.own(query);
        if !own.is_empty() {
            response.metadata.response_code = ResponseCode::NoError;
            response.add_answers(own.into_iter().map(|data| Record::from_rdata(query.name().clone(), 0, data)));
        }
        let types = match self.names.lock().expect("not poisoned").get(&key(&query.name().to_lowercase().to_ascii())) {
            Some(Answer::Records(records)) => records.iter().map(RData::record_type).collect(),
            _ => Vec::new(),
        };
        if request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok) {
            signing.sign(query, &types, response);
        }
    }
}

/// The records of a name, those of its alias behind it.
fn follow(names: &BTreeMap<String, Answer>, mut name: Name, query: &Query, response: &mut Message) {
    for _ in 0..20 {
        let Some(Answer::Records(records)) = names.get(&key(&name.to_lowercase().to_ascii())) else { return };
        let mut next = None;
        for data in records {
            if data.record_type() == query.query_type() || data.record_type() == RecordType::CNAME {
                response.add_answer(Record::from_rdata(name.clone(), 0, data.clone()));
            }
            if let RData::CNAME(target) = data {
                next = Some(target.0.clone());
            }
        }
        match next {
            Some(target) => name = target,
            None => return,
        }
    }
}

fn truncated(answer: &[u8]) -> Vec<u8> {
    Message::from_vec(answer).expect("ours").truncate().to_vec().expect("a message")
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("a name");
    name.set_fqdn(true);
    name
}
