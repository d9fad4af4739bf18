//! The octets of a message, in pieces, as a host can take them.

use crate::proto::message::downgrade::{NotPossible, Plan, Planner, Rewriter};
use crate::proto::message::{Summary, Survey, Surveyed};
use crate::store::{Error, Message, Store};

/// Reads the octets of a message: its prefix and what stands behind, a piece at a time.
#[derive(Debug)]
pub(super) struct Content<'a> {
    store: &'a Store,
    message: &'a Message,
    /// All of it, if it is small: then it is read once however often it is sent.
    whole: Option<Vec<u8>>,
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
    /// Of this message.
    pub async fn new(store: &'a Store, message: &'a Message) -> Result<Self, Error> {
        let mut content = Self { store, message, whole: None, plan: None };
        if message.size() <= PIECE {
            content.whole = content.stored(&mut content.start()).await?;
        }
        Ok(content)
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
    pub async fn read(&self, place: &mut Place<'_>) -> Result<Option<Vec<u8>>, Error> {
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
        Ok(Some(out))
    }

    /// The next piece as it is stored; the first begins with the prefix.
    async fn stored(&self, place: &mut Place<'_>) -> Result<Option<Vec<u8>>, Error> {
        if place.is_over {
            return Ok(None);
        }
        if let Some(whole) = &self.whole {
            place.is_over = true;
            return Ok(Some(whole.clone()));
        }
        let rest = self.message.rest();
        let (from, to) = (place.at, place.at.saturating_add(PIECE));
        let mut piece = if from == 0 { self.message.prefix.clone() } else { Vec::new() };
        let before = piece.len();
        let piece = self
            .store
            .read(move |reader| {
                reader.rest(rest, from, to, &mut piece)?;
                Ok(piece)
            })
            .await?;
        place.at = to;
        place.is_over = to >= rest.size;
        let read = piece.len().saturating_sub(before) as u64;
        // Content that ends early is not what was accepted, and must not go out as if it were.
        if read != rest.size.min(to).saturating_sub(from) {
            return Err(Error::Corrupt);
        }
        Ok(Some(piece))
    }
}

/// As the store has it in one piece.
const PIECE: u64 = 256 << 10;
