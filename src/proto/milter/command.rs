//! What the server sends (`SMFIC_*`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::Options;
use super::packet::{self, Packet, PacketError};
use super::text::{only_string, push_string, push_strings, string, strings};

/// A command. Strings have no NUL; a command that is written with one has a space in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What the server offers.
    Negotiate(Options),
    /// What is known by now, for the command of this code, which comes next.
    Macros {
        /// The code of that command.
        code: u8,
        /// Name and value of each.
        values: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// A client has connected.
    Connect {
        /// Its name, or its address in brackets.
        hostname: Vec<u8>,
        /// From where.
        client: Client,
    },
    /// EHLO or HELO.
    Helo(Vec<u8>),
    /// MAIL.
    Mail {
        /// The reverse-path with its angle brackets.
        path: Vec<u8>,
        /// Each parameter.
        parameters: Vec<Vec<u8>>,
    },
    /// RCPT.
    Rcpt {
        /// The forward-path with its angle brackets.
        path: Vec<u8>,
        /// Each parameter.
        parameters: Vec<Vec<u8>>,
    },
    /// DATA.
    Data,
    /// One field of the header.
    Header {
        /// Its name.
        name: Vec<u8>,
        /// Its value, lines separated by LF.
        value: Vec<u8>,
    },
    /// There are no more fields.
    EndOfHeader,
    /// A piece of the body.
    Body(Vec<u8>),
    /// There is no more, but for this piece of the body.
    EndOfMessage(Vec<u8>),
    /// The transaction is over.
    Abort,
    /// The connection is over.
    Quit,
    /// The session is over; another follows on this connection (`SMFIC_QUIT_NC`).
    QuitAndStay,
    /// A command of SMTP that is not known.
    Unknown(Vec<u8>),
}

/// From where a client has connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// Not known, or nothing that has an address.
    Unknown,
    /// A Unix socket.
    Unix(Vec<u8>),
    /// Address and port.
    Ip(IpAddr, u16),
}

impl Command {
    /// Its code.
    pub const fn code(&self) -> u8 {
        match self {
            Command::Negotiate(_) => b'O',
            Command::Macros { .. } => b'D',
            Command::Connect { .. } => b'C',
            Command::Helo(_) => b'H',
            Command::Mail { .. } => b'M',
            Command::Rcpt { .. } => b'R',
            Command::Data => b'T',
            Command::Header { .. } => b'L',
            Command::EndOfHeader => b'N',
            Command::Body(_) => b'B',
            Command::EndOfMessage(_) => b'E',
            Command::Abort => b'A',
            Command::Quit => b'Q',
            Command::QuitAndStay => b'K',
            Command::Unknown(_) => b'U',
        }
    }

    /// The wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        packet::write(self.code(), out, |out| match self {
            Command::Negotiate(options) => options.encode(out),
            Command::Macros { code, values } => {
                out.push(*code);
                push_strings(values.iter().flat_map(|(name, value)| [name, value]), out);
            }
            Command::Connect { hostname, client } => {
                push_string(hostname, out);
                client.encode(out);
            }
            Command::Helo(text) | Command::Unknown(text) => push_string(text, out),
            Command::Mail { path, parameters } | Command::Rcpt { path, parameters } => {
                push_strings([path].into_iter().chain(parameters), out);
            }
            Command::Header { name, value } => push_strings([name, value], out),
            Command::Body(octets) | Command::EndOfMessage(octets) => out.extend_from_slice(octets),
            Command::Data | Command::EndOfHeader | Command::Abort | Command::Quit | Command::QuitAndStay => {}
        });
    }

    /// Reads it back.
    pub fn parse(packet: &Packet) -> Result<Self, PacketError> {
        if !CODES.contains(&packet.code) {
            return Err(PacketError::Unknown(packet.code));
        }
        read(packet.code, &packet.payload).ok_or(PacketError::Malformed(packet.code))
    }
}

