//! How the fields of a record are written: numbers as LEB128, texts and octets with their length before them.

use super::Error;
use crate::mail::{
    AccountId, Address, BlobId, Flags, GroupId, Keyword, MailboxId, MailboxName, ModSeq, ReversePath, SystemFlags,
    Timestamp, Uid,
};
use crate::store::{Origin, Target};

pub(super) struct Encoder {
    pub octets: Vec<u8>,
}

impl Encoder {
    pub fn new(version: u8) -> Self {
        Self::sized(version, 64)
    }

    /// For a record of about `size` octets.
    pub fn sized(version: u8, size: usize) -> Self {
        let mut octets = Vec::with_capacity(size);
        octets.push(version);
        Self { octets }
    }

    /// For a part of a record.
    pub fn bare() -> Self {
        Self { octets: Vec::new() }
    }

    pub fn number(&mut self, mut n: u64) {
        while n >= 128 {
            self.octets.push(n as u8 | 128);
            n >>= 7;
        }
        self.octets.push(n as u8);
    }

    /// Zigzag, so that dates before 1970 stay short.
    pub fn signed(&mut self, n: i64) {
        self.number(((n << 1) ^ (n >> 63)) as u64);
    }

    pub fn slice(&mut self, octets: &[u8]) {
        self.number(octets.len() as u64);
        self.octets.extend_from_slice(octets);
    }

    pub fn text(&mut self, text: &str) {
        self.slice(text.as_bytes());
    }

    pub fn blob(&mut self, blob: BlobId) {
        self.octets.extend_from_slice(blob.octets());
    }

    pub fn time(&mut self, time: Timestamp) {
        self.signed(time.millis());
    }

    pub fn option(&mut self, n: Option<u64>) {
        match n {
            None => self.octets.push(0),
            Some(n) => {
                self.octets.push(1);
                self.number(n);
            }
        }
    }

    pub fn flags(&mut self, flags: &Flags) {
        self.octets.push(flags.system.bits());
        self.number(flags.keywords.len() as u64);
        flags.keywords.iter().for_each(|k| self.text(k.as_str()));
    }

    /// How a target gets its message: all of it but the account.
    pub fn terms(&mut self, target: &Target) {
        self.number(target.mailbox.number().into());
        self.flags(&target.flags);
        self.number(target.form as u64);
        self.octets.push(match target.origin {
            Origin::Ordinary => 0,
            Origin::Monitor => 1,
            Origin::Approval => 2,
        });
        self.number(target.via.map_or(0, |group| group.number().into()));
        self.option(target.quota);
    }

    /// Numbers in ascending order, each as its distance from the one before.
    pub fn ascending(&mut self, numbers: &[u32]) {
        self.number(numbers.len() as u64);
        let mut last = 0;
        for n in numbers {
            self.number(n.saturating_sub(last).into());
            last = *n;
        }
    }

    /// The null reverse-path is the empty text, which no address is.
    pub fn reverse_path(&mut self, path: &ReversePath) {
        match path {
            ReversePath::Null => self.text(""),
            ReversePath::Address(address) => self.text(&address.to_string()),
        }
    }
}

