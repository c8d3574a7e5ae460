//! A thousand cases at the level of frames, by rule. What is expected is written down from the RFC in each part, in a table of its own: no
//! expectation is read off the machine. Each case runs whole, byte by byte, and cut at every place if it is short; longer ones are cut at
//! places that a seed chooses.
//!
//! Behind each case that does not end the connection comes a PING, which has to be answered: no error of a stream hurts the connection.

mod framing;
mod heads;
mod messages;
mod settings;
mod states;

use super::script::{Play, config};
use crate::h2::connection::Role;

/// Longer cases are not cut at every place.
const SHORT: usize = 96;
/// Cuts of a longer case.
const CUTS: u64 = 8;

pub(super) const BOTH: [Role; 2] = [Role::Server, Role::Client];

/// The effect of the input, as the RFC has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expect {
    /// Nothing at all.
    Nothing,
    /// These events, and nothing is sent.
    Events(String),
    /// These frames are sent, without an event.
    Sent(String),
    /// The stream ends with this code (§5.4.2). DATA before the fault may have been passed on.
    Stream(u32, u32),
    /// The connection ends with this code (§5.4.1).
    Connection(u32),
}

fn event(text: &str) -> Expect {
    Expect::Events(text.to_owned())
}

/// One case.
struct Case {
    /// The section of RFC 9113, or another RFC with its section.
    rule: &'static str,
    name: String,
    role: Role,
    /// The events before it, in the words of the script; without a word of it the preface is a part of the
    /// input.
    before: &'static str,
    input: Vec<u8>,
    expect: Expect,
}

/// A frame by its numbers, independent of the code that writes ours.
fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Literals without indexing, as RFC 7541 §6.2.2 has them; no name or value is longer than 126 bytes.
fn literals(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        assert!(name.len() < 127 && value.len() < 127);
        out.push(0);
        for text in [name, value] {
            out.push(text.len() as u8);
            out.extend_from_slice(text);
        }
    }
    out
}

const GET: [(&[u8], &[u8]); 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"h")];

/// A whole head for the one who reads it: a GET for a server, a 200 for a client.
fn head_for(role: Role) -> Vec<u8> {
    match role {
        Role::Server => literals(&GET),
        Role::Client => literals(&[(b":status", b"200")]),
    }
}

impl Case {
    fn run(&self, cuts: &[usize]) {
        let mut play = if self.before.is_empty() {
            Play::bare(self.role, config())
        } else {
            Play::new(self.role, config())
        };
        play.play(self.before, usize::MAX);
        let (known, sent_before) = play.story();
        let mut at = 0;
        for cut in cuts.iter().copied().chain([self.input.len()]) {
            play.read(&self.input[at..cut]);
            at = cut;
        }
        let has_ended = play.connection.error().is_some();
        if !has_ended {
            play.read(&raw(6, 0, 0, b"the PING"));
        }
        let (events, sent) = play.story();
        let events = events.strip_prefix(&known).expect("events stay").trim();
        let sent = sent.strip_prefix(&sent_before).expect("frames stay").trim();
        let what =
            || format!("{} {:?}, {}, cut at {cuts:?}: {events} > {sent}", self.rule, self.role, self.name);
        let (sent, is_alive) = match sent.strip_suffix("ZA") {
            Some(sent) => (sent.trim(), true),
            None => (sent, false),
        };
        assert_eq!(is_alive, !has_ended, "{}", what());
        // Pieces of DATA before a fault in the same frame.
        let behind_data =
            events.split(' ').filter(|word| !word.starts_with('D')).collect::<Vec<_>>().join(" ");
        match &self.expect {
            Expect::Nothing => assert!(events.is_empty() && sent.is_empty(), "{}", what()),
            Expect::Events(text) => assert!(events == text && sent.is_empty(), "{} not {text}", what()),
            Expect::Sent(text) => assert!(events.is_empty() && sent == text, "{} not {text}", what()),
            Expect::Stream(stream, code) => {
                assert_eq!(sent, format!("R{stream}={code}"), "{}", what());
                // The head of a message whose body is at fault comes before it.
                let heads = [format!("Q{stream} "), format!("A{stream}:200 ")];
                let told =
                    heads.iter().find_map(|head| behind_data.strip_prefix(head)).unwrap_or(&behind_data);
                let is_told = told.starts_with(&format!("R{stream}={code}:"))
                    || told.starts_with(&format!("M{stream}:"));
                assert!(is_told && !told.contains(' '), "{}", what());
            }
            Expect::Connection(code) => {
                assert_eq!(behind_data, format!("!{code}"), "{}", what());
                let is_told =
                    sent.starts_with('G') && sent.ends_with(&format!("={code}")) && !sent.contains(' ');
                assert!(is_told, "{}", what());
            }
        }
    }

    fn run_in_every_split(&self) {
        self.run(&[]);
        if self.input.len() <= SHORT {
            (1..self.input.len()).for_each(|cut| self.run(&[cut]));
            self.run(&(1..self.input.len()).collect::<Vec<_>>());
            return;
        }
        for seed in 0..CUTS {
            let mut mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut cuts: Vec<usize> = (0..=seed)
                .map(|_| {
                    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    // Half of the cuts lie within the heads.
                    let most = if mixed & 1 == 0 { 12 } else { self.input.len() };
                    (mixed >> 8) as usize % most
                })
                .collect();
            cuts.sort_unstable();
            self.run(&cuts);
        }
    }
}

fn hold(cases: &[Case]) {
    cases.iter().for_each(Case::run_in_every_split);
}

/// Every part, so that none is forgotten in the count.
fn all() -> Vec<Vec<Case>> {
    vec![
        framing::sizes(),
        framing::streams(),
        framing::flags(),
        framing::padding(),
        framing::sequences(),
        framing::beginnings(),
        states::of_streams(),
        settings::values(),
        settings::windows(),
        heads::bytes_of_names_and_values(),
        heads::pseudo_fields(),
        heads::statuses(),
        messages::lengths(),
        messages::codes(),
    ]
}

#[test]
fn there_are_a_thousand_cases_and_no_two_are_alike() {
    let cases: Vec<Case> = all().into_iter().flatten().collect();
    let alike: std::collections::HashSet<_> =
        cases.iter().map(|case| (case.role == Role::Server, case.before, &case.input)).collect();
    assert!(alike.len() > 1000, "{} of {} cases differ", alike.len(), cases.len());
    let names: std::collections::HashSet<_> =
        cases.iter().map(|case| (case.rule, case.role == Role::Server, &case.name)).collect();
    assert_eq!(names.len(), cases.len(), "each case has a name of its own");
}
