//! Sends small GETs at a fixed rate and says how long each took, counted from when it was due.
//!
//! The moments are set before the first request: they lie at even distances. A request that is due while all
//! connections are busy waits for one, and its wait counts. So a proxy that stalls for a moment pays for
//! every request of that moment, which a load that waits for its answers would never send (coordinated
//! omission).
//!
//! It reads of a response what it must: status, Content-Length, where the body ends. Anything but 200 is an
//! error, and so is a connection that ends.
//!
//! Invariant: a request is sent only on a connection on which nothing else is under way. One that was due and
//! was never answered is in no count, and shows as a gap between `due` and `requests`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

const READ_BYTES: usize = 64 * 1024;
const EVENTS_PER_WAIT: usize = 256;
const TIMER: u64 = u64::MAX;
/// The time for which answers may still come after the last request was due.
const GRACE: Duration = Duration::from_secs(2);

/// The command line of `paced-load`.
#[derive(Parser)]
struct Options {
    /// The server that gets the requests.
    address: SocketAddr,
    /// Requests per second.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Connections at most in use at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Different paths that are asked for, one after the other; with 1 it is always `/`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    paths: u32,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut load = Load::connect(&options)?;
    load.run()?;
    writeln!(io::stdout(), "{}", load.summary())
}

struct Load {
    epoll: Epoll,
    /// Ticks at each moment at which a request is due.
    timer: TimerFd,
    connections: Vec<Connection>,
    free: VecDeque<usize>,
    /// One for each path.
    requests: Vec<Vec<u8>>,
    schedule: Schedule,
    latencies_ns: Vec<u64>,
    failed: u64,
}

struct Connection {
    stream: TcpStream,
    /// When the request under way was due.
    due: Option<Instant>,
    answer: Answer,
}

