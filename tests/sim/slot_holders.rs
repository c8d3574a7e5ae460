//! Clients that are served, and hold their places all the same: slow readers, bodies that stall, and clients
//! that have left with a FIN while their response is awaited. There are more of them than places, and no
//! timeout helps; each newcomer with a good request is answered.

use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::os::IoFault;
use pollux::snapshot::{Mode, Timeouts};

use crate::actor::{Actor, Step, take_in};
use crate::end::EndId;
use crate::harness::{LISTENER, Peers, Scene, address_of};
use crate::net::{Dialled, Net};

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// More than the worker and the network hold.
const BIG: usize = 2_000_000;

/// The number of places, and the most clients that hold one.
const PLACES: usize = 4;
const SLOT_HOLDERS_MAX: usize = 12;

/// The longest that a newcomer waits for its answer. A client that holds a place has five seconds before it
/// makes room, up to twelve of them stand before the newcomer in the queue, and `PLACES` of them make room at
/// a time; what jumps of the clock add comes on top.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The way in which a client holds its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// It takes nothing of its response.
    ReadsNothing,
    /// It takes a few bytes of it at a time.
    ReadsSlowly,
    /// It stops in the middle of a body.
    Stalls,
    /// It gives a byte of it at a time.
    Drips,
    /// It has sent its FIN, and the backend does not answer.
    HasLeft,
}

impl Habit {
    const ALL: [Habit; 5] =
        [Habit::ReadsNothing, Habit::ReadsSlowly, Habit::Stalls, Habit::Drips, Habit::HasLeft];

    fn request(self) -> &'static str {
        match self {
            Habit::ReadsNothing | Habit::ReadsSlowly => "GET /big HTTP/1.1\r\nHost: h\r\n\r\n",
            Habit::Stalls | Habit::Drips => {
                "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nab"
            }
            Habit::HasLeft => "GET /never HTTP/1.1\r\nHost: h\r\n\r\n",
        }
    }
}

/// See the head of this file.
struct SlotHolder {
    number: usize,
    habit: Habit,
    comes_at: Time,
    /// The number of times that it comes again.
    visits: usize,
    outbox: Vec<u8>,
    acts_at: Time,
    end: Option<EndId>,
}

impl SlotHolder {
    fn new(number: usize, rng: &mut Rng) -> SlotHolder {
        let habit = Habit::ALL[rng.usize(..Habit::ALL.len())];
        let comes_at = Time::ZERO + Duration::from_millis(rng.u64(..20));
        let visits = rng.usize(1..=2);
        SlotHolder { number, habit, comes_at, visits, outbox: Vec::new(), acts_at: Time::ZERO, end: None }
    }

    fn dial(&mut self, net: &mut Net) -> Step {
        if self.visits == 0 {
            return Step::Over;
        }
        if net.now < self.comes_at {
            return Step::Until(self.comes_at);
        }
        match net.dial(LISTENER, address_of(self.number)) {
            Dialled::Connected(end) => {
                self.visits -= 1;
                (self.end, self.acts_at) = (Some(end), net.now);
                self.outbox = self.habit.request().into();
                Step::Moved
            }
            Dialled::Full => Step::Until(net.now + Duration::from_millis(10)),
            Dialled::Refused => Step::Over,
        }
    }

    fn go(&mut self, end: EndId, net: &mut Net) -> Step {
        net.close(end);
        self.end = None;
        self.comes_at = net.now + Duration::from_millis(50);
        Step::Moved
    }

    /// The little that it does again and again.
    fn act(&mut self, end: EndId, net: &mut Net) -> Step {
        if net.now < self.acts_at {
            return Step::Until(self.acts_at);
        }
        self.acts_at = net.now + Duration::from_millis(300);
        let outcome = match self.habit {
            Habit::ReadsNothing => return Step::Still,
            Habit::ReadsSlowly => net.read(end, &mut [0; 8]),
            Habit::Drips => net.write(end, b"x"),
            Habit::Stalls | Habit::HasLeft => return self.listen(end, net),
        };
        match outcome {
            Ok(0) | Err(IoFault::Lost) => self.go(end, net),
            Ok(_) if self.habit == Habit::Drips => match self.listen(end, net) {
                Step::Still => Step::Until(self.acts_at),
                step @ (Step::Moved | Step::Until(_) | Step::Over) => step,
            },
            Ok(_) | Err(IoFault::Blocked) => Step::Until(self.acts_at),
        }
    }

    fn listen(&mut self, end: EndId, net: &mut Net) -> Step {
        match net.read(end, &mut [0; 512]) {
            Ok(0) | Err(IoFault::Lost) => self.go(end, net),
            Ok(_) => Step::Moved,
            Err(IoFault::Blocked) => Step::Still,
        }
    }
}

