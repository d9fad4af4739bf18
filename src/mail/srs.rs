//! Reverse-paths of what this server passes on: the sender rewriting scheme for forwards (policy semantics §11.3), and
//! tagged addresses for the copies of a group (§6.5).
//!
//! `SRS0=<hash>=<day>=<domain>=<local-part>` holds where a bounce goes, `SRS1=<hash>=<domain>=<rest>` the host that
//! rewrote first, which knows; `bounce+<token>` holds a group. If a bounce belongs to who forwards, and not to who sent the
//! message, the account stands behind the hash: `SRS0=<hash>k<account>=…` if it has a copy, with `s` if it has none. Each
//! address carries 40 bits of HMAC-SHA-256 over the rest in
//! lower case, since mailers change case, so that nobody can make this server send mail where they like. An address is
//! good for 21 days; an `SRS1` one has no day of its own, the host that rewrote first looks at its own.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{AccountId, Address, AddressError, Domain, GroupId, Host, LocalPart, ReversePath, Timestamp};

/// The secret under which this server makes addresses: rewritten ones, and the one-time ones of [`super::one_time`]. What
/// is made for one purpose is worth nothing for another.
#[derive(Clone)]
pub struct SrsKey([u8; 32]);

impl SrsKey {
    /// From random octets.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// So many digits of five bits over a purpose and a text. No purpose may be the start of another.
    pub(super) fn seal(&self, purpose: &str, text: &str, digits: usize) -> String {
        // RFC 2104 §2: zeros fill the key up to the block.
        let mut block = [0; 64];
        block.iter_mut().zip(self.0).for_each(|(b, k)| *b = k);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(purpose.as_bytes());
        mac.update(text.to_ascii_lowercase().as_bytes());
        let octets = mac.finalize().into_bytes().into_iter().take((digits * 5 / 8).min(MAX_SEAL));
        base32(octets.fold(0, |bits, octet| bits << 8 | u128::from(octet)), digits)
    }

    /// Compares in constant time; a seal of another length proves nothing.
    pub(super) fn proves(&self, purpose: &str, text: &str, seal: &str, digits: usize) -> bool {
        let seal = seal.to_ascii_lowercase();
        bool::from(self.seal(purpose, text, digits).as_bytes().ct_eq(seal.as_bytes()))
    }
}

/// Without the secret.
impl fmt::Debug for SrsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrsKey")
    }
}

/// The account to which a bounce belongs instead of the original sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarder {
    /// Which.
    pub account: AccountId,
    /// It has a copy of the message.
    pub keeps: bool,
}

/// What became of a reverse-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// Use this; `<>` stays `<>`.
    Path(ReversePath),
    /// The local-part would exceed 64 octets: store the address under a token and use [`token_address`].
    NeedsToken,
}

/// Where a bounce to a rewritten address belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// To this address.
    Address(Address),
    /// To the address that is stored under this token; in lower case.
    Token(String),
    /// To who forwards.
    Forwarder(Forwarder),
}

/// Why mail to an address is not taken for a bounce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrsError {
    /// An address of another kind.
    #[error("not a rewritten address")]
    NotRewritten,
    /// Not made with this key, or changed since.
    #[error("rewritten address with a wrong hash")]
    Forged,
    /// Made more than 21 days ago.
    #[error("rewritten address has expired")]
    Expired,
}

/// Rewrites a reverse-path for a forward by an account of `domain`; bounces belong to the original sender, or else to
/// `owner`.
pub fn rewrite(
    path: &ReversePath,
    owner: Option<Forwarder>,
    domain: &Domain,
    key: &SrsKey,
    now: Timestamp,
) -> Rewritten {
    let ReversePath::Address(address) = path else { return Rewritten::Path(ReversePath::Null) };
    let host = address.host().to_string();
    // Only an address literal with a foreign tag can have one, which would hide where the domain ends.
    if host.contains('=') {
        return Rewritten::NeedsToken;
    }
    let (tag, rest) = again(address, &host)
        .unwrap_or_else(|| (SRS0, format!("{}={host}={}", day(now), address.local_part().as_str())));
    match sealed(tag, owner, &rest, (domain, key)) {
        Ok(address) => Rewritten::Path(ReversePath::Address(address)),
        Err(_) => Rewritten::NeedsToken,
    }
}

/// The rewritten form of an address that is stored under `token`: letters and digits whose case does not matter.
pub fn token_address(
    token: &str,
    owner: Option<Forwarder>,
    domain: &Domain,
    key: &SrsKey,
    now: Timestamp,
) -> Result<Address, AddressError> {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(AddressError::LocalPart);
    }
    sealed(SRS0, owner, &format!("{}={token}", day(now)), (domain, key))
}

