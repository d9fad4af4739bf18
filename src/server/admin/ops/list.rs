//! Parts of lists, in the order of ids.

use super::super::view::Page;

/// What a list is asked for: those with an id above `after`, at most `limit`.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The last id of the page before, 0 for the first page.
    pub after: u32,
    /// Of one page.
    pub limit: usize,
}

impl Listed {
    /// The page of `items`, each with its id, in the order of ids.
    pub(super) fn page<T>(self, items: impl Iterator<Item = (u32, T)>) -> Page<T> {
        let mut wanted = items.filter(|(id, _)| *id > self.after);
        let (ids, items): (Vec<u32>, Vec<T>) = wanted.by_ref().take(self.limit).unzip();
        let next = wanted.next().and(ids.last().copied());
        Page { items, next }
    }
}
