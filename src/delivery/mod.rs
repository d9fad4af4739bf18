//! The way out for what the accepting commit left open: mail for other hosts ([`remote`]), slices of very large
//! deliveries, messages for accounts that had no room, messages that are still to be made of others, and events that
//! webhooks are told of. What is to be done stands in the store; whoever works here may end at any moment and goes on
//! after the next start.

pub mod fan_out;
pub mod follow_ups;
pub mod full;
pub mod holds;
pub mod remote;
pub mod rounds;
pub mod webhooks;

#[cfg(test)]
mod tests;
