//! The only place where bytes move between a wire and a lane.

use super::pipes::{Loan, Pipes};
use super::storage::Storage;
use crate::core::time::Time;
use crate::lane::Sink;
use crate::os::{IoFault, Os};
use crate::session::{Session, Side};
use crate::wire::Wire;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Nothing was wanted, or nothing was there, or there is no buffer to read into.
    Nothing,
    /// All that was there, or the end: another read would only say EAGAIN.
    All,
    /// As much as there was room for: there may be more.
    Room,
}

/// The stores from which the pump takes storage.
pub(super) struct Stores<'a> {
    pub(super) buffers: &'a mut Storage,
    pub(super) pipes: &'a mut Pipes,
    /// The number of bytes that must be left of a message that is spliced; `None` if none may be.
    pub(super) least: Option<u64>,
}

/// Reads once from `side` into its lane, or into `pipe`, which is the lane's.
pub(super) fn fill<O: Os>(
    os: &mut O,
    stores: &mut Stores<'_>,
    pipe: &mut Option<Loan>,
    wire: &mut Wire,
    session: &mut Session,
    side: Side,
    now: Time,
) -> Filled {
    if !session.wants_read(side) {
        return Filled::Nothing;
    }
    if let Some(least) = stores.least
        && let Some(most) = session.spliceable(side, least)
    {
        *pipe = pipe.take().or_else(|| stores.pipes.take(os));
        if let Some(pipe) = pipe {
            return fill_pipe(os, pipe, wire, session, side, most, now);
        }
    }
    let buffer = &mut session.lane_from(side).buffer;
    if !buffer.is_attached() {
        let Some(room) = stores.buffers.take(side) else {
            if side == Side::Backend {
                session.note_unread(now);
            }
            return Filled::Nothing;
        };
        buffer.attach(room);
    } else if buffer.is_outgrown() && !stores.buffers.grow(side, buffer) {
        if side == Side::Backend {
            session.note_unread(now);
        }
        return Filled::Nothing;
    }
    let ration = stores.buffers.ration();
    let room = session.lane_from(side).buffer.room();
    let wanted = room.len().min(ration.unwrap_or(usize::MAX));
    let room = &mut room[..wanted];
    match wire.read(os, room) {
        Ok(0) => session.handle_end(side),
        Ok(count) => {
            session.lane_from(side).fill(count, count == wanted);
            session.handle_moved(now);
            // Behind a ration the next poll comes first: what has not gone out until then is kept in as
            // little as it needs.
            if count == wanted && ration.is_none() {
                return Filled::Room;
            }
        }
        Err(IoFault::Blocked) => return Filled::Nothing,
        Err(IoFault::Lost) => session.handle_lost(side),
    }
    Filled::All
}

fn fill_pipe<O: Os>(
    os: &mut O,
    pipe: &mut Loan,
    wire: &Wire,
    session: &mut Session,
    side: Side,
    most: u64,
    now: Time,
) -> Filled {
    match pipe.fill(os, wire, most) {
        Ok(0) => session.handle_end(side),
        Ok(count) => {
            // A pipe is full when it has no slot left, which may be long before it has no room left.
            let is_full = count >= pipe.capacity() / 4;
            session.lane_from(side).pipe_in(count, is_full);
            session.handle_moved(now);
            if is_full {
                return Filled::Room;
            }
        }
        Err(IoFault::Blocked) => return Filled::Nothing,
        Err(IoFault::Lost) => session.handle_lost(side),
    }
    Filled::All
}

/// Writes once to `side` from its lane, or from `pipe`, which is the lane's, unless the last write was short
/// and poll has not said since that there is room; true if that changed anything.
pub(super) fn drain<O: Os>(
    os: &mut O,
    pipe: &mut Option<Loan>,
    wire: &mut Wire,
    session: &mut Session,
    side: Side,
    now: Time,
) -> bool {
    let is_last = session.is_end_next(side);
    let lane = session.lane_to(side);
    if !lane.wants_write() || lane.sink == Sink::Blocked {
        return false;
    }
    lane.join_pieces();
    let (head, body) = lane.unsent();
    let in_memory = head.len() + body.len();
    let (outcome, wanted) = match pipe {
        Some(pipe) if in_memory == 0 => (pipe.drain(os, wire), lane.piped()),
        Some(_) | None if is_last => (wire.write_last(os, head, body), in_memory),
        Some(_) | None => (wire.write(os, head, body), in_memory),
    };
    match outcome {
        Ok(count) => {
            if in_memory == 0 {
                lane.pipe_out(count);
            } else {
                lane.send(count);
            }
            if count < wanted {
                lane.sink = Sink::Blocked;
            }
            session.handle_moved(now);
            true
        }
        Err(IoFault::Blocked) => {
            lane.sink = Sink::Blocked;
            false
        }
        Err(IoFault::Lost) => {
            session.handle_unwritable(side);
            true
        }
    }
}
