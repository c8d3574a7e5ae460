//! The faults of a run, drawn from its seed: the kernel's whims, which are no excuse for anything, and
//! the faults of the network and of the actors.

use std::ops::RangeInclusive;
use std::rc::Rc;

use fastrand::Rng;
use pollux::worker::Splicing;

use crate::backend_faults::BackendFaults;
use crate::siege::Premise;

/// The weather of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Actors and network do their part. The kernel has its whims, and every exchange must be exact all the
    /// same.
    Clean,
    /// Connects fail, and actors reset, vanish, hang, cut, and talk nonsense.
    Foul,
}

/// Chances, in percent, and bounds.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) weather: Weather,
    /// A recv or send moves fewer bytes than it could.
    pub(crate) partial: u8,
    /// A recv or send that poll announced says `Blocked`.
    pub(crate) blocked: u8,
    /// Poll keeps back until the next call what has come in during this one.
    pub(crate) withheld: u8,
    /// Poll ends with EINTR.
    pub(crate) interrupted: u8,
    /// The clock jumps ahead by up to a millisecond while the worker computes.
    pub(crate) jump: u8,
    /// An accept says `Gone`.
    pub(crate) gone: u8,
    /// Bytes that a direction of a connection may hold.
    pub(crate) capacity: RangeInclusive<usize>,
    /// There is an epoll instance to park in.
    pub(crate) epoll: bool,
    /// The worker has no more buffers than this.
    pub(crate) buffers: Option<usize>,
    /// And no more clients.
    pub(crate) sessions: Option<usize>,
    /// And no more clients in the middle of a handshake.
    pub(crate) handshakes: Option<usize>,
    /// So many more come that never finish theirs.
    pub(crate) slow_handshakes: usize,
    /// So many clients hold places and are not served.
    pub(crate) idlers: usize,
    /// When the worker splices.
    pub(crate) splicing: Splicing,
    /// The longest message: what would take for ever to go through short queues does not have to.
    pub(crate) bulk: usize,
    /// The number of steps that the actors make before a poll looks.
    pub(crate) steps: usize,
    /// One past the highest descriptor number.
    pub(crate) descriptors: usize,
    pub(crate) fates: Fates,
    /// The moods of the backends, where they change.
    pub(crate) backend_faults: Option<Rc<BackendFaults>>,
    /// Some of the clients want the backends to be ejected.
    pub(crate) siege: Option<Rc<Premise>>,
    /// Whether clients hold places although they are served.
    pub(crate) slot_holders: bool,
    /// Whether backends refuse requests, so that the worker pauses before it asks again.
    pub(crate) refusals: bool,
}

/// The fate of one connect of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    StandsAtOnce,
    Stands,
    StandsThenReset,
    RefusedAtOnce,
    Refused,
    Unreachable,
    /// The network never answers.
    Unanswered,
    /// The backlog of a Unix socket is full.
    Busy,
}

/// The weight of each fate.
#[derive(Clone, Debug)]
pub(crate) struct Fates(Vec<(Fate, u32)>);

/// As many descriptors as a run can make use of.
const PLENTY: usize = 1024;

impl Faults {
    pub(crate) fn draw(weather: Weather, rng: &mut Rng) -> Faults {
        let mut one_of = |choices: &[u8]| choices[rng.usize(..choices.len())];
        let (partial, blocked) = (one_of(&[0, 10, 60]), one_of(&[0, 0, 5, 25]));
        let (withheld, interrupted) = (one_of(&[0, 10, 50]), one_of(&[0, 0, 3, 15]));
        let (jump, gone) = (one_of(&[0, 1, 10]), one_of(&[0, 0, 10]));
        let (capacity, bulk) = match rng.u8(..8) {
            0 => (1..=16, 400),
            1 | 2 => (1..=2048, 2000),
            3 | 4 => (512..=8192, 20_000),
            5 | 6 => (4096..=65536, 20_000),
            _ => (4096..=65536, 200_000),
        };
        let steps = rng.usize(1..=10);
        let fates = match weather {
            Weather::Clean => Fates::kind(),
            Weather::Foul => Fates::foul(rng),
        };
        let descriptors = PLENTY;
        Faults {
            weather,
            partial,
            blocked,
            withheld,
            interrupted,
            jump,
            gone,
            capacity,
            epoll: !steps.is_multiple_of(3),
            splicing: if steps.is_multiple_of(2) {
                Splicing::NEVER
            } else {
                Splicing { pipes: steps, least: (steps as u64 - 1) * 500 }
            },
            sessions: None,
            handshakes: None,
            slow_handshakes: 0,
            idlers: 0,
            buffers: steps.is_multiple_of(4).then_some(steps),
            bulk,
            steps,
            descriptors,
            fates,
            backend_faults: None,
            siege: None,
            slot_holders: false,
            refusals: false,
        }
    }
}

impl Faults {
    /// Leaves the worker so few descriptors, besides the listener's, that clients and backends get into each
    /// other's way.
    pub(crate) fn make_scarce(&mut self, rng: &mut Rng) {
        self.splicing = Splicing::NEVER;
        self.descriptors = 4 + usize::from(self.epoll) + rng.usize(2..=6);
    }

