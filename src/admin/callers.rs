//! The callers that the admin address serves, in bounded number. At the bound a caller that is not being
//! answered makes room.

use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::Socket;

/// Callers that are served at the same time; one more is told to come back, if none can make room.
const CALLERS_MAX: usize = 32;

/// Threads at the same time: those of callers that have made room need a moment to end.
const THREADS_MAX: usize = 2 * CALLERS_MAX;

/// The progress of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its request is awaited.
    Asking,
    /// It is being answered.
    Answering,
    /// It has its answer and has not closed yet.
    Leaving,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Callers(Arc<Mutex<Seats>>);

#[derive(Debug, Default)]
struct Seats {
    /// In the order in which they came.
    taken: Vec<CallerSlot>,
    threads: usize,
    next: u64,
}

#[derive(Debug)]
struct CallerSlot {
    number: u64,
    stage: Stage,
    /// To end the wait of its thread.
    stream: Socket,
}

/// A caller's place. Dropping it gives the place back, however the thread ends.
#[derive(Debug)]
pub(super) struct Place {
    callers: Callers,
    number: u64,
}

/// The caller that makes room: the oldest that has its answer, else the oldest that has not asked yet.
fn who_makes_room(stages: &(impl Iterator<Item = Stage> + Clone)) -> Option<usize> {
    let first = |stage| stages.clone().position(|other| other == stage);
    first(Stage::Leaving).or_else(|| first(Stage::Asking))
}

impl Callers {
    /// Whether no caller is being served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().threads == 0
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the caller behind `stream`; `None` if there is none and no caller can make room.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub(super) fn seat(&self, stream: &Socket) -> io::Result<Option<Place>> {
        let stream = stream.try_clone()?;
        let mut seats = self.lock();
        if seats.threads >= THREADS_MAX {
            return Ok(None);
        }
        if seats.taken.len() >= CALLERS_MAX {
            let Some(place) = who_makes_room(&seats.taken.iter().map(|seat| seat.stage)) else {
                return Ok(None);
            };
            let _ = seats.taken.remove(place).stream.shutdown(Shutdown::Both);
        }
        let number = seats.next;
        seats.next += 1;
        seats.threads += 1;
        seats.taken.push(CallerSlot { number, stage: Stage::Asking, stream });
        Ok(Some(Place { callers: self.clone(), number }))
    }
}

impl Place {
    /// Records how far the caller is.
    pub(super) fn reach(&self, stage: Stage) {
        let mut seats = self.callers.lock();
        if let Some(seat) = seats.taken.iter_mut().find(|seat| seat.number == self.number) {
            seat.stage = stage;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.callers.lock();
        seats.threads -= 1;
        seats.taken.retain(|seat| seat.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn who_has_its_answer_goes_before_who_is_silent_and_who_is_answered_stays() {
        use Stage::{Answering, Asking, Leaving};
        for (stages, place) in [
            (&[Asking, Leaving, Asking][..], Some(1)),
            (&[Answering, Asking, Asking], Some(1)),
            (&[Answering, Answering], None),
            (&[], None),
        ] {
            assert_eq!(who_makes_room(&stages.iter().copied()), place, "{stages:?}");
        }
    }

    fn held(callers: &Callers) -> (usize, usize) {
        let seats = callers.lock();
        (seats.taken.len(), seats.threads)
    }

    #[test]
    fn the_longest_silent_makes_room_and_places_come_back_by_themselves() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let call = || {
            let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (Socket::from(listener.accept().unwrap().0), theirs)
        };
        let callers = Callers::default();
        let mut pairs: Vec<_> = (0..=CALLERS_MAX).map(|_| call()).collect();
        let mut places: Vec<_> =
            pairs[..CALLERS_MAX].iter().map(|(ours, _)| callers.seat(ours).unwrap().unwrap()).collect();
        places[0].reach(Stage::Answering);
        let newcomer = callers.seat(&pairs[CALLERS_MAX].0).unwrap();
        assert!(newcomer.is_some());
        assert_eq!(pairs[1].1.read(&mut [0]).unwrap(), 0);
        assert_eq!(held(&callers), (CALLERS_MAX, CALLERS_MAX + 1));
        places.iter().for_each(|place| place.reach(Stage::Answering));
        newcomer.as_ref().unwrap().reach(Stage::Answering);
        assert!(callers.seat(&pairs[1].0).unwrap().is_none());
        let panics = std::thread::spawn(move || {
            let _place = newcomer;
            panic!("whatever a thread dies of");
        });
        assert!(panics.join().is_err());
        places.clear();
        assert_eq!(held(&callers), (0, 0));
    }
}
