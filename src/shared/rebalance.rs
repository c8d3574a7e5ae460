//! The load of each worker, and a queue into each for clients that another worker has accepted.
//!
//! The kernel spreads connections over the listening sockets of a port by a hash, so that a few long ones may
//! all come to one worker. The worker compares these numbers and decides whether to hand a client over.
//!
//! The numbers change when a session begins or ends, and the queues are empty but for the moments of a
//! hand-over. Invariant: a client is in one queue, or with one worker. A worker that leaves takes all clients
//! out of its queue. From then on its queue refuses, and the accepting worker keeps the client.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many clients may wait in a queue. A worker that falls behind is no place to send more.
const QUEUE_MAX: usize = 64;

/// Added to the number of a place where no client can be sent, so that it never looks like the least.
const AWAY: usize = 1 << (usize::BITS - 8);

/// An accepted client on its way from one worker to another. Dropping it closes the connection.
#[derive(Debug)]
pub struct HandedOver {
    /// The connection.
    pub fd: OwnedFd,
    /// The address of its client.
    pub client: SocketAddr,
    /// The place in the snapshot of the listener that it came through.
    pub listener: usize,
}

/// All workers of a process.
#[derive(Debug)]
pub struct WorkerLoads {
    places: Box<[Place]>,
}

/// The part of one worker that the others may see and use.
#[derive(Debug)]
struct Place {
    load: Load,
    handover_queue: HandoverQueue,
}

/// The worker's sessions, and the clients in its queue. Others read it whenever they accept, so it stands in
/// a line of cache by itself; two, because processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Load(AtomicUsize);

#[derive(Debug)]
#[repr(align(128))]
struct HandoverQueue {
    /// The length of the queue. It is read without the lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    clients: VecDeque<HandedOver>,
    /// `None` while there is no worker that would look into the queue.
    wake: Option<Arc<UnixStream>>,
    /// The number of configurations that the worker has left behind. A client that waits came by a listener
    /// of the present one.
    generation: u64,
}

impl WorkerLoads {
    /// Places for so many workers, without clients yet.
    #[must_use]
    pub fn new(workers: usize) -> Arc<WorkerLoads> {
        let place = |_| Place {
            load: Load(AtomicUsize::new(AWAY)),
            handover_queue: HandoverQueue { waiting: AtomicUsize::new(0), queue: Mutex::default() },
        };
        Arc::new(WorkerLoads { places: (0..workers).map(place).collect() })
    }

    /// Lets a worker take its place. A byte is written to `wake` when there is a client for it.
    #[must_use]
    pub fn open_slot(self: &Arc<WorkerLoads>, place: usize, wake: Arc<UnixStream>) -> LoadSlot {
        self.places[place].handover_queue.lock().wake = Some(wake);
        self.places[place].load.0.store(0, Ordering::Relaxed);
        LoadSlot { worker_loads: Arc::clone(self), place, is_open: true, generation: 0 }
    }

    /// The number of clients of each worker, with those on their way to it.
    #[must_use]
    pub fn sessions(&self) -> Vec<usize> {
        self.places.iter().map(|place| place.load.0.load(Ordering::Relaxed) % AWAY).collect()
    }
}

impl HandoverQueue {
    /// A thread that panicked with the lock has left the queue whole: it only pushes and pops.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one worker. Dropping it [closes](LoadSlot::close) it.
#[derive(Debug)]
pub struct LoadSlot {
    worker_loads: Arc<WorkerLoads>,
    place: usize,
    is_open: bool,
    /// The number of configurations that this worker has left behind.
    generation: u64,
}

impl LoadSlot {
    fn own(&self) -> &Place {
        &self.worker_loads.places[self.place]
    }