fn read(code: u8, octets: &[u8]) -> Option<Command> {
    let alone = |command: Command| octets.is_empty().then_some(command);
    match code {
        b'O' => Options::parse(octets).map(Command::Negotiate),
        b'D' => macros(octets),
        b'C' => {
            let (hostname, rest) = string(octets)?;
            Some(Command::Connect { hostname: hostname.to_vec(), client: Client::parse(rest)? })
        }
        b'H' => only_string(octets).map(Command::Helo),
        b'U' => only_string(octets).map(Command::Unknown),
        b'M' => path(octets).map(|(path, parameters)| Command::Mail { path, parameters }),
        b'R' => path(octets).map(|(path, parameters)| Command::Rcpt { path, parameters }),
        b'L' => super::text::pair(octets).map(|(name, value)| Command::Header { name, value }),
        b'B' => Some(Command::Body(octets.to_vec())),
        b'E' => Some(Command::EndOfMessage(octets.to_vec())),
        b'T' => alone(Command::Data),
        b'N' => alone(Command::EndOfHeader),
        b'A' => alone(Command::Abort),
        b'Q' => alone(Command::Quit),
        b'K' => alone(Command::QuitAndStay),
        _ => None,
    }
}

fn macros(octets: &[u8]) -> Option<Command> {
    let (code, rest) = octets.split_first()?;
    let (mut values, mut all) = (Vec::new(), strings(rest)?.into_iter());
    while let Some(name) = all.next() {
        values.push((name, all.next()?));
    }
    Some(Command::Macros { code: *code, values })
}

/// A path and its parameters.
fn path(octets: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let (path, rest) = string(octets)?;
    Some((path.to_vec(), strings(rest)?))
}

impl Client {
    fn encode(&self, out: &mut Vec<u8>) {
        let (family, port, text) = match self {
            Client::Unknown => return out.push(b'U'),
            Client::Unix(path) => (b'L', 0, path.clone()),
            Client::Ip(ip @ IpAddr::V4(_), port) => (b'4', *port, ip.to_string().into()),
            Client::Ip(ip @ IpAddr::V6(_), port) => (b'6', *port, ip.to_string().into()),
        };
        out.push(family);
        out.extend_from_slice(&port.to_be_bytes());
        push_string(&text, out);
    }

    fn parse(octets: &[u8]) -> Option<Self> {
        let (family, rest) = octets.split_first()?;
        if *family == b'U' {
            return rest.is_empty().then_some(Client::Unknown);
        }
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (port, text) = (u16::from_be_bytes(*port), only_string(rest)?);
        let address = || std::str::from_utf8(&text).ok();
        match family {
            b'L' => Some(Client::Unix(text)),
            b'4' => Some(Client::Ip(address()?.parse::<Ipv4Addr>().ok()?.into(), port)),
            b'6' => Some(Client::Ip(address()?.parse::<Ipv6Addr>().ok()?.into(), port)),
            _ => None,
        }
    }
}

