//! ENVELOPE (RFC 3501 §7.4.2) from header fields.

use super::address_list;
use super::header::Field;
use super::wire;

/// Writes the parenthesized envelope of a message with these fields.
pub(super) fn write<'a>(fields: impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
    let found = Found::collect(fields);
    out.push(b'(');
    text(found.date, out);
    out.push(b' ');
    text(found.subject, out);
    let mut budget = Budget { addresses: MAX_ADDRESSES, octets: MAX_ADDRESS_OCTETS };
    let from = list(&[found.from], &mut budget);
    // RFC 3501 §7.4.2: without Sender or Reply-To, or if they are empty, the server sets them from From.
    for value in [None, Some(found.sender), Some(found.reply_to)] {
        out.push(b' ');
        let own = value.map(|value| list(&[value], &mut budget)).filter(|list| !list.is_empty());
        parenthesized(own.as_ref().unwrap_or(&from), out);
    }
    for values in [&found.to, &found.cc, &found.bcc] {
        out.push(b' ');
        parenthesized(&list(values, &mut budget), out);
    }
    out.push(b' ');
    text(found.in_reply_to, out);
    out.push(b' ');
    text(found.message_id, out);
    out.push(b')');
}

/// RFC 3501 §7.4.2: NIL if the field is missing, the empty string if it is empty.
fn text(value: Option<&[u8]>, out: &mut Vec<u8>) {
    let value = value.map(|value| value.get(..value.len().min(MAX_TEXT)).unwrap_or_default().trim_ascii());
    wire::nstring(value, out);
}

fn list(values: &[Option<&[u8]>], budget: &mut Budget) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values.iter().flatten() {
        let before = out.len();
        let count = address_list::write(value, budget.addresses, budget.octets, &mut out);
        budget.addresses = budget.addresses.saturating_sub(count);
        budget.octets = budget.octets.saturating_sub(out.len() - before);
    }
    out
}

fn parenthesized(list: &[u8], out: &mut Vec<u8>) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    out.extend_from_slice(list);
    out.push(b')');
}

/// What is left of addresses and octets for the lists of one envelope.
struct Budget {
    addresses: usize,
    octets: usize,
}

/// The values that an envelope is made of. Of fields that may stand once the first counts; recipients of several
/// fields add up (RFC 5322 §4.5.3).
#[derive(Default)]
struct Found<'a> {
    date: Option<&'a [u8]>,
    subject: Option<&'a [u8]>,
    from: Option<&'a [u8]>,
    sender: Option<&'a [u8]>,
    reply_to: Option<&'a [u8]>,
    to: Vec<Option<&'a [u8]>>,
    cc: Vec<Option<&'a [u8]>>,
    bcc: Vec<Option<&'a [u8]>>,
    in_reply_to: Option<&'a [u8]>,
    message_id: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn collect(fields: impl Iterator<Item = Field<'a>>) -> Self {
        let mut found = Self::default();
        for field in fields.take(MAX_FIELDS) {
            let first = match field.name.len() {
                2 if field.is(b"to") => {
                    found.to.push(Some(field.raw_value()));
                    continue;
                }
                2 if field.is(b"cc") => {
                    found.cc.push(Some(field.raw_value()));
                    continue;
                }
                3 if field.is(b"bcc") => {
                    found.bcc.push(Some(field.raw_value()));
                    continue;
                }
                4 if field.is(b"date") => &mut found.date,
                4 if field.is(b"from") => &mut found.from,
                6 if field.is(b"sender") => &mut found.sender,
                7 if field.is(b"subject") => &mut found.subject,
                8 if field.is(b"reply-to") => &mut found.reply_to,
                10 if field.is(b"message-id") => &mut found.message_id,
                11 if field.is(b"in-reply-to") => &mut found.in_reply_to,
                _ => continue,
            };
            if first.is_none() {
                *first = Some(field.raw_value());
            }
        }
        found
    }
}

/// Fields of one header that are looked at.
const MAX_FIELDS: usize = 10_000;

/// Octets of Date, Subject, In-Reply-To and Message-ID, each, that are looked at.
const MAX_TEXT: usize = 32 * 1024;

/// Addresses in one envelope, not counting Sender and Reply-To made from From.
const MAX_ADDRESSES: usize = 10_000;

/// Octets of addresses in one envelope, likewise.
const MAX_ADDRESS_OCTETS: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::super::header::fields;
    use super::*;

    fn envelope(block: &str) -> String {
        let mut out = Vec::new();
        write(fields(block.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_envelope_has_ten_members() {
        let rows = [
            ("", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
            (
                "Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nFrom: Fred <f@x>\r\nSubject: a\r\n b\r\nTo: a@b\r\nMessage-Id: <i@x>\r\n",
                r#"("Mon, 7 Feb 1994 21:52:25 -0800" "a b" (("Fred" NIL "f" "x")) (("Fred" NIL "f" "x")) (("Fred" NIL "f" "x")) ((NIL NIL "a" "b")) NIL NIL NIL "<i@x>")"#,
            ),
            (
                "From: a@b\nSender: \nReply-To: c@d\nTo: e@f\nto: g@h\nSubject:\nSubject: second\nIn-Reply-To: <x>",
                r#"(NIL "" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL NIL "e" "f")(NIL NIL "g" "h")) NIL NIL "<x>" NIL)"#,
            ),
        ];
        for (block, want) in rows {
            assert_eq!(envelope(block), want);
        }
    }
}
