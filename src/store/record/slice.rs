//! Of a slice of a delivery: targets that the accepting commit left for later. Those that differ in their account
//! alone stand together, and of their accounts only the differences are written: two octets or so for each.

use std::collections::BTreeMap;

use super::codec::{Decoder, Encoder};
use super::{Error, VERSION};
use crate::mail::{AccountId, BlobId, ReversePath, Timestamp};
use crate::store::Target;

/// A slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// The forms that its targets get.
    pub shapes: Vec<Shape>,
    /// Who gets them. [`Target::form`] is a place in `shapes`.
    pub targets: Vec<Target>,
}

/// A stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The message.
    pub blob: BlobId,
    /// RFC822.SIZE.
    pub size: u64,
}

/// The value.
pub fn encode_slice(slice: &Slice) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.time(slice.internal_date);
    out.reverse_path(&slice.reverse_path);
    out.number(slice.shapes.len() as u64);
    for shape in &slice.shapes {
        out.blob(shape.blob);
        out.number(shape.size);
    }
    let mut groups: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for target in &slice.targets {
        let mut terms = Encoder::bare();
        terms.terms(target);
        groups.entry(terms.octets).or_default().push(target.account.number());
    }
    out.number(groups.len() as u64);
    for (terms, mut accounts) in groups {
        out.octets.extend_from_slice(&terms);
        accounts.sort_unstable();
        out.ascending(&accounts);
    }
    out.octets
}

/// Inverse of [`encode_slice`], but for the order of the targets.
pub fn decode_slice(value: &[u8]) -> Result<Slice, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let (internal_date, reverse_path) = (input.time()?, input.reverse_path()?);
    let mut shapes = Vec::new();
    for _ in 0..input.number()? {
        shapes.push(Shape { blob: input.blob()?, size: input.number()? });
    }
    let mut targets = Vec::new();
    for _ in 0..input.number()? {
        let terms = input.terms(ANY)?;
        for account in input.ascending()? {
            let account = AccountId::new(account).ok_or(Error::Corrupt)?;
            targets.push(Target { account, ..terms.clone() });
        }
    }
    input.end(Slice { internal_date, reverse_path, shapes, targets })
}

/// Stands in terms for the accounts that follow them.
const ANY: AccountId = match AccountId::new(1) {
    Some(account) => account,
    None => unreachable!(),
};
