//! What somebody wrote in a reply, apart from what they quote.
//!
//! Mail programs mark quotations in ways of their own: `>` in front of lines, a `blockquote`, a line of dashes, a block of
//! header lines. What introduces a quotation (`On Monday, Pam wrote:`) stands before it and was not written by hand. All
//! of that is guessed; who depends on it reads the first line and asks again if it says nothing.

use super::super::decode::{decode_base64, decode_quoted_printable};
use super::super::mime::{Encoding, Labels};
use super::super::{Part, PartContent, Scanner};
use super::{Excerpt, charset, html, parameter};

/// A piece of a reply. Lines are without white space at their ends, and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A line by the author.
    Line(String),
    /// A line in front of a quotation, probably made by the mail program.
    Introduction(String),
    /// Quoted lines.
    Quotation,
}

/// The pieces of a reply in their order, up to a signature or an original that stands below; `None` if it has no text
/// that can be read. Looked at is the first text that is no attachment and says something, plain text before HTML;
/// messages that are attached are none of the author's words.
pub fn pieces(content: &[u8]) -> Option<Vec<Piece>> {
    let mut scanner = Scanner::new();
    scanner.push(content);
    let mut texts = Vec::new();
    collect(&Excerpt::start(content), &scanner.finish(b"").root, &mut texts);
    let says = |lines: &&Vec<Line>| lines.iter().any(|line| !line.text.is_empty());
    let lines = texts.iter().find(says).or_else(|| texts.first())?;
    Some(sorted(lines))
}

/// A line as written.
struct Line {
    text: String,
    is_quoted: bool,
}

impl Line {
    fn new(text: &str, is_quoted: bool) -> Self {
        let text: String = text.chars().filter(|c| !c.is_control() || *c == '\t').take(MAX_LINE).collect();
        let text = text.trim().trim_start_matches('\u{feff}').to_owned();
        Self { is_quoted: is_quoted || text.starts_with('>'), text }
    }
}

/// The texts of a message, in the order in which they are asked: of a multipart first those in plain text.
fn collect(content: &Excerpt<'_>, part: &Part, texts: &mut Vec<Vec<Line>>) {
    let mut found = Vec::new();
    leaves(content, part, &mut found);
    let is_html = |labels: &Labels<'_>| labels.is("text", "html") || labels.is("application", "xhtml+xml");
    for wants_html in [false, true] {
        for (labels, body) in found.iter().filter(|(labels, _)| is_html(labels) == wants_html) {
            let octets = match labels.encoding {
                Encoding::Identity => body.to_vec(),
                Encoding::Base64 => decode_base64(body),
                Encoding::QuotedPrintable => decode_quoted_printable(body),
            };
            let label = parameter::values(&labels.parameters, "charset").into_iter().next();
            let (text, _) = charset::decode(label.as_deref(), wants_html, &octets);
            texts.push(match wants_html {
                true => {
                    html::lines(&text).iter().map(|(line, quoted)| Line::new(line, *quoted)).take(MAX_LINES).collect()
                }
                false => text.lines().map(|line| Line::new(line, false)).take(MAX_LINES).collect(),
            });
        }
    }
}

/// Text parts that are shown with the message. The depth of the recursion is bounded by the scanner.
fn leaves<'a>(content: &'a Excerpt<'_>, part: &Part, found: &mut Vec<(Labels<'a>, &'a [u8])>) {
    match &part.content {
        PartContent::Multipart(parts) => parts.iter().for_each(|part| leaves(content, part, found)),
        PartContent::Message(_) => {}
        PartContent::Leaf => {
            let labels = Labels::parse(content.get(part.header));
            let is_shown = !labels.has_disposition() || labels.is_inline();
            let is_text = labels.is_any("text") || labels.is("application", "xhtml+xml");
            if is_shown && is_text && found.len() < MAX_TEXTS {
                found.push((labels, content.get(part.body)));
            }
        }
    }
}

fn sorted(lines: &[Line]) -> Vec<Piece> {
    let end = (0..lines.len()).find(|at| ends(lines, *at)).unwrap_or(lines.len());
    let written: Vec<&Line> = lines.iter().take(end).filter(|line| !line.text.is_empty()).collect();
    let mut pieces: Vec<Piece> = Vec::new();
    for (at, line) in written.iter().enumerate() {
        if !line.is_quoted {
            let text = line.text.clone();
            pieces.push(if introduces(&written, at) { Piece::Introduction(text) } else { Piece::Line(text) });
        } else if pieces.last() != Some(&Piece::Quotation) {
            pieces.push(Piece::Quotation);
        }
    }
    if lines.get(end).is_some_and(|line| !is_signature(&line.text)) {
        pieces.push(Piece::Quotation);
    }
    pieces
}

/// What stands from here on is a signature or the original.
fn ends(lines: &[Line], at: usize) -> bool {
    let Some(line) = lines.get(at).filter(|line| !line.is_quoted) else { return false };
    let text = line.text.as_str();
    is_signature(text) || is_rule(text) || is_header_block(lines, at)
}

/// RFC 3676 §4.3, whose trailing space many programs lose.
fn is_signature(text: &str) -> bool {
    text == "--"
}

/// `-----Original Message-----`, or a line under which Outlook puts the original.
fn is_rule(text: &str) -> bool {
    let is_dashed = text.starts_with("-----") && text.ends_with("-----") && text.len() > 12;
    is_dashed || (text.len() >= 20 && text.bytes().all(|b| b == b'_'))
}

