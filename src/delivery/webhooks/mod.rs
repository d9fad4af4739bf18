//! Tells webhooks of events: what the outbox has for each, in order for each message, at least once.
//!
//! Each webhook has a [`worker`] of its own, so that one that is down keeps no other waiting. [`schedule`] says what is
//! told next and what becomes of what could not be told. What has been told is taken out of the outbox; whatever ends the
//! process before that, it is told again, under the same id.

pub mod schedule;
pub mod worker;
