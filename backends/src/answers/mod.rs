//! The answers of the HTTP behaviours. Each one takes an exchange, reads the body, and says what comes after.

pub(crate) mod right;
pub(crate) mod slow;
pub(crate) mod wrong;
