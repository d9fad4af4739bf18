//! A range of octets that a form of a message leaves out of its content.

/// Octets `from..to` of a content, at least one. What is left reads as if they were not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    from: u64,
    to: u64,
}

impl Span {
    /// Octets `from..to`; `None` if there are none.
    pub fn new(from: u64, to: u64) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// Where it begins.
    pub fn from(self) -> u64 {
        self.from
    }

    /// Where it ends: the first octet behind it.
    pub fn to(self) -> u64 {
        self.to
    }

    /// How many octets.
    pub fn size(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Where an octet of the content stands among what is left; of one within the span, where the gap is.
    pub fn place(self, at: u64) -> u64 {
        at.min(self.from).saturating_add(at.saturating_sub(self.to))
    }

    /// The ranges of the content that make up octets `from..to` of what is left: before the span and behind it. Either
    /// may be empty.
    pub fn around(self, from: u64, to: u64) -> [(u64, u64); 2] {
        let size = self.size();
        let behind = |at: u64| at.max(self.from).saturating_add(size);
        [(from.min(self.from), to.min(self.from)), (behind(from), behind(to))]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slice(octets: &[u8], from: u64, to: u64) -> &[u8] {
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(octets.len());
        octets.get(at(from)..at(to)).unwrap_or_default()
    }

    proptest! {
        /// Read in pieces of any size, what is left is the content without the span.
        #[test]
        fn pieces_around_a_span_are_what_is_left(content: Vec<u8>, a in 0u64..300, b in 0u64..300, step in 1u64..40) {
            prop_assume!(a < b);
            let span = Span::new(a, b).unwrap();
            let left = [slice(&content, 0, a), slice(&content, b, u64::MAX)].concat();
            let mut read = Vec::new();
            let mut from = 0;
            while from < content.len() as u64 {
                for (first, last) in span.around(from, from + step) {
                    read.extend_from_slice(slice(&content, first, last));
                }
                from += step;
            }
            prop_assert_eq!(&read, &left);
            for (at, octet) in content.iter().enumerate() {
                let at = at as u64;
                if !(a..b).contains(&at) {
                    prop_assert_eq!(left.get(span.place(at) as usize), Some(octet));
                }
            }
        }
    }

    #[test]
    fn ends_do_not_overflow() {
        let span = Span::new(5, 9).unwrap();
        assert_eq!(span.around(0, u64::MAX), [(0, 5), (9, u64::MAX)]);
        assert_eq!(Span::new(3, 3), None);
        assert_eq!(Span::new(4, 3), None);
    }
}
