//! Packets: four octets of length in network order, a code, and what it carries.

/// One packet, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Which command or reply.
    pub code: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Why what came is no packet, or none that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Without a code.
    #[error("a packet of no octets")]
    Empty,
    /// Longer than any packet may be.
    #[error("a packet of {0} octets")]
    TooLong(u32),
    /// A code that the protocol does not have.
    #[error("a packet of the unknown kind {}", .0.escape_ascii())]
    Unknown(u8),
    /// A known code, which carries something else than it must.
    #[error("a packet of kind {} that cannot be read", .0.escape_ascii())]
    Malformed(u8),
}

/// Reads packets from octets that come in pieces of any size. Holds no more than has come.
#[derive(Debug, Default)]
pub struct PacketReader {
    /// The start of the packet that is not complete, its length included.
    octets: Vec<u8>,
}

impl PacketReader {
    /// Takes octets up to the end of a packet; says how many, and gives the packet if it is whole. After an error the
    /// reader is of no use.
    pub fn push(&mut self, octets: &[u8]) -> (usize, Result<Option<Packet>, PacketError>) {
        let in_length = self.take(octets, LENGTH);
        let Some(length) = self.octets.first_chunk::<LENGTH>() else { return (in_length, Ok(None)) };
        let length = u32::from_be_bytes(*length);
        let whole = match usize::try_from(length) {
            Ok(0) => return (in_length, Err(PacketError::Empty)),
            Ok(length) if length <= MAX_PACKET => length.saturating_add(LENGTH),
            _ => return (in_length, Err(PacketError::TooLong(length))),
        };
        let rest = octets.get(in_length..).unwrap_or_default();
        let taken = in_length.saturating_add(self.take(rest, whole));
        if self.octets.len() < whole {
            return (taken, Ok(None));
        }
        let octets = std::mem::take(&mut self.octets);
        let packet = match octets.get(LENGTH..) {
            Some([code, payload @ ..]) => Packet { code: *code, payload: payload.to_vec() },
            _ => return (taken, Err(PacketError::Empty)),
        };
        (taken, Ok(Some(packet)))
    }

    /// True if nothing of a packet has come.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Takes octets until there are `upto`; says how many.
    fn take(&mut self, octets: &[u8], upto: usize) -> usize {
        let taken = upto.saturating_sub(self.octets.len()).min(octets.len());
        self.octets.extend_from_slice(octets.get(..taken).unwrap_or_default());
        taken
    }
}

/// Appends a packet to `out`; `payload` writes what it carries.
pub(super) fn write(code: u8, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    out.push(code);
    payload(out);
    // What is sent is cut long before a length of 32 bits could overflow.
    let length = u32::try_from(out.len().saturating_sub(start).saturating_sub(LENGTH)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..).and_then(|packet| packet.first_chunk_mut::<LENGTH>()) {
        *place = length.to_be_bytes();
    }
}

/// Octets of a packet at most, its code included: the largest size that filters can agree on with a server
/// (`SMFIP_MDS_1M`), although this one does not offer it.
pub const MAX_PACKET: usize = 1 << 20;

/// Octets of the length.
const LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_whole() {
        let mut reader = PacketReader::default();
        assert_eq!(reader.push(b"\0\0\0\x01"), (4, Ok(None)));
        assert!(!reader.is_empty());
        assert_eq!(reader.push(b"c\0\0"), (1, Ok(Some(Packet { code: b'c', payload: vec![] }))));
        assert!(reader.is_empty());
        let packet = Packet { code: b'y', payload: b"550\0".to_vec() };
        assert_eq!(reader.push(b"\0\0\0\x05y550\0rest"), (9, Ok(Some(packet))));
    }

    #[test]
    fn lengths_that_no_packet_has() {
        for (case, octets, want) in [
            ("none", &b"\0\0\0\0c"[..], PacketError::Empty),
            ("one more than allowed", b"\0\x10\0\x01b", PacketError::TooLong(0x10_0001)),
            ("all ones", b"\xff\xff\xff\xff", PacketError::TooLong(u32::MAX)),
            ("text", b"HTTP/1.1", PacketError::TooLong(0x4854_5450)),
        ] {
            assert_eq!(PacketReader::default().push(octets).1, Err(want), "{case}");
        }
    }
}
