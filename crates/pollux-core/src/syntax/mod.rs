//! The grammar that heads, routes and the configuration share: tokens, lists and numbers of fields, and
//! request targets.

pub mod base64;
pub mod braces;
pub mod grammar;
pub mod target;