/// Three lines like `From: Pam`, in whatever language.
fn is_header_block(lines: &[Line], at: usize) -> bool {
    let mut following = lines.iter().skip(at).filter(|line| !line.text.is_empty()).take(HEADER_LINES);
    let is_field = |line: &Line| {
        let Some((name, value)) = line.text.trim_matches('*').split_once(':') else { return false };
        let name = name.trim_end_matches(['*', ' ', '\u{a0}']);
        let is_name =
            !name.is_empty() && name.chars().count() <= 16 && name.chars().all(|c| c.is_alphabetic() || c == '-');
        is_name && !value.trim_matches(['*', ' ']).is_empty() && !value.starts_with("//")
    };
    let has_enough = lines.iter().skip(at).filter(|line| !line.text.is_empty()).count() >= HEADER_LINES;
    has_enough && following.all(is_field)
}

/// The line in front of a quotation ends with a colon. A long one may have been broken: its first half has the date.
fn introduces(written: &[&Line], at: usize) -> bool {
    let line = |at: usize| written.get(at).filter(|line| !line.is_quoted).map(|line| line.text.as_str());
    let is_last = |at: usize| {
        let is_followed = written.get(at + 1).is_some_and(|next| next.is_quoted);
        is_followed && line(at).is_some_and(|text| text.ends_with([':', '：']))
    };
    let has_digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    is_last(at)
        || (is_last(at + 1)
            && line(at).is_some_and(has_digit)
            && line(at + 1).is_some_and(|next| !has_digit(next) || next.contains('@')))
}

/// Lines of a header block.
const HEADER_LINES: usize = 3;
/// Texts that are looked at.
const MAX_TEXTS: usize = 20;
/// Lines of a text that are looked at.
const MAX_LINES: usize = 2000;
/// Characters of a line that are looked at.
const MAX_LINE: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces, written so that a table can show them: `quotation`, `(introduction)`, or the line.
    fn shown(content: &str) -> Option<String> {
        let text = |piece: Piece| match piece {
            Piece::Line(text) => text,
            Piece::Introduction(text) => format!("({text})"),
            Piece::Quotation => "QUOTE".to_owned(),
        };
        Some(pieces(content.as_bytes())?.into_iter().map(text).collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn what_was_written_is_told_from_what_was_quoted() {
        for (case, body, want) in [
            ("alone", "accept\r\n", "accept"),
            ("nothing", "", ""),
            ("above", "accept\r\n\r\nOn Monday, Pam wrote:\r\n> a\r\n> b\r\n", "accept|(On Monday, Pam wrote:)|QUOTE"),
            ("below", "Pam wrote:\r\n> a\r\n>\r\n> b\r\n\r\nrefuse\r\n", "(Pam wrote:)|QUOTE|refuse"),
            (
                "broken introduction",
                "no\r\nOn Nov 28, 2026 Mail Delivery System <\r\npostmaster@mail.test> wrote:\r\n\r\n> a\r\n",
                "no|(On Nov 28, 2026 Mail Delivery System <)|(postmaster@mail.test> wrote:)|QUOTE",
            ),
            ("a colon elsewhere", "two things:\r\none\r\n", "two things:|one"),
            ("signature", "accept\r\n-- \r\nDave\r\n", "accept"),
            ("nothing but a signature", "-- \r\naccept\r\n", ""),
            ("original below", "accept\r\n-----Original Message-----\r\nrefuse\r\n", "accept|QUOTE"),
            ("rule", "accept\r\n________________________________\r\nrefuse\r\n", "accept|QUOTE"),
            (
                "header block",
                "accept\r\n\r\nVon: Post <p@x.test>\r\nGesendet: heute\r\nAn: Dave\r\n\r\nrefuse\r\n",
                "accept|QUOTE",
            ),
            ("header block in bold", "*From:* a\r\n*Sent:* b\r\n*To:* c\r\nx\r\n", "QUOTE"),
            ("two fields are text", "Refuse: no\r\nWhy: because\r\nso there\r\n", "Refuse: no|Why: because|so there"),
            ("controls", "ac\u{7}cept\u{1b}[0m\r\n", "accept[0m"),
            ("byte order mark", "\u{feff}accept\r\n", "accept"),
        ] {
            assert_eq!(shown(&format!("Subject: refuse\r\n\r\n{body}")).as_deref(), Some(want), "{case}");
        }
    }

    #[test]
    fn parts_are_decoded_and_chosen() {
        let html = "Content-Type: text/html\r\n\r\n<style>x</style><p>accept</p><blockquote>refuse</blockquote>";
        let both = |plain: &str| {
            format!(
                "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n{html}\r\n--b\r\n\r\n{plain}\r\n--b--\r\n"
            )
        };
        for (case, message, want) in [
            ("HTML", html.to_owned(), Some("accept|QUOTE")),
            ("plain text first", both("refuse"), Some("refuse")),
            ("plain text that says nothing", both(" "), Some("accept|QUOTE")),
            ("Base64", "Content-Transfer-Encoding: base64\r\n\r\nYWNj\r\nZXB0\r\n".to_owned(), Some("accept")),
            (
                "quoted-printable",
                "Content-Transfer-Encoding: quoted-printable\r\n\r\nrefuse: f=C3=BCr heute\r\n".to_owned(),
                Some("refuse: für heute"),
            ),
            ("charset", "Content-Type: text/plain; charset=utf-7\r\n\r\nrefuse +AOQ-\r\n".to_owned(), Some("refuse ä")),
            ("an attached text is not asked", "Content-Disposition: attachment\r\n\r\naccept\r\n".to_owned(), None),
            (
                "an attached message is not asked",
                "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\naccept\r\n".to_owned(),
                None,
            ),
            ("no text", "Content-Type: application/pgp-encrypted\r\n\r\naccept\r\n".to_owned(), None),
        ] {
            assert_eq!(shown(&message).as_deref(), want, "{case}");
        }
    }
}
