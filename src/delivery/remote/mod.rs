//! The way to other hosts: what is due for one destination goes over a session with one of its hosts, and what came of
//! it is written down.
//!
//! [`destination`] says where to, [`security`] what the connection must prove, [`outcome`] how it ended.

pub mod destination;
pub mod outcome;
pub mod security;
