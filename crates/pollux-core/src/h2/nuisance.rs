//! The budget of nuisance of a connection: frames that cost their receiver work and carry nothing.
//!
//! One bucket serves all kinds, so that a mixture of them gains nothing. Time refills it, and so does useful work: DATA with bytes in it,
//! and each whole response. A stream of tiny messages (gRPC, server-sent events) therefore never empties it.

use crate::core::time::Time;

/// So many nuisances may come at once.
pub const NUISANCES_MAX: u32 = 200;
/// The bucket counts quarters of a nuisance.
const QUARTERS: u32 = 4;
/// One quarter comes back in so many nanoseconds: 50 nuisances in a second.
const REFILL_NANOS: u64 = 5_000_000;
/// The credit that a whole response brings back, in quarters.
const RESPONSE_QUARTERS: u32 = 8;
/// Bytes of our DATA that one WINDOW_UPDATE answers, at least: half a window of 64 bytes, as the stream and the
/// connection each have one.
const ANSWERED: u32 = 32;
/// Bytes that a frame of DATA counts for at least, if the window has not cut it: a message of one byte is
/// answered by an update of the stream, one of the connection, and as many again.
const MESSAGE: u32 = 4 * ANSWERED;
/// Bytes of DATA that WINDOW_UPDATEs may yet answer, at most.
const UNANSWERED_MAX: u32 = 1 << 20;
/// DATA below it that the window cuts earns nothing else, in bytes: a peer that dribbles pays for its frames.
const DRIBBLE: u32 = 64;

/// An action of a peer that serves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nuisance {
    /// It resets a stream before the response has begun.
    Reset,
    /// It makes us reset a stream.
    Provoked,
    /// It opens more streams than we allow.
    Refused,
    /// `PING`
    Ping,
    /// `SETTINGS`
    Settings,
    /// DATA without a byte that does not end its stream.
    EmptyData,
    /// A head in more than one frame.
    Continuation,
    /// WINDOW_UPDATE without DATA that explains it.
    Window,
    /// A field block that names the same entries of the table again and again.
    References,
    /// A cookie in very many fields.
    Crumbs,
    /// A frame on a stream that has ended.
    ClosedStream,
    /// A frame that means nothing here, such as PRIORITY.
    Ignored,
}

