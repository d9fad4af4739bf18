//! The hooks of one SMTP session, asked in order, and what they have said.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::fields::{Fields, is_field};
use super::{
    Answer, Change, Content, Facts, Failure, Hook, Hooks, Kind, Listens, Milter, MilterSession, OnFailure, Stage,
    Verdict,
};

/// The hooks that hear of a session.
#[derive(Debug, Default)]
pub struct Line {
    places: Vec<Place>,
    /// What they said of the session, and of its transaction so far.
    notes: Vec<Note>,
    /// Of `notes`, those that belong to the session.
    of_session: usize,
    /// Where the last of them stands.
    last: Option<usize>,
    /// What they want of the message, before it is there.
    wanted: Vec<(usize, Change)>,
}

#[derive(Debug)]
struct Place {
    hook: Arc<Hook>,
    /// Open while it is a milter that is spoken to.
    milter: Option<Spoken>,
    /// It wants to hear nothing more of …
    done: Done,
    /// What it has not answered, before there was a command that it could delay.
    owes: Option<Stage>,
    /// It has failed, and mail goes on without it.
    is_missing: bool,
}

/// A milter, and how much it knows.
#[derive(Debug)]
struct Spoken {
    session: MilterSession,
    knows: Option<Stage>,
    recipients: usize,
    /// What it has refused although it was told of it only later, and the stage of that.
    refused: Option<(Stage, Verdict)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Done {
    #[default]
    Nothing,
    /// … this message.
    Message,
    /// … this session.
    Session,
}

/// What a hook has said, for the trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which.
    pub hook: String,
    /// When.
    pub stage: Stage,
    /// In words.
    pub said: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What it has changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Microseconds.
    pub took: u64,
}

/// What came of asking all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// The first that was not to go on.
    pub verdict: Verdict,
    /// Whose it was; no hook's if one has failed.
    pub by: Option<String>,
}

/// What hooks made of a message.
#[derive(Debug, Default)]
pub struct Handling {
    /// Fields to stand in front of it.
    pub added: Vec<u8>,
    /// Its own header, if hooks have changed that.
    pub header: Option<Vec<u8>>,
    /// Its body, if hooks have changed that.
    pub body: Option<Vec<u8>>,
    /// Changes of the envelope, in order.
    pub envelope: Vec<Change>,
    /// It is junk.
    pub is_junk: bool,
    /// It waits for an administrator: because of which hook, and why.
    pub quarantine: Option<(String, String)>,
}

impl Line {
    /// Those that hear of sessions of this kind.
    pub fn new(hooks: &Hooks, listens: Listens) -> Self {
        let hears = |hook: &&Arc<Hook>| hook.settings.listeners.contains(&listens);
        let place = |hook: &Arc<Hook>| Place {
            hook: hook.clone(),
            milter: None,
            done: Done::Nothing,
            owes: None,
            is_missing: false,
        };
        Self { places: hooks.all.iter().filter(hears).map(place).collect(), ..Self::default() }
    }

    /// This one alone, whatever sessions it hears of.
    pub fn of(hook: Arc<Hook>) -> Self {
        let place = Place { hook, milter: None, done: Done::Nothing, owes: None, is_missing: false };
        Self { places: vec![place], ..Self::default() }
    }

    /// Nobody is asked at this stage.
    pub fn is_silent(&self, stage: Stage) -> bool {
        !self.places.iter().any(|place| place.is_asked(stage) || (stage == Stage::Mail && place.owes.is_some()))
    }

    /// What was said so far, of the session and of its transaction.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The transaction is over, or another begins.
    pub async fn reset(&mut self) {
        self.notes.truncate(self.of_session);
        self.last = None;
        self.wanted.clear();
        for place in &mut self.places {
            place.is_missing = false;
            if place.done == Done::Message {
                place.done = Done::Nothing;
            }
            let Some(spoken) = &mut place.milter else { continue };
            spoken.refused.take_if(|(stage, _)| *stage >= Stage::Mail);
            if spoken.knows.is_some_and(|knows| knows >= Stage::Mail) {
                spoken.knows = Some(Stage::Ehlo);
                spoken.recipients = 0;
                if spoken.session.abort().await.is_err() {
                    place.milter = None;
                }
            }
        }
    }

