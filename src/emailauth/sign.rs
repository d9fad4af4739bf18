//! DKIM-Signature fields for what leaves (RFC 6376 §5, RFC 8463): relaxed/relaxed, the whole body, and every field that
//! a reader is shown named once more than it occurs, so that nobody adds another one (RFC 6376 §8.15).
//!
//! List fields are signed if they are there and may be added if not: a list that leaves a message as it is adds them.

use mail_auth::dkim::Canonicalization;

use super::content::DkimContent;
use super::dkim::name_and_value;
use super::key::{KeyError, Signer};
use crate::mail::Timestamp;
use crate::proto::message::header::{Field, fields};

/// The fields that sign a message with each of these keys, complete with CRLF. `header` is what stands before the body
/// when the message leaves; of `content` counts the body. `None` for a message without From, or one whose header is
/// longer than anybody reads.
pub fn dkim_fields(
    signers: &[impl AsRef<Signer>],
    header: &[u8],
    content: &DkimContent,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, KeyError> {
    let (Some(signed), Some(body)) = (Signed::of(header, &[]), content.body()) else { return Ok(None) };
    let mut out = Vec::new();
    for signer in signers {
        let signer = signer.as_ref();
        let tags = format!("v=1; {}", signed.tags(signer, body, now));
        out.extend(signed.complete("DKIM-Signature", &tags, signer)?);
    }
    Ok(Some(out))
}

/// What a signature covers of a header.
pub(super) struct Signed {
    /// `h=`
    names: Vec<&'static str>,
    /// The fields in their canonical form.
    data: Vec<u8>,
}

impl Signed {
    /// Of a header that has From (RFC 6376 §5.4); `more` names fields that are signed if they are there.
    pub(super) fn of(header: &[u8], more: &[&'static str]) -> Option<Self> {
        let mut signed = Self { names: Vec::new(), data: Vec::new() };
        let all: Vec<Field<'_>> = fields(header).collect();
        if !all.iter().any(|field| field.is(b"From")) {
            return None;
        }
        let fixed = FIXED.iter().map(|name| (*name, true));
        let open = OPEN.iter().chain(more).map(|name| (*name, false));
        for (name, is_fixed) in fixed.chain(open) {
            let there = all.iter().rev().filter(|field| field.is(name.as_bytes()));
            // From the last one up (RFC 6376 §5.4.2).
            let there: Vec<_> = there.take(MAX_SAME).map(|field| name_and_value(*field)).collect();
            signed.names.extend(there.iter().map(|_| name));
            signed.names.extend(is_fixed.then_some(name));
            Canonicalization::Relaxed.canonicalize_headers(there.into_iter(), &mut signed.data);
        }
        Some(signed)
    }

    /// The tags that all signatures have, but for `b=`.
    pub(super) fn tags(&self, signer: &Signer, body: &str, now: Timestamp) -> String {
        let Signer { domain, selector, .. } = signer;
        let (algorithm, time) = (signer.algorithm().name(), now.seconds().max(0));
        let head = format!("a={algorithm}; c=relaxed/relaxed;\r\n\td={domain}; s={selector};\r\n\tt={time}; h=");
        let mut tags = head;
        let mut line = 16;
        for (place, name) in self.names.iter().enumerate() {
            if place > 0 {
                tags.push(':');
            }
            if line + name.len() > LINE {
                tags.push_str("\r\n\t ");
                line = 0;
            }
            tags.push_str(name);
            line += name.len() + 1;
        }
        tags.push_str(&format!(";\r\n\tbh={body};\r\n\tb="));
        tags
    }

    /// The field of this name with its signature.
    pub(super) fn complete(&self, name: &str, tags: &str, signer: &Signer) -> Result<Vec<u8>, KeyError> {
        field(name, tags, self.data.clone(), signer)
    }
}

/// A field that signs `data` and itself, whose last tag is `b=` (RFC 6376 §3.7).
pub(super) fn field(name: &str, tags: &str, mut data: Vec<u8>, signer: &Signer) -> Result<Vec<u8>, KeyError> {
    Canonicalization::Relaxed.canonicalize_headers([(name.as_bytes(), tags.as_bytes())].into_iter(), &mut data);
    // Without the line end of the field itself.
    if data.ends_with(b"\r\n") {
        data.truncate(data.len().saturating_sub(2));
    }
    let signature = signer.sign(&data)?;
    let mut out = format!("{name}: {tags}").into_bytes();
    for (place, line) in signature.as_bytes().chunks(LINE).enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\r\n\t ");
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

/// Named once more than they occur.
const FIXED: [&str; 12] = [
    "From",
    "Subject",
    "To",
    "Cc",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Named as often as they occur.
const OPEN: [&str; 10] = [
    "Sender",
    "Auto-Submitted",
    "List-Id",
    "List-Help",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "List-Subscribe",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// Fields of one name.
const MAX_SAME: usize = 20;
const LINE: usize = 70;
