//! The way to other hosts: what is due for one destination goes over a session with one of its hosts, and what came of
//! it is written down.
//!
//! [`destination`] says where to, [`hosts`] which hosts are there, [`security`] what the connection must prove,
//! [`outgoing`] what goes, [`outcome`] how it ended. A [`courier::Courier`] opens a [`session::Session`] with the next
//! host that answers, and a session takes one message after the other.

pub mod agenda;
pub mod courier;
pub mod destination;
pub mod hosts;
pub mod outcome;
pub mod outgoing;
pub mod routes;
pub mod schedule;
pub mod security;
pub mod session;
pub mod worker;

mod attempt;
mod claims;
mod content;
mod link;
mod login;
mod opening;
mod parcel;
mod parking;
mod settling;
mod transaction;
