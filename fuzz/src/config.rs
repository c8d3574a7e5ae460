//! `proxy.toml`: any text is either refused, with a report that can be shown, or gives a snapshot that can be
//! run.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;

use pollux::config::{ERRORS_MAX, ProcessSettings, THREADS_MAX, parse_with, print};
use pollux::snapshot::{Backend, Limits, Mode, Snapshot};

/// The longest report that an input of the length that the fuzzer gives can make.
const REPORT_MAX: usize = 1 << 20;

/// Names of one letter exist, `many` has several addresses; no network is asked.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let address = |last: u8| SocketAddr::from(([192, 0, 2, last], port));
    match host {
        "many" => Ok((1..=4).map(address).collect()),
        "localhost" => Ok(vec![address(1), address(1)]),
        _ if host.len() == 1 => Ok(vec![address(host.as_bytes()[0])]),
        _ => Err(io::Error::other("no such host")),
    }
}

/// See the module.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut asked = 0;
    let loaded = parse_with(text, "fuzz.toml", &mut |host, port| {
        asked += 1;
        resolve(host, port)
    });
    assert!(asked <= text.len(), "more names are looked up than can stand in the text");
    match loaded {
        Ok(loaded) => {
            assert!(loaded.process.threads.is_none_or(|threads| (1..=THREADS_MAX).contains(&threads)));
            check_snapshot(&loaded.snapshot);
            check_print(&loaded.snapshot, &loaded.process);
            for trial in &loaded.tests {
                let _ = trial.run(&loaded.snapshot, &loaded.places);
            }
        }
        Err(report) => {
            assert!((1..=ERRORS_MAX).contains(&report.len()));
            let shown = report.render(false);
            assert!(!shown.is_empty() && shown.len() <= REPORT_MAX, "a report of {} bytes", shown.len());
            assert!(report.render(true).len() >= shown.len());
        }
    }
}

/// A printed configuration is the same configuration.
fn check_print(snapshot: &Snapshot, process: &ProcessSettings) {
    let text = print(snapshot, process);
    let again =
        parse_with(&text, "printed.toml", &mut resolve).unwrap_or_else(|report| panic!("{report}\n{text}"));
    assert!(again.snapshot == *snapshot && again.process == *process, "{text}");
}

/// The rules that the rest of Pollux takes for granted.
fn check_snapshot(snapshot: &Snapshot) {
    assert!(!snapshot.listeners.is_empty() && !snapshot.pools.is_empty());
    let mut names = HashSet::new();
    for listener in &snapshot.listeners {
        assert!(names.insert(&listener.name), "two listeners of one name");
        for route in listener.routes.routes() {
            assert!(
                route.action.pools().all(|pool| pool.0 < snapshot.pools.len()),
                "a route without its pool"
            );
        }
        assert!(listener.mode == Mode::Http || listener.routes.routes().len() == 1);
    }
    for pool in &snapshot.pools {
        assert!(!pool.backends.is_empty());
        assert!(pool.backends.iter().all(|backend| backend.weight <= Backend::WEIGHT_MAX));
        assert!(pool.backends.iter().any(|backend| backend.weight > 0), "nothing can be picked");
    }
    let Limits { head, request_line, fields, buffer, sessions, accept_budget, .. } = snapshot.limits;
    assert!(request_line <= head && head <= buffer);
    assert!((1..=Limits::FIELDS_MAX).contains(&fields) && sessions > 0 && accept_budget > 0);
    let t = &snapshot.timeouts;
    for span in [t.connect, t.client_head, t.client_idle, t.backend_response, t.idle] {
        assert!(!span.is_zero());
    }
    for span in [t.tunnel, t.queue, t.linger, t.backend_idle, t.drain] {
        assert!(!span.is_zero());
    }
}