    /// Has the backends die, hang, vanish, flap and slow down. Nothing else goes wrong, and what is sent is
    /// short, so that nobody takes long who is well.
    pub(crate) fn make_moody(&mut self, rng: &mut Rng) {
        self.backend_faults = Some(Rc::new(BackendFaults::draw(rng)));
        self.capacity = 4096..=65536;
        self.bulk = 2000;
        self.buffers = None;
    }

    /// Has what is said of the backends change, and not the backends.
    pub(crate) fn make_moody_apart(&mut self, rng: &mut Rng) {
        self.make_moody(rng);
        self.backend_faults =
            self.backend_faults.take().map(|backend_faults| Rc::new(backend_faults.apart()));
    }

    /// Lets few clients into their handshakes at once, and brings some that never finish. Pieces are not so
    /// small that others take as long.
    pub(crate) fn bring_slow_handshakes(&mut self, rng: &mut Rng) {
        self.slow_handshakes = rng.usize(1..=5);
        self.capacity = 512..=65536;
    }

    /// Has hostile clients come. Pieces are not so small that good requests take long.
    pub(crate) fn besiege(&mut self, premise: &Rc<Premise>) {
        self.siege = Some(Rc::clone(premise));
        self.capacity = 512..=65536;
        self.buffers = None;
    }

    /// Brings clients that hold places and are not served. There are places for all others; what they say is
    /// short, so that nobody takes long who is well.
    pub(crate) fn bring_idlers(&mut self, rng: &mut Rng) {
        self.idlers = rng.usize(4..=12);
        self.sessions = Some(4 + rng.usize(1..=3));
        self.capacity = 4096..=65536;
        self.bulk = 2000;
        self.buffers = None;
    }

    /// Brings clients that hold their places although they are served, more than there are places. Pieces are
    /// not so small that good requests take long.
    pub(crate) fn bring_slot_holders(&mut self, places: usize) {
        self.slot_holders = true;
        self.sessions = Some(places);
        self.capacity = 512..=65536;
        self.buffers = None;
    }

    pub(crate) fn is_scarce(&self) -> bool {
        self.descriptors < PLENTY
    }

    /// The length of a body: mostly short.
    pub(crate) fn length(&self, rng: &mut Rng) -> usize {
        if chance(rng, 25) { rng.usize(..=self.bulk) } else { log_uniform(rng, &(0..=self.bulk)) }
    }

    /// Whether nothing goes wrong, so that nobody ever has to wait for a timeout.
    pub(crate) fn is_faultless(&self) -> bool {
        let are_honest = self.slow_handshakes == 0
            && self.idlers == 0
            && self.siege.is_none()
            && !self.slot_holders
            && !self.refusals;
        self.weather == Weather::Clean && !self.is_scarce() && self.backend_faults.is_none() && are_honest
    }
}

impl Fates {
    /// The network does its part.
    fn kind() -> Fates {
        Fates(vec![(Fate::StandsAtOnce, 1), (Fate::Stands, 2)])
    }

    /// Mostly good, with a taste for one or two of the faults.
    fn foul(rng: &mut Rng) -> Fates {
        let mut weight = |most| if rng.u8(..4) == 0 { rng.u32(1..=most) } else { 0 };
        Fates(vec![
            (Fate::StandsAtOnce, 4),
            (Fate::Stands, 8),
            (Fate::StandsThenReset, weight(5)),
            (Fate::RefusedAtOnce, weight(5)),
            (Fate::Refused, weight(5)),
            (Fate::Unreachable, weight(5)),
            (Fate::Unanswered, weight(5)),
            (Fate::Busy, weight(20)),
        ])
    }

    /// A Unix socket decides at once, and only it can be busy.
    pub(crate) fn draw(&self, unix: bool, rng: &mut Rng) -> Fate {
        let possible = |fate| match fate {
            Fate::StandsAtOnce | Fate::RefusedAtOnce => true,
            Fate::Busy => unix,
            Fate::Stands | Fate::StandsThenReset | Fate::Refused | Fate::Unreachable | Fate::Unanswered => {
                !unix
            }
        };
        let fates = || self.0.iter().filter(|(fate, _)| possible(*fate));
        let sum: u32 = fates().map(|(_, weight)| weight).sum();
        let mut ticket = rng.u32(..sum);
        for (fate, weight) in fates() {
            match ticket.checked_sub(*weight) {
                Some(rest) => ticket = rest,
                None => return *fate,
            }
        }
        unreachable!("the ticket is below the sum of the weights")
    }
}

/// True in `percent` of all cases.
pub(crate) fn chance(rng: &mut Rng, percent: u8) -> bool {
    percent > 0 && rng.u8(..100) < percent
}

/// A number from `range` whose logarithm is about evenly spread: small ones are as likely as large ones.
pub(crate) fn log_uniform(rng: &mut Rng, range: &RangeInclusive<usize>) -> usize {
    let (low, high) = (*range.start(), *range.end());
    let bits = usize::BITS - (high - low).leading_zeros();
    let ceiling = (high - low).min((1 << rng.u32(..=bits)) - 1);
    low + rng.usize(..=ceiling)
}
