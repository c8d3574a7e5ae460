//! Requests, and responses, that are made to cost as much as they can for their size, for a machine that
//! counts instructions (`tests/instructions/linear`).
//!
//!     worst-case                          # names the shapes
//!     worst-case SHAPE BYTES SEED COUNT   # reads, routes and writes one of about that size so many times
//!
//! Each shape multiplies two things that a client, or a client and the configuration, can have many of. The
//! seed draws how long and how many the parts are.

#![allow(clippy::print_stdout)]

use std::fmt::Write;
use std::hint::black_box;
use std::process::ExitCode;

use pollux::config;
use pollux::core::budget::Budget;
use pollux::core::buffer::Buffer;
use pollux::core::identity::Ids;
use pollux::core::time::Time;
use pollux::http::body::{Chunked, Chunks};
use pollux::http::date::Date;
use pollux::http::response::{self, RequestFacts, ResponseContext};
use pollux::message::Nominated;
use pollux::message::Version;
use pollux::message::field_table;
use pollux::session::{Env, dry_run};
use pollux::snapshot::{Limits, Snapshot};

/// The number of routes, wildcards and networks of the configuration.
const RULES: usize = 50;

/// Makes a head of about so many bytes.
type Shape = fn(usize, &mut fastrand::Rng) -> String;

const SHAPES: [(&str, Shape); 7] = [
    ("fields-by-fields", nominated),
    ("names-by-trailers", nominated),
    ("cookies-by-routes", cookies),
    ("segments-by-wildcards", segments),
    ("proxies-by-networks", proxies),
    ("response-fields-by-fields", answered),
    ("response-names-by-trailers", answered),
];

const START: &str = "Host: h\r\n";

/// Names in Connection, as many as may be, and fields that all but have these names.
fn nominated(bytes: usize, random: &mut fastrand::Rng) -> String {
    let length = (bytes / 170).max(4);
    let same = "x".repeat(random.usize(length / 2..length));
    let mut head = format!("GET / HTTP/1.1\r\n{START}Connection: ");
    for number in 0..60 {
        // Writing to a String cannot fail.
        let _ = write!(head, "{same}{number:02}, ");
    }
    head.push_str("close\r\n");
    for number in 0..90 {
        let _ = write!(head, "{same}{number:02}y: 1\r\n");
    }
    head + "\r\n"
}

/// The same as a response, whose body comes in chunks.
fn answered(bytes: usize, random: &mut fastrand::Rng) -> String {
    let request = nominated(bytes, random);
    let fields = request.split_once(START).map_or("", |(_, fields)| fields);
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}")
}

fn cookies(bytes: usize, random: &mut fastrand::Rng) -> String {
    let pair = format!("{}=1; ", "c".repeat(random.usize(1..12)));
    format!("GET / HTTP/1.1\r\n{START}Cookie: {}\r\n\r\n", pair.repeat(bytes / pair.len()))
}

fn segments(bytes: usize, random: &mut fastrand::Rng) -> String {
    let segment = format!("/{}", "a".repeat(random.usize(1..9)));
    format!("GET {} HTTP/1.1\r\n{START}\r\n", segment.repeat(bytes.min(7000) / segment.len()))
}

fn proxies(bytes: usize, random: &mut fastrand::Rng) -> String {
    let address = format!("10.0.0.{}, ", random.u8(1..9));
    format!(
        "GET / HTTP/1.1\r\n{START}X-Forwarded-For: {}10.0.0.1\r\n\r\n",
        address.repeat(bytes / address.len())
    )
}

fn snapshot() -> Snapshot {
    let mut text = String::from("[limits]\nfield = \"32KiB\"\nhead = \"64KiB\"\n");
    text.push_str("[pool.app]\nbackends = [\"127.0.0.1:1\"]\n");
    text.push_str("[[listener]]\nbind = \"127.0.0.1:0\"\npool = \"app\"\ntrusted_proxies = [");
    for number in 0..RULES {
        let _ = write!(text, "\"10.{}.0.0/16\", ", (number + 1) % RULES);
    }
    text.push_str("\"127.0.0.1\"]\n");
    for number in 0..RULES {
        let path: String = (0..number % 9 + 1).map(|at| format!("/{{a{at}}}")).collect();
        let by_path = format!("match = {{ path = \"{path}/b{number}/*\" }}");
        let by_cookie = format!("match = {{ cookie = {{ no{number} = \"x\" }} }}");
        for condition in [by_path, by_cookie] {
            let _ = write!(text, "[[listener.route]]\npool = \"app\"\n{condition}\n");
        }
    }
    config::parse(&text, "worst-case").unwrap_or_else(|report| panic!("{report}")).snapshot
}

/// Reads a response and writes it for its client; gives the names in its Connection.
fn pass_response(head: &str, limits: &Limits, date: &Date) -> Nominated {
    let mut table = field_table();
    let asked = RequestFacts { is_head: false, protocols: b"" };
    let response = response::read(head.as_bytes(), &mut table, asked, limits)
        .unwrap_or_else(|cause| panic!("a response that is not passed on: {cause}"));
    let version = Version::Http11;
    let context = ResponseContext { version, keep_alive: true, is_first: true, idle: None, hsts: None };
    let mut out = Vec::new();
    response.write(&mut out, context, date);
    black_box(out);
    response.nominated.clone()
}

fn names_of(head: &str) -> Nominated {
    let names = head.split("\r\n").find_map(|line| line.strip_prefix("Connection: ")).unwrap_or_default();
    let mut nominated = Nominated::default();
    nominated.add(names.split(", ").map(str::as_bytes));
    nominated
}

fn pass_trailers(head: &str, nominated: Nominated) {
    // Trailers are bounded by 8 KiB: half of the fields stand in them.
    let trailers: Vec<&str> = head.split("\r\n").filter(|line| line.starts_with('x')).take(45).collect();
    let body = format!("0\r\n{}\r\n\r\n", trailers.join("\r\n"));
    let mut buffer = Buffer::default();
    buffer.attach(vec![0; 64 * 1024].into());
    buffer.room()[..body.len()].copy_from_slice(body.as_bytes());
    buffer.fill(body.len());
    let _ = black_box(Chunked::new(Chunks::Keep, None, nominated).advance(&mut buffer));
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, bytes, seed, count] = arguments.as_slice() else {
        SHAPES.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let shape = SHAPES.iter().find(|(known, _)| known == name);
    let numbers = (bytes.parse::<usize>(), seed.parse::<u64>(), count.parse::<usize>());
    let (Some((_, shape)), (Ok(bytes), Ok(seed), Ok(count))) = (shape, numbers) else {
        return ExitCode::FAILURE;
    };
    let head = shape(bytes, &mut fastrand::Rng::with_seed(seed));
    let (snapshot, date, ids, bodies) = (snapshot(), Date::new(0), Ids::new(0), Budget::new(0));
    let env = Env::new(Time::ZERO, &date, &snapshot, &ids, &bodies);
    for _ in 0..count {
        match name.as_str() {
            "names-by-trailers" => pass_trailers(&head, names_of(&head)),
            "response-fields-by-fields" => drop(pass_response(&head, &snapshot.limits, &date)),
            "response-names-by-trailers" => {
                pass_trailers(&head, pass_response(&head, &snapshot.limits, &date));
            }
            _ => {
                black_box(dry_run(&env, 0, ([127, 0, 0, 1], 1).into(), head.as_bytes(), None, &mut |_| {}));
            }
        }
    }
    // Said after the work, so that the size that was reached is known.
    println!("{}", head.len());
    ExitCode::SUCCESS
}
