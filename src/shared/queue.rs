//! Requests that wait for a backend of a pool, over all workers, first come, first served.
//!
//! No request is handed a slot. The request that has waited longest is *called*, and picks for itself, under
//! the rules of its own configuration. While any request waits, a new one waits behind it. A call passes on
//! to the next request if its taker cannot use it: because it may not go to the free backend, has gone, or
//! has no backend left to wait for. A call that finds no room ends there.
//!
//! Invariant: whenever there is room, each request that could use it is called, or has been passed the call.
//! A release makes room and calls. A request that begins to wait looks for room once more afterwards, and
//! calls if there is any. A release that finds no request to call, because the waiting one is just looking in
//! vain, is seen by that request from its number.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::core::slab::Key;
use crate::shared::authority::Replied;

/// A queue at which a worker learns that a request of its own is next.
#[derive(Debug, Default)]
pub struct WakeupQueue {
    calls: Mutex<Vec<Key>>,
    /// Replies of authorities.
    replies: Mutex<Vec<Replied>>,
    /// The number of replies.
    replied: AtomicUsize,
    /// The number of calls. It is read without the lock.
    count: AtomicUsize,
    /// Whether the worker may be about to sleep, so that it has to be woken.
    is_asleep: AtomicBool,
    wake: OnceLock<Arc<UnixStream>>,
    /// Whether a request waits for connections that may lie idle here.
    recalls: AtomicBool,
}

impl WakeupQueue {
    /// From now on a byte is written to `wake` when there is a call while the worker sleeps.
    pub fn wake_by(&self, wake: Arc<UnixStream>) {
        // A second one would be for the same worker.
        let _ = self.wake.set(wake);
    }

    /// Records that the worker is about to sleep; false if it must not, because there are calls or replies.
    pub fn sleep(&self) -> bool {
        if self.wake.get().is_some() {
            self.is_asleep.store(true, Ordering::SeqCst);
        }
        self.count.load(Ordering::SeqCst) == 0
            && self.replied.load(Ordering::SeqCst) == 0
            && !self.recalls.load(Ordering::SeqCst)
    }

    /// Records that the worker is awake.
    pub fn wake(&self) {
        if self.wake.get().is_some() {
            self.is_asleep.store(false, Ordering::Relaxed);
        }
    }

