//! The second set of books: what the frames on the wire say, in numbers of their own.

use std::collections::BTreeMap;

use crate::h2::connection::Connection;

/// The window with which both sides begin (RFC 9113 §6.9.2).
pub(super) const FIRST: i64 = 65_535;

/// One stream, as the wire has it.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// DATA that the peer may send, and that the machine may send.
    pub(super) promised: i64,
    pub(super) credit: i64,
    /// Bytes without padding that the peer has sent, and that came out as events.
    pub(super) sent: usize,
    pub(super) came: usize,
    /// Bytes that the owner offered in all, and that went out.
    pub(super) offered: usize,
    pub(super) went: usize,
    pub(super) has_head: bool,
    pub(super) has_ended: bool,
    pub(super) peer_ended: bool,
    pub(super) peer_reset: bool,
    /// It lies above the peer's GOAWAY.
    pub(super) is_refused: bool,
    /// The machine has sent RST_STREAM.
    pub(super) is_reset: bool,
    /// The owner has been told that it is over, or has ended it.
    pub(super) is_over: bool,
    /// The owner has left.
    pub(super) is_left: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) streams: BTreeMap<u32, Account>,
    /// Of the connection.
    pub(super) promised: i64,
    pub(super) credit: i64,
    /// The window of a stream that opens: the peer's for the machine, the machine's for the peer.
    pub(super) initial: i64,
    pub(super) window: i64,
    /// SETTINGS and PINGs of the peer, and those that were answered.
    pub(super) settings: usize,
    pub(super) pings: usize,
    acknowledged: usize,
    answered: usize,
    goaway: u32,
    pub(super) is_left: bool,
}

impl Ledger {
    pub(super) fn new(window: i64) -> Ledger {
        Ledger {
            streams: BTreeMap::new(),
            promised: FIRST,
            credit: FIRST,
            initial: FIRST,
            window,
            settings: 0,
            pings: 0,
            acknowledged: 0,
            answered: 0,
            goaway: u32::MAX,
            is_left: false,
        }
    }

    pub(super) fn open(&mut self, stream: u32) {
        let account = Account { promised: self.window, credit: self.initial, ..Account::default() };
        let before = self.streams.insert(stream, account);
        assert!(before.is_none(), "{stream} opens twice");
    }

    /// The peer's initial window is another one now.
    pub(super) fn rebase(&mut self, initial: i64) {
        let by = initial - self.initial;
        self.streams.values_mut().for_each(|account| account.credit += by);
        self.initial = initial;
    }

    /// Books the frames that the machine has written, and holds them to the rules.
    pub(super) fn book(&mut self, mut bytes: &[u8]) {
        while let [a, b, c, kind, flags, stream @ ..] = bytes {
            assert!(!self.is_left, "nothing follows the GOAWAY of an error");
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let number = u32::from_be_bytes(*stream.first_chunk().unwrap());
            let (payload, behind) = stream[4..].split_at(length);
            bytes = behind;
            assert!(length <= 16_384 && number >> 31 == 0, "no peer has to take this frame");
            self.frame(*kind, *flags, number, payload);
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, number: u32, payload: &[u8]) {
        let value = || u32::from_be_bytes(*payload.first_chunk().unwrap());
        match (kind, number) {
            (0, _) => {
                let length = payload.len() as i64;
                self.credit -= length;
                let account = self.live(number);
                account.credit -= length;
                account.went += payload.len();
                account.has_ended |= flags & 1 != 0;
                assert!(length == 0 || account.credit >= 0, "DATA of {number} beyond its window");
                assert!(account.has_head && account.went <= account.offered, "DATA that no owner offered");
                assert!(length == 0 || self.credit >= 0, "DATA beyond the window of the connection");
            }
            (1, _) => {
                let account = self.live(number);
                account.has_head = true;
                account.has_ended |= flags & 1 != 0;
            }
            // Of the last frames of a block; only HEADERS end a stream.
            (9, _) => {}
            (3, _) => {
                if let Some(account) = self.streams.get_mut(&number) {
                    // A stream that the peer has reset or ended is told again what it is.
                    assert!(
                        !account.is_reset || account.peer_reset || account.peer_ended,
                        "{number} is reset twice"
                    );
                    account.is_reset = true;
                }
            }
            (4, 0) => self.acknowledged += usize::from(flags & 1),
            (6, 0) => self.answered += usize::from(flags & 1),
            (7, 0) => {
                assert!(value() <= self.goaway, "the last stream rises");
                self.goaway = value();
            }
            (8, 0) => self.promised += i64::from(value()),
            (8, _) => {
                let account = self.streams.get_mut(&number).expect("a window of a stream that is open");
                assert!(!account.is_reset, "a window behind the reset of {number}");
                account.promised += i64::from(value());
            }
            _ => panic!("the machine sends no frame of type {kind} on {number}"),
        }
        assert!(self.promised <= i64::from(u32::MAX >> 1) && self.acknowledged <= self.settings);
    }

    /// A stream on which the machine may still send.
    fn live(&mut self, number: u32) -> &mut Account {
        let account = self.streams.get_mut(&number).expect("a stream that is open");
        assert!(!account.is_reset, "a frame behind the reset of {number}");
        assert!(!account.peer_reset, "a frame behind the peer's reset of {number}");
        assert!(!account.has_ended, "a frame behind the end of {number}");
        account
    }

    /// All that was written is booked: both sets of books say the same.
    pub(super) fn compare(&self, connection: &Connection) {
        if connection.error().is_some() {
            return;
        }
        assert_eq!(self.acknowledged, self.settings, "every SETTINGS is acknowledged");
        assert_eq!(self.answered, self.pings, "every PING is answered");
        for (stream, account) in &self.streams {
            let is_closed = account.is_refused
                || account.is_reset
                || account.peer_reset
                || (account.has_ended && account.peer_ended);
            if is_closed {
                assert_eq!(connection.promised(*stream), 0, "{stream} is closed");
                continue;
            }
            assert!(
                account.promised >= 0 && account.promised <= self.window.max(FIRST),
                "{stream}: {account:?}"
            );
            assert_eq!(i64::from(connection.promised(*stream)), account.promised, "promised on {stream}");
            let sendable = account.credit.min(self.credit).max(0);
            assert_eq!(i64::from(connection.sendable(*stream)), sendable, "what may go out on {stream}");
        }
    }
}
