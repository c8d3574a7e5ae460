//! Clients that speak HTTP/2, by the machine of Pollux in its other role, before backends that speak HTTP/1.1
//! or HTTP/2. Each byte of each body follows from the number of its request, in both directions, and both ends
//! check it.

mod board;
mod carried;
mod client;
mod plain;
mod speaker;

use pollux::snapshot::{BackendProtocol, Mode};

use crate::actor::Actor;
use crate::harness::{Peers, Scene};
use board::Board;
use carried::Carried;
use client::Client;
use plain::Plain;

/// The byte at a place of a body of the request of that number.
fn byte(number: usize, place: usize) -> u8 {
    (number.wrapping_mul(31).wrapping_add(place.wrapping_mul(7)) >> 1) as u8
}

fn bytes(number: usize, from: usize, count: usize) -> impl Iterator<Item = u8> {
    (from..from + count).map(move |place| byte(number, place))
}

/// The target of a request: `/number/up/down`, with the lengths of both bodies.
fn wish_of(path: &str) -> (usize, usize, usize) {
    let mut parts = path.split('/').skip(1);
    let mut next = || parts.next().and_then(|part| part.parse().ok()).expect("a number");
    (next(), next(), next())
}

/// One run with backends that speak HTTP/1.1.
pub(crate) fn run(scene: &mut Scene) {
    let mut rng = scene.rng.fork();
    let (clients, board) = clients(scene);
    let spawn = Box::new(move |_, end| -> Box<dyn Actor> { Box::new(Plain::new(end, rng.fork())) });
    perform(scene, Peers { clients, spawn });
    drop(board);
}

/// One run with backends that speak HTTP/2.
pub(crate) fn run_carried(scene: &mut Scene) {
    let mut rng = scene.rng.fork();
    scene.protocol = BackendProtocol::Http2;
    scene.faults.refusals = true;
    let (clients, board) = clients(scene);
    board.draw(scene.faults.weather, &mut rng);
    let spawn =
        Box::new(move |_, end| -> Box<dyn Actor> { Box::new(Carried::new(end, board.clone(), rng.fork())) });
    perform(scene, Peers { clients, spawn });
}

fn clients(scene: &mut Scene) -> (Vec<Box<dyn Actor>>, Board) {
    let (board, count) = (Board::default(), scene.rng.usize(1..=4));
    let client =
        |number| -> Box<dyn Actor> { Box::new(Client::new(number, board.clone(), scene.rng.fork())) };
    ((0..count).map(client).collect(), board)
}

fn perform(scene: &mut Scene, peers: Peers) {
    scene.faults.capacity = 512..=65536;
    let entries = scene.perform(Mode::Http, peers);
    assert!(!entries.is_empty(), "no request has a record");
}
