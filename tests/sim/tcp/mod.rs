//! Raw TCP: both sides write a stream that says whose it is, and check every byte of the other's and that the end comes
//! after the bytes.

mod board;
mod script;
mod stream;

use std::cell::RefCell;
use std::rc::Rc;

use pollux::snapshot::Mode;

use crate::actor::Actor;
use crate::faults::Weather;
use crate::stage::{Act, Scene};
use board::Board;
use script::Script;
use stream::Stream;

/// One run over raw streams.
pub(crate) fn run(scene: &mut Scene) {
    let board = Rc::new(RefCell::new(Board::default()));
    let script = Script::draw(&scene.faults, scene.legs, &mut scene.rng);
    let mut clients: Vec<Box<dyn Actor>> = Vec::new();
    for _ in 0..scene.rng.usize(1..=5) {
        let part = script.part(true, &mut scene.rng);
        clients.push(Box::new(Stream::new(None, part, &board, scene.rng.fork())));
    }
    let (mut rng, streams) = (scene.rng.fork(), Rc::clone(&board));
    let hire = Box::new(move |_, end| -> Box<dyn Actor> {
        let part = script.part(false, &mut rng);
        Box::new(Stream::new(Some(end), part, &streams, rng.fork()))
    });
    let entries = scene.perform(Mode::Tcp, Act { clients, hire });
    board.borrow().judge(&entries, scene.faults.weather == Weather::Clean);
}