    /// EHLO again: the client may be another now, and what was said of the last one counts no more. Milters that are not
    /// asked about it hear it when they are.
    pub fn greeted_again(&mut self) {
        for spoken in self.places.iter_mut().filter_map(|place| place.milter.as_mut()) {
            spoken.knows = spoken.knows.map(|knows| knows.min(Stage::Connect));
            spoken.refused.take_if(|(refused, _)| *refused == Stage::Ehlo);
        }
    }

    /// The session is over.
    pub async fn close(self) {
        for spoken in self.places.into_iter().filter_map(|place| place.milter) {
            spoken.session.close().await;
        }
    }

    /// Asks at a stage before the end of data. The first that does not want to go on ends it.
    pub async fn ask(&mut self, stage: Stage, facts: &Facts) -> Ruling {
        let wanted = self.wanted.len();
        for at in 0..self.places.len() {
            let Some(place) = self.places.get_mut(at) else { break };
            // What it owes it is asked again, once there is mail that depends on it.
            let owed = place.owes.filter(|_| stage >= Stage::Mail);
            let questions = owed.into_iter().chain(Some(stage).filter(|_| place.is_asked(stage)));
            for question in questions.collect::<Vec<_>>() {
                let Some(place) = self.places.get_mut(at) else { break };
                let start = Instant::now();
                let answer = place.ask(question, facts).await;
                place.owes = match &answer {
                    // A connection is not refused for what mail may not even need.
                    Err(_) if question < Stage::Mail => Some(question),
                    Ok(_) if place.owes == Some(question) => None,
                    _ => place.owes,
                };
                let has_failed = answer.is_err();
                let ruling = self.note(at, (question, stage), answer, micros(start));
                if ruling.verdict != Verdict::Continue {
                    if stage == Stage::Rcpt && ruling.verdict != Verdict::Discard {
                        self.forget_last_recipient(facts);
                        self.wanted.truncate(wanted);
                    }
                    return ruling;
                }
                if has_failed {
                    break;
                }
            }
        }
        if stage < Stage::Mail {
            self.of_session = self.notes.len();
        }
        Ruling::default()
    }

    /// The recipient that was asked about is none: the next stands in its place.
    fn forget_last_recipient(&mut self, facts: &Facts) {
        let others = facts.envelope.as_ref().map_or(0, |envelope| envelope.recipients.len().saturating_sub(1));
        for spoken in self.places.iter_mut().filter_map(|place| place.milter.as_mut()) {
            spoken.recipients = spoken.recipients.min(others);
        }
    }

    /// A spam filter will be asked about this message.
    pub fn filters_spam(&self) -> bool {
        let is_filter = |place: &&Place| matches!(place.hook.kind, Kind::Rspamd(_));
        self.places.iter().filter(is_filter).any(|place| place.is_asked(Stage::Data))
    }

    /// Spam filters are not asked about this message: all its recipients want what its sender writes.
    pub fn spare(&mut self) {
        for at in 0..self.places.len() {
            let Some(place) = self.places.get_mut(at).filter(|place| place.is_asked(Stage::Data)) else { continue };
            if matches!(place.hook.kind, Kind::Rspamd(_)) {
                place.done = Done::Message;
                let said = "not asked: all recipients allow the sender".to_owned();
                let hook = place.hook.settings.name.clone();
                self.write_down(Note { hook, stage: Stage::Data, said, reasons: vec![], changes: vec![], took: 0 });
            }
        }
    }

