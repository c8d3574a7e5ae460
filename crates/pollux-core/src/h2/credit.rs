//! Flow control (RFC 9113 §5.2, §6.9): how many bytes of DATA one side may still send.

use super::frame::{ErrorCode, MAX_31};

/// The bytes that we may send. The number may be below zero, after the peer has made its initial window
/// smaller (§6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendCredit(i64);

impl SendCredit {
    /// The window of a stream or connection that opens.
    #[must_use]
    pub fn new(window: u32) -> SendCredit {
        SendCredit(i64::from(window))
    }

    /// The number of bytes that may go out now.
    #[must_use]
    pub fn available(self) -> u32 {
        u32::try_from(self.0.max(0)).unwrap_or(MAX_31)
    }

    /// Counts bytes that go out.
    pub fn spend(&mut self, count: u32) {
        debug_assert!(count <= self.available(), "more goes out than was promised");
        self.0 -= i64::from(count);
    }

    /// Takes a WINDOW_UPDATE.
    ///
    /// # Errors
    /// `PROTOCOL_ERROR` for an increment of zero, `FLOW_CONTROL_ERROR` for a window above 2^31-1: of the stream or of the connection,
    /// whichever the frame names.
    pub fn open(&mut self, increment: u32) -> Result<(), ErrorCode> {
        if increment == 0 {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        self.shift(i64::from(increment))
    }

    /// Takes a change of the peer's initial window.
    ///
    /// # Errors
    /// `FLOW_CONTROL_ERROR` of the connection for a window above 2^31-1.
    pub fn rebase(&mut self, before: u32, now: u32) -> Result<(), ErrorCode> {
        self.shift(i64::from(now) - i64::from(before))
    }

    fn shift(&mut self, by: i64) -> Result<(), ErrorCode> {
        if self.0 + by > i64::from(MAX_31) {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        self.0 += by;
        Ok(())
    }
}

/// The bytes that the peer may send: a view of the room that there is for it. It may be below zero, until the
/// peer has acknowledged a smaller initial window of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveCredit {
    /// Bytes that were promised and have not come.
    promised: i64,
    /// As much as is promised at once, at most.
    most: u32,
}

impl ReceiveCredit {
    /// The window that our settings, or RFC 9113 §6.9.2, give at the beginning; `most` is what it may grow to.
    #[must_use]
    pub fn new(initial: u32, most: u32) -> ReceiveCredit {
        ReceiveCredit { promised: i64::from(initial), most: most.max(initial) }
    }

    /// Bytes that may still come.
    #[must_use]
    pub fn promised(self) -> u32 {
        u32::try_from(self.promised.max(0)).unwrap_or(MAX_31)
    }

    /// Counts DATA with its padding.
    ///
    /// # Errors
    /// `FLOW_CONTROL_ERROR`, if it is more than was promised.
    pub fn take(&mut self, count: u32) -> Result<(), ErrorCode> {
        if count > self.promised() && count > 0 {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        self.promised -= i64::from(count);
        Ok(())
    }

    /// The peer has acknowledged an initial window of ours; `most` follows it.
    pub fn rebase(&mut self, before: u32, now: u32) {
        self.promised += i64::from(now) - i64::from(before);
        self.most = now;
    }

    /// The bytes that may be promised besides, with `room` bytes free of `capacity`: once it is half of the
    /// most, so that updates are few. It is promised from now on.
    pub fn grant(&mut self, room: u32, capacity: u32) -> Option<u32> {
        let target = room.min(self.most);
        let increment = u32::try_from(i64::from(target) - self.promised).ok()?;
        if increment == 0 || increment < self.most.min(capacity) / 2 {
            return None;
        }
        self.promised = i64::from(target);
        Some(increment)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_may_fall_below_zero_and_never_rises_above_its_bound() {
        let mut credit = SendCredit::new(100);
        credit.spend(80);
        assert_eq!(credit.rebase(100, 10), Ok(()));
        assert_eq!(credit.available(), 0);
        assert_eq!(credit.open(70), Ok(()));
        assert_eq!(credit.available(), 0);
        assert_eq!(credit.open(5), Ok(()));
        assert_eq!(credit.available(), 5);
        assert_eq!(credit.open(0), Err(ErrorCode::PROTOCOL_ERROR));
        assert_eq!(credit.open(MAX_31), Err(ErrorCode::FLOW_CONTROL_ERROR));
        assert_eq!(credit.open(MAX_31 - 5), Ok(()));
        assert_eq!(credit.available(), MAX_31);
    }

    proptest! {
        /// A promise is never more than the room, nor than the most, and never taken back.
        #[test]
        fn a_promise_follows_the_room(
            initial in 0_u32..1000,
            most in 1_u32..2000,
            steps in prop::collection::vec((0_u32..400, 0_u32..3000), 0..60),
        ) {
            let mut credit = ReceiveCredit::new(initial, most);
            for (came, room) in steps {
                let before = credit.promised();
                prop_assert_eq!(credit.take(came).is_ok(), came <= before);
                let before = credit.promised();
                match credit.grant(room, most) {
                    None => prop_assert_eq!(credit.promised(), before),
                    Some(more) => {
                        prop_assert!(more > 0 && credit.promised() == before + more);
                        prop_assert!(credit.promised() <= room && credit.promised() <= most.max(initial));
                    }
                }
            }
        }
    }
}
