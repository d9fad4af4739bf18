//! The PROXY protocol, versions 1 and 2: what a load balancer says about the client, before the client's first octet.
//!
//! Only senders that the listener names are believed, and those must send a header. TLVs are skipped.
//! Deviation: a version 2 header of more than 4 KiB is refused (the format allows 64 KiB).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Connection, ReadError};

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// The client's address, and the one it connected to.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// What it connected to.
        destination: SocketAddr,
    },
    /// Nothing about a client (LOCAL, UNKNOWN, an address family that is not IP): the socket's addresses hold.
    Local,
}

/// Not a header of either version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no valid PROXY protocol header")]
pub struct Invalid;

/// Reads a header at the start of `octets`: with its length, or `None` while it is incomplete.
pub fn parse(octets: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    if octets.starts_with(V2_SIGNATURE) {
        return parse_v2(octets);
    }
    if octets.starts_with(V1_SIGNATURE) {
        return parse_v1(octets);
    }
    if V1_SIGNATURE.starts_with(octets) || V2_SIGNATURE.starts_with(octets) { Ok(None) } else { Err(Invalid) }
}

fn parse_v1(octets: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    let window = octets.get(..V1_MAX).unwrap_or(octets);
    let Some(end) = memchr::memmem::find(window, b"\r\n") else {
        return if window.len() < V1_MAX { Ok(None) } else { Err(Invalid) };
    };
    let line = window.get(..end).ok_or(Invalid)?;
    let text = std::str::from_utf8(line).map_err(|_| Invalid)?;
    let header = match text.split(' ').collect::<Vec<_>>()[..] {
        ["PROXY", "UNKNOWN", ..] => Header::Local,
        ["PROXY", "TCP4", source, destination, from, to] => proxied::<Ipv4Addr>((source, from), (destination, to))?,
        ["PROXY", "TCP6", source, destination, from, to] => proxied::<Ipv6Addr>((source, from), (destination, to))?,
        _ => return Err(Invalid),
    };
    Ok(Some((header, end.saturating_add(2))))
}

fn proxied<A: std::str::FromStr + Into<IpAddr>>(
    source: (&str, &str),
    destination: (&str, &str),
) -> Result<Header, Invalid> {
    let socket = |(address, port): (&str, &str)| {
        let address: A = address.parse().map_err(|_| Invalid)?;
        if !port.bytes().all(|b| b.is_ascii_digit()) || (port.len() > 1 && port.starts_with('0')) {
            return Err(Invalid);
        }
        Ok(SocketAddr::new(address.into(), port.parse().map_err(|_| Invalid)?))
    };
    Ok(Header::Proxied { source: socket(source)?, destination: socket(destination)? })
}

