//! Of a message that is still to be made; what it follows and its own id are in the key.

use super::codec::{Decoder, Encoder};
use super::{Error, VERSION};
use crate::mail::HoldId;
use crate::store::{FollowUp, FollowUpKey};

/// The value.
pub fn encode_follow_up(row: &FollowUp) -> Vec<u8> {
    let mut out = Encoder::sized(VERSION, 32 + row.data.len());
    out.blob(row.blob);
    match row.hold {
        None => out.octets.push(0),
        Some(hold) => {
            out.octets.push(1);
            out.octets.extend_from_slice(hold.octets());
        }
    }
    out.time(row.created);
    out.slice(&row.data);
    out.octets
}

/// Inverse of [`encode_follow_up`].
pub fn decode_follow_up(key: FollowUpKey, value: &[u8]) -> Result<FollowUp, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let blob = input.blob()?;
    let hold = match input.octet()? {
        0 => None,
        1 => Some(HoldId::from_octets(input.stamp()?)),
        _ => return Err(Error::Corrupt),
    };
    let (created, data) = (input.time()?, input.slice()?.to_vec());
    input.end(FollowUp { key, blob, hold, created, data })
}
