//! Backends that die, hang, answer wrongly and come back, as checks and requests find them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use pollux::balance::health::{Check, CheckKind, Errors, Http, Passive, Start};
use pollux::core::outcome::Cause;
use pollux::snapshot::{Mode, Snapshot};
use toy_backends::{Behaviour, Toy};

use crate::connecting::{black_hole, refusing};
use crate::house::{Pollux, TIMEOUT, snapshot};

const MOMENT: Duration = Duration::from_millis(10);

fn toy(name: &str, behaviour: Behaviour) -> Toy {
    Toy::start(([127, 0, 0, 1], 0).into(), name, behaviour).unwrap()
}

fn with(backends: &[String], health: Passive, check: Option<Check>) -> Snapshot {
    let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
    let mut snapshot = snapshot(Mode::Http, &backends);
    (snapshot.pools[0].health, snapshot.pools[0].check) = (health, check);
    snapshot
}

/// A check that comes as often as it can.
fn eager(kind: CheckKind) -> Check {
    Check { kind, interval: MOMENT, fast_interval: MOMENT, rise: 1, fall: 2, ..Check::default() }
}

fn page(path: &str) -> CheckKind {
    CheckKind::Http(Http { path: path.into(), text: Some("yes".into()), ..Http::default() })
}

/// A backend that is well for as long as it is told to be, and tells of each check.
struct Moody {
    address: SocketAddr,
    is_well: Arc<AtomicBool>,
    checked: Receiver<()>,
}

fn moody(is_well: bool) -> Moody {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, is_well) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(is_well)));
    let (told, checked) = channel();
    let mood = Arc::clone(&is_well);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = [0; 4096];
            // It does not matter how much of a request comes at once, nor whether an answer is taken.
            let count = client.read(&mut head).unwrap_or(0);
            let body = if mood.load(Ordering::Relaxed) { "yes" } else { "no " };
            let _ = write!(client, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{body}");
            if head[..count].starts_with(b"GET /check ") {
                let _ = told.send(());
            }
        }
    });
    Moody { address, is_well, checked }
}

impl Moody {
    /// Waits until it was checked so often.
    fn is_checked(&self, count: usize) {
        (0..count).for_each(|_| self.checked.recv_timeout(TIMEOUT).expect("a check"));
    }

    fn is(&self, well: bool) {
        self.is_well.store(well, Ordering::Relaxed);
        self.checked.try_iter().for_each(drop);
        // The one that was under way, those that decide, and one that begins when their end is known.
        self.is_checked(4);
    }
}

#[test]
fn checks_take_a_backend_out_and_bring_it_back() {
    let (first, second) = (moody(true), toy("second", Behaviour::Echo));
    let backends = [first.address.to_string(), second.address().to_string()];
    let text = |path| Check { start: Start::Up, ..eager(page(path)) };
    // Of the toy the check finds its own path in what it echoes.
    let mut snapshot = with(&backends, Passive::default(), Some(text("/check")));
    if let Some(Check { kind: CheckKind::Http(http), .. }) = &mut snapshot.pools[0].check {
        http.host = Some("yes".into());
    }
    let pollux = Pollux::start(snapshot);
    first.is(false);
    for _ in 0..6 {
        let answer = pollux.get();
        assert!(answer.contains("X-Backend: second"), "{answer}");
        assert_eq!(pollux.told().attempts, 1);
    }
    first.is(true);
    let answers: Vec<_> = (0..6).map(|_| pollux.get()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.ends_with("\r\n\r\nyes")).count(), 3);
}

#[test]
fn nobody_is_asked_before_the_first_check() {
    let backend = moody(false);
    let check = Check { start: Start::CheckFirst, ..eager(page("/check")) };
    let health = Passive { panic: None, ..Passive::default() };
    let pollux = Pollux::start(with(&[backend.address.to_string()], health, Some(check.clone())));
    backend.is_checked(2);
    assert!(pollux.get().starts_with("HTTP/1.1 503 "));
    assert_eq!(pollux.told().cause, Some(Cause::NoBackend));
    backend.is(true);
    assert!(pollux.get().ends_with("\r\n\r\nyes"));

    // Where nobody is well, all are asked, unless that is off.
    let backend = moody(false);
    let pollux = Pollux::start(with(&[backend.address.to_string()], Passive::default(), Some(check)));
    backend.is_checked(3);
    assert!(pollux.get().ends_with("\r\n\r\nno "));
}

