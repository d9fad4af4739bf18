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
