//! Backends that can be busy: each has so many slots, a request holds one for a while, and whoever finds none
//! free waits in line. Nothing is computed meanwhile, so that many of them fit on one core beside the load.
//!
//! One thread and level-triggered epoll. The time that a request takes is drawn evenly from half to one and a
//! half times that of its backend, by a generator with a fixed seed. It is no model of an HTTP server: a
//! request is what ends with an empty line, and gets 100 bytes.
//!
//! Invariant: a slot is held by exactly one entry of `ends`, and `busy` counts them. A client
//! that leaves while it waits in line is passed over. One that leaves in a slot holds it to its end, as the
//! work of a real server would go on.

mod addresses;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use socket2::Socket;

const READ_BYTES: usize = 16 * 1024;
const EVENTS_PER_WAIT: usize = 256;
const SEED: u64 = 1;
/// Tokens: listeners count down from it, connections count up from 0, and it is the timer.
const TIMER: u64 = u64::MAX;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n\
    ....................................................................................................";

/// The command line of `busy-backend`.
#[derive(Parser)]
struct Options {
    /// The address of the first one; port 0 asks the kernel for a free one, and the others take the addresses
    /// that follow.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The mean time of a request, for each backend that there shall be: 4ms,4ms,40ms.
    #[arg(long, required = true, value_delimiter = ',', value_parser = humantime::parse_duration)]
    service: Vec<Duration>,
    /// Requests that a backend is at work on at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    slots: u16,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut server = Server::bind(&options)?;
    let address = server.backends[0].listener.local_addr()?.as_socket().unwrap_or(options.listen);
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()?;
    server.run()
}

struct Server {
    epoll: Epoll,
    /// Set to the first of `ends`.
    timer: TimerFd,
    backends: Vec<Backend>,
    connections: Vec<Option<Connection>>,
    /// The number of times that a place in `connections` was given out. It tells a waiter from one that came
    /// after.
    rounds: Vec<u64>,
    free: Vec<usize>,
    /// When each slot that is held becomes free, and what of.
    ends: BinaryHeap<Reverse<(Instant, Visit)>>,
    random: fastrand::Rng,
}

struct Backend {
    listener: Socket,
    service: Duration,
    slots: u16,
    busy: u16,
    line: VecDeque<Visit>,
}

struct Connection {
    socket: Socket,
    backend: usize,
    /// The end of what was read last: where a head ends may be known only with the next bytes.
    tail: [u8; 4],
}

/// A request, by its connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    backend: usize,
    slot: usize,
    round: u64,
}

impl Server {
    fn bind(options: &Options) -> io::Result<Server> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let count = u16::try_from(options.service.len()).unwrap_or(u16::MAX);
        let mut backends = Vec::new();
        for (listener, service) in
            addresses::listen_on(options.listen, count)?.into_iter().zip(&options.service)
        {
            let token = TIMER - 1 - backends.len() as u64;
            epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
            let (service, slots) = (*service, options.slots);
            backends.push(Backend { listener, service, slots, busy: 0, line: VecDeque::new() });
        }
        Ok(Server {
            epoll,
            timer,
            backends,
            connections: Vec::new(),
            rounds: Vec::new(),
            free: Vec::new(),
            ends: BinaryHeap::new(),
            random: fastrand::Rng::with_seed(SEED),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = vec![EpollEvent::empty(); EVENTS_PER_WAIT];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                outcome => outcome?,
            };
            for event in events.iter().take(ready) {
                let number = usize::try_from(TIMER.wrapping_sub(event.data())).unwrap_or(usize::MAX);
                match usize::try_from(event.data()) {
                    Ok(slot) if number > self.backends.len() => self.read(slot),
                    _ if number == 0 => self.timer.wait()?,
                    _ => self.accept(number - 1),
                }
            }
            self.finish_what_is_done(Instant::now());
            self.set_timer()?;
        }
    }

    /// Takes one connection; epoll reports the listener again while more of them wait.
    fn accept(&mut self, backend: usize) {
        let Ok((socket, _)) = self.backends[backend].listener.accept() else { return };
        if socket.set_nonblocking(true).is_err() || socket.set_tcp_nodelay(true).is_err() {
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.rounds.push(0);
            self.connections.len() - 1
        });
        if self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, slot as u64)).is_ok() {
            self.connections[slot] = Some(Connection { socket, backend, tail: [0; 4] });
        } else {
            self.free.push(slot);
        }
    }

    fn read(&mut self, slot: usize) {
        let mut scratch = [0; READ_BYTES];
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        match connection.socket.read(&mut scratch) {
            Ok(count) if count > 0 => {
                let visit = Visit { backend: connection.backend, slot, round: self.rounds[slot] };
                for _ in 0..heads_in(&mut connection.tail, &scratch[..count]) {
                    self.admit(visit);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => self.close(slot),
        }
    }

    fn close(&mut self, slot: usize) {
        self.connections[slot] = None;
        self.rounds[slot] += 1;
        self.free.push(slot);
    }

    fn admit(&mut self, visit: Visit) {
        let backend = &mut self.backends[visit.backend];
        if backend.busy == backend.slots {
            backend.line.push_back(visit);
            return;
        }
        backend.busy += 1;
        let takes = backend.service.mul_f64(0.5 + self.random.f64());
        self.ends.push(Reverse((Instant::now() + takes, visit)));
    }

    fn finish_what_is_done(&mut self, now: Instant) {
        while self.ends.peek().is_some_and(|Reverse((end, _))| *end <= now)
            && let Some(Reverse((_, visit))) = self.ends.pop()
        {
            let rounds = &self.rounds;
            let is_there = |visit: &Visit| rounds[visit.slot] == visit.round;
            let backend = &mut self.backends[visit.backend];
            backend.busy -= 1;
            let next = std::iter::from_fn(|| backend.line.pop_front()).find(is_there);
            if is_there(&visit) {
                self.answer(visit.slot);
            }
            if let Some(next) = next {
                self.admit(next);
            }
        }
    }

    /// A response of this size fits the send buffer of a connection whose client reads.
    fn answer(&mut self, slot: usize) {
        let Some(connection) = &mut self.connections[slot] else { return };
        if !matches!(connection.socket.write(RESPONSE), Ok(count) if count == RESPONSE.len()) {
            self.close(slot);
        }
    }

    fn set_timer(&mut self) -> io::Result<()> {
        let Some(Reverse((end, _))) = self.ends.peek() else { return Ok(self.timer.unset()?) };
        // Zero would stop the timer.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        Ok(self.timer.set(Expiration::OneShot(TimeSpec::from_duration(left)), TimerSetTimeFlags::empty())?)
    }
}

/// The number of heads that end in `bytes`, which follow those whose last four are in `tail`.
fn heads_in(tail: &mut [u8; 4], bytes: &[u8]) -> usize {
    let mut count = 0;
    for &byte in bytes {
        *tail = [tail[1], tail[2], tail[3], byte];
        if tail == b"\r\n\r\n" {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_they_are_split() {
        let bytes = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for split in 0..bytes.len() {
            let mut tail = [0; 4];
            let counted = heads_in(&mut tail, &bytes[..split]) + heads_in(&mut tail, &bytes[split..]);
            assert_eq!(counted, 2, "split at {split}");
        }
    }

    #[test]
    fn the_response_is_as_long_as_it_says() {
        let body =
            RESPONSE.windows(4).position(|four| four == b"\r\n\r\n").map(|end| RESPONSE.len() - end - 4);
        assert_eq!(body, Some(100));
    }
}