/// Where a bounce to this local-part of a domain of ours belongs.
pub fn verify(local: &LocalPart, key: &SrsKey, now: Timestamp) -> Result<Origin, SrsError> {
    let (tag, sealed) = [SRS0, SRS1]
        .into_iter()
        .find_map(|tag| Some((tag, tagged(local.as_str(), tag)?.strip_prefix('=')?)))
        .ok_or(SrsError::NotRewritten)?;
    let (hash, rest) = sealed.split_once('=').ok_or(SrsError::Forged)?;
    let (hash, owner) = hash.split_at_checked(HASH_DIGITS).ok_or(SrsError::Forged)?;
    let is_true = match owner {
        "" => key.proves(tag, rest, hash, HASH_DIGITS),
        owner => key.proves(owned(tag), &format!("{owner}={rest}"), hash, HASH_DIGITS),
    };
    if !is_true {
        return Err(SrsError::Forged);
    }
    let owner = if owner.is_empty() { None } else { Some(forwarder(owner).ok_or(SrsError::Forged)?) };
    let (first, rest) = rest.split_once('=').ok_or(SrsError::Forged)?;
    if let (SRS1, Some(owner)) = (tag, owner) {
        return Ok(Origin::Forwarder(owner));
    }
    if tag == SRS1 {
        return address(&format!("{SRS0}{rest}"), first).map(Origin::Address);
    }
    check_day(first, now)?;
    if let Some(owner) = owner {
        return Ok(Origin::Forwarder(owner));
    }
    match rest.split_once('=') {
        Some((host, local)) => address(local, host).map(Origin::Address),
        None => Ok(Origin::Token(rest.to_ascii_lowercase())),
    }
}

/// The reverse-path of a group's copies to external members: bounces go to its managers.
pub fn bounce_address(group: GroupId, domain: &Domain, key: &SrsKey, now: Timestamp) -> Result<Address, AddressError> {
    let rest = format!("{}{}", day(now), base32(group.number(), GROUP_DIGITS));
    let local = local_part(&format!("{BOUNCE}{}{rest}", key.seal(BOUNCE, &rest, HASH_DIGITS)))?;
    Ok(Address::new(local, Host::Name(domain.clone())))
}

/// The group whose copy a bounce to this local-part of a domain of ours is about.
pub fn verify_bounce(local: &LocalPart, key: &SrsKey, now: Timestamp) -> Result<GroupId, SrsError> {
    let token = tagged(local.as_str(), BOUNCE).ok_or(SrsError::NotRewritten)?;
    let (hash, rest) = token.split_at_checked(HASH_DIGITS).ok_or(SrsError::NotRewritten)?;
    if !key.proves(BOUNCE, rest, hash, HASH_DIGITS) {
        return Err(SrsError::Forged);
    }
    let (day, group) = rest.split_at_checked(DAY_DIGITS).ok_or(SrsError::Forged)?;
    check_day(day, now)?;
    from_base32(group).and_then(|n| GroupId::new(u32::try_from(n).ok()?)).ok_or(SrsError::Forged)
}

/// For an address that somebody has rewritten before: the tag and the rest of the next form, which names the host that
/// rewrote first and leaves out those between.
fn again(address: &Address, host: &str) -> Option<(&'static str, String)> {
    let local = address.local_part().as_str();
    let is_separator = |rest: &&str| rest.starts_with(['=', '+', '-']);
    if let Some(rest) = tagged(local, SRS0).filter(is_separator) {
        return Some((SRS1, format!("{host}={rest}")));
    }
    let rest = tagged(local, SRS1).filter(is_separator)?;
    let (_, rest) = rest.get(1..)?.split_once('=')?;
    let (_, inner) = rest.split_once('=')?;
    is_separator(&inner).then(|| (SRS1, rest.to_owned()))
}

fn sealed(
    tag: &'static str,
    owner: Option<Forwarder>,
    rest: &str,
    (domain, key): (&Domain, &SrsKey),
) -> Result<Address, AddressError> {
    let local = match owner {
        None => format!("{tag}={}={rest}", key.seal(tag, rest, HASH_DIGITS)),
        Some(Forwarder { account, keeps }) => {
            let number = base32(account.number(), GROUP_DIGITS);
            let rest = format!("{}{}={rest}", if keeps { KEEPS } else { STORES }, number.trim_start_matches('a'));
            format!("{tag}={}{rest}", key.seal(owned(tag), &rest, HASH_DIGITS))
        }
    };
    Ok(Address::new(local_part(&local)?, Host::Name(domain.clone())))
}

