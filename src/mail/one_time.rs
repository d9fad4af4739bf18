//! One-time addresses: what somebody answers by mail to a question of this server (policy semantics §9, §11.1).
//!
//! `decide-<hold><approver><seal>` decides about a held message, `confirm-<account><day><seal>` confirms that somebody
//! wants the mail that an account forwards to them. Nothing is stored for them: the seal, 96 bits of HMAC-SHA-256, binds
//! an address to what it is for and to whom it was given. Case makes no difference, since mailers change it. Whether the
//! question is still open is not written in the address: whoever takes the mail looks.

use super::srs::{SrsKey, base32, from_base32};
use super::{AccountId, Address, AddressError, Domain, HoldId, Host, LocalPart, Timestamp};

/// What a one-time address is for, as its seal proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether a held message may pass.
    Decide {
        /// Which.
        hold: HoldId,
        /// The approver to whom the address was given.
        approver: AccountId,
    },
    /// Whether somebody wants the mail that an account forwards; to whom it was given, [`is_target`] tells.
    Confirm {
        /// Whose mail.
        account: AccountId,
    },
}

/// The address by which `approver` decides about `hold`.
pub fn decide_address(
    hold: HoldId,
    approver: AccountId,
    domain: &Domain,
    key: &SrsKey,
) -> Result<Address, AddressError> {
    let rest = format!("{hold}{}", base32(approver.number(), ACCOUNT_DIGITS));
    let seal = key.seal(DECIDE, &rest, SEAL_DIGITS);
    Ok(Address::new(LocalPart::parse(&format!("{DECIDE}{rest}{seal}"))?, Host::Name(domain.clone())))
}

/// The address by which `target` confirms that it wants the mail that `account` forwards, for the next seven days.
pub fn confirm_address(
    account: AccountId,
    target: &Address,
    domain: &Domain,
    key: &SrsKey,
    now: Timestamp,
) -> Result<Address, AddressError> {
    let last = day(now).saturating_add(CONFIRM_DAYS);
    let rest = format!("{}{}", base32(account.number(), ACCOUNT_DIGITS), base32(last, DAY_DIGITS));
    let seal = key.seal(CONFIRM, &sealed(&rest, target), SEAL_DIGITS);
    Ok(Address::new(LocalPart::parse(&format!("{CONFIRM}{rest}{seal}"))?, Host::Name(domain.clone())))
}

/// True for what has the form of a one-time address, made here or not: nobody else can have such a name.
pub fn is_reserved(local: &str) -> bool {
    body(local, DECIDE, DECIDE_DIGITS).or_else(|| body(local, CONFIRM, CONFIRM_DIGITS)).is_some()
}

/// What the address asks, if this server made it and it has not expired. Of [`Question::Confirm`] only [`is_target`]
/// proves the rest.
pub fn question(local: &LocalPart, key: &SrsKey, now: Timestamp) -> Option<Question> {
    if let Some(body) = body(local.as_str(), DECIDE, DECIDE_DIGITS) {
        let (rest, seal) = body.split_at_checked(DECIDE_DIGITS - SEAL_DIGITS)?;
        if !key.proves(DECIDE, rest, seal, SEAL_DIGITS) {
            return None;
        }
        let (hold, approver) = rest.split_at_checked(HOLD_DIGITS)?;
        return Some(Question::Decide { hold: hold.to_ascii_lowercase().parse().ok()?, approver: account(approver)? });
    }
    let body = body(local.as_str(), CONFIRM, CONFIRM_DIGITS)?;
    let (id, rest) = body.split_at_checked(ACCOUNT_DIGITS)?;
    let last = from_base32(rest.get(..DAY_DIGITS)?)?;
    if day(now) > last {
        return None;
    }
    Some(Question::Confirm { account: account(id)? })
}

/// True if this address was given to `target`, whatever the time.
pub fn is_target(local: &LocalPart, target: &Address, key: &SrsKey) -> bool {
    let sealed_parts = || {
        let body = body(local.as_str(), CONFIRM, CONFIRM_DIGITS)?;
        let (rest, seal) = body.split_at_checked(CONFIRM_DIGITS - SEAL_DIGITS)?;
        Some(key.proves(CONFIRM, &sealed(rest, target), seal, SEAL_DIGITS))
    };
    sealed_parts().unwrap_or(false)
}

/// The address without its seal, for logs: worth nothing to who reads them.
pub fn masked(address: &Address) -> Option<Address> {
    let local = address.local_part().as_str();
    let kept = [(DECIDE, DECIDE_DIGITS), (CONFIRM, CONFIRM_DIGITS)]
        .into_iter()
        .find_map(|(tag, digits)| Some(format!("{tag}{}", body(local, tag, digits)?.get(..digits - SEAL_DIGITS)?)))?
        .to_ascii_lowercase();
    Some(Address::new(LocalPart::parse(&kept).ok()?, address.host().clone()))
}

/// What follows the tag, if it has the form.
fn body<'a>(local: &'a str, tag: &str, digits: usize) -> Option<&'a str> {
    let (found, body) = local.split_at_checked(tag.len())?;
    let has_form = body.len() == digits && body.bytes().all(|b| b.is_ascii_alphanumeric());
    (has_form && found.eq_ignore_ascii_case(tag)).then_some(body)
}

/// What the seal of a confirmation covers.
fn sealed(rest: &str, target: &Address) -> String {
    format!("{rest}{}", target.key().as_str())
}

fn account(digits: &str) -> Option<AccountId> {
    AccountId::new(u32::try_from(from_base32(digits)?).ok()?)
}

