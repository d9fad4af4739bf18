//! A message as hooks see it.

use crate::store::{self, Staging};

/// A message: its header as it stands after what hooks before have changed, and its body.
#[derive(Debug)]
pub struct Content<'a> {
    /// The fields, without the empty line behind them.
    pub header: Vec<u8>,
    body: Body<'a>,
}

#[derive(Debug)]
enum Body<'a> {
    /// As it came: the octets of the staged content from here on.
    Staged(&'a Staging, u64),
    /// As a hook has changed it.
    Changed(Vec<u8>),
}

impl<'a> Content<'a> {
    /// A message that is staged, of which the body begins at `body`; `header` may have more than what is staged.
    pub fn new(header: Vec<u8>, staging: &'a Staging, body: u64) -> Self {
        Self { header, body: Body::Staged(staging, body) }
    }

    /// Puts another body in its place.
    pub fn replace_body(&mut self, body: Vec<u8>) {
        self.body = Body::Changed(body);
    }

    /// The body, if a hook has changed it.
    pub fn changed_body(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Staged(..) => None,
            Body::Changed(body) => Some(body),
        }
    }

    /// Octets of the body.
    pub fn body_size(&self) -> u64 {
        match &self.body {
            Body::Staged(staging, from) => staging.size().saturating_sub(*from),
            Body::Changed(body) => u64::try_from(body.len()).unwrap_or(u64::MAX),
        }
    }

    /// Octets of the whole message: header, empty line, body.
    pub fn size(&self) -> u64 {
        self.body_at().saturating_add(self.body_size())
    }

    /// Octets of the whole message from `at` on, at most `limit`, are appended to `out`; none at its end.
    pub async fn piece(&self, at: u64, limit: u64, out: &mut Vec<u8>) -> Result<(), store::Error> {
        let (end, body_at) = (at.saturating_add(limit), self.body_at());
        if at < body_at {
            let place = |at: u64| usize::try_from(at.min(body_at)).unwrap_or(usize::MAX);
            let head = self.header.iter().chain(EMPTY_LINE);
            out.extend(head.skip(place(at)).take(place(end).saturating_sub(place(at))));
        }
        if end > body_at {
            let from = at.max(body_at);
            self.body(from.saturating_sub(body_at), end.saturating_sub(from), out).await?;
        }
        Ok(())
    }

    /// The start of the whole message, at most `limit` octets, and whether there is more.
    pub async fn octets(&self, limit: u64) -> Result<(Vec<u8>, bool), store::Error> {
        let mut out = Vec::new();
        self.piece(0, limit, &mut out).await?;
        Ok((out, self.size() > limit))
    }

    fn body_at(&self) -> u64 {
        u64::try_from(self.header.len().saturating_add(EMPTY_LINE.len())).unwrap_or(u64::MAX)
    }

    /// Octets of the body from `at` on, at most `limit`, are appended to `out`; none at its end.
    pub async fn body(&self, at: u64, limit: u64, out: &mut Vec<u8>) -> Result<(), store::Error> {
        let end = at.saturating_add(limit).min(self.body_size());
        match &self.body {
            Body::Staged(staging, from) => staging.read(from.saturating_add(at), from.saturating_add(end), out).await,
            Body::Changed(body) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                out.extend_from_slice(body.get(place(at)..place(end)).unwrap_or_default());
                Ok(())
            }
        }
    }
}

const EMPTY_LINE: &[u8] = b"\r\n";
