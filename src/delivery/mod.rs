//! The way out for what the accepting commit left open: slices of very large deliveries, and messages for accounts that
//! had no room. What is to be done stands in the store; whoever works here may end at any moment and goes on after the
//! next start.

pub mod fan_out;
pub mod full;
pub mod holds;
pub mod rounds;
