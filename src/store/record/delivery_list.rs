//! Of the deliveries of one commit to many: what else stands under a delivery key each, in one row.

use std::collections::HashMap;

use super::codec::{Decoder, Encoder};
use super::log::{DeliveryRow, DeliveryState};
use super::{Error, VERSION};
use crate::mail::{AccountId, GroupId, MailboxId, Uid};
use crate::store::Origin;

/// A delivery in a list.
pub type Listed = (AccountId, Origin, DeliveryRow);

/// The value. `rows` are in ascending order of account; each is mostly 4 octets; under a key of its own it is 25.
pub fn encode_delivery_list(rows: &[Listed]) -> Vec<u8> {
    let mut out = Encoder::sized(VERSION, 16 + 6 * rows.len());
    out.number(rows.len() as u64);
    let (mut last, mut via) = (0, None);
    for (account, origin, row) in rows {
        out.number(account.number().saturating_sub(last).into());
        last = account.number();
        let is_monitor = if *origin == Origin::Monitor { MONITOR } else { 0 };
        let is_elsewhere = if row.mailbox == MailboxId::INBOX { 0 } else { ELSEWHERE };
        let is_other_way = if row.via == via { 0 } else { OTHER_WAY };
        out.octets.push(state(row.state) | is_monitor | is_elsewhere | is_other_way);
        if is_elsewhere != 0 {
            out.number(row.mailbox.number().into());
        }
        if is_other_way != 0 {
            out.number(row.via.map_or(0, |group| group.number().into()));
            via = row.via;
        }
        out.number(row.uid.map_or(0, |uid| uid.number().into()));
    }
    out.octets
}

/// Inverse of [`encode_delivery_list`].
pub fn decode_delivery_list(value: &[u8]) -> Result<HashMap<(AccountId, Origin), DeliveryRow>, Error> {
    let mut rows = HashMap::new();
    visit(value, &mut |(account, origin, row)| {
        rows.insert((account, origin), row);
        true
    })?;
    Ok(rows)
}

/// The deliveries to one account in a list.
pub fn listed(value: &[u8], wanted: AccountId) -> Result<Vec<(Origin, DeliveryRow)>, Error> {
    let mut rows = Vec::new();
    visit(value, &mut |(account, origin, row)| {
        if account == wanted {
            rows.push((origin, row));
        }
        account <= wanted
    })?;
    Ok(rows)
}

/// Goes through the list until `f` gives false.
fn visit(value: &[u8], f: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let (mut account, mut via) = (0_u32, None);
    for _ in 0..input.number()? {
        account = account.checked_add(input.small()?).ok_or(Error::Corrupt)?;
        let bits = input.octet()?;
        let mailbox = if bits & ELSEWHERE == 0 { MailboxId::INBOX } else { input.mailbox()? };
        if bits & OTHER_WAY != 0 {
            via = GroupId::new(input.small()?);
        }
        let state = *STATES.get(usize::from(bits & STATE)).ok_or(Error::Corrupt)?;
        let row = DeliveryRow { state, mailbox, uid: Uid::new(input.small()?), via };
        let origin = if bits & MONITOR == 0 { Origin::Ordinary } else { Origin::Monitor };
        if !f((AccountId::new(account).ok_or(Error::Corrupt)?, origin, row)) {
            return Ok(());
        }
    }
    input.end(())
}

fn state(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Delivered => 0,
        DeliveryState::Full => 1,
        DeliveryState::Gone => 2,
        DeliveryState::Failed => 3,
    }
}

const STATES: [DeliveryState; 4] =
    [DeliveryState::Delivered, DeliveryState::Full, DeliveryState::Gone, DeliveryState::Failed];
const STATE: u8 = 3;
const MONITOR: u8 = 1 << 2;
/// Not in INBOX.
const ELSEWHERE: u8 = 1 << 3;
/// Not through the same group as the one before.
const OTHER_WAY: u8 = 1 << 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = Vec<Listed>> {
        let row = (0..4_usize, 1..4_u32, 0..3_u32, 0..3_u32).prop_map(|(state, mailbox, uid, via)| DeliveryRow {
            state: STATES[state],
            mailbox: MailboxId::new(mailbox).unwrap(),
            uid: Uid::new(uid),
            via: GroupId::new(via),
        });
        let rows = proptest::collection::btree_map((1..500_u32, any::<bool>()), row, 0..50);
        rows.prop_map(|rows| {
            let origin = |monitor| if monitor { Origin::Monitor } else { Origin::Ordinary };
            rows.into_iter().map(|((n, monitor), row)| (AccountId::new(n).unwrap(), origin(monitor), row)).collect()
        })
    }

    proptest! {
        #[test]
        fn delivery_lists_round_trip(rows in rows(), other in 1..500_u32) {
            let value = encode_delivery_list(&rows);
            let all = rows.iter().map(|(account, origin, row)| ((*account, *origin), *row)).collect();
            prop_assert_eq!(decode_delivery_list(&value), Ok(all));
            let other = AccountId::new(other).unwrap();
            let theirs = rows.iter().filter(|row| row.0 == other).map(|(_, origin, row)| (*origin, *row)).collect();
            prop_assert_eq!(listed(&value, other), Ok(theirs));
        }

        #[test]
        fn damaged_lists_are_corrupt_not_fatal(octets: Vec<u8>) {
            let _ = decode_delivery_list(&octets);
            let _ = decode_delivery_list(&[vec![VERSION], octets].concat());
        }
    }
}