fn parse_v2(octets: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    let Some((&[version_command, family, high, low], rest)) =
        octets.get(V2_SIGNATURE.len()..).and_then(<[u8]>::split_first_chunk)
    else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 || length > V2_MAX {
        return Err(Invalid);
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let header = match (version_command & 0x0f, family) {
        (0, _) => Header::Local,
        (1, 0x11) => {
            let (source, body) = body.split_first_chunk::<4>().ok_or(Invalid)?;
            let (destination, body) = body.split_first_chunk::<4>().ok_or(Invalid)?;
            with_ports((*source).into(), (*destination).into(), body)?
        }
        (1, 0x21) => {
            let (source, body) = body.split_first_chunk::<16>().ok_or(Invalid)?;
            let (destination, body) = body.split_first_chunk::<16>().ok_or(Invalid)?;
            with_ports((*source).into(), (*destination).into(), body)?
        }
        // Unspecified, datagrams, Unix sockets: nothing we could use, and no error.
        (1, _) => Header::Local,
        _ => return Err(Invalid),
    };
    Ok(Some((header, V2_SIGNATURE.len().saturating_add(4).saturating_add(length))))
}

fn with_ports(source: IpAddr, destination: IpAddr, body: &[u8]) -> Result<Header, Invalid> {
    let Some(&[a, b, c, d]) = body.first_chunk() else { return Err(Invalid) };
    Ok(Header::Proxied {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    })
}

/// Reads the header a listed sender must send, and nothing beyond it. An invalid one ends the connection.
pub(super) async fn receive(mut connection: Connection) -> Result<Connection, ReadError> {
    let stream = connection.plain_mut().ok_or(ReadError::Closed)?;
    let header = timeout(HEADER_TIME, read_header(stream)).await.map_err(|_| ReadError::TimedOut)??;
    Ok(match header {
        Header::Local => connection,
        Header::Proxied { source, destination } => connection.with_addresses(source, destination),
    })
}

/// Looks before it reads, so that what follows the header (perhaps a TLS handshake) stays in the socket.
async fn read_header(stream: &mut TcpStream) -> Result<Header, ReadError> {
    let mut octets = Vec::new();
    let mut window = vec![0; V2_MAX];
    loop {
        let before = octets.len();
        let seen = stream.peek(&mut window).await?;
        if seen == 0 {
            return Err(ReadError::Closed);
        }
        octets.extend_from_slice(window.get(..seen).unwrap_or_default());
        let parsed = parse(&octets).map_err(|Invalid| ReadError::Closed)?;
        // All that was seen belongs to the header, as long as it is incomplete.
        let end = parsed.map_or(octets.len(), |(_, length)| length);
        stream.read_exact(window.get_mut(..end.saturating_sub(before)).unwrap_or_default()).await?;
        if let Some((header, _)) = parsed {
            return Ok(header);
        }
    }
}

const V1_SIGNATURE: &[u8] = b"PROXY ";
/// The longest version 1 line, with its CRLF.
const V1_MAX: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_MAX: usize = 4 << 10;
const HEADER_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(source: &str, destination: &str) -> Header {
        Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut octets = V2_SIGNATURE.to_vec();
        octets.extend([version_command, family]);
        octets.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        octets.extend(body);
        octets
    }

    fn v2_body(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
        let mut body = Vec::new();
        for ip in [source.ip(), destination.ip()] {
            match ip {
                IpAddr::V4(ip) => body.extend(ip.octets()),
                IpAddr::V6(ip) => body.extend(ip.octets()),
            }
        }
        body.extend(source.port().to_be_bytes());
        body.extend(destination.port().to_be_bytes());
        body
    }

    #[test]
    fn version_1_table() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
        let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(108 - 16));
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\n", Ok(header("192.0.2.1:1234", "198.51.100.2:25"))),
            ("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", Ok(header("[2001:db8::1]:65535", "[::1]:0"))),
            ("PROXY UNKNOWN\r\n", Ok(Header::Local)),
            ("PROXY UNKNOWN ffff::1 x y z\r\n", Ok(Header::Local)),
            (&longest, Ok(Header::Local)),
            (&too_long, Err(Invalid)),
            ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", Err(Invalid)),
            ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Err(Invalid)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", Err(Invalid)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Err(Invalid)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Err(Invalid)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", Err(Invalid)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Err(Invalid)),
            ("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Err(Invalid)),
            ("PROXY TCP4 \u{ff}\r\n", Err(Invalid)),
            ("EHLO mail.example.test\r\n", Err(Invalid)),
            ("\r\n", Err(Invalid)),
        ] {
            let expected = expected.map(|header| Some((header, line.len())));
            let expected = if line == "\r\n" { Ok(None) } else { expected };
            assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn version_2_table() {
        let v4 = v2_body("192.0.2.1:1".parse().unwrap(), "192.0.2.2:25".parse().unwrap());
        let v6 = v2_body("[2001:db8::1]:1".parse().unwrap(), "[::1]:25".parse().unwrap());
        for (name, octets, expected) in [
            ("TCP over IPv4", v2(0x21, 0x11, &v4), Ok(header("192.0.2.1:1", "192.0.2.2:25"))),
            (
                "with TLVs",
                v2(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()),
                Ok(header("192.0.2.1:1", "192.0.2.2:25")),
            ),
            ("TCP over IPv6", v2(0x21, 0x21, &v6), Ok(header("[2001:db8::1]:1", "[::1]:25"))),
            ("LOCAL", v2(0x20, 0, &[]), Ok(Header::Local)),
            ("LOCAL with addresses", v2(0x20, 0x11, &v4), Ok(Header::Local)),
            ("unspecified", v2(0x21, 0, &[]), Ok(Header::Local)),
            ("Unix", v2(0x21, 0x31, &[0; 216]), Ok(Header::Local)),
            ("too short for its family", v2(0x21, 0x21, &v4), Err(Invalid)),
            ("without ports", v2(0x21, 0x11, &v4[..8]), Err(Invalid)),
            ("version 1 in binary", v2(0x11, 0x11, &v4), Err(Invalid)),
            ("unknown command", v2(0x22, 0x11, &v4), Err(Invalid)),
            ("too long", v2(0x21, 0x11, &[0; V2_MAX + 1]), Err(Invalid)),
        ] {
            assert_eq!(parse(&octets), expected.map(|header| Some((header, octets.len()))), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_answered(octets in proptest::collection::vec(any::<u8>(), 0..200), signed in 0_usize..3) {
            let signature = [b"".as_slice(), V1_SIGNATURE, V2_SIGNATURE][signed];
            let octets = [signature, octets.as_slice()].concat();
            if let Ok(Some((_, length))) = parse(&octets) {
                prop_assert!(length <= octets.len());
            }
        }

        #[test]
        fn a_header_is_found_however_it_is_cut(
            source: SocketAddr, destination: SocketAddr, version_2: bool, rest: Vec<u8>,
        ) {
            let same_family = source.is_ipv4() == destination.is_ipv4();
            let destination = if same_family { destination } else { source };
            let (family, name) = if source.is_ipv4() { (0x11, "TCP4") } else { (0x21, "TCP6") };
            let octets = if version_2 {
                v2(0x21, family, &v2_body(source, destination))
            } else {
                let (a, b) = (source.ip(), destination.ip());
                format!("PROXY {name} {a} {b} {} {}\r\n", source.port(), destination.port()).into_bytes()
            };
            for cut in 0..octets.len() {
                prop_assert_eq!(parse(&octets[..cut]), Ok(None), "cut at {}", cut);
            }
            let (source, destination) = (
                SocketAddr::new(source.ip(), source.port()),
                SocketAddr::new(destination.ip(), destination.port()),
            );
            let expected = Some((Header::Proxied { source, destination }, octets.len()));
            let followed = [octets.as_slice(), rest.as_slice()].concat();
            prop_assert_eq!(parse(&followed), Ok(expected));
        }
    }
}