impl Actor for SlotHolder {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some(end) = self.end else { return self.dial(net) };
        if self.outbox.is_empty() {
            return self.act(end, net);
        }
        match net.write(end, &self.outbox) {
            Ok(count) => {
                self.outbox.drain(..count);
                if self.outbox.is_empty() && self.habit == Habit::HasLeft {
                    net.finish(end);
                }
                Step::Moved
            }
            Err(IoFault::Blocked) => Step::Still,
            Err(IoFault::Lost) => self.go(end, net),
        }
    }

    /// The run does not wait for it: it ends once all others have been served.
    fn is_awaited(&self) -> bool {
        false
    }
}

/// Comes with a good request, each time by a new connection.
struct Newcomer {
    number: usize,
    visits: usize,
    comes_at: Time,
    now: Option<(EndId, Time, Vec<u8>, Vec<u8>)>,
    rng: Rng,
}

impl Newcomer {
    fn dial(&mut self, net: &mut Net) -> Step {
        if self.visits == 0 {
            return Step::Over;
        }
        if net.now < self.comes_at {
            return Step::Until(self.comes_at);
        }
        match net.dial(LISTENER, address_of(self.number)) {
            Dialled::Connected(end) => {
                self.visits -= 1;
                self.now = Some((end, net.now, GOOD.into(), Vec::new()));
                Step::Moved
            }
            Dialled::Full => Step::Until(net.now + Duration::from_millis(10)),
            Dialled::Refused => panic!("the door is closed"),
        }
    }
}

impl Actor for Newcomer {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some((end, since, outbox, inbox)) = &mut self.now else { return self.dial(net) };
        if !outbox.is_empty()
            && let Ok(count) = net.write(*end, outbox)
        {
            outbox.drain(..count);
            return Step::Moved;
        }
        let mut room = [0; 512];
        match net.read(*end, &mut room) {
            Ok(count) if count > 0 => {
                inbox.extend_from_slice(&room[..count]);
                Step::Moved
            }
            Ok(_) | Err(IoFault::Lost) => {
                let waited = net.now.since(*since);
                let is_good = inbox.starts_with(b"HTTP/1.1 200 ") && inbox.ends_with(b"\r\n\r\nok");
                assert!(is_good, "a good request got {:?}", String::from_utf8_lossy(inbox));
                assert!(waited <= WAIT_MAX, "a newcomer waited for {waited:?}");
                net.close(*end);
                self.now = None;
                self.comes_at = net.now + Duration::from_millis(self.rng.u64(..3000));
                Step::Moved
            }
            Err(IoFault::Blocked) => Step::Still,
        }
    }

    fn is_awaited(&self) -> bool {
        true
    }
}

/// One connection of a backend, which answers good requests at once.
struct Backend {
    end: EndId,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl Backend {
    fn serve(&mut self) {
        if !self.inbox.windows(4).any(|four| four == b"\r\n\r\n") {
            return;
        }
        if self.inbox.starts_with(b"GET /good") {
            self.outbox.extend_from_slice(OK);
            self.inbox.clear();
        } else if self.inbox.starts_with(b"GET /big") {
            self.outbox = format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n").into_bytes();
            self.outbox.resize(self.outbox.len() + BIG, b'x');
            self.inbox.clear();
        }
        // Bodies never are whole, and `/never` has no answer.
    }
}

impl Actor for Backend {
    fn step(&mut self, net: &mut Net) -> Step {
        if !self.outbox.is_empty()
            && let Ok(count) = net.write(self.end, &self.outbox)
        {
            self.outbox.drain(..count);
            return Step::Moved;
        }
        let step = take_in(net, self.end, &mut self.inbox);
        if step == Step::Moved {
            self.serve();
        }
        step
    }

    fn is_awaited(&self) -> bool {
        false
    }
}

/// No timeout but that of the room that is made helps.
pub(crate) fn timeouts(timeouts: &mut Timeouts) {
    let never = Duration::from_secs(1_000_000);
    (timeouts.client_head, timeouts.client_idle, timeouts.idle) = (never, never, never);
    (timeouts.backend_response, timeouts.queue, timeouts.stream) = (never, never, never);
}

/// One run.
pub(crate) fn run(scene: &mut Scene) {
    scene.faults.bring_slot_holders(PLACES);
    let mut clients: Vec<Box<dyn Actor>> = Vec::new();
    for number in 0..scene.rng.usize(1..=2) {
        let comes_at = Time::ZERO + Duration::from_millis(scene.rng.u64(..2000));
        let visits = scene.rng.usize(1..=3);
        clients.push(Box::new(Newcomer { number, visits, comes_at, now: None, rng: scene.rng.fork() }));
    }
    for number in 0..scene.rng.usize(PLACES + 1..=SLOT_HOLDERS_MAX) {
        clients.push(Box::new(SlotHolder::new(10 + number, &mut scene.rng)));
    }
    let spawn = Box::new(move |_, end| -> Box<dyn Actor> {
        Box::new(Backend { end, inbox: Vec::new(), outbox: Vec::new() })
    });
    scene.perform(Mode::Http, Peers { clients, spawn });
}
