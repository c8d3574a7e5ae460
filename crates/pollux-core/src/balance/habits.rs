//! Habits of a backend that are remembered for a while: bytes behind a response that has no body, and no 100
//! to a request that expects one.

use std::time::Duration;

use crate::core::time::Time;

/// The time for which an observation holds.
const MEMORY: Duration = Duration::from_secs(600);

/// Something that a backend does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It sends a body behind the head of a response that has none (RFC 9112 §6.3), such as that to HEAD.
    Surplus,
    /// It does not send 100 (Continue) to a request that expects it (RFC 9110 §10.1.1).
    NoContinue,
}

/// The habits of a backend, in 64 bits, so that they can be one atomic number: for each the second in which
/// it was seen last, plus one. Zero is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits(pub u64);

impl Habits {
    /// After `habit` was seen.
    #[must_use]
    pub fn with(self, habit: Habit, now: Time) -> Habits {
        Habits(self.without(habit).0 | u64::from(second(now)) << shift(habit))
    }

    /// After the backend has done the opposite.
    #[must_use]
    pub fn without(self, habit: Habit) -> Habits {
        Habits(self.0 & !(u64::from(u32::MAX) << shift(habit)))
    }

    /// Whether `habit` was seen within `MEMORY`.
    #[must_use]
    pub fn has(self, habit: Habit, now: Time) -> bool {
        let seen = (self.0 >> shift(habit)) as u32;
        seen > 0 && u64::from(second(now).wrapping_sub(seen)) <= MEMORY.as_secs()
    }
}

const fn shift(habit: Habit) -> u32 {
    match habit {
        Habit::Surplus => 0,
        Habit::NoContinue => 32,
    }
}

fn second(time: Time) -> u32 {
    (time.as_nanos() / 1_000_000_000) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn habits_are_remembered_apart_and_for_a_while() {
        let none = Habits::default();
        assert!(!none.has(Habit::Surplus, at(0)) && !none.has(Habit::NoContinue, at(0)));
        let one = none.with(Habit::Surplus, at(0));
        assert!(one.has(Habit::Surplus, at(600)) && !one.has(Habit::Surplus, at(601)));
        assert!(!one.has(Habit::NoContinue, at(0)));
        let both = one.with(Habit::NoContinue, at(300));
        assert!(both.has(Habit::NoContinue, at(900)) && both.has(Habit::Surplus, at(600)));
        let renewed = both.with(Habit::Surplus, at(500));
        assert!(renewed.has(Habit::Surplus, at(1100)));
        let other = renewed.without(Habit::NoContinue);
        assert!(!other.has(Habit::NoContinue, at(300)) && other.has(Habit::Surplus, at(500)));
    }
}
