//! Answers by mail to a question of this server (policy semantics §9, §11.1): who may give one, and what it says.
//!
//! Words are English. What is neither yes nor no decides nothing, and neither does what no human wrote: an automatic
//! reply to a notice must not let a message pass.

use super::{Reason, Verdict};
use crate::mail::AccountId;
use crate::proto::message::header::fields;
use crate::proto::message::inspect::Piece;

/// What is known of a one-time address at RCPT and at the end of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The null reverse-path.
    pub is_null: bool,
    /// Who the session has proved to be.
    pub identity: Option<AccountId>,
    /// What it asks.
    pub asked: Asked,
}

/// What a one-time address asks, as far as it still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This account to decide about a message that is held.
    Approver(AccountId),
    /// Whoever has the address to confirm.
    Anybody,
    /// Nothing, or nothing any more.
    Nothing,
}

/// May this session answer? Whoever has the address may, but nobody who is known to be another than the one it was given
/// to, and nobody to whom a mistake could not be told.
pub fn may_answer(facts: &Facts) -> bool {
    let is_other = |approver: AccountId| facts.identity.is_some_and(|identity| identity != approver);
    match facts.asked {
        Asked::Nothing => false,
        Asked::Approver(approver) => !facts.is_null && !is_other(approver),
        Asked::Anybody => !facts.is_null,
    }
}

/// What a moderator's answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it pass.
    Accept,
    /// Refuse it, with this text for the sender, on one line.
    Refuse(String),
}

/// What the pieces of a reply decide; the first line by the author counts.
pub fn decision(header: &[u8], pieces: Option<&[Piece]>) -> Result<Decision, Verdict> {
    if is_automatic(header) {
        return Err(Verdict::Refuse(Reason::AutomaticAnswer));
    }
    let unclear = Verdict::Refuse(Reason::UnclearDecision);
    let (first, rest) = pieces.and_then(said).ok_or(unclear.clone())?;
    let (word, behind) = first_word(first);
    if is_open(behind) {
        return Err(unclear);
    }
    if REFUSE.contains(&word.as_str()) {
        return Ok(Decision::Refuse(text(behind, rest)));
    }
    if ACCEPT.contains(&word.as_str()) && !is_qualified(behind) { Ok(Decision::Accept) } else { Err(unclear) }
}

/// Does a reply confirm that its author wants the mail? Only a word for it does: programs answer with nothing, too.
pub fn consent(header: &[u8], pieces: Option<&[Piece]>) -> Result<(), Verdict> {
    if is_automatic(header) {
        return Err(Verdict::Refuse(Reason::AutomaticAnswer));
    }
    let unclear = Err(Verdict::Refuse(Reason::UnclearConsent));
    let Some(pieces) = pieces else { return unclear };
    let first = pieces.iter().find_map(|piece| match piece {
        Piece::Line(line) => Some(line.as_str()),
        Piece::Introduction(line) => Some(line.as_str()).filter(|line| CONSENT.contains(&first_word(line).0.as_str())),
        Piece::Quotation => None,
    });
    match first.map(first_word) {
        Some((word, behind)) if CONSENT.contains(&word.as_str()) && !is_open(behind) && !is_taken_back(behind) => {
            Ok(())
        }
        Some(_) | None => unclear,
    }
}

/// What no human wrote, or not to us: RFC 3834 §5, reports, lists and bulk.
pub fn is_automatic(header: &[u8]) -> bool {
    fields(header).any(|field| {
        let value = || String::from_utf8_lossy(&field.value()).to_ascii_lowercase();
        if field.is(b"Auto-Submitted") {
            return value().split([';', ' ', '(']).next() != Some("no");
        }
        if field.is(b"Precedence") {
            return value().split([',', ';', ' ', '\t']).any(|word| PRECEDENCE.contains(&word));
        }
        if field.is(b"Content-Type") {
            return value().starts_with("multipart/report");
        }
        if AUTOMATIC.iter().any(|name| field.is(name)) {
            return true;
        }
        field.name.get(..LIST.len()).is_some_and(|start| start.eq_ignore_ascii_case(LIST))
    })
}

/// The line that decides, and the pieces behind it: the first by the author. What seems to introduce a quotation is
/// passed over unless it starts with a word that decides.
fn said(pieces: &[Piece]) -> Option<(&str, &[Piece])> {
    pieces.iter().enumerate().find_map(|(at, piece)| {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::Introduction(line) if decides(&first_word(line).0) => line,
            Piece::Introduction(_) | Piece::Quotation => return None,
        };
        Some((line.as_str(), pieces.get(at + 1..).unwrap_or_default()))
    })
}