    /// Asks at the end of data; `server` are the fields that this server puts in front. What each changes, the next one
    /// sees.
    pub async fn ask_message(&mut self, facts: &Facts, server: &[u8], content: &mut Content<'_>) -> (Ruling, Handling) {
        let mut fields = Fields::new(server, &content.header);
        let mut handling = Handling::default();
        content.header = fields.octets();
        for (at, change) in std::mem::take(&mut self.wanted) {
            self.apply(at, vec![change], &mut fields, content, &mut handling);
        }
        for at in 0..self.places.len() {
            for stage in [Stage::Header, Stage::Data] {
                let Some(place) = self.places.get_mut(at).filter(|place| place.is_asked(stage)) else { continue };
                let start = Instant::now();
                let mut answer = place.ask_message(stage, facts, content).await;
                let took = micros(start);
                let changes = answer.as_mut().map(|answer| std::mem::take(&mut answer.changes)).unwrap_or_default();
                let ruling = self.note(at, (stage, stage), answer, took);
                if ruling.verdict != Verdict::Continue {
                    return (ruling, handling);
                }
                self.apply(at, changes, &mut fields, content, &mut handling);
            }
        }
        for place in self.places.iter().filter(|place| place.is_missing) {
            fields.add(UNCHECKED, place.hook.settings.name.as_bytes());
        }
        handling.added = fields.added();
        handling.header = fields.changed();
        handling.body = content.changed_body().map(<[u8]>::to_vec);
        (Ruling::default(), handling)
    }

    /// Makes the changes of one answer. They count fields as they stood when the hook was asked.
    fn apply(
        &mut self,
        at: usize,
        changes: Vec<Change>,
        fields: &mut Fields,
        content: &mut Content<'_>,
        handling: &mut Handling,
    ) {
        let Some(place) = self.places.get(at) else { return };
        let hook = place.hook.settings.name.clone();
        let mut added: Vec<String> = Vec::new();
        let is_any = !changes.is_empty();
        for change in changes {
            let mut done = describe(&change);
            match change {
                Change::AddField { name, value } if is_field(&name, &value) => {
                    fields.add(&name, &value);
                    added.push(name);
                }
                Change::ChangeField { name, index, value }
                    if value.as_deref().is_none_or(|value| is_field(&name, value)) =>
                {
                    let above = added.iter().filter(|known| known.eq_ignore_ascii_case(&name)).count();
                    let index = index.max(1).saturating_add(u32::try_from(above).unwrap_or(u32::MAX));
                    if !fields.change(&name, index, value.as_deref()) {
                        done = format!("not done: {done}: the field is this server's");
                    }
                }
                Change::AddField { .. } | Change::ChangeField { .. } => {
                    done = format!("not done: {done}: no field can be so");
                }
                Change::Body(body) => content.replace_body(body),
                Change::Junk => handling.is_junk = true,
                Change::Quarantine(why) => {
                    handling.quarantine.get_or_insert((hook.clone(), why));
                }
                change @ (Change::ReversePath(_)
                | Change::AddRecipient(_)
                | Change::RemoveRecipient(_)
                | Change::Redirect(_)) => handling.envelope.push(change),
            }
            self.remark(&done);
        }
        if is_any {
            content.header = fields.octets();
        }
    }

    /// Adds to what is known of the last answer.
    pub fn remark(&mut self, text: &str) {
        if let Some(note) = self.last.and_then(|last| self.notes.get_mut(last))
            && note.changes.len() < MAX_CHANGES
        {
            note.changes.push(super::one_line(text));
        }
    }

