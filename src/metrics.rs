//! What is counted and timed, for those who watch over the server: a text in the form of Prometheus.
//!
//! Numbers count from the start of the process. Logins and commits are counted where they happen; what is known elsewhere
//! (the queue, hooks, webhooks) is asked for when somebody looks. Labels have few values: names from the configuration and
//! words of our own, never what a peer says.

mod family;

use std::sync::Arc;

pub use family::{Counters, Timers};

/// What sessions count. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    messages: Counters<2>,
    recipients: Counters<0>,
    sessions: Counters<1>,
    sessions_begun: Counters<1>,
}

/// Counts a session for as long as it lives.
#[derive(Debug)]
pub struct SessionGuard {
    inner: Arc<Inner>,
    protocol: &'static str,
}

impl Metrics {
    /// A message was accepted for so many recipients.
    pub fn accepted(&self, recipients: usize) {
        self.inner.messages.count(["accepted", "DATA"]);
        self.inner.recipients.add([], u32::try_from(recipients).unwrap_or(u32::MAX).into());
    }

    /// A message, or a recipient of it, was refused at a command with this reply code.
    pub fn refused(&self, at: &str, code: u16) {
        self.inner.messages.count([if code < 500 { "deferred" } else { "refused" }, at]);
    }

    /// A session of this protocol begins.
    pub fn session(&self, protocol: &'static str) -> SessionGuard {
        self.inner.sessions.count([protocol]);
        self.inner.sessions_begun.count([protocol]);
        SessionGuard { inner: self.inner.clone(), protocol }
    }

    /// Appends everything.
    pub fn write(&self, out: &mut String) {
        let Inner { messages, recipients, sessions, sessions_begun } = &*self.inner;
        messages.write(out);
        recipients.write(out);
        sessions.write(out);
        sessions_begun.write(out);
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.inner.sessions.add([self.protocol], -1.0);
    }
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            messages: Counters::new(
                "posthouse_messages_total",
                "Messages accepted, and refusals (5yz) and deferrals (4yz) of messages and recipients, by command.",
                ["outcome", "at"],
            ),
            recipients: Counters::new("posthouse_recipients_total", "Recipients of accepted messages.", []),
            sessions: Counters::gauge("posthouse_sessions_open", "Sessions that are open.", ["protocol"]),
            sessions_begun: Counters::new("posthouse_sessions_total", "Sessions that have begun.", ["protocol"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_and_everything_is_written() {
        let metrics = Metrics::default();
        let session = metrics.session("imap");
        drop(metrics.session("imap"));
        metrics.accepted(3);
        metrics.refused("RCPT", 550);
        metrics.refused("RCPT", 450);
        let mut text = String::new();
        metrics.write(&mut text);
        for line in [
            "posthouse_messages_total{outcome=\"accepted\",at=\"DATA\"} 1",
            "posthouse_messages_total{outcome=\"deferred\",at=\"RCPT\"} 1",
            "posthouse_messages_total{outcome=\"refused\",at=\"RCPT\"} 1",
            "posthouse_recipients_total 3",
            "posthouse_sessions_open{protocol=\"imap\"} 1",
            "posthouse_sessions_total{protocol=\"imap\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        drop(session);
        let mut text = String::new();
        metrics.write(&mut text);
        assert!(text.contains("posthouse_sessions_open{protocol=\"imap\"} 0\n"));
    }
}
