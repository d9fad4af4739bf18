//! SASLprep (RFC 4013): names and passwords in one form, however the client's keyboard made them.
//!
//! Deviation: unassigned code points and bidirectional text are not checked; a check could only refuse, never make
//! two texts equal that should not be.

use unicode_normalization::UnicodeNormalization;

/// The prepared form; `None` if it is empty or has a control character.
pub fn saslprep(text: &str) -> Option<String> {
    let prepared: String = if text.is_ascii() {
        text.to_owned()
    } else {
        text.chars().filter(|c| !is_mapped_to_nothing(*c)).map(|c| if is_space(c) { ' ' } else { c }).nfkc().collect()
    };
    (!prepared.is_empty() && !prepared.chars().any(char::is_control)).then_some(prepared)
}

/// Non-ASCII spaces (RFC 3454 C.1.2).
fn is_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// RFC 3454 B.1.
fn is_mapped_to_nothing(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200c}' | '\u{200d}' | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        for (case, text, want) in [
            ("soft hyphen", "I\u{ad}X", Some("IX")),
            ("no transformation", "user", Some("user")),
            ("case preserved", "USER", Some("USER")),
            ("ordinal indicator", "\u{aa}", Some("a")),
            ("roman numeral", "\u{2168}", Some("IX")),
            ("control character", "\u{7}", None),
            ("no-break space", "a\u{a0}b", Some("a b")),
            ("nothing", "\u{ad}", None),
        ] {
            assert_eq!(saslprep(text).as_deref(), want, "{case}");
        }
    }
}