impl Nuisance {
    /// The excess in words, for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Nuisance::Reset => "streams reset before their response",
            Nuisance::Provoked => "streams that had to be reset",
            Nuisance::Refused => "streams above the bound",
            Nuisance::Ping => "PING",
            Nuisance::Settings => "SETTINGS",
            Nuisance::EmptyData => "empty DATA",
            Nuisance::Continuation => "CONTINUATION",
            Nuisance::Window => "WINDOW_UPDATE without DATA",
            Nuisance::References => "fields by repeated reference",
            Nuisance::Crumbs => "cookie fields",
            Nuisance::ClosedStream => "frames on closed streams",
            Nuisance::Ignored => "frames without a meaning",
        }
    }

    /// In quarters.
    fn cost(self) -> u32 {
        match self {
            Nuisance::Reset
            | Nuisance::Provoked
            | Nuisance::Ping
            | Nuisance::Settings
            | Nuisance::EmptyData
            | Nuisance::References => QUARTERS,
            // Node sends all its requests before our settings arrive; a peer may have much under way when a stream ends.
            Nuisance::Refused
            | Nuisance::Continuation
            | Nuisance::Window
            | Nuisance::Crumbs
            | Nuisance::ClosedStream
            | Nuisance::Ignored => 1,
        }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct NuisanceBudget {
    /// Quarters that are left.
    left: u32,
    /// Bytes of our DATA that no WINDOW_UPDATE has answered.
    unanswered: u32,
    /// Up to when time has refilled it.
    refilled: Time,
}

impl NuisanceBudget {
    /// A full budget.
    #[must_use]
    pub fn new(now: Time) -> NuisanceBudget {
        NuisanceBudget { left: NUISANCES_MAX * QUARTERS, unanswered: 0, refilled: now }
    }

    /// Charges for one nuisance.
    ///
    /// # Errors
    /// The nuisance, if the budget is exceeded: the connection ends with ENHANCE_YOUR_CALM.
    pub fn charge(&mut self, now: Time, nuisance: Nuisance) -> Result<(), Nuisance> {
        self.charge_times(now, nuisance, 1)
    }

    /// Charges for the same nuisance several times.
    ///
    /// # Errors
    /// As [`charge`](Self::charge).
    pub fn charge_times(&mut self, now: Time, nuisance: Nuisance, times: u32) -> Result<(), Nuisance> {
        let quarters = now.since(self.refilled).as_nanos() as u64 / REFILL_NANOS;
        if quarters > 0 {
            self.refilled = Time::from_nanos(self.refilled.as_nanos() + quarters * REFILL_NANOS);
            self.refund(u32::try_from(quarters).unwrap_or(u32::MAX));
        }
        let cost = nuisance.cost().saturating_mul(times);
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => return Err(nuisance),
        }
        Ok(())
    }

    /// Charges for a WINDOW_UPDATE, unless it answers DATA of ours.
    ///
    /// # Errors
    /// As [`charge`](Self::charge).
    pub fn charge_update(&mut self, now: Time) -> Result<(), Nuisance> {
        match self.unanswered.checked_sub(ANSWERED) {
            Some(unanswered) => {
                self.unanswered = unanswered;
                Ok(())
            }
            None => self.charge(now, Nuisance::Window),
        }
    }

    /// DATA with bytes in it has come.
    pub fn data_received(&mut self) {
        self.refund(1);
    }

    /// DATA of `length` bytes goes out; `is_cut` says that the peer's window made it shorter.
    pub fn data_sent(&mut self, length: u32, is_cut: bool) {
        let answerable = if is_cut { length } else { length.max(MESSAGE) };
        self.unanswered = self.unanswered.saturating_add(answerable).min(UNANSWERED_MAX);
        if !is_cut || length >= DRIBBLE {
            self.refund(1);
        }
    }

    /// A stream ends as it should.
    pub fn response_whole(&mut self) {
        self.refund(RESPONSE_QUARTERS);
    }

    fn refund(&mut self, quarters: u32) {
        self.left = self.left.saturating_add(quarters).min(NUISANCES_MAX * QUARTERS);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_fits_and_time_brings_it_back() {
        let mut budget = NuisanceBudget::new(Time::ZERO);
        for _ in 0..NUISANCES_MAX {
            assert_eq!(budget.charge(Time::ZERO, Nuisance::Ping), Ok(()));
        }
        assert_eq!(budget.charge(Time::ZERO, Nuisance::Ping), Err(Nuisance::Ping));
        let later = Time::ZERO + Duration::from_millis(20);
        assert_eq!(budget.charge(later, Nuisance::Reset), Ok(()));
        assert_eq!(budget.charge(later, Nuisance::Reset), Err(Nuisance::Reset));
        let mut now = later;
        for _ in 0..10_000 {
            now = now + Duration::from_millis(20);
            assert_eq!(budget.charge(now, Nuisance::Settings), Ok(()));
        }
    }

    #[test]
    fn updates_that_answer_data_are_free_and_dribbles_are_not() {
        let mut budget = NuisanceBudget::new(Time::ZERO);
        for _ in 0..100_000 {
            budget.data_sent(1, false);
            assert_eq!(budget.charge_update(Time::ZERO), Ok(()));
            assert_eq!(budget.charge_update(Time::ZERO), Ok(()));
        }
        let dribbles = |length: u32| {
            let mut budget = NuisanceBudget::new(Time::ZERO);
            let passes = |_: &u32| {
                budget.data_sent(length, true);
                budget.charge_update(Time::ZERO).and_then(|()| budget.charge_update(Time::ZERO)).is_ok()
            };
            (0..100_000).take_while(passes).count() as u32
        };
        for length in [64, 100, 255, 256, 1000, 2000] {
            assert_eq!(dribbles(length), 100_000, "{length}");
        }
        let most = NUISANCES_MAX * QUARTERS;
        assert!((most / 2..most).contains(&dribbles(1)) && dribbles(32) < most + 1);
        // Many updates may answer one frame.
        let mut budget = NuisanceBudget::new(Time::ZERO);
        for _ in 0..10_000 {
            budget.data_sent(16_384, false);
            assert!((0..16_384 / ANSWERED).all(|_| budget.charge_update(Time::ZERO).is_ok()));
        }
    }
}