pub(super) struct Decoder<'a> {
    left: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub fn new(value: &'a [u8], version: u8) -> Result<Self, Error> {
        match value.split_first() {
            Some((v, left)) if *v == version => Ok(Self { left }),
            _ => Err(Error::Corrupt),
        }
    }

    /// Of a record that has had several versions, all of which can be read: which one it is.
    pub fn since(value: &'a [u8], first: u8, last: u8) -> Result<(u8, Self), Error> {
        match value.split_first() {
            Some((version, left)) if (first..=last).contains(version) => Ok((*version, Self { left })),
            _ => Err(Error::Corrupt),
        }
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, left) = self.left.split_at_checked(n).ok_or(Error::Corrupt)?;
        self.left = left;
        Ok(taken)
    }

    pub fn number(&mut self) -> Result<u64, Error> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.take(1)?[0];
            n |= u64::from(octet & 127) << shift;
            if octet < 128 {
                return Ok(n);
            }
        }
        Err(Error::Corrupt)
    }

    pub fn signed(&mut self) -> Result<i64, Error> {
        self.number().map(|n| (n >> 1) as i64 ^ -((n & 1) as i64))
    }

    pub fn small(&mut self) -> Result<u32, Error> {
        self.number()?.try_into().map_err(|_| Error::Corrupt)
    }

    pub fn uid(&mut self) -> Result<Uid, Error> {
        Uid::new(self.small()?).ok_or(Error::Corrupt)
    }

    pub fn modseq(&mut self) -> Result<ModSeq, Error> {
        ModSeq::new(self.number()?).ok_or(Error::Corrupt)
    }

    pub fn slice(&mut self) -> Result<&'a [u8], Error> {
        let n = self.number()?.try_into().map_err(|_| Error::Corrupt)?;
        self.take(n)
    }

    pub fn text(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.slice()?).map_err(|_| Error::Corrupt)
    }

    pub fn name(&mut self) -> Result<MailboxName, Error> {
        MailboxName::parse(self.text()?).map_err(|_| Error::Corrupt)
    }

    pub fn keywords(&mut self) -> Result<Vec<Keyword>, Error> {
        (0..self.number()?).map(|_| Keyword::parse(self.text()?).ok_or(Error::Corrupt)).collect()
    }

    pub fn octet(&mut self) -> Result<u8, Error> {
        self.take(1)?.first().copied().ok_or(Error::Corrupt)
    }

    pub fn blob(&mut self) -> Result<BlobId, Error> {
        Ok(BlobId::from_octets(self.stamp()?))
    }

    /// The octets of a time-ordered id.
    pub fn stamp(&mut self) -> Result<[u8; 12], Error> {
        self.take(12)?.try_into().map_err(|_| Error::Corrupt)
    }

    pub fn time(&mut self) -> Result<Timestamp, Error> {
        self.signed().map(Timestamp::from_millis)
    }

    pub fn option(&mut self) -> Result<Option<u64>, Error> {
        match self.octet()? {
            0 => Ok(None),
            1 => self.number().map(Some),
            _ => Err(Error::Corrupt),
        }
    }

    pub fn account(&mut self) -> Result<AccountId, Error> {
        AccountId::new(self.small()?).ok_or(Error::Corrupt)
    }

    pub fn mailbox(&mut self) -> Result<MailboxId, Error> {
        MailboxId::new(self.small()?).ok_or(Error::Corrupt)
    }

    pub fn flags(&mut self) -> Result<Flags, Error> {
        Ok(Flags { system: SystemFlags::from_bits(self.octet()?), keywords: self.keywords()? })
    }

    pub fn address(&mut self) -> Result<Address, Error> {
        Address::parse(self.text()?).map_err(|_| Error::Corrupt)
    }

    pub fn reverse_path(&mut self) -> Result<ReversePath, Error> {
        match self.text()? {
            "" => Ok(ReversePath::Null),
            address => Address::parse(address).map(ReversePath::Address).map_err(|_| Error::Corrupt),
        }
    }

    pub fn terms(&mut self, account: AccountId) -> Result<Target, Error> {
        let (mailbox, flags, form, origin) = (self.mailbox()?, self.flags()?, self.small()?, self.octet()?);
        Ok(Target {
            account,
            mailbox,
            flags,
            form: form as usize,
            origin: match origin {
                0 => Origin::Ordinary,
                1 => Origin::Monitor,
                2 => Origin::Approval,
                _ => return Err(Error::Corrupt),
            },
            via: GroupId::new(self.small()?),
            quota: self.option()?,
        })
    }

    pub fn ascending(&mut self) -> Result<Vec<u32>, Error> {
        let mut numbers = Vec::new();
        let mut last = 0u32;
        for _ in 0..self.number()? {
            last = last.checked_add(self.small()?).ok_or(Error::Corrupt)?;
            numbers.push(last);
        }
        Ok(numbers)
    }

    /// What is left, all of it.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    pub fn end<T>(self, value: T) -> Result<T, Error> {
        if self.left.is_empty() { Ok(value) } else { Err(Error::Corrupt) }
    }
}
