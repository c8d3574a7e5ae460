//! The parts that grow with the configuration, without a kernel: the route table and the pick of a backend,
//! at any size.
//!
//!     scale-parts PART SIZE COUNT     # does it so many times, and prints the nanoseconds of all together
//!
//! `bench/scale` runs it, as it is for the time and under valgrind for the instructions.

use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pollux::balance::RoundRobin;
use pollux::message::FieldLine;
use pollux::route::path::Path;
use pollux::route::{
    Action, AmbiguousPaths, Conditions, Decision, Host, RequestView, Route, RouteTable, Want,
};
use pollux::snapshot::PoolId;

/// Prepares a part at a size, does it so many times, and gives how long that took.
type Part = fn(usize, usize) -> Duration;

const PARTS: [(&str, Part); 3] =
    [("decide-path", decide_by_path), ("decide-header", decide_by_header), ("pick", pick_backends)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, size, count] = arguments.as_slice() else { return usage() };
    let part = PARTS.iter().find(|(other, _)| other == name).map(|(_, part)| *part);
    let (Some(part), Ok(size), Ok(count)) = (part, size.parse::<usize>(), count.parse()) else {
        return usage();
    };
    let spent = part(size.max(1), count);
    match writeln!(io::stdout(), "{}", spent.as_nanos()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn usage() -> ExitCode {
    let names = PARTS.map(|(name, _)| name).join(", ");
    let _ = writeln!(io::stderr(), "usage: scale-parts PART SIZE COUNT; the parts are {names}");
    ExitCode::from(2)
}

fn timed(count: usize, mut act: impl FnMut()) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        act();
    }
    begun.elapsed()
}

fn table(size: usize, when: impl Fn(usize) -> Conditions) -> RouteTable {
    let route = |number| Route {
        name: format!("r{number}"),
        when: when(number),
        action: Action::Pool(PoolId(0)),
        options: None,
    };
    RouteTable::new((0..size).map(route).collect(), AmbiguousPaths::default())
}

fn view<'a>(path: &'a str, fields: &'a [FieldLine<'a>]) -> RequestView<'a> {
    let authority = b"h9.example".as_slice();
    RequestView {
        client: [127, 0, 0, 1].into(),
        method: "GET",
        authority,
        path,
        query: None,
        tls_info: None,
        alpn: &[],
        fields,
    }
}

/// Ten hosts, and under each of them a tenth of the paths; the last route is the one that is asked for.
fn decide_by_path(size: usize, count: usize) -> Duration {
    let table = table(size, |number| Conditions {
        hosts: vec![Host::parse(&format!("h{}.example", 9 - (size - 1 - number) % 10)).expect("a host")],
        paths: vec![Path::parse(&format!("/v1/p{number}/*")).expect("a path")],
        ..Conditions::default()
    });
    let path = format!("/v1/p{}/x", size - 1);
    let view = view(&path, &[]);
    timed(count, || assert_eq!(table.decide(black_box(&view)), Decision::Route(size - 1)))
}

/// Routes that differ by the value of a header only: the worst there is, for one is tried after the other.
fn decide_by_header(size: usize, count: usize) -> Duration {
    let table = table(size, |number| Conditions {
        headers: vec![("x-tenant".to_owned(), Want::Is(vec![format!("t{number}")]))],
        ..Conditions::default()
    });
    let last = format!("t{}", size - 1);
    let fields = [FieldLine::new("X-Tenant", last.as_bytes())];
    let view = view("/", &fields);
    timed(count, || assert_eq!(table.decide(black_box(&view)), Decision::Route(size - 1)))
}

/// So many backends of the same weight.
fn pick_backends(size: usize, count: usize) -> Duration {
    let weights = vec![1_u64; size];
    let mut robin = RoundRobin::default();
    timed(count, || assert!(robin.pick(black_box(&weights).iter().copied()).is_some()))
}