    /// Writes down what a hook has said to a question, and what is to become of the command at this stage.
    fn note(
        &mut self,
        at: usize,
        (question, stage): (Stage, Stage),
        answer: Result<Answer, Failure>,
        took: u64,
    ) -> Ruling {
        let Some(place) = self.places.get_mut(at) else { return Ruling::default() };
        let name = place.hook.settings.name.clone();
        let mut note =
            Note { hook: name.clone(), stage: question, said: String::new(), reasons: vec![], changes: vec![], took };
        let ruling = match answer {
            Ok(Answer { verdict, changes, reasons }) => {
                note.said = verdict.to_string();
                note.reasons = reasons;
                let room = MAX_WANTED.saturating_sub(self.wanted.len());
                self.wanted.extend(changes.into_iter().take(room).map(|change| (at, change)));
                match verdict {
                    Verdict::Stop => {
                        place.done = if question < Stage::Mail { Done::Session } else { Done::Message };
                        Ruling::default()
                    }
                    Verdict::Continue => Ruling::default(),
                    verdict => Ruling { verdict, by: Some(name) },
                }
            }
            Err(failure) => {
                note.said = super::one_line(&format!("no answer: {failure}"));
                place.milter = None;
                match place.hook.settings.on_failure {
                    _ if stage < Stage::Mail => Ruling::default(),
                    OnFailure::Defer => Ruling { verdict: Verdict::Defer(super::Said::default()), by: None },
                    OnFailure::Accept => {
                        place.done = Done::Message;
                        place.is_missing = true;
                        Ruling::default()
                    }
                }
            }
        };
        tracing::debug!(hook = note.hook, ?stage, said = note.said, took, "hook");
        self.write_down(note);
        ruling
    }

    /// Hundreds of recipients to each of whom the same is said are one note. What is said of the message is always kept.
    fn write_down(&mut self, note: Note) {
        let is_like = |known: &Note| {
            let is_plain = |note: &Note| note.reasons.is_empty() && note.changes.is_empty();
            (&known.hook, known.stage, &known.said) == (&note.hook, note.stage, &note.said)
                && is_plain(known)
                && is_plain(&note)
        };
        let from = if note.stage < Stage::Mail { 0 } else { self.of_session.min(self.notes.len()) };
        let known = self.notes.get(from..).unwrap_or_default().iter().position(is_like);
        if let Some(known) = known.and_then(|at| self.notes.get_mut(from.saturating_add(at))) {
            known.took = known.took.saturating_add(note.took);
        } else if self.notes.len() < MAX_NOTES || (note.stage >= Stage::Header && self.notes.len() < MAX_ALL_NOTES) {
            self.notes.push(note);
        }
        self.last = self.notes.len().checked_sub(1);
    }
}

impl Place {
    fn is_asked(&self, stage: Stage) -> bool {
        let asks = match (&self.hook.kind, stage) {
            // A milter gets the message as a whole, and these look at nothing else.
            (Kind::Milter(_), Stage::Header) => false,
            (Kind::Rspamd(_) | Kind::Clamd(_), _) => stage == Stage::Data,
            (Kind::Milter(_), Stage::Auth) => false,
            (Kind::Milter(_) | Kind::Http(_), _) => self.hook.settings.stages.contains(&stage),
        };
        asks && self.done == Done::Nothing
    }

    async fn ask(&mut self, stage: Stage, facts: &Facts) -> Result<Answer, Failure> {
        let hook = self.hook.clone();
        match &hook.kind {
            Kind::Http(http) => hook.asked(stage, http.ask(stage, facts)).await,
            Kind::Milter(milter) => hook.asked(stage, self.tell(milter, stage, facts)).await,
            Kind::Rspamd(_) | Kind::Clamd(_) => Ok(Answer::default()),
        }
    }

    async fn ask_message(&mut self, stage: Stage, facts: &Facts, content: &Content<'_>) -> Result<Answer, Failure> {
        let hook = self.hook.clone();
        match &hook.kind {
            Kind::Http(http) => hook.asked(stage, http.ask_message(stage, facts, content)).await,
            Kind::Rspamd(rspamd) => hook.asked(stage, rspamd.ask(facts, content)).await,
            Kind::Clamd(clamd) => hook.asked(stage, clamd.ask(content)).await,
            Kind::Milter(milter) => {
                let question = async {
                    // What it was not asked about before it hears now. A recipient that it refuses only here has been
                    // accepted: it can go with the message alone.
                    let answer = self.tell(milter, Stage::Rcpt, facts).await?;
                    let Some(spoken) = self.milter.as_mut().filter(|_| answer.verdict == Verdict::Continue) else {
                        return Ok(answer);
                    };
                    // The transaction ends for it with its answer.
                    spoken.knows = Some(Stage::Ehlo);
                    spoken.recipients = 0;
                    spoken.session.message(facts, content).await
                };
                hook.asked(stage, question).await
            }
        }
    }

