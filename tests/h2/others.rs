//! Whole connections with PyPI's h2 and with nghttp2, in both roles. A process speaks for them; see `tests/differential/h2_oracle.py`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use fastrand::Rng;
use pollux::h2::connection::Role;
use pollux::h2::frame::ErrorCode;

use crate::ours::{Ours, Pipe, open};

/// Connections of each implementation in each role; `H2_CONNECTIONS` asks for another number.
const CONNECTIONS: u64 = 12;
/// Turns after which a connection hangs.
const TURNS_MAX: usize = 20_000;
const NAMES: [&str; 2] = ["h2", "nghttp2"];

/// The process that speaks for the others.
struct Oracle {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Oracle {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(root.join("tests/.venv/bin/python"))
            .arg(root.join("tests/differential/h2_oracle.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/setup makes the Python environment");
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Oracle { child, to, from }
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.to, "{question}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the oracle has ended at {}", question.get(..60).unwrap_or(question));
        answer.truncate(answer.len() - 1);
        answer
    }

    /// Passes what we have written to the other side, and what it writes to us.
    fn turn(&mut self, to_it: &Pipe, to_us: &Pipe) {
        let bytes: Vec<u8> = to_it.borrow_mut().drain(..).collect();
        let answer = self.ask(&format!("turn {}", hex(&bytes)));
        to_us.borrow_mut().extend(unhex(&answer));
    }

    /// Exchanges of the other side that are under way.
    fn under_way(&mut self) -> usize {
        let state = self.ask("state");
        let (count, fault) = state.split_once(' ').unwrap();
        assert_eq!(fault, "-", "what came back to it");
        count.parse().unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.trim_matches('-').as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn connections() -> u64 {
    std::env::var("H2_CONNECTIONS").map_or(CONNECTIONS, |text| text.parse().expect("a number"))
}

fn begin(oracle: &mut Oracle, who: &str, role: &str, rng: &mut Rng) {
    let window = rng.choice([1000, 20_000, 65_535, 1 << 20]).unwrap();
    let table = rng.choice([0, 100, 4096, 65_536]).unwrap();
    oracle.ask(&format!("new {who} {role} {window} {table}"));
}

#[test]
fn our_server_and_the_clients_of_others() {
    let mut oracle = Oracle::start();
    for (who, seed) in NAMES.iter().flat_map(|who| (0..connections()).map(move |seed| (who, seed))) {
        let mut rng = Rng::with_seed(seed);
        let (up, down) = (Pipe::default(), Pipe::default());
        let mut ours = Ours::new(Role::Server, &mut rng, &up, &down);
        begin(&mut oracle, who, "client", &mut rng);
        let (mut to_ask, mut turns) = (rng.usize(1..15), 0);
        while to_ask > 0 || oracle.under_way() > 0 || ours.connection.streams() > 0 {
            if to_ask > 0 && rng.bool() {
                to_ask -= 1;
                // The fields repeat, so that tables have something to do.
                let (length, long) = (rng.usize(6000..40_000), "v".repeat(50 * rng.usize(1..5)));
                let (trailers, reset) = (rng.u8(..2), rng.choice([0, 0, 0, 1, 2]).unwrap());
                oracle.ask(&format!("ask {length} {long} {trailers} {reset}"));
            }
            ours.turn(&mut rng);
            oracle.turn(&down, &up);
            turns += 1;
            assert!(turns < TURNS_MAX, "{who}, seed {seed} hangs");
        }
        assert!(ours.connection.error().is_none());
    }
}

#[test]
fn our_client_and_the_servers_of_others() {
    let mut oracle = Oracle::start();
    let (mut whole, mut given_up) = (0, 0);
    for (who, seed) in NAMES.iter().flat_map(|who| (0..connections()).map(move |seed| (who, seed))) {
        let mut rng = Rng::with_seed(1000 + seed);
        let (up, down) = (Pipe::default(), Pipe::default());
        let mut ours = Ours::new(Role::Client, &mut rng, &down, &up);
        begin(&mut oracle, who, "server", &mut rng);
        let mut bodies = std::collections::BTreeMap::new();
        // PyPI's h2 does not apply its window to streams that open before its settings are acknowledged.
        let mut greetings = 0;
        while *who == "h2" && ours.connection.peer().streams.is_none() {
            ours.turn(&mut rng);
            oracle.turn(&up, &down);
            greetings += 1;
            assert!(greetings < TURNS_MAX, "no settings come");
        }
        ours.turn(&mut rng);
        oracle.turn(&up, &down);
        let (mut to_open, mut turns) = (rng.usize(1..15), 0);
        while to_open > 0 || ours.connection.streams() > 0 {
            if to_open > 0 && ours.connection.free_streams() > 0 && rng.bool() {
                to_open -= 1;
                let (stream, body) = open(&mut ours, &mut rng);
                bodies.insert(stream, body);
            }
            ours.turn(&mut rng);
            oracle.turn(&up, &down);
            if rng.u8(..100) == 0
                && let Some((stream, lane)) = ours.lanes.iter_mut().find(|(_, lane)| !lane.has_ended)
            {
                ours.connection.reset(*stream, ErrorCode::CANCEL);
                lane.reset.get_or_insert(ErrorCode::CANCEL.0);
            }
            turns += 1;
            assert!(turns < TURNS_MAX, "{who}, seed {seed} hangs");
        }
        for (stream, lane) in &ours.lanes {
            assert!(bodies[stream].starts_with(&lane.came), "{who}, seed {seed}: other bytes came back");
            if let Some(code) = lane.reset {
                assert_eq!(code, ErrorCode::CANCEL.0, "{who}, seed {seed}");
                given_up += 1;
            } else {
                assert_eq!(lane.came.len(), bodies[stream].len(), "{who}, seed {seed}: a body is cut");
                assert_eq!(lane.has_trailers, lane.sends_trailers, "{who}, seed {seed}");
                whole += 1;
            }
        }
        assert!(ours.connection.error().is_none());
    }
    assert!(whole > 50 && given_up > 0, "{whole} whole, {given_up} given up");
}
