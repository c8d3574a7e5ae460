//! Requests that are sent again: after what, how often, and never without a proof and a budget.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use pollux::core::outcome::Cause;
use pollux::snapshot::{Mode, Retries, Snapshot};
use toy_backends::{Behaviour, Toy};

use crate::connecting::refusing;
use crate::house::{Pollux, snapshot};

fn toy(name: &str, behaviour: Behaviour) -> Toy {
    Toy::start(([127, 0, 0, 1], 0).into(), name, behaviour).unwrap()
}

/// A backend that answers whatever it is asked with 503, until the test ends.
fn sick() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // It does not matter how much of a request comes at once.
            let _ = client.read(&mut [0; 4096]);
            let _ =
                client.write_all(b"HTTP/1.1 503 Sick\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsick");
        }
    });
    address
}

fn with(backends: &[String], retries: Retries) -> Snapshot {
    let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
    let mut snapshot = snapshot(Mode::Http, &backends);
    snapshot.pools[0].retries = retries;
    snapshot.pools[0].reach_wait = None;
    snapshot
}

const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";

#[test]
fn a_status_that_is_listed_is_not_the_last_word() {
    let well = toy("well", Behaviour::Echo);
    let backends = [sick().to_string(), well.address().to_string()];
    let retries = Retries { statuses: vec![503], ..Retries::default() };
    let pollux = Pollux::start(with(&backends, retries.clone()));
    let put = pollux.ask(PUT);
    assert!(put.starts_with("HTTP/1.1 200 ") && put.contains("\"body\":\"x\""), "{put}");
    let told = pollux.told();
    assert_eq!((told.attempts, told.retried.as_str(), told.cause), (2, "status", None));

    // A request that may not be repeated is not repeated, and without a budget none is.
    let pollux = Pollux::start(with(&backends, retries.clone()));
    assert!(pollux.ask(POST).ends_with("\r\n\r\nsick"));
    assert_eq!(pollux.told().attempts, 1);
    let pollux = Pollux::start(with(&backends, Retries { budget: 0, budget_min: 0, ..retries.clone() }));
    assert!(pollux.ask(PUT).ends_with("\r\n\r\nsick"));
    let told = pollux.told();
    assert_eq!((told.attempts, told.cause, told.budget_spent), (1, None, true));

    // Where all are sick, the last answer is passed on.
    let all = [sick(), sick(), sick()].map(|address| address.to_string());
    let pollux = Pollux::start(with(&all, retries));
    assert!(pollux.get().ends_with("\r\n\r\nsick"));
    let told = pollux.told();
    assert_eq!((told.status, told.attempts, told.retried.as_str()), (503, 3, "status,status"));
}

#[test]
fn a_response_that_does_not_come_is_sought_elsewhere() {
    let (dumb, well) = (toy("dumb", Behaviour::Silent), toy("well", Behaviour::Echo));
    let backends = [dumb.address().to_string(), well.address().to_string()];
    for (timeout, expected) in [(true, None), (false, Some(Cause::BackendResponseTimeout))] {
        let mut snapshot = with(&backends, Retries { timeout, ..Retries::default() });
        snapshot.timeouts.backend_response = std::time::Duration::from_millis(50);
        let pollux = Pollux::start(snapshot);
        let answer = pollux.get();
        let told = pollux.told();
        assert_eq!(told.cause, expected, "{answer}");
        assert_eq!(told.retried, if timeout { "timeout" } else { "" });
        // The second attempt has its own time.
        assert!(!timeout || answer.contains("X-Backend: well"), "{answer}");
    }
}

#[test]
fn there_are_no_more_retries_than_allowed() {
    let resetting = toy("resetting", Behaviour::Reset);
    let (_held, refusing) = refusing();
    let backends = [resetting.address().to_string(), refusing];
    let none = Pollux::start(with(&backends[1..], Retries { most: 0, ..Retries::default() }));
    assert!(none.get().starts_with("HTTP/1.1 502 "));
    assert_eq!(none.told().attempts, 1);
    let once = Pollux::start(with(&backends[1..], Retries { most: 1, ..Retries::default() }));
    assert!(once.get().starts_with("HTTP/1.1 502 "));
    let told = once.told();
    assert_eq!((told.attempts, told.retried.as_str()), (2, "unsent"));
    // A connect may be tried anew, what was handed on may not.
    let unlike = Retries { reset: false, ..Retries::default() };
    let pollux = Pollux::start(with(&backends[..1], unlike));
    assert!(pollux.get().starts_with("HTTP/1.1 502 "));
    assert_eq!(pollux.told().attempts, 1);
    let broke = Retries { budget: 0, budget_min: 0, ..Retries::default() };
    let pollux = Pollux::start(with(&backends[1..], broke));
    assert!(pollux.get().starts_with("HTTP/1.1 502 "));
    let told = pollux.told();
    assert!(told.attempts == 3 && !told.budget_spent, "what no backend has seen adds to nobody's load");
}
