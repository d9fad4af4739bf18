//! Of a held message; its id is in the key. Version 1 knew no rule sets.

use super::Error;
use super::codec::{Decoder, Encoder};
use crate::mail::{HoldId, OrganisationId, Timestamp};
use crate::store::{Decision, Held, HoldKind, HoldState, RuleSetId};

/// The value.
pub fn encode_hold(held: &Held) -> Vec<u8> {
    let mut out = Encoder::new(HOLD_VERSION);
    out.number(held.organisation.number().into());
    out.octets.push(held.kind as u8);
    out.blob(held.blob);
    out.blob(held.transaction);
    match &held.state {
        HoldState::Pending => out.octets.push(b'p'),
        HoldState::Decided(decision) => {
            out.octets.push(b'd');
            out.octets.push(u8::from(decision.accepted));
            out.text(&decision.by);
            out.time(decision.at);
            out.text(&decision.text);
            out.option(decision.finished.map(|at| at.millis().max(0) as u64));
        }
    }
    out.time(held.created);
    out.option(held.expires.map(|at| at.millis().max(0) as u64));
    out.number(held.size);
    out.slice(&held.data);
    out.number(held.rules.len() as u64);
    held.rules.iter().for_each(|id| out.octets.extend_from_slice(id.octets()));
    out.octets
}

/// Inverse of [`encode_hold`].
pub fn decode_hold(id: HoldId, value: &[u8]) -> Result<Held, Error> {
    let (version, mut input) = Decoder::since(value, FIRST_VERSION, HOLD_VERSION)?;
    let organisation = OrganisationId::new(input.small()?).ok_or(Error::Corrupt)?;
    let kind = HoldKind::from_number(input.octet()?).ok_or(Error::Corrupt)?;
    let (blob, transaction) = (input.blob()?, input.blob()?);
    let state = match input.octet()? {
        b'p' => HoldState::Pending,
        b'd' => HoldState::Decided(Decision {
            accepted: input.octet()? != 0,
            by: input.text()?.to_owned(),
            at: input.time()?,
            text: input.text()?.to_owned(),
            finished: moment(input.option()?)?,
        }),
        _ => return Err(Error::Corrupt),
    };
    let created = input.time()?;
    let expires = moment(input.option()?)?;
    let (size, data) = (input.number()?, input.slice()?.to_vec());
    let mut rules = Vec::new();
    if version > FIRST_VERSION {
        for _ in 0..input.number()? {
            let octets = input.take(16)?.try_into().map_err(|_| Error::Corrupt)?;
            rules.push(RuleSetId::from_octets(octets));
        }
    }
    input.end(Held { id, organisation, kind, blob, transaction, state, created, expires, size, data, rules })
}

fn moment(millis: Option<u64>) -> Result<Option<Timestamp>, Error> {
    millis.map(|ms| i64::try_from(ms).map(Timestamp::from_millis).map_err(|_| Error::Corrupt)).transpose()
}

const FIRST_VERSION: u8 = 1;
const HOLD_VERSION: u8 = 2;