    /// Takes the calls that have come.
    #[must_use]
    pub fn take(&self) -> Vec<Key> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut calls = lock(&self.calls);
        self.count.store(0, Ordering::SeqCst);
        std::mem::take(&mut *calls)
    }

    /// Takes the replies that have come.
    #[must_use]
    pub fn take_replies(&self) -> Vec<Replied> {
        if self.replied.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut replies = lock(&self.replies);
        self.replied.store(0, Ordering::SeqCst);
        std::mem::take(&mut *replies)
    }

    pub(super) fn push_reply(&self, reply: Replied) {
        let mut replies = lock(&self.replies);
        replies.push(reply);
        self.replied.store(replies.len(), Ordering::SeqCst);
        self.wake_worker();
    }

    /// Asks the worker to close idle connections to backends for which a request waits.
    pub fn recall(&self) {
        self.recalls.store(true, Ordering::SeqCst);
        self.wake_worker();
    }

    /// Whether it was asked to since it was last looked.
    #[must_use]
    pub fn take_recall(&self) -> bool {
        self.recalls.load(Ordering::Relaxed) && self.recalls.swap(false, Ordering::SeqCst)
    }

    fn call(&self, session: Key) {
        let mut calls = lock(&self.calls);
        calls.push(session);
        self.count.store(calls.len(), Ordering::SeqCst);
        self.wake_worker();
    }

    fn wake_worker(&self) {
        if self.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(wake) = self.wake.get()
        {
            // A full pipe has woken it already.
            let _ = (&**wake).write(&[1]);
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct PickQueue {
    /// The number of requests that wait, called or not.
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// The number of the next request.
    next: u64,
    /// The number of releases while a request waited.
    releases: u64,
    waiters: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    wakeups: Arc<WakeupQueue>,
    session: Key,
    /// Whether it has been called, and has not said yet what became of it.
    is_called: bool,
}

/// A thread that panics with a lock leaves the data behind it consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// Calls the first request with a number of at least `from` that was not called.
    fn call(&mut self, from: u64) {
        if let Some((_, waiter)) = self.waiters.range_mut(from..).find(|(_, waiter)| !waiter.is_called) {
            waiter.is_called = true;
            waiter.wakeups.call(waiter.session);
        }
    }
}

impl PickQueue {
    /// The number of requests that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// The numbers of waiting requests, in order of arrival; a later request has a higher number.
    #[must_use]
    pub fn line(&self) -> Vec<u64> {
        lock(&self.line).waiters.keys().copied().collect()
    }

    /// Records that there may be room: a request or a connection has ended.
    pub fn release(&self) {
        if self.waiting() > 0 {
            let mut line = lock(&self.line);
            line.releases += 1;
            line.call(0);
        }
    }

    /// Lets a session wait behind those who do, unless there are `most` of them. It is called at `wakeups`.
    /// Afterwards there must be another look for room, and a [`PickQueue::release`] if there is any.
    #[must_use]
    pub fn enter(
        self: &Arc<PickQueue>,
        wakeups: &Arc<WakeupQueue>,
        session: Key,
        most: usize,
    ) -> Option<Ticket> {
        let mut line = lock(&self.line);
        let ahead = line.waiters.len();
        if ahead >= most {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.waiters.insert(number, Waiter { wakeups: Arc::clone(wakeups), session, is_called: false });
        self.waiting.store(line.waiters.len(), Ordering::SeqCst);
        Some(Ticket { queue: Arc::clone(self), number, ahead })
    }
}

/// A place in the queue. Dropping it passes on a call that was not used.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<PickQueue>,
    number: u64,
    ahead: usize,
}

impl Ticket {
    /// The number of requests that waited before it when it came.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// The number of releases. A caller reads it before it looks for room.
    #[must_use]
    pub fn releases(&self) -> u64 {
        lock(&self.queue.line).releases
    }

    /// Goes on waiting after a look for room that was in vain, before which there had been so many releases.
    /// If others can use the room, or have no backend to wait for, the call passes on. If there was another
    /// release meanwhile, it stays.
    pub fn wait_on(&self, releases: u64, has_room: bool) {
        let mut line = lock(&self.queue.line);
        let is_missed = line.releases != releases;
        let Some(waiter) = line.waiters.get_mut(&self.number) else { return };
        if !waiter.is_called {
            return;
        }
        if is_missed {
            waiter.wakeups.call(waiter.session);
        } else {
            waiter.is_called = false;
            if has_room {
                line.call(self.number + 1);
            }
        }
    }

    /// Leaves the queue with a backend, or because there is none; `has_more` says whether others should look:
    /// there is room for another request, or no backend to wait for.
    pub fn use_up(self, has_more: bool) {
        if !has_more && let Some(waiter) = lock(&self.queue.line).waiters.get_mut(&self.number) {
            waiter.is_called = false;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = lock(&self.queue.line);
        let is_called = line.waiters.remove(&self.number).is_some_and(|waiter| waiter.is_called);
        self.queue.waiting.store(line.waiters.len(), Ordering::SeqCst);
        if is_called {
            line.call(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u64) -> Key {
        Key::from_bits(number)
    }

    #[test]
    fn who_waits_longest_is_called_first() {
        let (queue, wakeups) = (Arc::new(PickQueue::default()), Arc::new(WakeupQueue::default()));
        let tickets: Vec<_> = (0..3).map(|number| queue.enter(&wakeups, key(number), 3).unwrap()).collect();
        assert!(queue.enter(&wakeups, key(9), 3).is_none());
        assert_eq!(tickets.iter().map(Ticket::ahead).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(wakeups.sleep());
        queue.release();
        queue.release();
        assert!(!wakeups.sleep());
        assert_eq!(wakeups.take(), [key(0), key(1)]);
        assert_eq!(queue.waiting(), 3);
    }

    #[test]
    fn a_call_that_is_not_used_passes_on() {
        let (queue, wakeups) = (Arc::new(PickQueue::default()), Arc::new(WakeupQueue::default()));
        let [first, second, third] = [0, 1, 2].map(|number| queue.enter(&wakeups, key(number), 9).unwrap());
        queue.release();
        assert_eq!(wakeups.take(), [key(0)]);
        // It may not go to the backend that is free.
        first.wait_on(first.releases(), true);
        assert_eq!(wakeups.take(), [key(1)]);
        // Or there is no room at all, and no reason to call a request.
        second.wait_on(second.releases(), false);
        assert_eq!(wakeups.take(), []);
        queue.release();
        assert_eq!(wakeups.take(), [key(0)]);
        queue.release();
        assert_eq!(wakeups.take(), [key(1)]);
        first.wait_on(first.releases(), false);
        // The client of this one has gone.
        drop(second);
        assert_eq!(wakeups.take(), [key(0)]);
        // The request that takes the last slot calls no other.
        first.use_up(false);
        assert_eq!((wakeups.take(), queue.waiting()), (vec![], 1));
        queue.release();
        third.use_up(true);
        assert_eq!((wakeups.take(), queue.waiting()), (vec![key(2)], 0));
    }

    #[test]
    fn a_release_during_a_look_is_not_missed() {
        let (queue, wakeups) = (Arc::new(PickQueue::default()), Arc::new(WakeupQueue::default()));
        let only = queue.enter(&wakeups, key(0), 9).unwrap();
        queue.release();
        assert_eq!(wakeups.take(), [key(0)]);
        let before = only.releases();
        queue.release();
        only.wait_on(before, false);
        assert_eq!(wakeups.take(), [key(0)]);
    }

    #[test]
    fn a_worker_that_sleeps_is_woken_once() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (queue, wakeups) = (Arc::new(PickQueue::default()), Arc::new(WakeupQueue::default()));
        wakeups.wake_by(Arc::new(ours));
        let _tickets: Vec<_> = (0..3).map(|number| queue.enter(&wakeups, key(number), 9).unwrap()).collect();
        queue.release();
        let read = || std::io::Read::read(&mut &theirs, &mut [0; 9]).ok();
        assert_eq!(read(), None, "it was awake");
        assert_eq!(wakeups.take().len(), 1);
        assert!(wakeups.sleep());
        queue.release();
        queue.release();
        assert_eq!(read(), Some(1));
        wakeups.wake();
        assert_eq!(wakeups.take().len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        /// Slots come and go, sessions come and leave: the session that has waited longest gets the slot, and
        /// none waits while there is a slot and every call was answered.
        #[test]
        fn slots_go_to_the_first_and_none_is_left(ops in prop::collection::vec(0_u8..4, 1..60), slots in 1_usize..4) {
            let (queue, wakeups) = (Arc::new(PickQueue::default()), Arc::new(WakeupQueue::default()));
            let (mut free, mut next) = (slots, 0_u64);
            let mut line: VecDeque<(u64, Option<Ticket>)> = VecDeque::new();
            for op in ops {
                match op {
                    // A session comes.
                    0 | 1 if free > 0 && queue.waiting() == 0 => free -= 1,
                    0 | 1 => {
                        line.push_back((next, queue.enter(&wakeups, key(next), 100)));
                        next += 1;
                        if free > 0 {
                            queue.release();
                        }
                    }
                    // A session is done.
                    2 if free < slots => {
                        free += 1;
                        queue.release();
                    }
                    // A session in the middle of the queue gives up.
                    _ => {
                        let middle = line.len() / 2;
                        line.remove(middle);
                    }
                }
                // Every session that is called takes a slot, if there is one.
                loop {
                    let calls = wakeups.take();
                    if calls.is_empty() {
                        break;
                    }
                    for call in calls {
                        let Some(place) = line.iter().position(|(number, _)| key(*number) == call) else { continue };
                        let ticket = line[place].1.take().expect("a ticket");
                        if free == 0 {
                            ticket.wait_on(ticket.releases(), false);
                            line[place].1 = Some(ticket);
                            continue;
                        }
                        prop_assert_eq!(place, 0, "somebody was overtaken");
                        free -= 1;
                        line.pop_front();
                        ticket.use_up(free > 0);
                    }
                }
                prop_assert!(free == 0 || line.is_empty(), "{} wait while {} are free", line.len(), free);
                prop_assert_eq!(queue.waiting(), line.len());
            }
        }
    }
}
