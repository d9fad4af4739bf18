//! A message as a filter hears it at the end of data, and its changes.

use tokio::time::Instant;

use super::agreement::out_of_place;
use super::changes::{Changes, verdict};
use super::session::{Open, Scope, Step};
use crate::hooks::{Answer, Content, Facts, Failure, Verdict};
use crate::proto::message::header;
use crate::proto::milter::{Command, MacroStage, Reply, Steps};

/// Tells a message and gives the filter's answer.
pub(super) async fn ask(open: &mut Open, facts: &Facts, content: &Content<'_>) -> Result<Answer, Failure> {
    let time = open.settings.timeout.saturating_mul(TIMEOUTS);
    match tell(open, facts, content, Instant::now() + time).await? {
        Verdict::Continue => {}
        // It says no more.
        Verdict::Stop => return Ok(Answer { verdict: Verdict::Stop, ..Answer::default() }),
        verdict => {
            // A filter that has closed after its verdict has given it all the same.
            let _ = open.abort().await;
            return Ok(Answer { verdict, ..Answer::default() });
        }
    }
    end(open, facts, Instant::now() + time).await
}

/// DATA, the header and the body; the first verdict that is not to go on ends it.
async fn tell(open: &mut Open, facts: &Facts, content: &Content<'_>, until: Instant) -> Result<Verdict, Failure> {
    let said = open.tell(&DATA, &Command::Data, facts, until).await?;
    if said != Verdict::Continue {
        return Ok(said);
    }
    for field in header::fields(&content.header).filter(|field| !field.name.is_empty()) {
        let command = field_command(&field, open.agreement.steps.has(Steps::LEADING_SPACE));
        let said = open.tell(&HEADER, &command, facts, until).await?;
        if said != Verdict::Continue {
            return Ok(said);
        }
    }
    let said = open.tell(&END_OF_HEADER, &Command::EndOfHeader, facts, until).await?;
    if said != Verdict::Continue {
        return Ok(said);
    }
    tell_body(open, content, until).await
}

/// The body, piece by piece, until the filter has enough.
async fn tell_body(open: &mut Open, content: &Content<'_>, until: Instant) -> Result<Verdict, Failure> {
    if open.agreement.steps.has(Steps::NO_BODY) {
        return Ok(Verdict::Continue);
    }
    let mut at: u64 = 0;
    loop {
        let mut piece = Vec::new();
        content.body(at, PIECE, &mut piece).await.map_err(Failure::Store)?;
        if piece.is_empty() {
            return Ok(Verdict::Continue);
        }
        at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(PIECE));
        open.link.say(&Command::Body(piece));
        if open.agreement.steps.has(Steps::SILENT_BODY) {
            open.link.flush(until).await?;
            continue;
        }
        open.ask(until).await?;
        let (reply, _) = open.link.reply(until).await?;
        match (verdict(&reply)?, &reply) {
            (Some(Verdict::Continue), _) => {}
            (Some(verdict), _) => return Ok(verdict),
            (None, Reply::Skip) if open.agreement.steps.has(Steps::SKIP) => return Ok(Verdict::Continue),
            (None, _) => return Err(out_of_place(&reply)),
        }
    }
}

/// The end of the message: changes come until there is a verdict.
async fn end(open: &mut Open, facts: &Facts, until: Instant) -> Result<Answer, Failure> {
    let command = Command::EndOfMessage(vec![]);
    open.say_macros(MacroStage::EndOfMessage, command.code(), facts);
    open.link.say(&command);
    open.ask(until).await?;
    let mut changes = Changes::new(open.settings.max_body);
    loop {
        let (reply, length) = open.link.reply(until).await?;
        changes.count(&reply, length)?;
        match verdict(&reply)? {
            Some(verdict) => return Ok(Answer { verdict, changes: changes.finish()?, reasons: vec![] }),
            None if reply == Reply::Progress => {}
            None => changes.push(reply, &open.agreement)?,
        }
    }
}

/// A field as filters get it: lines separated by LF; the space behind the colon is no part of the value, unless it was
/// agreed that it is.
fn field_command(field: &header::Field<'_>, keeps_space: bool) -> Command {
    let value = field.raw_value();
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let value = if keeps_space { value } else { value.strip_prefix(b" ").unwrap_or(value) };
    let mut lines = Vec::with_capacity(value.len());
    for (at, line) in value.split(|octet| *octet == b'\n').enumerate() {
        if at > 0 {
            lines.push(b'\n');
        }
        lines.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    let mut name = field.name.to_vec();
    name.truncate(MAX_FIELD);
    lines.truncate(MAX_FIELD.saturating_sub(name.len()));
    Command::Header { name, value: lines }
}

const DATA: Step = Step {
    macros: Some(MacroStage::Data),
    left_out: Steps::NO_DATA,
    silent: Steps::SILENT_DATA,
    scope: Scope::Transaction,
};
const HEADER: Step =
    Step { macros: None, left_out: Steps::NO_HEADER, silent: Steps::SILENT_HEADER, scope: Scope::Transaction };
const END_OF_HEADER: Step = Step {
    macros: Some(MacroStage::EndOfHeader),
    left_out: Steps::NO_END_OF_HEADER,
    silent: Steps::SILENT_END_OF_HEADER,
    scope: Scope::Transaction,
};

/// Octets of a piece of the body: what every filter takes.
const PIECE: u64 = 65_535;
/// Octets of a field's name and value, so that both fit into a packet of the same size with the NUL behind each.
const MAX_FIELD: usize = 65_532;
/// A message, and its end, may take as often as long as one reply.
const TIMEOUTS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_as_filters_get_them() {
        for (case, field, keeps_space, name, value) in [
            ("plain", &b"Subject: hello\r\n"[..], false, "Subject", "hello"),
            ("with its space", b"Subject: hello\r\n", true, "Subject", " hello"),
            ("no space", b"Subject:hello\r\n", true, "Subject", "hello"),
            ("two spaces", b"Subject:  hello \r\n", false, "Subject", " hello "),
            ("a tab", b"Subject:\thello\r\n", false, "Subject", "\thello"),
            ("folded", b"To: a,\r\n\tb\r\n", false, "To", "a,\n\tb"),
            ("folded at once", b"To:\r\n b\r\n", false, "To", "\n b"),
            ("nothing", b"X:\r\n", true, "X", ""),
            ("without an end", b"X: y", true, "X", " y"),
        ] {
            let found = header::fields(field).next().unwrap();
            let want = Command::Header { name: name.into(), value: value.into() };
            assert_eq!(field_command(&found, keeps_space), want, "{case}");
        }
    }

    #[test]
    fn what_no_packet_holds_is_cut() {
        let field = [b"X: ", &vec![b'a'; 100_000][..]].concat();
        let mut out = Vec::new();
        field_command(&header::fields(&field).next().unwrap(), true).encode(&mut out);
        assert!(out.len() - 4 <= 65_536, "{}", out.len());
    }
}