#[test]
fn what_fails_requests_is_left_alone() {
    let silent = toy("silent", Behaviour::Silent);
    let (_held, refused) = refusing();
    let hole = black_hole();
    for (failing, cause) in [
        (refused, None),
        (hole.address, None),
        (silent.address().to_string(), Some(Cause::BackendResponseTimeout)),
    ] {
        let well = toy("well", Behaviour::Echo);
        let backends = [failing, well.address().to_string()];
        let mut snapshot = with(&backends, Passive { failures: 2, ..Passive::default() }, None);
        snapshot.timeouts.backend_response = Duration::from_millis(250);
        snapshot.timeouts.connect = Duration::from_millis(250);
        let pollux = Pollux::start(snapshot);
        let told: Vec<_> = (0..20)
            .map(|_| {
                pollux.get();
                pollux.told()
            })
            .collect();
        let troubled = told.iter().filter(|told| told.attempts > 1 || told.cause.is_some());
        assert_eq!(troubled.clone().count(), 2, "{told:?}");
        assert!(troubled.clone().all(|told| told.cause == cause), "{told:?}");
    }
}

/// A response that begins and does not end is a failure too, and the head of the next one does not make it
/// good.
#[test]
fn who_never_finishes_is_left_alone() {
    let drips = Behaviour::SlowDrip { bytes: 2, every: Duration::from_secs(60) };
    for (behaviour, cause) in
        [(Behaviour::Truncated(100), Cause::BackendTruncated), (drips, Cause::BackendStalled)]
    {
        let (ill, well) = (toy("ill", behaviour), toy("well", Behaviour::Echo));
        let backends = [ill.address().to_string(), well.address().to_string()];
        let mut snapshot = with(&backends, Passive { failures: 2, ..Passive::default() }, None);
        snapshot.timeouts.idle = Duration::from_millis(250);
        let pollux = Pollux::start(snapshot);
        let told = (0..20).map(|_| {
            pollux.get();
            pollux.told().cause
        });
        let causes: Vec<_> = told.flatten().collect();
        assert_eq!(causes, [cause; 2]);
    }
}

/// That another backend could be asked instead does not make a status any better.
#[test]
fn a_status_that_is_retried_counts() {
    let page = "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ill = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // The answer alone matters.
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(page.as_bytes());
        }
    });
    let well = toy("well", Behaviour::Echo);
    let errors = Errors { statuses: vec![(503, 503)], ..Errors::default() };
    let health = Passive { failures: 2, errors, ..Passive::default() };
    let mut snapshot = with(&[ill, well.address().to_string()], health, None);
    snapshot.pools[0].retries.statuses = vec![503];
    let pollux = Pollux::start(snapshot);
    let attempts = (0..20).map(|_| {
        pollux.get();
        pollux.told().attempts
    });
    assert_eq!(attempts.filter(|attempts| *attempts > 1).count(), 2);
}

/// A request in the queue has nothing to wait for when the last backend is taken away, though another request
/// still holds its place there.
#[test]
fn who_waits_is_told_that_nobody_is_left() {
    let (hung, moody) = (toy("hung", Behaviour::Silent), moody(true));
    let check = Check { port: Some(moody.address.port()), ..eager(page("/check")) };
    let health = Passive { panic: None, ..Passive::default() };
    let mut snapshot = with(&[hung.address().to_string()], health, Some(check));
    snapshot.pools[0].backends[0].max_requests = Some(1);
    snapshot.timeouts.drain = MOMENT;
    let pollux = Pollux::start(snapshot);
    let _clients: Vec<_> = (0..4)
        .map(|number| {
            let mut client = pollux.client();
            client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            while pollux.in_flight() + pollux.waiting() <= number {
                thread::yield_now();
            }
            client
        })
        .collect();
    moody.is(false);
    for _ in 0..3 {
        assert_eq!(pollux.told().cause, Some(Cause::NoBackend));
    }
    assert_eq!((pollux.in_flight(), pollux.waiting()), (1, 0));
}

/// A backend that was ejected comes back without an order: a probe at the end of the ejection brings it back.
#[test]
fn who_was_ejected_comes_back_by_a_probe() {
    let (held, refused) = refusing();
    let well = toy("well", Behaviour::Echo);
    let health = Passive { failures: 1, eject: MOMENT, eject_max: MOMENT, ..Passive::default() };
    let workers = pollux::control::Workers::of(2);
    let backends = [refused, well.address().to_string()];
    let pollux = Pollux::with_crew(with(&backends, health, None), &workers);
    let asks_both = |pollux: &Pollux| {
        (0..4)
            .map(|_| {
                pollux.get();
                pollux.told().attempts
            })
            .collect::<Vec<_>>()
    };
    assert!(asks_both(&pollux).iter().all(|attempts| *attempts <= 2));
    held.listen(16).unwrap();
    let listener = TcpListener::from(held);
    // The probe, which says nothing.
    let mut probe = listener.accept().unwrap().0;
    assert_eq!(probe.read(&mut [0; 16]).unwrap(), 0);
    let serves = thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let _ = client.read(&mut [0; 4096]).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nback").unwrap();
    });
    let answers = std::iter::repeat_with(|| pollux.get());
    assert!(answers.take(1000).any(|answer| answer.ends_with("\r\n\r\nback")));
    serves.join().unwrap();
}
