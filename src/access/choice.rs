//! The exchanges that have a line.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::format::status;
use crate::core::identity::RequestId;
use crate::core::outcome::{Cause, Record};
use crate::route::hash;

/// The exchanges that have a line.
///
/// An exchange that `statuses` or `slower_than` asks for has one in any case. Of the others a share of
/// `sample` thousandths has: without these two, failures always; with them, only if a sample is asked for,
/// and then failures always too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Statuses, as ranges.
    pub statuses: Vec<Statuses>,
    /// Exchanges that took longer.
    pub slower_than: Option<Duration>,
    /// The share of the others, in thousandths; `None` is all where nothing is asked for, else none.
    pub sample: Option<u32>,
    /// Causes that have no line whatever else holds.
    pub except: Vec<Cause>,
}

/// A range of statuses, such as `5xx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(RangeInclusive<u16>);

impl Statuses {
    /// Reads `5xx`, `404`, or `0` for exchanges without a status.
    #[must_use]
    pub fn parse(text: &str) -> Option<Statuses> {
        let is_class = |class: &&str| class.len() == 1 && ("1"..="5").contains(class);
        let range = match text.strip_suffix("xx").filter(is_class) {
            Some(class) => {
                let first = class.parse::<u16>().ok()? * 100;
                first..=first + 99
            }
            None if text == "0" => 0..=0,
            None if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let status = text.parse().ok().filter(|status| (100..=599).contains(status))?;
                status..=status
            }
            None => return None,
        };
        Some(Statuses(range))
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last { write!(f, "{first}") } else { write!(f, "{}xx", first / 100) }
    }
}

impl Choice {
    /// Whether `record` has a line.
    pub(super) fn takes(&self, record: &Record<'_>) -> bool {
        let cause = record.outcome.cause;
        if cause.is_some_and(|cause| self.except.contains(&cause)) {
            return false;
        }
        let asks = !self.statuses.is_empty() || self.slower_than.is_some();
        let status = status(record);
        let is_asked_for = self.statuses.iter().any(|range| range.0.contains(&status))
            || self.slower_than.is_some_and(|most| record.spans.whole > most);
        let is_failure = cause.is_some() || status >= 500;
        is_asked_for
            || match self.sample {
                None => !asks,
                Some(share) => is_failure || draw(record.request_id) < share,
            }
    }
}

/// A number below 1000 that follows from what the request is called: samplers with the same rule take the
/// same requests.
fn draw(id: RequestId<'_>) -> u32 {
    let number = match id {
        RequestId::Own(number) => hash::mix((number >> 64) as u64 ^ number as u64),
        RequestId::Kept(text) => hash::stable(text.as_bytes()),
    };
    // Less than 1000.
    ((u128::from(number) * 1000) >> 64) as u32
}
