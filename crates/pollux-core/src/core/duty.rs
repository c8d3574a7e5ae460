//! What the operator wants of a backend, whatever its health is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// It serves as its health allows.
    #[default]
    Ready,
    /// It gets only those that are bound to it, and none of its idle connections is kept.
    Drain,
    /// It gets no client; exchanges under way go on.
    Down,
}

impl Duty {
    /// Every duty there is.
    pub const ALL: [Duty; 3] = [Duty::Ready, Duty::Drain, Duty::Down];

    /// The stable word, in the configuration and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Duty::Ready => "ready",
            Duty::Drain => "drain",
            Duty::Down => "down",
        }
    }

    /// The duty with that word.
    #[must_use]
    pub fn find(word: &str) -> Option<Duty> {
        Duty::ALL.into_iter().find(|duty| duty.word() == word)
    }

    /// As one number below 4, so that it can be part of an atomic one. [`Duty::Ready`] is 0.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        match self {
            Duty::Ready => 0,
            Duty::Drain => 1,
            Duty::Down => 2,
        }
    }

    /// The duty that [`Duty::to_bits`] gave as `bits`.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Duty {
        match bits {
            1 => Duty::Drain,
            2 => Duty::Down,
            _ => Duty::Ready,
        }
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_lead_back() {
        for duty in Duty::ALL {
            assert_eq!((Duty::find(duty.word()), Duty::from_bits(duty.to_bits())), (Some(duty), duty));
        }
        assert_eq!(Duty::find("up"), None);
    }
}
