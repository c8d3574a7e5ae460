//! Raw TCP: both sides write a stream that says whose it is, and check every byte of the other's and that the
//! end comes after the bytes.

mod board;
mod script;
mod stream;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use pollux::snapshot::Mode;

use crate::actor::Actor;
use crate::faults::Weather;
use crate::harness::{Peers, Scene};
use crate::http;
use board::Board;
use script::Script;
use stream::Stream;

/// The number of further clients where checks have faults, and the longest delay of one: as long as
/// faults last.
const MORE_CLIENTS: usize = 30;
const LATEST: Duration = Duration::from_secs(5);

/// One run over raw streams.
pub(crate) fn run(scene: &mut Scene) {
    let board = Rc::new(RefCell::new(Board::default()));
    let script = Script::draw(&scene.faults, scene.legs, &mut scene.rng);
    let mut clients: Vec<Box<dyn Actor>> = Vec::new();
    let backend_faults = scene.faults.backend_faults.clone();
    let more = if backend_faults.is_some() { MORE_CLIENTS } else { 0 };
    for _ in 0..scene.rng.usize(1..=5) + more {
        let part = script.part(true, &mut scene.rng);
        let rest = if more > 0 { LATEST.mul_f64(scene.rng.f64()) } else { Duration::ZERO };
        clients.push(Box::new(Stream::new(None, part, &board, scene.rng.fork()).rests(rest)));
    }
    let (mut rng, streams) = (scene.rng.fork(), Rc::clone(&board));
    let (is_moody, mut watchman) = (backend_faults.is_some(), http::watchmen(&scene.faults));
    let spawn = Box::new(move |host, end| -> Box<dyn Actor> {
        if backend_faults.as_ref().is_some_and(|backend_faults| host >= backend_faults.hosts()) {
            return watchman(host, end, rng.fork());
        }
        let part = script.part(false, &mut rng);
        Box::new(Stream::new(Some(end), part, &streams, rng.fork()))
    });
    let entries = scene.perform(Mode::Tcp, Peers { clients, spawn });
    board.borrow().judge(&entries, scene.faults.weather == Weather::Clean && !is_moody);
}
