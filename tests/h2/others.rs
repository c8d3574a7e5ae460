//! Whole connections with PyPI's h2 and with nghttp2, in both roles. A process speaks for them; see `tests/differential/h2_oracle.py`.

use fastrand::Rng;
use pollux::h2::connection::Role;
use pollux::h2::frame::ErrorCode;

use crate::oracle::{Oracle, hex, unhex};
use crate::ours::{Ours, Pipe, open};

const SCRIPT: &str = "h2_oracle.py";

/// Connections of each implementation in each role; `H2_CONNECTIONS` asks for another number.
const CONNECTIONS: u64 = 12;
/// Turns after which a connection hangs.
const TURNS_MAX: usize = 20_000;
const NAMES: [&str; 2] = ["h2", "nghttp2"];

impl Oracle {
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
    let mut oracle = Oracle::start(SCRIPT);
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
    let mut oracle = Oracle::start(SCRIPT);
    let (mut whole, mut given_up) = (0, 0);
    for (who, seed) in NAMES.iter().flat_map(|who| (0..connections()).map(move |seed| (who, seed))) {
        let mut rng = Rng::with_seed(1000 + seed);
        let (up, down) = (Pipe::default(), Pipe::default());
        let mut ours = Ours::new(Role::Client, &mut rng, &down, &up);
        begin(&mut oracle, who, "server", &mut rng);
        let mut bodies = std::collections::BTreeMap::new();
        // PyPI's h2 puts its second SETTINGS frame into force at the acknowledgement of the first (findings/).
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
