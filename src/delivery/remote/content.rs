//! The octets of a message, in pieces, as a host can take them.

use crate::proto::message::{Survey, Surveyed};
use crate::store::{Error, Message, Store};

/// Reads the octets of a message: its prefix and what stands behind, a piece at a time.
#[derive(Debug)]
pub(super) struct Content<'a> {
    store: &'a Store,
    message: &'a Message,
    /// All of it, if it is small: then it is read once however often it is sent.
    whole: Option<Vec<u8>>,
}

/// How far a reading has come.
#[derive(Debug, Default)]
pub(super) struct Place {
    at: u64,
    is_over: bool,
}

impl Place {
    /// What was read last is the end.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl<'a> Content<'a> {
    /// Of this message.
    pub async fn new(store: &'a Store, message: &'a Message) -> Result<Self, Error> {
        let mut content = Self { store, message, whole: None };
        if message.size() <= PIECE {
            content.whole = Some(content.read(&mut Place::default()).await?.unwrap_or_default());
        }
        Ok(content)
    }

    /// What it needs of those who carry it.
    pub async fn survey(&self) -> Result<Surveyed, Error> {
        let mut survey = Survey::default();
        let mut place = Place::default();
        while let Some(piece) = self.read(&mut place).await? {
            survey.push(&piece);
        }
        Ok(survey.finish())
    }

    /// The next piece; `None` at the end.
    pub async fn read(&self, place: &mut Place) -> Result<Option<Vec<u8>>, Error> {
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