/// What a seal is for that names an account.
fn owned(tag: &str) -> &'static str {
    if tag == SRS1 { "owned-SRS1" } else { "owned-SRS0" }
}

fn forwarder(text: &str) -> Option<Forwarder> {
    let mut chars = text.chars();
    let keeps = match chars.next()?.to_ascii_lowercase() {
        KEEPS => true,
        STORES => false,
        _ => return None,
    };
    let number = u32::try_from(from_base32(chars.as_str())?).ok()?;
    Some(Forwarder { account: AccountId::new(number)?, keeps })
}

/// What follows the tag, whose case does not matter.
fn tagged<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let (found, rest) = local.split_at_checked(tag.len())?;
    found.eq_ignore_ascii_case(tag).then_some(rest)
}

/// The hash was right, so that only this server can have made what is no address.
fn address(local: &str, host: &str) -> Result<Address, SrsError> {
    let parts = local_part(local).and_then(|local| Ok((local, Host::parse(host)?)));
    parts.map(|(local, host)| Address::new(local, host)).map_err(|_| SrsError::Forged)
}

/// A local-part from its text without quotes.
fn local_part(text: &str) -> Result<LocalPart, AddressError> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    LocalPart::parse(&quoted)
}

/// Days since the epoch, modulo 1024.
fn day_number(now: Timestamp) -> u64 {
    u64::try_from(now.seconds().div_euclid(86_400).rem_euclid(DAYS)).unwrap_or_default()
}

fn day(now: Timestamp) -> String {
    base32(day_number(now), DAY_DIGITS)
}

fn check_day(text: &str, now: Timestamp) -> Result<(), SrsError> {
    let made = from_base32(text).filter(|_| text.len() == DAY_DIGITS).ok_or(SrsError::Forged)?;
    let days = DAYS.unsigned_abs();
    let age = (day_number(now) + days - made) % days;
    if age <= VALID_DAYS { Ok(()) } else { Err(SrsError::Expired) }
}

/// The lowest bits, five for each digit (RFC 4648 §6, lower case).
pub(super) fn base32(bits: impl Into<u128>, digits: usize) -> String {
    let bits = bits.into();
    let digit = |at: usize| DIGITS.get((bits >> (at * 5) & 31) as usize).copied().unwrap_or_default();
    (0..digits).rev().map(|at| char::from(digit(at))).collect()
}

/// At most seven digits.
pub(super) fn from_base32(text: &str) -> Option<u64> {
    if text.len() > GROUP_DIGITS {
        return None;
    }
    text.bytes().try_fold(0, |bits, b| {
        let digit = DIGITS.iter().position(|d| *d == b.to_ascii_lowercase())?;
        Some(bits << 5 | u64::try_from(digit).ok()?)
    })
}

const SRS0: &str = "SRS0";
const SRS1: &str = "SRS1";
const BOUNCE: &str = "bounce+";
/// Before an account that has a copy …
const KEEPS: char = 'k';
/// … and one that has none.
const STORES: char = 's';

const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Digits of 40 bits.
const HASH_DIGITS: usize = 8;

/// Octets of the longest seal.
const MAX_SEAL: usize = 15;

/// Digits of a day.
const DAY_DIGITS: usize = 2;

/// Digits of the id of a group or an account, at the most.
const GROUP_DIGITS: usize = 7;

/// Days before the stamp comes round.
const DAYS: i64 = 1024;

