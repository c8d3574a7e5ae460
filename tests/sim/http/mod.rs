//! HTTP: clients that make requests and backends that answer them, each of which checks all it is sent, byte by byte.

mod answer;
mod backend;
mod board;
mod body;
mod client;
mod head;
mod judge;
mod reply;
mod request;
mod script;
mod visit;

use std::cell::RefCell;
use std::rc::Rc;

use pollux::snapshot::Mode;

use crate::actor::Actor;
use crate::faults::Weather;
use crate::reload::Reloads;
use crate::stage::{Act, Scene};
use backend::Backend;
use board::Board;
use client::Client;
use visit::Manners;

/// One run over HTTP.
pub(crate) fn run(scene: &mut Scene) {
    let manners = Manners {
        foul: scene.faults.weather == Weather::Foul,
        draining: scene.drain_after.is_some() || scene.reloads.as_ref().is_some_and(Reloads::moves_door),
        scarce: scene.faults.is_scarce(),
        in_need: scene.faults.buffers.is_some(),
    };
    let board = Rc::new(RefCell::new(Board::default()));
    let faults = Rc::new(scene.faults.clone());
    let mut clients: Vec<Box<dyn Actor>> = Vec::new();
    let mut connections = 0;
    for _ in 0..scene.rng.usize(1..=4) {
        let visits = script::visits(&faults, &mut board.borrow_mut(), &mut connections, &mut scene.rng);
        clients.push(Box::new(Client::new(visits, manners, &board, scene.rng.fork())));
    }
    let (mut rng, notes) = (scene.rng.fork(), Rc::clone(&board));
    let hire = Box::new(move |_, end| -> Box<dyn Actor> {
        Box::new(Backend::new(end, &notes, &faults, rng.fork()))
    });
    let entries = scene.perform(Mode::Http, Act { clients, hire });
    judge::judge(&board.borrow(), &entries, manners);
}