/// A question, or one of several words to choose from.
fn is_open(behind: &str) -> bool {
    let mut words = words_of(behind).filter(|word| !word.is_empty());
    behind.trim_start_matches(['"', '\'', '*', '_', ' ']).starts_with(['?', '？', '/', '|'])
        || words.next().is_some_and(|word| word == "or")
}

/// What stands behind a word for yes takes it back, or may: it goes on as a sentence, asks, or says no.
fn is_qualified(behind: &str) -> bool {
    let behind = behind.trim_start_matches(['"', '\'', '*', '_']);
    behind.trim_start().starts_with(char::is_alphanumeric) || is_taken_back(behind)
}

/// What stands behind asks, or says no.
fn is_taken_back(behind: &str) -> bool {
    behind.contains(['?', '？']) || words_of(behind).any(|word| NO.contains(&word.as_str()))
}

fn decides(word: &str) -> bool {
    ACCEPT.contains(&word) || REFUSE.contains(&word)
}

/// The first word in lower case, whatever stands before it, and what stands behind it.
fn first_word(line: &str) -> (String, &str) {
    let line = line.trim_start_matches(|c: char| !c.is_alphanumeric());
    let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
    let (word, behind) = line.split_at_checked(end).unwrap_or((line, ""));
    (word.to_lowercase(), behind)
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase)
}