    /// Tells a milter what has happened up to `stage`, beginning with what it does not know; gives the first answer that
    /// is not to go on.
    async fn tell(&mut self, milter: &Milter, stage: Stage, facts: &Facts) -> Result<Answer, Failure> {
        let new = || Spoken { session: milter.session(), knows: None, recipients: 0, refused: None };
        let spoken = self.milter.get_or_insert_with(new);
        if let Some((_, verdict)) = &spoken.refused {
            return Ok(Answer { verdict: verdict.clone(), ..Answer::default() });
        }
        for next in [Stage::Connect, Stage::Ehlo, Stage::Mail] {
            if next > stage || spoken.knows.is_some_and(|knows| knows >= next) {
                continue;
            }
            let answer = match next {
                Stage::Connect => spoken.session.connect(facts).await?,
                Stage::Ehlo => spoken.session.hello(facts).await?,
                _ => spoken.session.mail(facts).await?,
            };
            spoken.knows = Some(next);
            if answer.verdict != Verdict::Continue {
                // Who asks again must not get past it.
                if next < stage && matches!(answer.verdict, Verdict::Refuse(_) | Verdict::Defer(_)) {
                    spoken.refused = Some((next, answer.verdict.clone()));
                }
                return Ok(answer);
            }
        }
        let Some(envelope) = facts.envelope.as_ref().filter(|_| stage == Stage::Rcpt) else {
            return Ok(Answer::default());
        };
        while spoken.recipients < envelope.recipients.len() {
            spoken.recipients = spoken.recipients.saturating_add(1);
            let mut upto = facts.clone();
            if let Some(envelope) = &mut upto.envelope {
                envelope.recipients.truncate(spoken.recipients);
            }
            let answer = spoken.session.rcpt(&upto).await?;
            if answer.verdict != Verdict::Continue {
                return Ok(answer);
            }
        }
        Ok(Answer::default())
    }
}

/// A change in words.
fn describe(change: &Change) -> String {
    let short = |value: &[u8]| value.escape_ascii().to_string().chars().take(MAX_SHOWN).collect::<String>();
    match change {
        Change::AddField { name, value } => format!("field {name} added: {}", short(value)),
        Change::ChangeField { name, index, value: Some(value) } => {
            format!("field {name} {index} changed: {}", short(value))
        }
        Change::ChangeField { name, index, value: None } => format!("field {name} {index} removed"),
        Change::Body(body) => format!("body replaced: {} octets", body.len()),
        Change::ReversePath(path) => format!("reverse-path changed: {path}"),
        Change::AddRecipient(address) => format!("recipient added: {address}"),
        Change::RemoveRecipient(address) => format!("recipient removed: {address}"),
        Change::Redirect(to) => {
            let to: Vec<String> = to.iter().take(MAX_CHANGES).map(ToString::to_string).collect();
            format!("redirected to {}", to.join(", "))
        }
        Change::Junk => "junk".to_owned(),
        Change::Quarantine(why) => format!("quarantine: {why}"),
    }
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The field of a message that a hook should have seen and has not.
pub const UNCHECKED: &str = "X-Posthouse-Unchecked";

/// Answers that are kept of one transaction, before its data and with it.
const MAX_NOTES: usize = 200;
const MAX_ALL_NOTES: usize = 400;
/// Changes that are wanted before there is a message.
const MAX_WANTED: usize = 500;
/// Changes of one answer that are described.
const MAX_CHANGES: usize = 50;
const MAX_SHOWN: usize = 200;
