//! From an accepted connection to the code that behaves: the one place where behaviours are told apart.

use pollux_core::h2::frame::PREFACE;

use crate::answers::{right, slow, wrong};
use crate::behaviour::Behaviour;
use crate::exchange::{After, Exchange};
use crate::h2;
use crate::peer::{Conn, Peer, Trouble};
use crate::raw;
use crate::request::Request;
use crate::response::Response;
use crate::shared::Shared;
use crate::websocket;

/// Serves a connection to its end.
pub(crate) fn connection(conn: Conn, toy: &Shared) {
    let mut peer = Peer::new(conn);
    let is_stream = matches!(peer.conn(), Conn::Stream(_));
    if !is_stream && speaks_http(&toy.behaviour) && peer.begins_with(PREFACE).unwrap_or(false) {
        return h2::serve(peer, toy);
    }
    match &toy.behaviour {
        Behaviour::Echo
        | Behaviour::H2Goaway(_)
        | Behaviour::H2Refuse(_)
        | Behaviour::H2Streams(_)
        | Behaviour::H2Stuck
        | Behaviour::H2NoPing
        | Behaviour::H2Short(_)
        | Behaviour::GrpcStatus(_) => http(peer, toy, right::echo),
        Behaviour::Fixed(len) => http(peer, toy, |exchange| right::fixed(exchange, *len)),
        Behaviour::Upload => http(peer, toy, right::upload),
        Behaviour::Interim(count) => http(peer, toy, |exchange| right::interim(exchange, *count)),
        Behaviour::Chunked { count, size } => {
            http(peer, toy, |exchange| right::chunked(exchange, *count, *size));
        }
        Behaviour::CloseDelimited(len) => http(peer, toy, |exchange| right::close_delimited(exchange, *len)),
        Behaviour::SlowFirstByte(wait) => http(peer, toy, |exchange| slow::first_byte(exchange, *wait)),
        Behaviour::SlowDrip { bytes, every } => {
            http(peer, toy, |exchange| slow::drip(exchange, *bytes, *every));
        }
        Behaviour::Sse { events, every } => {
            http(peer, toy, |exchange| slow::events(exchange, *events, *every));
        }
        Behaviour::EarlyResponse => http(peer, toy, wrong::early_response),
        Behaviour::Close => http(peer, toy, |_| Ok(After::Close)),
        Behaviour::Reset => http(peer, toy, |_| Ok(After::Reset)),
        Behaviour::Truncated(len) => http(peer, toy, |exchange| wrong::truncated(exchange, *len)),
        Behaviour::Garbage => http(peer, toy, wrong::garbage),
        Behaviour::Extra => http(peer, toy, wrong::extra),
        Behaviour::Websocket => http(peer, toy, websocket::handshake),
        Behaviour::TcpEcho => drop(raw::echo(peer)),
        Behaviour::SpeaksFirst(text) => drop(raw::speak_first(peer, text)),
        Behaviour::TcpClose => drop(peer),
        Behaviour::TcpReset => peer.reset(),
        Behaviour::TcpSink => drop(raw::sink(peer)),
        Behaviour::Silent => raw::stay_silent(peer, toy),
    }
}

/// Whether the behaviour is one above TCP.
fn speaks_http(behaviour: &Behaviour) -> bool {
    !matches!(
        behaviour,
        Behaviour::TcpEcho
            | Behaviour::SpeaksFirst(_)
            | Behaviour::TcpClose
            | Behaviour::TcpReset
            | Behaviour::TcpSink
            | Behaviour::Silent
    )
}

/// Answers one request after the other. The client leaving, or failing, is a normal end.
fn http(mut peer: Peer, toy: &Shared, answer: impl Fn(&mut Exchange<'_>) -> Result<After, Trouble>) {
    loop {
        match serve_one(&mut peer, toy, &answer) {
            Ok(Some(After::Next)) => {}
            Ok(Some(After::Close)) => return peer.close(),
            Ok(Some(After::Reset)) => return peer.reset(),
            Ok(Some(After::Upgrade)) => return websocket::echo(peer),
            Ok(None) | Err(Trouble::Io(_)) => return,
            Err(Trouble::Bad(why)) => return refuse(peer, toy, why),
        }
    }
}

fn serve_one(
    peer: &mut Peer,
    toy: &Shared,
    answer: impl Fn(&mut Exchange<'_>) -> Result<After, Trouble>,
) -> Result<Option<After>, Trouble> {
    let Some(raw) = peer.read_head()? else { return Ok(None) };
    toy.note(&raw);
    let request = Request::parse(&raw)?;
    let mut exchange = Exchange { peer, toy, request: &request };
    if let Some(wanted) = request.target.strip_prefix("/toy/health/") {
        return h2::switch(&mut exchange, wanted).map(Some);
    }
    answer(&mut exchange).map(Some)
}

/// Answers 400 and closes: after a bad request nobody knows where the next one would begin.
fn refuse(mut peer: Peer, toy: &Shared, why: &str) {
    let head = Response::new(400, &toy.name)
        .field("Connection", "close")
        .field("Content-Type", "text/plain")
        .field("Content-Length", why.len() + 1);
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(why.as_bytes());
    bytes.push(b'\n');
    if peer.write(&bytes).is_ok() {
        peer.close();
    }
}
