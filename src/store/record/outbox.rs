//! Of an event that a subscriber has still to be told of; subscriber and id are in the key.

use super::codec::{Decoder, Encoder};
use super::{Error, VERSION};
use crate::mail::{EventId, EventKind};
use crate::store::{OutboxRow, OutboxSource};

/// The value.
pub fn encode_outbox(row: &OutboxRow) -> Vec<u8> {
    let mut out = Encoder::sized(VERSION, 27);
    out.octets.push(row.kind as u8);
    out.blob(row.transaction);
    match row.source {
        OutboxSource::Message => out.octets.push(b'm'),
        OutboxSource::Event(event) => {
            out.octets.push(b'e');
            out.blob(event);
        }
        OutboxSource::Delivery(account) => {
            out.octets.push(b'd');
            out.number(account.number().into());
        }
    }
    out.octets
}

/// Inverse of [`encode_outbox`].
pub fn decode_outbox(id: EventId, value: &[u8]) -> Result<OutboxRow, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let kind = EventKind::of_number(input.octet()?).ok_or(Error::Corrupt)?;
    let transaction = input.blob()?;
    let source = match input.octet()? {
        b'm' => OutboxSource::Message,
        b'e' => OutboxSource::Event(input.blob()?),
        b'd' => OutboxSource::Delivery(input.account()?),
        _ => return Err(Error::Corrupt),
    };
    input.end(OutboxRow { id, kind, transaction, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{AccountId, BlobId};

    #[test]
    fn rows_round_trip_and_the_first_version_stays_readable() {
        let id = EventId::from_octets([7; 12]);
        for (source, stored) in [
            (OutboxSource::Message, [&[1, 5][..], &[3; 12], b"m"].concat()),
            (OutboxSource::Event(BlobId::from_octets([4; 12])), [&[1, 5][..], &[3; 12], b"e", &[4; 12]].concat()),
            (OutboxSource::Delivery(AccountId::new(9).unwrap()), [&[1, 5][..], &[3; 12], b"d\x09"].concat()),
        ] {
            let row = OutboxRow { id, kind: EventKind::Relayed, transaction: BlobId::from_octets([3; 12]), source };
            assert_eq!(encode_outbox(&row), stored);
            assert_eq!(decode_outbox(id, &stored), Ok(row));
            assert_eq!(decode_outbox(id, &stored[..stored.len() - 1]), Err(Error::Corrupt));
        }
    }
}
