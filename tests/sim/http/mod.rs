//! HTTP: clients that make requests and backends that answer them, each of which checks all it is sent, byte
//! by byte.

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
use std::time::Duration;

use pollux::core::outcome::Cause;
use pollux::snapshot::{Announcing, Mode};

use crate::actor::{Actor, Pace};
use crate::end::EndId;
use crate::faults::{Faults, Weather};
use crate::harness::{Peers, Scene};
use crate::idler::Idler;
use crate::reload::Reloads;
use crate::slow_handshake::SlowHandshake;
use backend::Backend;
use board::Board;
use client::Client;
use script::Visit;
use visit::Manners;

/// The number of further rounds of visits of a client where backends have faults.
const ROUNDS: usize = 3;

/// And so many more clients there are, that they have to wait for each other.
const MORE_CLIENTS: usize = 6;

/// The longest rest between two of its visits then.
const REST_MAX: Duration = Duration::from_millis(500);

/// Makes actors that answer checks, and that nobody asks for anything else.
pub(crate) fn watchmen(faults: &Faults) -> impl FnMut(usize, EndId, fastrand::Rng) -> Box<dyn Actor> + use<> {
    let (board, faults) = (Rc::new(RefCell::new(Board::default())), Rc::new(faults.clone()));
    move |host, end, rng| Box::new(Backend::new(host, end, None, &board, &faults, rng))
}

/// Has each visit begin as the listener expects, or not quite.
fn introduce(visits: &mut [Visit], scene: &mut Scene, board: &Rc<RefCell<Board>>) {
    if scene.proxy_headers.listener == Announcing::Never {
        return;
    }
    let mut board = board.borrow_mut();
    for visit in visits {
        let introduction =
            scene.proxy_headers.introduce(crate::harness::number_of(visit.from), &mut scene.rng);
        for ask in &visit.asks {
            let ask = &mut board.asks[*ask];
            // Proxies that are believed would be believed in these too.
            ask.hop_fields.retain(|(name, _)| !name.starts_with("x-forwarded-"));
            ask.from = introduction.client.unwrap_or(visit.from);
        }
        scene.refused.extend(introduction.refused);
        visit.introduction = introduction;
    }
}

/// One run over HTTP.
pub(crate) fn run(scene: &mut Scene) {
    let manners = Manners {
        foul: scene.faults.weather == Weather::Foul || scene.faults.backend_faults.is_some(),
        draining: scene.drain_after.is_some() || scene.reloads.as_ref().is_some_and(Reloads::moves_door),
        scarce: scene.faults.is_scarce(),
        crowded: scene.faults.idlers > 0,
    };
    let board = Rc::new(RefCell::new(Board::default()));
    let faults = Rc::new(scene.faults.clone());
    let (clients_seal, backends_seal) = (scene.legs.of_clients(), scene.legs.of_backends());
    board.borrow_mut().is_secure = clients_seal.is_some();
    let mut clients: Vec<Box<dyn Actor>> = Vec::new();
    let mut connections = 0;
    let more = if faults.backend_faults.is_some() { MORE_CLIENTS } else { 0 };
    for _ in 0..scene.rng.usize(1..=4) + more {
        let mut draw =
            |rng: &mut fastrand::Rng| script::visits(&faults, &mut board.borrow_mut(), &mut connections, rng);
        let mut visits = draw(&mut scene.rng);
        let mut rests = None;
        if faults.backend_faults.is_some() {
            // So many that they last for as long as anybody changes.
            (0..ROUNDS).for_each(|_| visits.extend(draw(&mut scene.rng)));
            rests = Some(REST_MAX);
        }
        let is_full = manners.draining && scene.faults.sessions.is_some();
        if scene.faults.slow_handshakes > 0 || scene.faults.idlers > 0 || manners.scarce || is_full {
            // A client that takes long may have to make room as those do.
            visits.iter_mut().for_each(|visit| visit.pace = Pace::BRISK);
        }
        introduce(&mut visits, scene, &board);
        let seal = clients_seal.clone();
        clients.push(Box::new(Client::new(visits, rests, manners, seal, &board, scene.rng.fork())));
    }
    let (mut rng, notes) = (scene.rng.fork(), Rc::clone(&board));
    let proxy_headers = scene.proxy_headers;
    let spawn = Box::new(move |host, end| -> Box<dyn Actor> {
        let backend = Backend::new(host, end, backends_seal.as_ref(), &notes, &faults, rng.fork());
        Box::new(backend.told_of_clients(proxy_headers))
    });
    let is_crowded = scene.faults.handshakes.is_some();
    for number in connections..connections + scene.faults.slow_handshakes {
        let seal = clients_seal.as_ref().expect("only a handshake can be left unfinished");
        let from = crate::harness::address_of(number);
        clients.push(Box::new(SlowHandshake::new(
            from,
            seal,
            (manners.draining, is_crowded),
            &mut scene.rng,
        )));
    }
    for number in connections..connections + scene.faults.idlers {
        clients.push(Box::new(Idler::new(crate::harness::address_of(number), &mut scene.rng)));
    }
    let mut entries = scene.perform(Mode::Http, Peers { clients, spawn });
    if scene.faults.idlers > 0 {
        let is_idlers = |cause| matches!(cause, Cause::MadeRoom | Cause::NoRequest | Cause::DrainTimeout);
        entries.retain(|entry| !(entry.target.is_empty() && entry.cause.is_some_and(is_idlers)));
    }
    for cause in scene.refused.drain(..) {
        let record = entries.iter().position(|entry| entry.cause == Some(cause) && entry.target.is_empty());
        entries.remove(record.unwrap_or_else(|| panic!("no record of a client that is refused for {cause}")));
    }
    let count = entries.len();
    entries.retain(|entry| entry.cause != Some(Cause::TlsHandshakeTimeout) || manners.foul);
    let late = count - entries.len();
    let is_told =
        late == scene.faults.slow_handshakes || (manners.draining && late < scene.faults.slow_handshakes);
    assert!(manners.foul || is_told, "{late} handshakes were too late");
    judge::judge(&board.borrow(), &entries, manners);
    judge::judge_closed(&board.borrow(), &entries, |end| scene.has_answered_in_vain(end));
}
