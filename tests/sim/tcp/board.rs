//! The knowledge that the streams of a run share, and the rules that must hold of them in the end.

use crate::ledger::Entry;
use crate::payload::Payload;

/// The end of a stream's connection for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a FIN.
    Whole,
    /// With a RST.
    Reset,
    /// The reader itself ended it.
    Own,
}

/// One side's stream.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    is_client: bool,
    /// All of it; shorter than planned if its writer closed early.
    pub(crate) payload: Payload,
    /// The number of bytes that its writer has written.
    pub(crate) written: usize,
    /// Its writer has put a FIN behind it.
    pub(crate) finished: bool,
    /// Its writer goes its own ways.
    misbehaves: bool,
    /// The writer of the stream that came in on the other direction.
    pub(crate) heard: Option<usize>,
    /// The number of these that came in.
    pub(crate) received: usize,
    pub(crate) ending: Option<Ending>,
}

/// All streams of a run, by number. The first eight bytes of a stream are its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    streams: Vec<Told>,
}

impl Board {
    pub(crate) fn enter(&mut self, is_client: bool, len: usize, misbehaves: bool) -> usize {
        let number = self.streams.len();
        self.streams.push(Told {
            is_client,
            payload: Payload::new(number, len),
            written: 0,
            finished: false,
            misbehaves,
            heard: None,
            received: 0,
            ending: None,
        });
        number
    }

    pub(crate) fn stream(&mut self, number: usize) -> &mut Told {
        &mut self.streams[number]
    }

    /// `reader` has read the number of the stream that comes in.
    pub(crate) fn identify(&mut self, reader: usize, number: usize) {
        let other = self.streams.get(number).unwrap_or_else(|| panic!("there is no stream {number}"));
        assert!(
            other.is_client != self.streams[reader].is_client,
            "stream {reader} hears one of its own kind"
        );
        assert!(
            other.heard.is_none_or(|heard| heard == reader),
            "streams {reader} and {number} are not a pair"
        );
        self.streams[reader].heard = Some(number);
    }

    /// The bytes that `reader` must have received when the end comes with a FIN.
    pub(crate) fn expect_whole(&self, reader: usize) {
        let told = &self.streams[reader];
        let Some(other) = told.heard else { return };
        let other_told = &self.streams[other];
        assert!(other_told.finished, "a FIN came in on stream {other}, whose writer has sent none");
        assert_eq!(
            told.received, other_told.payload.len,
            "a FIN came in before the last byte of stream {other}"
        );
    }

    /// The oracles of a run that is over.
    pub(crate) fn judge(&self, entries: &[Entry], clean: bool) {
        for (number, told) in self.streams.iter().enumerate() {
            let pair = told.heard.map(|other| &self.streams[other]);
            if told.ending == Some(Ending::Reset) {
                let excused = told.misbehaves || pair.is_none_or(|other| other.misbehaves);
                assert!(!clean && excused, "stream {number} was reset although nobody did anything wrong");
            }
            // A stream of no bytes cannot say whose it is; its reader may know by whom it was heard.
            let speaker = self.streams.iter().find(|other| other.heard == Some(number));
            if let (None, Some(Ending::Whole), Some(speaker)) = (told.heard, told.ending, speaker) {
                assert!(
                    speaker.finished && speaker.payload.len == 0,
                    "stream {number} got a FIN for a lost stream"
                );
            }
        }
        let accepted = self.streams.iter().filter(|told| told.is_client).count();
        assert!(entries.len() <= accepted, "{} records of {accepted} sessions", entries.len());
        let flawless = entries.iter().filter(|entry| entry.cause.is_none()).count();
        let reset = |told: &&Told| told.is_client && told.ending == Some(Ending::Reset);
        let reset = self.streams.iter().filter(reset).count();
        assert!(flawless + reset <= accepted, "{flawless} of {accepted} sessions flawless, {reset} reset?");
        if clean {
            assert_eq!(entries.len(), accepted, "one record for every session");
            self.judge_counts(entries);
        }
    }

    /// Without faults the records tell exactly the bytes that the clients and the backends wrote.
    fn judge_counts(&self, entries: &[Entry]) {
        assert!(entries.iter().all(|entry| entry.cause.is_none()), "a cause in a clean run: {entries:?}");
        let sum = |is_client| -> usize {
            let of_kind = self.streams.iter().filter(|told| told.is_client == is_client);
            of_kind.map(|told| told.payload.len).sum()
        };
        assert_eq!(entries.iter().map(|entry| entry.bytes_up).sum::<u64>(), sum(true) as u64, "bytes up");
        assert_eq!(
            entries.iter().map(|entry| entry.bytes_down).sum::<u64>(),
            sum(false) as u64,
            "bytes down"
        );
    }
}