const CODES: &[u8] = b"ODCHMRTLNBEAQKU";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Actions, PacketReader, Steps};
    use super::*;

    fn wire(command: &Command) -> Vec<u8> {
        let mut out = Vec::new();
        command.encode(&mut out);
        out
    }

    fn read_back(octets: &[u8]) -> Command {
        let (taken, packet) = PacketReader::default().push(octets);
        assert_eq!(taken, octets.len());
        Command::parse(&packet.unwrap().unwrap()).unwrap()
    }

    #[test]
    fn wire_form() {
        let offer = Options { version: 6, actions: Actions::ALL, steps: Steps::SKIP, macros: vec![] };
        for (command, want) in [
            (Command::Negotiate(offer), &b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\0\x04\0"[..]),
            (
                Command::Macros { code: b'C', values: vec![(b"j".into(), b"mx.corp.test".into())] },
                b"\0\0\0\x11DCj\0mx.corp.test\0",
            ),
            (
                Command::Connect {
                    hostname: b"[192.0.2.1]".into(),
                    client: Client::Ip(Ipv4Addr::new(192, 0, 2, 1).into(), 25),
                },
                b"\0\0\0\x1aC[192.0.2.1]\x004\0\x19192.0.2.1\0",
            ),
            (
                Command::Connect { hostname: b"h".into(), client: Client::Ip(Ipv6Addr::LOCALHOST.into(), 258) },
                b"\0\0\0\x0aCh\x006\x01\x02::1\0",
            ),
            (Command::Connect { hostname: b"h".into(), client: Client::Unknown }, b"\0\0\0\x04Ch\0U"),
            (
                Command::Connect { hostname: b"h".into(), client: Client::Unix(b"/s".into()) },
                b"\0\0\0\x09Ch\0L\0\0/s\0",
            ),
            (Command::Helo(b"mx.test".into()), b"\0\0\0\x09Hmx.test\0"),
            (
                Command::Mail { path: b"<a@b.test>".into(), parameters: vec![b"SIZE=1".into(), b"RET=HDRS".into()] },
                b"\0\0\0\x1cM<a@b.test>\0SIZE=1\0RET=HDRS\0",
            ),
            (Command::Rcpt { path: b"<postmaster>".into(), parameters: vec![] }, b"\0\0\0\x0eR<postmaster>\0"),
            (Command::Data, b"\0\0\0\x01T"),
            (Command::Header { name: b"To".into(), value: b" a,\n b".into() }, b"\0\0\0\x0bLTo\0 a,\n b\0"),
            (Command::EndOfHeader, b"\0\0\0\x01N"),
            (Command::Body(b"a\0b".into()), b"\0\0\0\x04Ba\0b"),
            (Command::EndOfMessage(vec![]), b"\0\0\0\x01E"),
            (Command::Abort, b"\0\0\0\x01A"),
            (Command::Quit, b"\0\0\0\x01Q"),
            (Command::QuitAndStay, b"\0\0\0\x01K"),
            (Command::Unknown(b"NOPE".into()), b"\0\0\0\x06UNOPE\0"),
        ] {
            let octets = wire(&command);
            assert_eq!(octets, want, "{}", octets.escape_ascii());
            assert_eq!(read_back(&octets), command);
        }
    }

    #[test]
    fn a_nul_ends_nothing() {
        let command = Command::Header { name: b"Subject".into(), value: b"a\0L".into() };
        assert_eq!(read_back(&wire(&command)), Command::Header { name: b"Subject".into(), value: b"a L".into() });
    }

    #[test]
    fn what_is_no_command() {
        let parse = |code: u8, payload: &[u8]| Command::parse(&Packet { code, payload: payload.to_vec() });
        assert_eq!(parse(b'c', b""), Err(PacketError::Unknown(b'c')));
        for (code, payload) in [
            (b'O', &b"\0\0\0\x06"[..]),
            (b'D', b""),
            (b'D', b"Cj\0"),
            (b'C', b"h\0"),
            (b'C', b"h\x004\0\x19no address\0"),
            (b'C', b"h\x004\0\x19::1\0"),
            (b'C', b"h\0U\0"),
            (b'H', b"no end"),
            (b'H', b"two\0strings\0"),
            (b'M', b""),
            (b'L', b"name\0"),
            (b'Q', b"x"),
        ] {
            assert_eq!(parse(code, payload), Err(PacketError::Malformed(code)), "{}", payload.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn round_trip(command in command()) {
            prop_assert_eq!(read_back(&wire(&command)), command);
        }
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1u8..=255, 0..20)
    }

    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(text(), 0..4)
    }

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            (any::<u8>(), proptest::collection::vec((text(), text()), 0..4))
                .prop_map(|(code, values)| Command::Macros { code, values }),
            (text(), any::<IpAddr>(), any::<u16>())
                .prop_map(|(hostname, ip, port)| Command::Connect { hostname, client: Client::Ip(ip, port) }),
            text().prop_map(Command::Helo),
            (text(), texts()).prop_map(|(path, parameters)| Command::Mail { path, parameters }),
            (text(), texts()).prop_map(|(path, parameters)| Command::Rcpt { path, parameters }),
            (text(), text()).prop_map(|(name, value)| Command::Header { name, value }),
            any::<Vec<u8>>().prop_map(Command::Body),
            any::<Vec<u8>>().prop_map(Command::EndOfMessage),
            text().prop_map(Command::Unknown),
        ]
    }
}