impl Load {
    fn connect(options: &Options) -> io::Result<Load> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let mut connections = Vec::new();
        for number in 0..options.connections {
            let stream = TcpStream::connect(options.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, u64::from(number)))?;
            connections.push(Connection { stream, due: None, answer: Answer::default() });
        }
        let request = |path: u32| {
            let path = if options.paths == 1 { String::new() } else { path.to_string() };
            format!("GET /{path} HTTP/1.1\r\nHost: {}\r\n\r\n", options.address).into_bytes()
        };
        let requests = (0..options.paths).map(request).collect();
        let schedule = Schedule::new(options.rate, options.seconds, Instant::now());
        let free = (0..connections.len()).collect();
        let latencies_ns = Vec::with_capacity(usize::try_from(schedule.total).unwrap_or_default());
        Ok(Load { epoll, timer, connections, free, requests, schedule, latencies_ns, failed: 0 })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = vec![EpollEvent::empty(); EVENTS_PER_WAIT];
        let mut scratch = vec![0; READ_BYTES];
        self.schedule.start = Instant::now();
        // Set after the start was taken, it never ticks before a request is due.
        let tick = Expiration::Interval(TimeSpec::from_duration(self.schedule.distance));
        self.timer.set(tick, TimerSetTimeFlags::empty())?;
        let give_up = self.schedule.end() + GRACE;
        loop {
            let now = Instant::now();
            self.send_what_is_due(now);
            if now >= give_up || (self.schedule.is_over() && self.is_done()) {
                return Ok(());
            }
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                outcome => outcome?,
            };
            for event in events.iter().take(ready) {
                match usize::try_from(event.data()) {
                    Ok(slot) if event.data() != TIMER => self.read(slot, &mut scratch),
                    // A periodic timer goes on ticking only when it is read.
                    _ => self.timer.wait()?,
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.connections.iter().all(|connection| connection.due.is_none())
    }

    fn send_what_is_due(&mut self, now: Instant) {
        while let (Some(due), Some(&slot)) = (self.schedule.next_due(), self.free.front()) {
            if due > now {
                return;
            }
            self.free.pop_front();
            let number = self.schedule.sent as usize % self.requests.len();
            let (Some(connection), Some(request)) =
                (self.connections.get_mut(slot), self.requests.get(number))
            else {
                return;
            };
            self.schedule.sent += 1;
            // A request of this size fits the send buffer of a connection on which nothing is under way.
            match connection.stream.write(request) {
                Ok(count) if count == request.len() => connection.due = Some(due),
                _ => self.failed += 1,
            }
        }
    }

    fn read(&mut self, slot: usize, scratch: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let verdict = match connection.stream.read(scratch) {
            Ok(0) => Verdict::Wrong,
            Ok(count) => connection.answer.take(scratch.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => Verdict::Wrong,
        };
        match (verdict, connection.due) {
            (Verdict::More, _) => {}
            (Verdict::Whole, Some(due)) => {
                connection.due = None;
                connection.answer = Answer::default();
                let taken = due.elapsed();
                self.latencies_ns.push(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
                self.free.push_back(slot);
            }
            (Verdict::Whole, None) | (Verdict::Wrong, _) => {
                // This connection is not used again: the run is invalid in any case.
                connection.due = None;
                self.failed += 1;
                let _ = self.epoll.delete(&connection.stream);
            }
        }
    }

    fn summary(&mut self) -> String {
        self.latencies_ns.sort_unstable();
        let at = |part: f64| {
            let last = self.latencies_ns.len().saturating_sub(1);
            let place = (part * last as f64).ceil() as usize;
            self.latencies_ns.get(place).map_or(0.0, |&ns| ns as f64 / 1e3)
        };
        let (due, answered, failed) = (self.schedule.total, self.latencies_ns.len(), self.failed);
        format!(
            r#"{{"due": {due}, "requests": {answered}, "socket_errors": {failed}, "p50_us": {:.1}, "p90_us": {:.1}, "#,
            at(0.5),
            at(0.9),
        ) + &format!(r#""p99_us": {:.1}, "p999_us": {:.1}, "most_us": {:.1}}}"#, at(0.99), at(0.999), at(1.0))
    }
}

/// When each request is due: number `k` is `k` distances after the start.
struct Schedule {
    start: Instant,
    distance: Duration,
    total: u32,
    sent: u32,
}

impl Schedule {
    fn new(rate: u32, seconds: u32, start: Instant) -> Schedule {
        // Whole nanoseconds, as the timer counts them.
        let distance = Duration::from_nanos((1_000_000_000 / u64::from(rate)).max(1));
        Schedule { start, distance, total: rate.saturating_mul(seconds), sent: 0 }
    }

    fn next_due(&self) -> Option<Instant> {
        (!self.is_over()).then(|| self.due(self.sent))
    }

    fn is_over(&self) -> bool {
        self.sent == self.total
    }

    fn end(&self) -> Instant {
        self.due(self.total)
    }

    fn due(&self, number: u32) -> Instant {
        self.start + self.distance * number
    }
}

/// One response, as far as it has come.
#[derive(Default)]
struct Answer {
    head: Vec<u8>,
    /// Known once the head is whole.
    body_left: Option<usize>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    More,
    Whole,
    Wrong,
}

impl Answer {
    fn take(&mut self, bytes: &[u8]) -> Verdict {
        let body = match self.body_left {
            Some(_) => bytes.len(),
            None => {
                self.head.extend_from_slice(bytes);
                let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                    return if self.head.len() > READ_BYTES { Verdict::Wrong } else { Verdict::More };
                };
                let Some(length) = body_length(self.head.get(..end).unwrap_or_default()) else {
                    return Verdict::Wrong;
                };
                self.body_left = Some(length);
                self.head.len() - end - 4
            }
        };
        match self.body_left.and_then(|left| left.checked_sub(body)) {
            Some(0) => Verdict::Whole,
            Some(left) => {
                self.body_left = Some(left);
                Verdict::More
            }
            None => Verdict::Wrong,
        }
    }
}

/// The Content-Length of a 200; None for every other response.
fn body_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    lines.next().filter(|line| line.starts_with("HTTP/1.1 200"))?;
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_at_its_last_byte_however_it_is_split() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        for split in 1..bytes.len() {
            let mut answer = Answer::default();
            assert_eq!(answer.take(&bytes[..split]), Verdict::More, "split at {split}");
            assert_eq!(answer.take(&bytes[split..]), Verdict::Whole, "split at {split}");
        }
    }

    #[test]
    fn other_statuses_unframed_answers_and_surplus_bytes_are_wrong() {
        for bytes in [
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        ] {
            assert_eq!(Answer::default().take(bytes.as_bytes()), Verdict::Wrong, "{bytes}");
        }
    }

    #[test]
    fn requests_are_due_at_even_distances_from_the_start() {
        let start = Instant::now();
        let schedule = Schedule::new(4, 2, start);
        assert_eq!(schedule.due(1) - start, Duration::from_millis(250));
        assert_eq!(schedule.end() - start, Duration::from_secs(2));
    }
}