/// Days since the epoch.
fn day(now: Timestamp) -> u64 {
    u64::try_from(now.seconds().div_euclid(86_400)).unwrap_or_default()
}

/// How many days after the question a confirmation still counts.
pub const CONFIRM_DAYS: u64 = 7;

const DECIDE: &str = "decide-";
const CONFIRM: &str = "confirm-";
/// As [`HoldId`] is written.
const HOLD_DIGITS: usize = 20;
/// Digits of 32 bits.
const ACCOUNT_DIGITS: usize = 7;
/// Enough until the year 4840.
const DAY_DIGITS: usize = 4;
/// Digits of 96 bits.
const SEAL_DIGITS: usize = 20;
const DECIDE_DIGITS: usize = HOLD_DIGITS + ACCOUNT_DIGITS + SEAL_DIGITS;
const CONFIRM_DIGITS: usize = ACCOUNT_DIGITS + DAY_DIGITS + SEAL_DIGITS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: SrsKey = SrsKey::new([7; 32]);
    const NOW: Timestamp = Timestamp::from_seconds(1_795_321_164);

    fn later(days: i64) -> Timestamp {
        Timestamp::from_seconds(NOW.seconds() + days * 86_400)
    }

    fn hold() -> HoldId {
        "0123456789abcdefghij".parse().unwrap()
    }

    fn id(n: u32) -> AccountId {
        AccountId::new(n).unwrap()
    }

    fn domain() -> Domain {
        Domain::parse("corp.test").unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn ask(text: &str, key: &SrsKey) -> Option<Question> {
        question(address(text).local_part(), key, NOW)
    }

    #[test]
    fn what_was_made_is_read_back_whatever_its_case() {
        let decide = decide_address(hold(), id(u32::MAX), &domain(), &KEY).unwrap().to_string();
        let confirm = confirm_address(id(3), &address("pam@partner.test"), &domain(), &KEY, NOW).unwrap().to_string();
        for text in [decide.clone(), decide.to_uppercase()] {
            assert_eq!(ask(&text, &KEY), Some(Question::Decide { hold: hold(), approver: id(u32::MAX) }), "{text}");
        }
        for text in [confirm.clone(), confirm.to_uppercase()] {
            assert_eq!(ask(&text, &KEY), Some(Question::Confirm { account: id(3) }), "{text}");
            assert!(is_target(address(&text).local_part(), &address("PAM@partner.test"), &KEY));
            assert!(!is_target(address(&text).local_part(), &address("bob@partner.test"), &KEY), "another's");
            assert!(!is_target(address(&text).local_part(), &address("pam@partner.test"), &SrsKey::new([8; 32])));
        }
        for text in [&decide, &confirm] {
            let address = address(text);
            assert!(address.local_part().as_str().len() <= 64 && address.is_ascii(), "{text}");
            assert!(is_reserved(address.local_part().as_str()) && is_reserved(&text.to_uppercase()[..text.len() - 10]));
        }
        assert_eq!(ask(&decide, &SrsKey::new([8; 32])), None, "another server's");
        assert!(!is_target(address(&decide).local_part(), &address("pam@partner.test"), &KEY));
    }

    #[test]
    fn a_confirmation_counts_for_a_week() {
        let made = confirm_address(id(3), &address("pam@partner.test"), &domain(), &KEY, NOW).unwrap();
        let at = |now| question(made.local_part(), &KEY, now);
        assert!(at(later(7)).is_some());
        assert_eq!(at(later(8)), None);
    }

    #[test]
    fn other_names_are_free() {
        for text in [
            "decide-",
            "decide",
            "confirm-orders",
            "decide-0123456789abcdefghij",
            "confirm-aaaaaaabbbbcccccccccccccccccccc.",
            "xdecide-0123456789abcdefghijaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(!is_reserved(text), "{text}");
            assert_eq!(LocalPart::parse(text).ok().and_then(|local| question(&local, &KEY, NOW)), None, "{text}");
        }
        assert_eq!(masked(&address("alice@corp.test")), None);
    }

    #[test]
    fn a_masked_address_is_worth_nothing() {
        let made = decide_address(hold(), id(3), &domain(), &KEY).unwrap();
        let masked = masked(&made).unwrap();
        assert_eq!(masked.to_string(), "decide-0123456789abcdefghijaaaaaad@corp.test");
        assert_eq!(question(masked.local_part(), &KEY, NOW), None);
    }

    proptest! {
        #[test]
        fn any_changed_character_fails(at in 7..54usize, to in "[a-z0-9]", account in 1..u32::MAX) {
            let made = decide_address(hold(), id(account), &domain(), &KEY).unwrap();
            let mut text = made.local_part().as_str().to_owned();
            prop_assume!(text.get(at..=at) != Some(to.as_str()));
            text.replace_range(at..=at, &to);
            prop_assert_eq!(question(&LocalPart::parse(&text).unwrap(), &KEY, NOW), None, "{}", text);
            prop_assert!(is_reserved(&text));
        }

        #[test]
        fn any_changed_confirmation_fails(at in 8..39usize, to in "[a-z0-9]") {
            let target = address("pam@partner.test");
            let made = confirm_address(id(9), &target, &domain(), &KEY, NOW).unwrap();
            let mut text = made.local_part().as_str().to_owned();
            prop_assume!(text.get(at..=at) != Some(to.as_str()));
            text.replace_range(at..=at, &to);
            prop_assert!(!is_target(&LocalPart::parse(&text).unwrap(), &target, &KEY), "{}", text);
        }
    }
}
