//! rspamd, by its HTTP interface (<https://rspamd.com/doc/developers/protocol.html>): the message goes to `/checkv2`, the
//! action that comes back decides; `/learnspam` and `/learnham` teach it what users think.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::is_field;
use super::http::failure;
use super::{Answer, Change, Content, Facts, Failure, Said, Verdict, one_line};
use crate::mail::EnhancedCode;
use crate::net::http_client::{self, Excess, HttpClient, Limits, Request, Url};

/// An rspamd.
#[derive(Clone, Debug)]
pub struct Rspamd {
    /// Where messages are checked: its normal worker, with the path.
    pub check: Url,
    /// Where it learns: its controller, for spam and for ham.
    pub learn: Option<Learn>,
    /// What becomes of what it wants rejected.
    pub on_reject: OnReject,
    /// Octets of a message that it is sent.
    pub octets: u64,
    /// Asks.
    pub client: HttpClient,
}

/// Where rspamd learns.
#[derive(Clone)]
pub struct Learn {
    /// `…/learnspam`
    pub spam: Url,
    /// `…/learnham`
    pub ham: Url,
    /// The controller's password.
    pub password: Option<String>,
}

/// Not the password.
impl std::fmt::Debug for Learn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learn").field("spam", &self.spam).field("ham", &self.ham).finish_non_exhaustive()
    }
}

/// What becomes of a message that rspamd wants rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnReject {
    /// It is refused.
    #[default]
    Refuse,
    /// It waits for an administrator.
    Quarantine,
    /// It is junk.
    Junk,
}

/// What a user thinks of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It belongs to Junk.
    Spam,
    /// It does not.
    Ham,
}

/// What `/checkv2` answers, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Checked {
    action: String,
    #[serde(default)]
    score: f64,
    #[serde(default)]
    required_score: f64,
    #[serde(default)]
    symbols: BTreeMap<String, Symbol>,
    #[serde(default)]
    messages: BTreeMap<String, Value>,
    #[serde(default)]
    milter: Milter,
}

#[derive(Debug, Default, Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

/// What its milter would do: modules write headers by it.
#[derive(Debug, Default, Deserialize)]
struct Milter {
    #[serde(default)]
    add_headers: BTreeMap<String, Value>,
}

impl Rspamd {
    /// Asks about a message.
    pub async fn ask(&self, facts: &Facts, content: &Content<'_>) -> Result<Answer, Failure> {
        let (octets, is_cut) = content.octets(self.octets).await.map_err(Failure::Store)?;
        let mut request = Request::post(self.check.clone(), "message/rfc822", octets)
            .with_field("IP", &facts.peer.client.ip().to_string())
            .with_field("MTA-Name", &facts.hostname);
        for (name, value) in [
            ("Helo", facts.helo.clone()),
            ("User", facts.login.as_ref().map(ToString::to_string)),
            ("From", facts.envelope.as_ref().map(|envelope| envelope.reverse_path.clone())),
            ("Queue-Id", facts.envelope.as_ref().and_then(|envelope| Some(envelope.id?.to_string()))),
            ("TLS-Version", facts.tls.as_ref().map(|tls| tls.version.clone())),
            ("TLS-Cipher", facts.tls.as_ref().map(|tls| tls.cipher.clone())),
        ] {
            if let Some(value) = value {
                request = request.with_field(name, &ascii(&value));
            }
        }
        for recipient in facts.envelope.iter().flat_map(|envelope| &envelope.recipients).take(MAX_RECIPIENTS) {
            request = request.with_field("Rcpt", &ascii(&recipient.address));
        }
        let limits = Limits { time: LONGEST, octets: MAX_ANSWER, excess: Excess::Fails };
        let answer = ok(self.client.ask(&request, limits).await.map_err(failure)?)?;
        let checked: Checked =
            serde_json::from_slice(&answer.body).map_err(|error| Failure::Protocol(one_line(&error.to_string())))?;
        let mut answer = checked.answer(self.on_reject)?;
        if is_cut {
            answer.reasons.push(format!("seen: the first {} octets", self.octets));
        }
        Ok(answer)
    }

    /// Teaches it. Gives what it answered, in words.
    pub async fn learn(&self, opinion: Opinion, octets: Vec<u8>) -> Result<String, Failure> {
        let Some(learn) = &self.learn else { return Ok("not taught".to_owned()) };
        let url = match opinion {
            Opinion::Spam => &learn.spam,
            Opinion::Ham => &learn.ham,
        };
        let mut request = Request::post(url.clone(), "message/rfc822", octets);
        if let Some(password) = &learn.password {
            request = request.with_field("Password", password);
        }
        let limits = Limits { time: LEARN_TIME, octets: MAX_ANSWER, excess: Excess::Fails };
        let answer = self.client.ask(&request, limits).await.map_err(failure)?;
        // 208: it knows that one already.
        let text = one_line(&String::from_utf8_lossy(&answer.body));
        match answer.status {
            200 | 204 | 208 => Ok(text),
            429 | 500.. => Err(Failure::Unreachable(format!("status {}: {text}", answer.status))),
            status => Err(Failure::Protocol(format!("status {status}: {text}"))),
        }
    }
}

