//! What is counted and timed, for those who watch over the server: a text in the form of Prometheus.
//!
//! Numbers count from the start of the process. Logins and commits are counted where they happen; what is known elsewhere
//! (the queue, hooks, webhooks) is asked for when somebody looks. Labels have few values: names from the configuration and
//! words of our own, never what a peer says.

mod family;
mod histogram;

use std::sync::Arc;
use std::time::Duration;

pub use family::{Counters, Timers};
pub use histogram::Histogram;

/// What sessions and deliveries count. Cheap to clone; all clones are one.
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
    acceptance: Timers<0>,
    attempts: Timers<1>,
}

/// What an attempt at delivery has come to, for all its recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The other host has it for one of them at least.
    Relayed,
    /// For none, but one at least will be tried again.
    Deferred,
    /// It never will.
    Failed,
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

    /// From the end of a message to its 250 it took so long.
    pub fn answered(&self, time: Duration) {
        self.inner.acceptance.took([], time);
    }

    /// An attempt to deliver a message to another host took so long.
    pub fn attempted(&self, outcome: Attempted, time: Duration) {
        let outcome = match outcome {
            Attempted::Relayed => "relayed",
            Attempted::Deferred => "deferred",
            Attempted::Failed => "failed",
        };
        self.inner.attempts.took([outcome], time);
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
        let Inner { messages, recipients, sessions, sessions_begun, acceptance, attempts } = &*self.inner;
        messages.write(out);
        recipients.write(out);
        sessions.write(out);
        sessions_begun.write(out);
        acceptance.write(out);
        attempts.write(out);
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
            acceptance: Timers::new(
                "posthouse_acceptance_seconds",
                "Time from the end of a message to its 250.",
                [],
                ANSWER_SECONDS,
            ),
            attempts: Timers::new(
                "posthouse_delivery_attempt_seconds",
                "Time of an attempt to deliver a message to another host.",
                ["outcome"],
                ATTEMPT_SECONDS,
            ),
        }
    }
}

/// Bounds for what a client waits for, from a filter on the same machine to one that hangs.
pub const ANSWER_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];

/// Bounds for what hosts elsewhere take, which may be minutes (RFC 5321 §4.5.3.2).
const ATTEMPT_SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

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
        metrics.answered(Duration::from_millis(3));
        metrics.attempted(Attempted::Deferred, Duration::from_secs(90));
        let mut text = String::new();
        metrics.write(&mut text);
        for line in [
            "posthouse_messages_total{outcome=\"accepted\",at=\"DATA\"} 1",
            "posthouse_messages_total{outcome=\"deferred\",at=\"RCPT\"} 1",
            "posthouse_messages_total{outcome=\"refused\",at=\"RCPT\"} 1",
            "posthouse_recipients_total 3",
            "posthouse_sessions_open{protocol=\"imap\"} 1",
            "posthouse_sessions_total{protocol=\"imap\"} 2",
            "posthouse_acceptance_seconds_bucket{le=\"0.0025\"} 0",
            "posthouse_acceptance_seconds_bucket{le=\"0.005\"} 1",
            "posthouse_delivery_attempt_seconds_bucket{outcome=\"deferred\",le=\"60\"} 0",
            "posthouse_delivery_attempt_seconds_bucket{outcome=\"deferred\",le=\"120\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        drop(session);
        let mut text = String::new();
        metrics.write(&mut text);
        assert!(text.contains("posthouse_sessions_open{protocol=\"imap\"} 0\n"));
    }
}
