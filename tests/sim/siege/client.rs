//! Good clients, and hostile ones.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::os::IoFault;

use super::premise::Premise;
use super::trick::Trick;
use super::{BEGIN, END, GOOD_REST};
use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::harness::{LISTENER, address_of};
use crate::net::{Dialled, Net};

/// A hostile client looks again after so long whether it may begin.
const PREMISE_LOOK: Duration = Duration::from_millis(1);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// An exchange under way.
struct Exchange {
    end: EndId,
    outbox: Vec<u8>,
    inbox: Vec<u8>,
}

/// The end of a step of an exchange.
enum Told {
    Step(Step),
    /// The connection is gone.
    Gone,
}

impl Exchange {
    fn begin(from: usize, request: Vec<u8>, net: &mut Net) -> Result<Exchange, Step> {
        match net.dial(LISTENER, address_of(from)) {
            Dialled::Connected(end) => Ok(Exchange { end, outbox: request, inbox: Vec::new() }),
            Dialled::Full => Err(Step::Until(net.now + Duration::from_millis(1))),
            Dialled::Refused => Err(Step::Over),
        }
    }

    fn step(&mut self, net: &mut Net) -> Told {
        if !self.outbox.is_empty()
            && let Ok(count) = net.write(self.end, &self.outbox)
        {
            self.outbox.drain(..count);
            return Told::Step(Step::Moved);
        }
        let mut room = [0; 1024];
        match net.read(self.end, &mut room) {
            Ok(0) | Err(IoFault::Lost) => {
                net.close(self.end);
                Told::Gone
            }
            Ok(count) => {
                self.inbox.extend_from_slice(&room[..count]);
                Told::Step(Step::Moved)
            }
            Err(IoFault::Blocked) => Told::Step(Step::Still),
        }
    }
}

/// Asks for something that every backend answers at once, time and again.
pub(super) struct Good {
    number: usize,
    now: Option<Exchange>,
    next: Time,
    rng: Rng,
}

impl Good {
    pub(super) fn new(number: usize, rng: Rng) -> Good {
        Good { number, now: None, next: Time::ZERO, rng }
    }
}

impl Actor for Good {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some(exchange) = &mut self.now else {
            if net.now >= END {
                return Step::Over;
            }
            if net.now < self.next {
                return Step::Until(self.next);
            }
            match Exchange::begin(self.number, GET.to_vec(), net) {
                Ok(exchange) => self.now = Some(exchange),
                Err(step) => return step,
            }
            return Step::Moved;
        };
        let told = exchange.step(net);
        // Bytes of hostile clients on a connection may cost it this answer, and not the backend.
        let is_answered = exchange.inbox.windows(4).any(|four| four == b"\r\n\r\n");
        match told {
            Told::Gone => {
                assert!(is_answered, "a good request got no answer");
                self.now = None;
            }
            Told::Step(step) if !is_answered => return step,
            Told::Step(step) => {
                let rest = GOOD_REST.mul_f64(self.rng.f64());
                self.next = net.now + rest;
                if !exchange.inbox.starts_with(b"HTTP/1.1 200") || self.rng.bool() {
                    net.close(exchange.end);
                    self.now = None;
                    return Step::Moved;
                }
                if step == Step::Moved {
                    return step;
                }
                exchange.inbox.clear();
                exchange.outbox = GET.to_vec();
            }
        }
        Step::Moved
    }

    fn is_awaited(&self) -> bool {
        true
    }
}

/// Plays one trick after the other, several at once as it likes.
pub(super) struct Hostile {
    number: usize,
    /// Each with the time at which it is given up.
    open: Vec<(Exchange, Time)>,
    most: usize,
    /// It has one favourite, or none.
    favourite: Option<Trick>,
    next: Time,
    pause: Duration,
    premise: Rc<Premise>,
    rng: Rng,
}

impl Hostile {
    pub(super) fn new(number: usize, premise: Rc<Premise>, mut rng: Rng) -> Hostile {
        let favourite = rng.bool().then(|| Trick::draw(&mut rng));
        let pause = Duration::from_micros([2000, 5000, 20_000][rng.usize(..3)]);
        let (open, most) = (Vec::new(), rng.usize(1..=8));
        Hostile { number, open, most, favourite, next: BEGIN, pause, premise, rng }
    }

    fn begin(&mut self, net: &mut Net) -> Option<Step> {
        if net.now >= END || self.open.len() >= self.most || net.now < self.next {
            return None;
        }
        let trick = self.favourite.unwrap_or_else(|| Trick::draw(&mut self.rng));
        let request = trick.request(&mut self.rng);
        let exchange = Exchange::begin(self.number, request, net).ok()?;
        // Mostly it stays for as long as Pollux lets it.
        let stay = if self.rng.u8(..4) == 0 { self.rng.u64(..300) } else { 5000 };
        self.open.push((exchange, net.now + Duration::from_millis(stay)));
        self.next = net.now + self.pause.mul_f64(self.rng.f64());
        Some(Step::Moved)
    }
}

impl Actor for Hostile {
    fn step(&mut self, net: &mut Net) -> Step {
        if net.now >= END {
            for (exchange, _) in self.open.drain(..) {
                net.abort(exchange.end);
            }
            return Step::Over;
        }
        if !self.premise.holds() {
            return Step::Until(net.now + PREMISE_LOOK);
        }
        if let Some(step) = self.begin(net) {
            return step;
        }
        let mut alarm = END;
        for place in 0..self.open.len() {
            let (exchange, until) = &mut self.open[place];
            if *until <= net.now {
                net.abort(exchange.end);
                self.open.swap_remove(place);
                return Step::Moved;
            }
            alarm = alarm.min(*until);
            match exchange.step(net) {
                Told::Step(Step::Moved) => {
                    // An answer that is not the whole is enough; one that is frees the place.
                    if exchange.inbox.starts_with(b"HTTP/1.1 5") || exchange.inbox.starts_with(b"HTTP/1.1 4")
                    {
                        net.close(exchange.end);
                        self.open.swap_remove(place);
                    }
                    return Step::Moved;
                }
                Told::Step(_) => {}
                Told::Gone => {
                    self.open.swap_remove(place);
                    return Step::Moved;
                }
            }
        }
        if self.open.len() < self.most {
            alarm = alarm.min(self.next.max(net.now + Duration::from_micros(10)));
        }
        Step::Until(alarm)
    }

    fn is_awaited(&self) -> bool {
        true
    }
}
