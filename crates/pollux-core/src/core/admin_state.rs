//! The state that an operator sets for a backend, independent of its health.

use std::fmt;

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminState {
    /// It serves as its health allows.
    #[default]
    Ready,
    /// It gets only those that are bound to it, and none of its idle connections is kept.
    Drain,
    /// It gets no client; exchanges under way go on.
    Down,
}

impl AdminState {
    /// All of them.
    pub const ALL: [AdminState; 3] = [AdminState::Ready, AdminState::Drain, AdminState::Down];

    /// The stable word, in the configuration and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AdminState::Ready => "ready",
            AdminState::Drain => "drain",
            AdminState::Down => "down",
        }
    }

    /// As one number below 4, so that it can be part of an atomic one. [`AdminState::Ready`] is 0.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        match self {
            AdminState::Ready => 0,
            AdminState::Drain => 1,
            AdminState::Down => 2,
        }
    }

    /// The state that [`AdminState::to_bits`] returned as `bits`.
    #[must_use]
    pub const fn from_bits(bits: u32) -> AdminState {
        match bits {
            1 => AdminState::Drain,
            2 => AdminState::Down,
            _ => AdminState::Ready,
        }
    }
}

impl fmt::Display for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        for admin_state in AdminState::ALL {
            assert_eq!(AdminState::from_bits(admin_state.to_bits()), admin_state);
        }
    }
}