impl Checked {
    fn answer(self, on_reject: OnReject) -> Result<Answer, Failure> {
        let reasons = vec![self.summary()];
        let said = |class, code, detail, otherwise: &str| {
            let text = self.messages.get("smtp_message").and_then(Value::as_str).unwrap_or(otherwise);
            Said::new(class, Some(code), Some(EnhancedCode::new(class, 7, detail)), text)
        };
        let mut changes = self.fields();
        let verdict = match (self.action.as_str(), on_reject) {
            ("no action", _) => Verdict::Continue,
            ("greylist" | "soft reject", _) => Verdict::Defer(said(4, 451, 1, "Try again later")),
            ("reject", OnReject::Refuse) => Verdict::Refuse(said(5, 554, 1, "Message looks like spam")),
            ("reject", OnReject::Quarantine) | ("quarantine", _) => {
                changes.push(Change::Quarantine(reasons.first().cloned().unwrap_or_default()));
                Verdict::Continue
            }
            ("reject", OnReject::Junk) | ("add header" | "rewrite subject", _) => {
                changes.push(Change::Junk);
                Verdict::Continue
            }
            ("discard", _) => Verdict::Discard,
            (action, _) => return Err(Failure::Protocol(format!("action {:?} is not known", one_line(action)))),
        };
        Ok(Answer { verdict, changes, reasons })
    }

    /// The score, and what it is made of: the heaviest first.
    fn summary(&self) -> String {
        let mut symbols: Vec<_> = self.symbols.iter().map(|(name, symbol)| (name, symbol.score)).collect();
        symbols.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let symbols: Vec<String> =
            symbols.iter().take(MAX_SYMBOLS).map(|(name, score)| format!("{name} {score:.1}")).collect();
        let Self { action, score, required_score, .. } = self;
        one_line(&format!("{action}: {score:.1} of {required_score:.1}; {}", symbols.join(", ")))
    }

    /// Fields that its modules write. One that cannot be a field is left out.
    fn fields(&self) -> Vec<Change> {
        let mut fields = Vec::new();
        for (name, value) in &self.milter.add_headers {
            let one = |value: &Value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Object(object) => object.get("value").and_then(Value::as_str).map(str::to_owned),
                _ => None,
            };
            let values = match value {
                Value::Array(values) => values.iter().filter_map(one).collect(),
                value => one(value).into_iter().collect::<Vec<_>>(),
            };
            fields.extend(values.into_iter().map(|value| (name.clone(), value.into_bytes())));
        }
        fields.retain(|(name, value)| is_field(name, value));
        fields.truncate(MAX_FIELDS);
        fields.into_iter().map(|(name, value)| Change::AddField { name, value }).collect()
    }
}

fn ok(answer: http_client::Answer) -> Result<http_client::Answer, Failure> {
    match answer.status {
        200 => Ok(answer),
        429 | 500.. => Err(Failure::Unreachable(format!("status {}", answer.status))),
        status => Err(Failure::Protocol(format!("status {status}"))),
    }
}

/// As it can stand in a field of HTTP.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// A bound for a hook whose own time is longer.
const LONGEST: Duration = Duration::from_secs(600);
const LEARN_TIME: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 1 << 20;
const MAX_RECIPIENTS: usize = 1_000;
const MAX_SYMBOLS: usize = 12;
const MAX_FIELDS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str, on_reject: OnReject) -> Result<Answer, Failure> {
        serde_json::from_str::<Checked>(json).map_err(|error| Failure::Protocol(error.to_string()))?.answer(on_reject)
    }

    #[test]
    fn actions_become_answers() {
        use OnReject::{Junk, Quarantine, Refuse};
        for (action, on_reject, verdict, changes) in [
            ("no action", Refuse, "continue", 0),
            ("greylist", Refuse, "defer 451 4.7.1 Try again later", 0),
            ("soft reject", Refuse, "defer 451 4.7.1 Try again later", 0),
            ("add header", Refuse, "continue", 1),
            ("rewrite subject", Refuse, "continue", 1),
            ("reject", Refuse, "refuse 554 5.7.1 Message looks like spam", 0),
            ("reject", Junk, "continue", 1),
            ("reject", Quarantine, "continue", 1),
            ("discard", Refuse, "discard", 0),
        ] {
            let got = answer(&format!(r#"{{"action":"{action}"}}"#), on_reject).unwrap();
            assert_eq!(
                (got.verdict.to_string(), got.changes.len()),
                (verdict.to_owned(), changes),
                "{action} {on_reject:?}"
            );
        }
        assert!(answer(r#"{"action":"explode"}"#, Refuse).is_err());
        assert!(answer(r#"{"score":1}"#, Refuse).is_err());
    }

    #[test]
    fn scores_and_fields_are_told() {
        let json = r#"{"action":"add header","score":7.25,"required_score":15,
            "symbols":{"A":{"score":0.0},"B":{"score":-1.5},"GTUBE":{"score":8}},
            "milter":{"add_headers":{"X-Spam":"Yes","X-Two":[{"value":"1","order":0},{"value":"2"}],
            "X-Bad":"a\r\nBcc: eve@evil.test"}}}"#;
        let got = answer(json, OnReject::Refuse).unwrap();
        assert_eq!(got.reasons, ["add header: 7.2 of 15.0; GTUBE 8.0, B -1.5, A 0.0"]);
        let field =
            |name: &str, value: &str| Change::AddField { name: name.to_owned(), value: value.as_bytes().to_vec() };
        assert_eq!(got.changes, [field("X-Spam", "Yes"), field("X-Two", "1"), field("X-Two", "2"), Change::Junk]);
    }
}
