//! The rules that must hold of the exchanges of a run and of the worker's records of them, once all actors
//! have gone.

use pollux::core::outcome::{Cause, Proof, Who};

use super::board::{Ask, Board, Ending};
use super::visit::Manners;
use crate::end::EndId;
use crate::ledger::Entry;

pub(crate) fn judge(board: &Board, entries: &[Entry], manners: Manners) {
    // Of a head that never was complete the worker knows no target.
    let (mut nameless, named): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.target.is_empty());
    let (own, others): (Vec<_>, Vec<_>) =
        board.asks.iter().partition(|ask| matches!(ask.ending, Some(Ending::Own(_))));
    for ask in own.into_iter().chain(others) {
        let mut records: Vec<_> = named.iter().copied().filter(|entry| entry.target == ask.target).collect();
        let owed = matches!(ask.ending, Some(Ending::Own(_) | Ending::Visible));
        if records.is_empty() && owed && ask.seen == 0 {
            let fits = nameless.iter().position(|entry| is_told(ask, entry));
            records.extend(fits.map(|place| nameless.swap_remove(place)));
        }
        judge_records(ask, &records, manners);
    }
    assert!(nameless.is_empty() || manners.foul || manners.draining, "records of nothing: {nameless:?}");
    for entry in named {
        let known = board.asks.iter().any(|ask| ask.target == entry.target);
        assert!(known, "a record of what nobody asked for: {entry}");
    }
}

fn judge_records(ask: &Ask, records: &[&Entry], manners: Manners) {
    let shown = || format!("{} {}, {:?}: {records:?}", ask.method, ask.target, ask.ending);
    match ask.ending {
        // A client that never came, or left, or that was turned away.
        None | Some(Ending::Unanswered | Ending::Left) => {
            assert!(records.len() <= 1, "records of {}", shown());
        }
        Some(Ending::Exact | Ending::Own(_) | Ending::Visible) => {
            assert!(records.len() == 1, "records of {}", shown());
            assert!(is_told(ask, records[0]), "the record of {}", shown());
        }
    }
    if let Some(Ending::Own(cause)) = ask.ending {
        let blames_backend = cause.who() == Who::Backend;
        // An answer with a status that is to be retried is given up for a better one, which may not come.
        let is_given_up = records.iter().any(|record| record.retried.contains(Proof::Status));
        let did_well = ask.seen > 0 && !ask.wronged && !is_given_up;
        assert!(!(blames_backend && did_well), "a backend is blamed for nothing: {}", shown());
        let is_late = matches!(cause, Cause::ClientHeadTimeout | Cause::ClientBodyTimeout);
        assert!(!(is_late && ask.truncated), "the end of a request was not noticed: {}", shown());
    }
    let flawless = ask.ending != Some(Ending::Exact) || records.iter().all(|record| record.cause.is_none());
    assert!(manners.foul || flawless, "a cause without a reason: {}", shown());
}

/// An answer that was written behind the FIN of a client that had closed has reached nobody, and no record says that it has.
pub(crate) fn judge_closed(board: &Board, entries: &[Entry], is_in_vain: impl Fn(EndId) -> bool) {
    for ask in &board.asks {
        // In a tunnel it may be the client's own bytes that come back.
        let Some(end) = ask.closed.filter(|end| ask.upgrade.is_none() && is_in_vain(*end)) else { continue };
        for entry in entries.iter().filter(|entry| entry.target == ask.target) {
            assert!(entry.cause.is_some(), "an answer that nobody took ({end}): {entry}");
        }
    }
}

/// Whether `entry` tells the ending that the client saw.
fn is_told(ask: &Ask, entry: &Entry) -> bool {
    match ask.ending {
        // The client may take an answer so late that its record calls it stalled.
        Some(Ending::Own(cause)) => {
            let is_late = entry.cause == Some(Cause::ClientStalled);
            (is_late || entry.cause == Some(cause)) && Some(entry.status) == cause.status()
        }
        // Not every truncation is known to Pollux: a tunnel that its backend ends early looks like one that
        // had nothing more to say, and what waits for a client that does not read is lost if the connection
        // is reset later.
        Some(Ending::Visible) => {
            entry.cause.is_some() || ask.upgrade.is_some() || ask.pipelined || !ask.honest
        }
        Some(Ending::Exact | Ending::Unanswered | Ending::Left) | None => true,
    }
}
