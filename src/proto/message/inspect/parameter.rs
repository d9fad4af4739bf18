//! Values of MIME parameters (RFC 2045 §5.1) as text: extended and continued ones (RFC 2231 §3, §4), and those with
//! encoded-words, which RFC 2047 §5 forbids and mailers write.

use std::borrow::Cow;

use super::super::decode::{decode_charset, decode_text};
use super::super::mime::MAX_PARAMETERS;

/// Everything that a reader could take for the value of `name`: where a header has several forms of one parameter, no
/// two programs agree on which counts.
pub(super) fn values(parameters: &[(&[u8], Cow<'_, [u8]>)], name: &str) -> Vec<String> {
    // Most headers have no form of the parameter at all; to look for each form takes longer than all else in a header.
    let is_form = |have: &[u8]| have.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
    let mut forms = parameters.iter().filter(|(have, _)| is_form(have)).peekable();
    if forms.peek().is_none() {
        return Vec::new();
    }
    if forms.all(|(have, _)| have.len() == name.len()) {
        let plain = parameters.iter().find(|(have, _)| is_form(have)).map(|(_, value)| decode_text(value));
        return plain.into_iter().filter(|value| !value.is_empty()).collect();
    }
    let given = |suffix: &str| {
        let name = format!("{name}{suffix}");
        parameters.iter().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| &**value)
    };
    let extended = given("*").map(|value| {
        let (charset, text) = charset_and_text(value);
        decode_charset(charset, &percent_decoded(text)).into_owned()
    });
    let plain = given("").map(decode_text);
    let mut found: Vec<String> = Vec::new();
    for value in [extended, continued(given), plain].into_iter().flatten() {
        if !value.is_empty() && !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// `name*0`, `name*1*` and so on, put together.
fn continued<'a>(given: impl Fn(&str) -> Option<&'a [u8]>) -> Option<String> {
    let mut octets: Vec<u8> = Vec::new();
    let mut charset = None;
    let mut is_extended = false;
    let mut count = 0;
    while count < MAX_PARAMETERS {
        if let Some(piece) = given(&format!("*{count}*")) {
            // RFC 2231 §4.1: charset and language stand in the first piece alone.
            let text = if count == 0 {
                let (label, text) = charset_and_text(piece);
                charset = label;
                text
            } else {
                piece
            };
            octets.extend_from_slice(&percent_decoded(text));
            is_extended = true;
        } else if let Some(piece) = given(&format!("*{count}")) {
            octets.extend_from_slice(piece);
        } else {
            break;
        }
        count += 1;
    }
    if count == 0 {
        return None;
    }
    Some(if is_extended { decode_charset(charset, &octets).into_owned() } else { decode_text(&octets) })
}

/// `charset'language'text`; whatever has no such start is text.
fn charset_and_text(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut pieces = value.splitn(3, |b| *b == b'\'');
    match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(charset), Some(_), Some(text)) => (Some(charset).filter(|c| !c.is_empty()), text),
        _ => (None, value),
    }
}

/// With `%41` decoded; a percent sign that starts nothing stays.
pub(super) fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let decoded = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match decoded {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::super::super::mime::Labels;
    use super::*;

    #[test]
    fn parameters_are_decoded_in_every_form() {
        for (case, header, want) in [
            ("plain", "filename=a.txt", vec!["a.txt"]),
            ("quoted", "filename=\"a b.txt\"; x=y", vec!["a b.txt"]),
            ("a quotation mark inside", "filename=\"a\\\"b.txt\"; x=y", vec!["a\"b.txt"]),
            ("a quotation that never ends", "filename=\"a b; x=y", vec!["a b; x=y"]),
            ("folded inside quotation marks", "filename=\"a\r\n b\"; x=y", vec!["a b"]),
            ("encoded-word", "filename=\"=?utf-8?B?5paH5Lu2?=.txt\"", vec!["文件.txt"]),
            ("extended", "filename*=utf-8'zh'%E6%96%87%E4%BB%B6.txt", vec!["文件.txt"]),
            ("extended, no charset", "filename*=''a%20b", vec!["a b"]),
            ("extended, broken", "filename*=%zz%4", vec!["%zz%4"]),
            ("continued", "filename*0=a; filename*1=\"b c\"; filename*2=.txt", vec!["ab c.txt"]),
            (
                "continued and extended",
                "filename*0*=gb18030''%CE%C4; filename*1*=%BC%FE; filename*2=%41.doc",
                vec!["文件%41.doc"],
            ),
            ("a character split between pieces", "filename*0*=utf-8''%E6%96; filename*1*=%87", vec!["文"]),
            ("out of order", "filename*1=b; filename*0=a", vec!["ab"]),
            ("a gap ends it", "filename*0=a; filename*2=c", vec!["a"]),
            ("two that differ", "filename=a.txt; filename*=utf-8''b.exe", vec!["b.exe", "a.txt"]),
            ("none", "name=a", vec![]),
        ] {
            let block = format!("Content-Disposition: attachment; {header}\r\n");
            let labels = Labels::parse(block.as_bytes());
            assert_eq!(values(&labels.disposition_parameters, "filename"), want, "{case}");
        }
    }
}