/// Days that a rewritten address is good for.
const VALID_DAYS: u64 = 21;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: SrsKey = SrsKey::new([7; 32]);
    const NOW: Timestamp = Timestamp::from_seconds(1_795_321_164);

    fn later(days: i64) -> Timestamp {
        Timestamp::from_seconds(NOW.seconds() + days * 86_400)
    }

    fn domain() -> Domain {
        Domain::parse("corp.test").unwrap()
    }

    fn rewritten(text: &str) -> Result<Address, Rewritten> {
        match rewrite(&ReversePath::Address(Address::parse(text).unwrap()), None, &domain(), &KEY, NOW) {
            Rewritten::Path(ReversePath::Address(address)) => Ok(address),
            other => Err(other),
        }
    }

    fn origin(address: &Address, now: Timestamp) -> Result<String, SrsError> {
        verify(address.local_part(), &KEY, now).map(|origin| match origin {
            Origin::Address(address) => address.to_string(),
            Origin::Token(token) => format!("token {token}"),
            Origin::Forwarder(by) => format!("account {} {}", by.account, if by.keeps { "keeps" } else { "stores" }),
        })
    }

    #[test]
    fn f03_f04_forwards_are_rewritten_and_null_stays_null() {
        let address = rewritten("stranger@ext.test").unwrap().to_string();
        assert!(address.starts_with("SRS0=") && address.ends_with("=ext.test=stranger@corp.test"), "{address}");
        let null = rewrite(&ReversePath::Null, None, &domain(), &KEY, NOW);
        assert_eq!(null, Rewritten::Path(ReversePath::Null));
    }

    #[test]
    fn bounces_find_their_way_back() {
        for text in
            ["Stranger@ext.test", "\"a b\"@ext.test", "a=b=c@ext.test", "a@[192.0.2.1]", "jörg@ext.test", "=@x.y"]
        {
            let address = rewritten(text).unwrap();
            assert_eq!(origin(&address, NOW), Ok(text.to_owned()), "{address}");
        }
    }

    #[test]
    fn f16_to_f18_only_what_was_made_here_and_lately_counts() {
        let address = rewritten("stranger@ext.test").unwrap();
        assert!(origin(&address, later(21)).is_ok());
        assert_eq!(origin(&address, later(22)), Err(SrsError::Expired), "F18");
        assert_eq!(origin(&address, later(-1)), Err(SrsError::Expired));
        let other = SrsKey::new([8; 32]);
        assert_eq!(verify(address.local_part(), &other, NOW), Err(SrsError::Forged), "F16");
        let lowered = Address::parse(&address.to_string().to_lowercase()).unwrap();
        assert_eq!(origin(&lowered, NOW), Ok("stranger@ext.test".to_owned()));
        for text in ["alice", "SRS0", "SRS0+x", "SRS2=a=b=c=d"] {
            assert_eq!(verify(&LocalPart::parse(text).unwrap(), &KEY, NOW), Err(SrsError::NotRewritten), "{text}");
        }
        for text in ["SRS0=", "SRS0=a", "SRS0=a=b", "SRS1=a==b", "SRS0===="] {
            assert_eq!(verify(&LocalPart::parse(text).unwrap(), &KEY, NOW), Err(SrsError::Forged), "{text}");
        }
    }

    #[test]
    fn what_others_rewrote_names_the_first_of_them() {
        for (text, want) in [
            ("SRS0=HHHH=TT=ext.test=stranger@one.test", "SRS0=HHHH=TT=ext.test=stranger@one.test"),
            ("srs0+HHHH=TT=ext.test=stranger@one.test", "SRS0+HHHH=TT=ext.test=stranger@one.test"),
            ("SRS1=HHHH=one.test==GGGG=TT=e.test=s@two.test", "SRS0=GGGG=TT=e.test=s@one.test"),
        ] {
            let address = rewritten(text).unwrap();
            assert!(address.local_part().as_str().starts_with("SRS1="), "{address}");
            assert_eq!(origin(&address, later(300)), Ok(want.to_owned()), "{address}");
        }
        for text in ["SRS1=x@one.test", "SRS1=h=one.test=x@two.test", "SRS0x@one.test"] {
            assert_eq!(origin(&rewritten(text).unwrap(), NOW), Ok(text.to_owned()), "nothing but a name");
        }
    }

    #[test]
    fn f22_long_addresses_need_a_token() {
        let long = format!("{}@ext.test", "a".repeat(50));
        assert_eq!(rewritten(&long), Err(Rewritten::NeedsToken));
        assert_eq!(rewritten("a@[tag:x=y]"), Err(Rewritten::NeedsToken));
        let address = token_address("0Abc9", None, &domain(), &KEY, NOW).unwrap();
        assert_eq!(origin(&address, NOW), Ok("token 0abc9".to_owned()));
        assert_eq!(origin(&address, later(22)), Err(SrsError::Expired));
        for token in ["", "a=b", "a b", "ä"] {
            assert!(token_address(token, None, &domain(), &KEY, NOW).is_err(), "{token}");
        }
    }

    #[test]
    fn bounces_may_belong_to_who_forwards() {
        let long = format!("{}@ext.test", "a".repeat(50));
        for (number, keeps) in [(1, true), (32, false), (u32::MAX, true)] {
            let owner = Some(Forwarder { account: AccountId::new(number).unwrap(), keeps });
            let want = Ok(format!("account {number} {}", if keeps { "keeps" } else { "stores" }));
            let rewritten = |text: &str| match rewrite(
                &ReversePath::Address(Address::parse(text).unwrap()),
                owner,
                &domain(),
                &KEY,
                NOW,
            ) {
                Rewritten::Path(ReversePath::Address(address)) => Some(address),
                _ => None,
            };
            let address = rewritten("stranger@ext.test").unwrap();
            assert!(address.to_string().ends_with("=ext.test=stranger@corp.test"), "{address}");
            assert_eq!(origin(&address, later(21)), want);
            assert_eq!(origin(&address, later(22)), Err(SrsError::Expired));
            let lowered = Address::parse(&address.to_string().to_lowercase()).unwrap();
            assert_eq!(origin(&lowered, NOW), want);
            // Without the account, or with another one, it is nobody's.
            let local = address.local_part().as_str();
            for changed in
                [[&local[..13], &local[local.find("=ext").unwrap() - 3..]].concat(), local.replacen('=', "=a", 1)]
            {
                assert_eq!(verify(&local_part(&changed).unwrap(), &KEY, NOW), Err(SrsError::Forged), "{changed}");
            }
            let again = rewritten("SRS0=HHHH=TT=ext.test=stranger@one.test").unwrap();
            assert_eq!(origin(&again, NOW), want);
            assert_eq!(rewritten(&long), None);
            assert_eq!(origin(&token_address("0Abc9", owner, &domain(), &KEY, NOW).unwrap(), NOW), want);
        }
        assert_eq!(forwarder("kaaaaaaaa"), None);
    }

    #[test]
    fn copies_of_a_group_are_tagged() {
        for n in [1, 31, 32, u32::MAX] {
            let group = GroupId::new(n).unwrap();
            let address = bounce_address(group, &domain(), &KEY, NOW).unwrap();
            assert!(address.to_string().starts_with("bounce+") && address.is_ascii());
            assert_eq!(verify_bounce(address.local_part(), &KEY, later(21)), Ok(group));
            assert_eq!(verify_bounce(address.local_part(), &KEY, later(22)), Err(SrsError::Expired));
            assert_eq!(verify(address.local_part(), &KEY, NOW), Err(SrsError::NotRewritten));
        }
        for text in ["bounce", "bounce+", "bounce+abc", "bob"] {
            assert_eq!(
                verify_bounce(&LocalPart::parse(text).unwrap(), &KEY, NOW),
                Err(SrsError::NotRewritten),
                "{text}"
            );
        }
    }

    /// The local-part with one character replaced by another one.
    fn changed(local: &LocalPart, at: usize, to: char) -> Option<LocalPart> {
        let mut chars: Vec<char> = local.as_str().chars().collect();
        let length = chars.len();
        let place = chars.get_mut(at % length)?;
        if place.eq_ignore_ascii_case(&to) {
            return None;
        }
        *place = to;
        local_part(&chars.into_iter().collect::<String>()).ok()
    }

    proptest! {
        #[test]
        fn any_address_round_trips(local in "[a-zA-Z0-9 .=+_\"\\\\é-]{1,20}", host in "[a-z]{1,8}(\\.[a-z]{1,8}){1,2}", days in 0..30_000i64) {
            let now = Timestamp::from_seconds(days * 86_400);
            let address = Address::new(local_part(&local).unwrap(), Host::parse(&host).unwrap());
            let path = ReversePath::Address(address.clone());
            if let Rewritten::Path(ReversePath::Address(rewritten)) = rewrite(&path, None, &domain(), &KEY, now) {
                prop_assert!(Address::parse(&rewritten.to_string()).is_ok());
                prop_assert_eq!(verify(rewritten.local_part(), &KEY, now), Ok(Origin::Address(address)));
            }
        }

        #[test]
        fn any_changed_character_fails(at in 0..64usize, to in "[a-z0-9=+.]", group in 1..u32::MAX) {
            let to = to.chars().next().unwrap();
            for text in ["stranger@ext.test", "SRS0=HHHH=TT=ext.test=stranger@one.test"] {
                if let Some(local) = changed(rewritten(text).unwrap().local_part(), at, to) {
                    prop_assert!(verify(&local, &KEY, NOW).is_err(), "{}", local);
                }
            }
            let address = bounce_address(GroupId::new(group).unwrap(), &domain(), &KEY, NOW).unwrap();
            if let Some(local) = changed(address.local_part(), at, to) {
                prop_assert!(verify_bounce(&local, &KEY, NOW).is_err(), "{}", local);
            }
        }
    }
}
