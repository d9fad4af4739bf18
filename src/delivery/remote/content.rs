//! The octets of a message, in pieces, as a host can take them.

use std::borrow::Cow;
use std::ops::Range;

use crate::proto::message::downgrade::{NotPossible, Plan, Planner, Rewriter};
use crate::proto::message::{Summary, Survey, Surveyed};
use crate::store::{Error, Message, Reader, Rest, Store};

/// Reads the octets of a message: its prefix and what stands behind, a piece at a time.
#[derive(Debug)]
pub(super) struct Content<'a> {
    store: &'a Store,
    message: &'a Message,
    /// All of it, if it is small.
    whole: Option<&'a [u8]>,
    /// What is changed of it.
    plan: Option<Plan>,
}

/// How far a reading has come.
#[derive(Debug)]
pub(super) struct Place<'a> {
    at: u64,
    is_over: bool,
    rewriter: Option<Rewriter<'a>>,
}

/// Why a message has no form that a host takes.
#[derive(Debug)]
pub(super) enum Unchangeable {
    NotPossible(NotPossible),
    Store(Error),
}

impl Place<'_> {
    /// What was read last is the end.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl<'a> Content<'a> {
    /// Of this message; `whole` if it is at hand.
    pub fn new(store: &'a Store, message: &'a Message, whole: Option<&'a [u8]>) -> Self {
        Self { store, message, whole, plan: None }
    }

    /// What it needs of those who carry it.
    pub async fn survey(&self) -> Result<Surveyed, Error> {
        let mut survey = Survey::default();
        let mut place = self.start();
        while let Some(piece) = self.stored(&mut place).await? {
            survey.push(&piece);
        }
        Ok(survey.finish())
    }

    /// Changes what must change for a host that takes no lines of more than 998 octets, and nothing beyond ASCII unless
    /// it `takes_eight_bit`.
    pub async fn downgrade(&mut self, takes_eight_bit: bool) -> Result<(), Unchangeable> {
        let impossible = || Unchangeable::NotPossible(NotPossible::Part);
        let summary = Summary::decode(&self.message.summary).ok_or_else(impossible)?;
        let mut planner = Planner::new(&summary.root, takes_eight_bit);
        let mut place = self.start();
        let mut prefix = self.message.prefix.len();
        while let Some(piece) = self.stored(&mut place).await.map_err(Unchangeable::Store)? {
            planner.push(piece.get(prefix..).unwrap_or_default());
            prefix = 0;
        }
        self.plan = Some(planner.finish().map_err(Unchangeable::NotPossible)?);
        Ok(())
    }

    /// At the start, as it goes out.
    pub fn start(&self) -> Place<'_> {
        Place { at: 0, is_over: false, rewriter: self.plan.as_ref().map(Plan::rewriter) }
    }

    /// The next piece as it goes out; `None` at the end.
    pub async fn read(&self, place: &mut Place<'_>) -> Result<Option<Cow<'a, [u8]>>, Error> {
        let is_first = place.at == 0;
        let Some(stored) = self.stored(place).await? else { return Ok(None) };
        let Some(mut rewriter) = place.rewriter.take() else { return Ok(Some(stored)) };
        let prefix = if is_first { self.message.prefix.len().min(stored.len()) } else { 0 };
        let (prefix, content) = stored.split_at(prefix);
        let mut out = prefix.to_vec();
        rewriter.push(content, &mut out);
        if place.is_over {
            rewriter.finish(&mut out);
        } else {
            place.rewriter = Some(rewriter);
        }
        Ok(Some(out.into()))
    }

    /// The next piece as it is stored; the first begins with the prefix.
    async fn stored(&self, place: &mut Place<'_>) -> Result<Option<Cow<'a, [u8]>>, Error> {
        if place.is_over {
            return Ok(None);
        }
        if let Some(whole) = self.whole {
            place.is_over = true;
            return Ok(Some(whole.into()));
        }
        let rest = self.message.rest();
        let (from, to) = (place.at, place.at.saturating_add(PIECE));
        let prefix = if from == 0 { self.message.prefix.clone() } else { Vec::new() };
        let piece = self.store.read(move |reader| piece(reader, prefix, rest, from..to)).await?;
        place.at = to;
        place.is_over = to >= rest.size;
        Ok(Some(piece.into()))
    }
}

/// All of a message, if it is small enough to be held while it is sent: then it is read once, however often it is sent.
pub(super) fn whole(reader: &Reader<'_>, message: &Message) -> Result<Option<Vec<u8>>, Error> {
    if message.size() > PIECE {
        return Ok(None);
    }
    piece(reader, message.prefix.clone(), message.rest(), 0..PIECE).map(Some)
}

/// What stands before, and a part of the rest.
fn piece(reader: &Reader<'_>, before: Vec<u8>, rest: Rest, part: Range<u64>) -> Result<Vec<u8>, Error> {
    let start = before.len();
    let mut piece = before;
    reader.rest(rest, part.start, part.end, &mut piece)?;
    let read = piece.len().saturating_sub(start) as u64;
    // Content that ends early is not what was accepted, and must not go out as if it were.
    if read == rest.size.min(part.end).saturating_sub(part.start) { Ok(piece) } else { Err(Error::Corrupt) }
}

/// As the store has it in one piece.
const PIECE: u64 = 256 << 10;
