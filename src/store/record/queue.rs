//! Of an item of the queue; its id is in the key.

use super::Error;
use super::codec::{Decoder, Encoder};
use crate::mail::{EnhancedCode, GroupId, Notify, QueueId, Ret, TlsWish};
use crate::store::{HeldBy, LastAttempt, QueueItem, QueueKind, QueueSender, Remote, Returns};

/// The value.
pub fn encode_queue_item(item: &QueueItem) -> Vec<u8> {
    let mut out = Encoder::sized(VERSION, 160);
    out.blob(item.blob);
    out.blob(item.transaction);
    match &item.kind {
        QueueKind::Remote(remote) => {
            out.octets.push(b'r');
            encode_remote(&mut out, remote);
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
    let held = match item.held {
        None => 0,
        Some(HeldBy::Administrator) => 1,
        Some(HeldBy::Abuse) => 2,
    };
    let is_optional = matches!(&item.kind, QueueKind::Remote(remote) if remote.tls == TlsWish::Optional);
    let rest = u8::from(item.is_announced) << 2 | u8::from(item.last.is_some()) << 3 | u8::from(is_optional) << 4;
    out.octets.push(held | rest);
    if let Some(last) = &item.last {
        out.time(last.at);
        let (subject, detail) = last.status.subject_and_detail();
        out.number(last.status.class().into());
        out.number(subject.into());
        out.number(detail.into());
        out.octets.push(u8::from(last.is_reply));
        out.text(&last.text);
        optional(&mut out, last.host.as_deref());
        optional(&mut out, last.tls.as_deref());
    }
    out.octets
}

fn encode_remote(out: &mut Encoder, remote: &Remote) {
    out.text(&remote.recipient.to_string());
    match &remote.sender {
        QueueSender::Nobody => out.octets.push(0),
        QueueSender::Account(account) => {
            out.octets.push(1);
            out.number(account.number().into());
        }
        QueueSender::Address(address) => {
            out.octets.push(2);
            out.text(address);
        }
    }
    let notify = remote.notify.map_or(0, |notify| {
        1 | u8::from(notify.success) << 1 | u8::from(notify.failure) << 2 | u8::from(notify.delay) << 3
    });
    let ret = match remote.ret {
        None => 0,
        Some(Ret::Full) => 1 << 6,
        Some(Ret::Headers) => 2 << 6,
    };
    out.octets.push(notify | u8::from(remote.is_bulk) << 4 | u8::from(remote.tls == TlsWish::Required) << 5 | ret);
    match &remote.returns {
        Returns::Sender => out.octets.push(0),
        Returns::Original(address) => {
            out.octets.push(3);
            out.text(&address.to_string());
        }
        Returns::Forwarder { account, keeps } => {
            out.octets.push(1 | u8::from(*keeps) << 7);
            out.number(account.number().into());
        }
        Returns::Managers(group) => {
            out.octets.push(2);
            out.number(group.number().into());
        }
    }
    optional(out, remote.original.as_deref());
    optional(out, remote.envelope_id.as_deref());
}

/// Inverse of [`encode_queue_item`]; items of version 1 too, which knew no more of a remote recipient than its address.
pub fn decode_queue_item(id: QueueId, value: &[u8]) -> Result<QueueItem, Error> {
    let (version, mut input) = Decoder::since(value, 1, VERSION)?;
    let (blob, transaction) = (input.blob()?, input.blob()?);
    let kind = match (input.octet()?, version) {
        (b'r', 1) => QueueKind::Remote(Remote::new(input.address()?, QueueSender::Nobody)),
        (b'r', _) => QueueKind::Remote(decode_remote(&mut input)?),
        (b'f', _) => {
            let account = input.account()?;
            QueueKind::Full(input.terms(account)?)
        }
        _ => return Err(Error::Corrupt),
    };
    let mut item = QueueItem {
        id,
        blob,
        transaction,
        kind,
        reverse_path: input.reverse_path()?,
        created: input.time()?,
        due: input.time()?,
        attempts: input.small()?,
        last: None,
        held: None,
        is_announced: false,
    };
    if version == 1 {
        input.text()?;
        return input.end(item);
    }
    let state = input.octet()?;
    item.held = match state & 3 {
        0 => None,
        1 => Some(HeldBy::Administrator),
        2 => Some(HeldBy::Abuse),
        _ => return Err(Error::Corrupt),
    };
    item.is_announced = state & 4 != 0;
    if let (QueueKind::Remote(remote), true) = (&mut item.kind, state & 16 != 0) {
        remote.tls = TlsWish::Optional;
    }
    if state & 8 != 0 {
        item.last = Some(LastAttempt {
            at: input.time()?,
            status: status(&mut input)?,
            is_reply: input.octet()? != 0,
            text: input.text()?.to_owned(),
            host: decode_optional(&mut input)?,
            tls: decode_optional(&mut input)?,
        });
    }
    input.end(item)
}

fn decode_remote(input: &mut Decoder<'_>) -> Result<Remote, Error> {
    let recipient = input.address()?;
    let sender = match input.octet()? {
        0 => QueueSender::Nobody,
        1 => QueueSender::Account(input.account()?),
        2 => QueueSender::Address(input.text()?.to_owned()),
        _ => return Err(Error::Corrupt),
    };
    let bits = input.octet()?;
    let is_set = |bit: u8| bits & 1 << bit != 0;
    let notify = Notify { success: is_set(1), failure: is_set(2), delay: is_set(3) };
    Ok(Remote {
        recipient,
        sender,
        is_bulk: is_set(4),
        notify: is_set(0).then_some(notify),
        tls: if is_set(5) { TlsWish::Required } else { TlsWish::AsPublished },
        ret: match bits >> 6 {
            0 => None,
            1 => Some(Ret::Full),
            2 => Some(Ret::Headers),
            _ => return Err(Error::Corrupt),
        },
        returns: match input.octet()? {
            0 => Returns::Sender,
            3 => Returns::Original(input.address()?),
            2 => Returns::Managers(GroupId::new(input.small()?).ok_or(Error::Corrupt)?),
            forwarder if forwarder & 127 == 1 => {
                Returns::Forwarder { account: input.account()?, keeps: forwarder & 128 != 0 }
            }
            _ => return Err(Error::Corrupt),
        },
        original: decode_optional(input)?,
        envelope_id: decode_optional(input)?,
    })
}

fn status(input: &mut Decoder<'_>) -> Result<EnhancedCode, Error> {
    let mut number = || u16::try_from(input.number()?).map_err(|_| Error::Corrupt);
    let (class, subject, detail) = (number()?, number()?, number()?);
    Ok(EnhancedCode::new(u8::try_from(class).map_err(|_| Error::Corrupt)?, subject, detail))
}

/// A text that may be missing; one that is there is never empty.
fn optional(out: &mut Encoder, text: Option<&str>) {
    out.text(text.unwrap_or_default());
}

fn decode_optional(input: &mut Decoder<'_>) -> Result<Option<String>, Error> {
    Ok(Some(input.text()?).filter(|text| !text.is_empty()).map(str::to_owned))
}

const VERSION: u8 = 2;