    /// Records that a session has begun.
    pub fn begin(&self) {
        self.own().load.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that a session has ended.
    pub fn end(&self) {
        self.own().load.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number of clients of this worker, with those on their way to it.
    #[must_use]
    pub fn load(&self) -> usize {
        self.own().load.0.load(Ordering::Relaxed) % AWAY
    }

    /// The other worker with the fewest clients, and how many these are; `None` if this one is alone, or has
    /// left.
    #[must_use]
    pub fn lightest(&self) -> Option<(usize, usize)> {
        let places = self.worker_loads.places.iter().enumerate();
        let others = places.filter(|(place, _)| self.is_open && *place != self.place);
        others
            .map(|(place, other)| (place, other.load.0.load(Ordering::Relaxed)))
            .min_by_key(|(_, load)| *load)
    }

    /// Hands a client over to the worker at `place`, and wakes it.
    ///
    /// # Errors
    /// Gives the client back if that worker takes none any more, has enough to take in already, or does not
    /// run on the same configuration, so that a listener's place would mean another listener there.
    pub fn hand_over(&self, place: usize, handed_over: HandedOver) -> Result<(), HandedOver> {
        let Place { load, handover_queue } = &self.worker_loads.places[place];
        let mut queue = handover_queue.lock();
        let Queue { clients, wake: Some(wake), generation } = &mut *queue else {
            return Err(handed_over);
        };
        if clients.len() >= QUEUE_MAX || *generation != self.generation {
            return Err(handed_over);
        }
        clients.push_back(handed_over);
        load.0.fetch_add(1, Ordering::Relaxed);
        handover_queue.waiting.store(clients.len(), Ordering::Release);
        // An earlier client has woken it already. A full pipe has, too.
        if clients.len() == 1 {
            let _ = (&**wake).write(&[1]);
        }
        Ok(())
    }

    /// Whether clients wait to be taken in. That costs a look at a number that seldom changes.
    #[must_use]
    pub fn has_clients(&self) -> bool {
        self.own().handover_queue.waiting.load(Ordering::Acquire) > 0
    }

    /// Takes in the client that has waited longest.
    #[must_use]
    pub fn take(&self) -> Option<HandedOver> {
        let Place { load, handover_queue } = self.own();
        let mut queue = handover_queue.lock();
        let handed_over = queue.clients.pop_front()?;
        handover_queue.waiting.store(queue.clients.len(), Ordering::Release);
        load.0.fetch_sub(1, Ordering::Relaxed);
        Some(handed_over)
    }

    /// Takes in the clients that wait, before the worker runs on its next configuration: from now on it gets
    /// only clients of those that do so too, and hands over only to them.
    pub fn take_all(&mut self) -> VecDeque<HandedOver> {
        let Place { load, handover_queue } = &self.worker_loads.places[self.place];
        let mut queue = handover_queue.lock();
        self.generation += 1;
        queue.generation = self.generation;
        let clients = std::mem::take(&mut queue.clients);
        handover_queue.waiting.store(0, Ordering::Release);
        load.0.fetch_sub(clients.len(), Ordering::Relaxed);
        clients
    }

    /// Takes in the clients that wait, and from now on no other will be handed over. This one hands none
    /// over, either.
    pub fn close(&mut self) -> VecDeque<HandedOver> {
        if !std::mem::take(&mut self.is_open) {
            return VecDeque::new();
        }
        let Place { load, handover_queue } = self.own();
        let mut queue = handover_queue.lock();
        queue.wake = None;
        let clients = std::mem::take(&mut queue.clients);
        handover_queue.waiting.store(0, Ordering::Release);
        load.0.fetch_add(AWAY - clients.len(), Ordering::Relaxed);
        clients
    }
}

impl Drop for LoadSlot {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};

    /// A client at one end of a pair of sockets, and the other end.
    fn handed_over(listener: usize) -> (HandedOver, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (HandedOver { fd: ours.into(), client: ([127, 0, 0, 1], 1).into(), listener }, theirs)
    }

    fn slot(worker_loads: &Arc<WorkerLoads>, place: usize) -> (LoadSlot, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (worker_loads.open_slot(place, Arc::new(ours)), theirs)
    }

    #[test]
    fn clients_come_out_in_their_order_and_are_counted_throughout() {
        let worker_loads = WorkerLoads::new(2);
        let ((ours, _), (theirs, mut wake)) = (slot(&worker_loads, 0), slot(&worker_loads, 1));
        let mut others = Vec::new();
        for listener in 0..3 {
            let (handed_over, other) = handed_over(listener);
            ours.hand_over(1, handed_over).unwrap();
            others.push(other);
        }
        assert_eq!((worker_loads.sessions(), theirs.has_clients()), (vec![0, 3], true));
        assert_eq!(wake.read(&mut [0; 8]).unwrap(), 1);
        let taken: Vec<_> = std::iter::from_fn(|| theirs.take()).inspect(|_| theirs.begin()).collect();
        assert_eq!(taken.iter().map(|handed_over| handed_over.listener).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((worker_loads.sessions(), theirs.has_clients()), (vec![0, 3], false));
        theirs.end();
        assert_eq!(worker_loads.sessions(), [0, 2]);
    }

    #[test]
    fn a_full_queue_gives_the_client_back() {
        let worker_loads = WorkerLoads::new(2);
        let ((ours, _), (theirs, _wake)) = (slot(&worker_loads, 0), slot(&worker_loads, 1));
        let others: Vec<_> = (0..QUEUE_MAX)
            .map(|listener| {
                let (handed_over, other) = handed_over(listener);
                ours.hand_over(1, handed_over).unwrap();
                other
            })
            .collect();
        assert!(ours.hand_over(1, handed_over(0).0).is_err());
        assert!(theirs.take().is_some());
        assert!(ours.hand_over(1, handed_over(0).0).is_ok());
        drop(others);
    }

    #[test]
    fn who_leaves_gets_all_that_wait_and_no_more_come() {
        let worker_loads = WorkerLoads::new(3);
        let ((ours, _), (mut theirs, _wake)) = (slot(&worker_loads, 0), slot(&worker_loads, 1));
        ours.hand_over(1, handed_over(7).0).unwrap();
        let left = theirs.close();
        assert_eq!((left.len(), left[0].listener, theirs.has_clients()), (1, 7, false));
        left.iter().for_each(|_| theirs.begin());
        assert_eq!((worker_loads.sessions(), theirs.lightest()), (vec![0, 1, 0], None));
        assert!(ours.hand_over(1, handed_over(0).0).is_err() && theirs.close().is_empty());
        // The third place is empty too: a worker that is away counts as the one with the most clients.
        assert!(ours.hand_over(2, handed_over(0).0).is_err());
        assert!(ours.lightest().is_some_and(|(_, load)| load >= AWAY));
    }

    #[test]
    fn a_client_never_goes_to_another_configuration() {
        let worker_loads = WorkerLoads::new(2);
        let ((mut ours, _), (mut theirs, _wake)) = (slot(&worker_loads, 0), slot(&worker_loads, 1));
        ours.hand_over(1, handed_over(7).0).unwrap();
        assert_eq!(theirs.take_all().iter().map(|handed_over| handed_over.listener).collect::<Vec<_>>(), [7]);
        assert_eq!((worker_loads.sessions(), theirs.has_clients()), (vec![0, 0], false));
        assert!(
            ours.hand_over(1, handed_over(0).0).is_err() && theirs.hand_over(0, handed_over(0).0).is_err()
        );
        assert!(ours.take_all().is_empty() && ours.hand_over(1, handed_over(0).0).is_ok());
    }

    #[test]
    fn what_waits_is_closed_with_the_place() {
        let worker_loads = WorkerLoads::new(2);
        let ((ours, _), (theirs, _wake)) = (slot(&worker_loads, 0), slot(&worker_loads, 1));
        let (handed_over, mut other) = handed_over(0);
        other.set_nonblocking(true).unwrap();
        ours.hand_over(1, handed_over).unwrap();
        assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(theirs);
        assert_eq!((other.read(&mut [0]).unwrap(), worker_loads.sessions()), (0, vec![0, 0]));
    }

    #[test]
    fn the_lightest_is_another_one() {
        let worker_loads = WorkerLoads::new(3);
        let slots: Vec<_> = (0..3).map(|place| slot(&worker_loads, place)).collect();
        slots[1].0.begin();
        assert_eq!(slots[0].0.lightest(), Some((2, 0)));
        slots[2].0.begin();
        slots[2].0.begin();
        assert_eq!((slots[0].0.lightest(), slots[1].0.lightest()), (Some((1, 1)), Some((0, 0))));
    }
}
