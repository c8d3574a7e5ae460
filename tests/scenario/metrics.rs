//! The counts of a running Pollux, while clients and backends come and go.

use std::io::Write;

use pollux::core::outcome::Cause;
use pollux::metrics::{BackendTotals, Totals, TurnPhase};
use pollux::snapshot::{Mode, Snapshot};
use toy_backends::{Behaviour, Toy};

use crate::connecting::refusing;
use crate::house::{Pollux, response, snapshot};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn toy() -> Toy {
    Toy::start(([127, 0, 0, 1], 0).into(), "a", Behaviour::Echo).unwrap()
}

fn over(backends: &[&str], names: &[&str]) -> Snapshot {
    let mut snapshot = snapshot(Mode::Http, backends);
    snapshot.pools[0]
        .backends
        .iter_mut()
        .zip(names)
        .for_each(|(backend, name)| backend.name = (*name).into());
    snapshot
}

fn of<'a>(totals: &'a Totals, backend: &str) -> &'a BackendTotals {
    &totals.backends[&(String::from("app"), String::from(backend))]
}

/// The value of the only sample that the page has of `series`.
fn sample(page: &str, series: &str) -> f64 {
    let mut values = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = values.next().unwrap_or_else(|| panic!("{series} is not in\n{page}"));
    assert_eq!(values.next(), None, "{series} is there twice");
    value.parse().unwrap()
}

#[test]
fn histograms_hold_as_many_as_counters_and_a_reload_takes_nothing_back() {
    let (toy, (_socket, bad)) = (toy(), refusing());
    let good = toy.address().to_string();
    let mut pollux = Pollux::start(over(&[&good, &bad], &["b0", "b1"]));
    let mut client = pollux.client();
    for _ in 0..6 {
        client.write_all(GET).unwrap();
        response(&mut client);
        pollux.told();
    }
    pollux.ask("GET / HTTP/1.1\r\n\r\n");
    pollux.told();
    let before = pollux.totals();
    let good_one = of(&before, "b0");
    assert_eq!((good_one.classes, good_one.exchanges()), ([0, 0, 6, 0, 0, 0], 6));
    let counts = TurnPhase::ALL.map(|phase| good_one.phase(phase).count());
    assert_eq!(counts, [6, 0, 6, 1, 6, 6, 6], "head, queue, opening, connect, response, body, whole");
    assert_eq!((good_one.opened, good_one.reused), (1, 5));
    let failed = of(&before, "b1").failures[Cause::BackendRefused as usize];
    let retries: u64 = before.pools["app"].retries.iter().sum();
    assert!(failed > 0 && failed == retries, "{failed} attempts failed, {retries} were made good");
    assert_eq!(before.pools[""].causes[Cause::BadHost as usize], 1);
    assert_eq!(before.listeners["test"].clients, 2);

    pollux.reload(over(&[&bad, &good], &["b1", "b0"])).unwrap();
    client.write_all(GET).unwrap();
    response(&mut client);
    pollux.told();
    let after = pollux.totals();
    let meanwhile = after.since(&before).pool("app");
    assert_eq!((meanwhile.exchanges(), meanwhile.phase(TurnPhase::Whole).count()), (1, 1));
    assert_eq!(after.pool("app").exchanges(), 7);

    let page = pollux.metrics();
    let b = |name: &str, rest: &str| sample(&page, &format!("{name}{{pool=\"app\",backend=\"b0\"{rest}}}"));
    assert_eq!(b("pollux_request_seconds_count", ""), of(&after, "b0").exchanges() as f64);
    assert_eq!(b("pollux_backend_standing", ",standing=\"up\""), 1.0);
    assert_eq!(sample(&page, "pollux_config_reloads_total"), 1.0);
    let requests = "pollux_requests_total{listener=\"test\",route=\"default\",code=\"2xx\"}";
    assert_eq!(sample(&page, requests), 7.0);
    assert!(sample(&page, "process_open_fds") > 0.0);
    // The client that has not closed; of another one the worker may not have heard yet that it has.
    assert!(sample(&page, "pollux_sessions{worker=\"0\"}") >= 1.0);
}
