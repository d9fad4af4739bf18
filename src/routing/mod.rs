//! Where a message goes (policy semantics §4). So far every address leads to one account or nowhere.

mod resolve;

pub use resolve::{Resolution, is_own, resolve};