/// The moderator's text: the rest of the line and the lines below it, up to what is quoted, on one line.
fn text(behind: &str, rest: &[Piece]) -> String {
    let rest = rest.iter().map_while(|piece| match piece {
        Piece::Line(line) => Some(line.as_str()),
        Piece::Introduction(_) | Piece::Quotation => None,
    });
    let is_mark = |c: char| c.is_whitespace() || "\"'*_.,:;!-–—)]}".contains(c);
    let lines = std::iter::once(behind.trim_start_matches(is_mark)).chain(rest);
    let words = lines.flat_map(str::split_whitespace).filter(|word| !word.is_empty());
    let text = words.collect::<Vec<_>>().join(" ");
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

const ACCEPT: &[&str] = &["accept", "approve"];
const REFUSE: &[&str] = &["refuse", "reject"];
const CONSENT: &[&str] = &["confirm", "yes", "accept"];
const NO: &[&str] = &["refuse", "reject", "no", "not", "never", "nothing", "don", "but"];
const LIST: &[u8] = b"List-";
const PRECEDENCE: &[&str] = &["bulk", "list", "junk", "auto_reply", "auto-reply"];
/// Fields of programs that do not say it as RFC 3834 has it.
const AUTOMATIC: &[&[u8]] = &[b"X-Autoreply", b"X-Autorespond", b"X-Auto-Reply-From", b"X-Autogenerated"];
/// Characters of a moderator's text.
const MAX_TEXT: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> AccountId {
        AccountId::new(n).unwrap()
    }

    #[test]
    fn who_may_answer() {
        let dave = Facts { is_null: false, identity: Some(id(1)), asked: Asked::Approver(id(1)) };
        for (case, facts, want) in [
            ("the approver", dave, true),
            ("from a session of another provider", Facts { identity: None, ..dave }, true),
            ("another account", Facts { identity: Some(id(2)), ..dave }, false),
            ("the null reverse-path", Facts { is_null: true, identity: None, ..dave }, false),
            ("nothing is asked", Facts { asked: Asked::Nothing, ..dave }, false),
            ("a confirmation", Facts { asked: Asked::Anybody, ..dave }, true),
            ("a confirmation by nobody", Facts { asked: Asked::Anybody, is_null: true, ..dave }, false),
        ] {
            assert_eq!(may_answer(&facts), want, "{case}");
        }
    }

    fn line(text: &str) -> Piece {
        Piece::Line(text.to_owned())
    }

    fn intro(text: &str) -> Piece {
        Piece::Introduction(text.to_owned())
    }

    #[test]
    fn the_first_line_decides() {
        let accept = || Ok(Decision::Accept);
        let refuse = |text: &str| Ok(Decision::Refuse(text.to_owned()));
        let unclear = || Err(Verdict::Refuse(Reason::UnclearDecision));
        for (case, pieces, want) in [
            ("accept", vec![line("accept")], accept()),
            ("approve", vec![line("Approve")], accept()),
            ("capitals and a point", vec![line("ACCEPT.")], accept()),
            ("thanks", vec![line("Accept, thank you!")], accept()),
            ("quotation marks", vec![line("\"accept\"")], accept()),
            ("bold", vec![line("**Accept**")], accept()),
            ("full width comma", vec![line("accept，好的")], accept()),
            ("goes on", vec![line("Accept nothing from him, please")], unclear()),
            ("asks and denies", vec![line("Accept this? No, never.")], unclear()),
            ("takes it back", vec![line("accept - no, wait")], unclear()),
            ("refuse", vec![line("refuse")], refuse("")),
            ("reject with a text", vec![line("Reject: not this week")], refuse("not this week")),
            ("text below", vec![line("refuse"), line("not this"), line(" week ")], refuse("not this week")),
            ("text with accept in it", vec![line("Refuse - I do not accept this")], refuse("I do not accept this")),
            ("up to the quotation", vec![line("refuse"), line("no"), Piece::Quotation, line("x")], refuse("no")),
            (
                "up to its introduction",
                vec![line("refuse"), line("no"), intro("You wrote:"), Piece::Quotation],
                refuse("no"),
            ),
            ("below the quotation", vec![intro("You wrote:"), Piece::Quotation, line("refuse: no")], refuse("no")),
            ("directly above the quotation", vec![intro("accept:"), Piece::Quotation], accept()),
            ("controls in the text", vec![line("refuse a\r\nBcc: b\u{0}c")], refuse("a Bcc: bc")),
            ("nothing", vec![], unclear()),
            ("nothing but a quotation", vec![Piece::Quotation], unclear()),
            ("the second line", vec![line("Hello,"), line("accept")], unclear()),
            ("not", vec![line("Do not accept")], unclear()),
            ("a longer word", vec![line("Accepting this would be wrong")], unclear()),
            ("a question", vec![line("accept?")], unclear()),
            ("both", vec![line("\"accept\" or \"refuse\" in the first line")], unclear()),
            ("both, refuse first", vec![line("refuse or accept?")], unclear()),
            ("both with a stroke", vec![line("accept/refuse")], unclear()),
            ("both at length", vec![line("accept, no, refuse")], unclear()),
            ("vacation", vec![line("I am away until Monday.")], unclear()),
        ] {
            assert_eq!(decision(b"Subject: refuse\r\n\r\n", Some(&pieces)), want, "{case}");
        }
        assert_eq!(decision(b"", None), unclear(), "no text");
        let long = decision(b"", Some(&[line("refuse"), line(&"x".repeat(5000))]));
        assert_eq!(long, refuse(&"x".repeat(1000)));
    }

    #[test]
    fn only_a_word_confirms() {
        let unclear = Err(Verdict::Refuse(Reason::UnclearConsent));
        for (case, pieces, want) in [
            ("confirm", vec![line("Confirm!")], Ok(())),
            ("yes", vec![line("yes please")], Ok(())),
            ("accept", vec![line("accept")], Ok(())),
            ("nothing", vec![], unclear.clone()),
            ("nothing above the quotation", vec![intro("You wrote:"), Piece::Quotation], unclear.clone()),
            ("yes and no", vec![line("yes, but not now")], unclear.clone()),
            ("below the quotation", vec![intro("You wrote:"), Piece::Quotation, line("yes")], Ok(())),
            ("no", vec![line("no"), line("yes")], unclear.clone()),
            ("a question", vec![line("yes?")], unclear.clone()),
            ("something else", vec![line("Who are you?")], unclear.clone()),
            ("no, below", vec![Piece::Quotation, line("never")], unclear.clone()),
        ] {
            assert_eq!(consent(b"", Some(&pieces)), want, "{case}");
        }
        assert_eq!(consent(b"", None), unclear, "no text");
    }

    #[test]
    fn what_no_human_wrote_decides_nothing() {
        for (header, want) in [
            ("Subject: accept", false),
            ("Auto-Submitted: no", false),
            ("Auto-Submitted: no; x=y", false),
            ("auto-submitted: auto-replied", true),
            ("Auto-Submitted:", true),
            ("Precedence: Bulk", true),
            ("Precedence: first-class", false),
            ("List-Id: <a.b>", true),
            ("Content-Type: multipart/report; report-type=delivery-status", true),
            ("Precedence: auto_reply", true),
            ("X-Autoreply: yes", true),
            ("X-Auto-Response-Suppress: All", false),
        ] {
            let header = format!("{header}\r\n\r\n");
            assert_eq!(is_automatic(header.as_bytes()), want, "{header}");
            let refused = decision(header.as_bytes(), Some(&[line("accept")])) != Ok(Decision::Accept);
            assert_eq!(refused, want, "{header}");
            assert_eq!(consent(header.as_bytes(), Some(&[line("yes")])).is_err(), want, "{header}");
        }
    }
}
