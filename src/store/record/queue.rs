//! Of an item of the queue; its id is in the key.

use super::codec::{Decoder, Encoder};
use super::{Error, VERSION};
use crate::mail::QueueId;
use crate::store::{QueueItem, QueueKind};

/// The value.
pub fn encode_queue_item(item: &QueueItem) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.blob(item.blob);
    out.blob(item.transaction);
    match &item.kind {
        QueueKind::Remote(recipient) => {
            out.octets.push(b'r');
            out.text(&recipient.to_string());
        }
        QueueKind::Full(target) => {
            out.octets.push(b'f');
            out.number(target.account.number().into());
            out.terms(target);
        }
    }
    out.reverse_path(&item.reverse_path);
    out.time(item.created);
    out.time(item.due);
    out.number(item.attempts.into());
    out.text(&item.note);
    out.octets
}

/// Inverse of [`encode_queue_item`].
pub fn decode_queue_item(id: QueueId, value: &[u8]) -> Result<QueueItem, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let (blob, transaction) = (input.blob()?, input.blob()?);
    let kind = match input.octet()? {
        b'r' => QueueKind::Remote(input.address()?),
        b'f' => {
            let account = input.account()?;
            QueueKind::Full(input.terms(account)?)
        }
        _ => return Err(Error::Corrupt),
    };
    let item = QueueItem {
        id,
        blob,
        transaction,
        kind,
        reverse_path: input.reverse_path()?,
        created: input.time()?,
        due: input.time()?,
        attempts: input.small()?,
        note: input.text()?.to_owned(),
    };
    input.end(item)
}
