//! The only place where bytes move between a wire and a lane.

use super::storage::Storage;
use crate::core::lane::Sink;
use crate::core::time::Time;
use crate::os::{IoFault, Os};
use crate::session::{Session, Side};
use crate::wire::Wire;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Nothing was wanted, or nothing was there, or there is no buffer to read into.
    Nothing,
    /// All that was there, or the end: another read would only say EAGAIN.
    All,
    /// As much as there was room for: there may be more.
    Room,
}

/// Reads once from `side` into its lane.
pub(super) fn fill<O: Os>(
    os: &mut O,
    storage: &mut Storage,
    wire: &mut Wire,
    session: &mut Session,
    side: Side,
    now: Time,
) -> Filled {
    if !session.wants_read(side) {
        return Filled::Nothing;
    }
    let buffer = &mut session.lane_from(side).buffer;
    if !buffer.is_attached() {
        let Some(room) = storage.take(side) else { return Filled::Nothing };
        buffer.attach(room);
    }
    let room = buffer.room();
    let wanted = room.len();
    match wire.read(os, room) {
        Ok(0) => session.handle_end(side),
        Ok(count) => {
            buffer.fill(count);
            session.handle_moved(now);
            if count == wanted {
                return Filled::Room;
            }
        }
        Err(IoFault::Blocked) => return Filled::Nothing,
        Err(IoFault::Lost) => session.handle_lost(side),
    }
    Filled::All
}

/// Writes once to `side` from its lane, unless the last write was short and poll has not said since that there is room;
/// true if that changed anything.
pub(super) fn drain<O: Os>(
    os: &mut O,
    wire: &mut Wire,
    session: &mut Session,
    side: Side,
    now: Time,
) -> bool {
    let lane = session.lane_to(side);
    if !lane.wants_write() || lane.sink == Sink::Blocked {
        return false;
    }
    lane.join_pieces();
    let (head, body) = lane.unsent();
    let wanted = head.len() + body.len();
    match wire.write(os, head, body) {
        Ok(count) => {
            lane.send(count);
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
