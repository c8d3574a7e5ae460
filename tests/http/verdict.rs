//! Compares what a run came to with what its case expects.

use std::fmt::Write as _;

use pollux::snapshot::Timeouts;

use crate::bytes::{show, without_error_type};
use crate::case::Expected;
use crate::run::Seen;

/// The fault of `seen`, readable; `None` if there is none.
pub(crate) fn fault(expected: &Expected, seen: &Seen) -> Option<String> {
    let mut out = String::new();
    if let Some(complaint) = &seen.complaint {
        let _ = writeln!(out, "  {complaint}");
    }
    let (to_client, to_backends) = without_keep_alive(expected, seen);
    let to_client = without_error_type(&to_client);
    bytes(&mut out, "to the client", &expected.to_client, &to_client);
    if expected.to_backend_at_most.is_empty() {
        bytes(&mut out, "to the backend", &expected.to_backend, &to_backends);
    } else {
        let most = [expected.to_backend.as_slice(), &expected.to_backend_at_most].concat();
        if !to_backends.starts_with(&expected.to_backend) || !most.starts_with(&to_backends) {
            bytes(&mut out, "to the backend, at most", &most, &to_backends);
        }
    }
    if let Some(connections) = expected.connections {
        value(&mut out, "backend connections", &connections, &seen.connections);
    }
    value(&mut out, "the client's connection", &expected.client_ends, &seen.client_ends);
    let is_kept = seen.census.idle > 0;
    value(&mut out, "a backend connection is kept", &expected.backend_kept, &is_kept);
    if !expected.backend_kept {
        let open = seen.backends_open - seen.census.in_flight;
        value(&mut out, "backend connections that nobody uses", &0, &open);
    }
    let last = seen.told.last();
    let cause = last.and_then(|told| told.cause);
    value(&mut out, "the cause in the last record", &expected.cause.as_deref(), &cause);
    let retried = seen.told.iter().rev().find_map(|told| told.retried.as_deref());
    value(&mut out, "the proof of the last retry", &expected.retried.as_deref(), &retried);
    (!out.is_empty()).then_some(out)
}

/// The bytes that the client and the backends were sent, without the fields of kept connections: these are
/// the subject of one table, and would be in the way of the others.
fn without_keep_alive(expected: &Expected, seen: &Seen) -> (Vec<u8>, Vec<u8>) {
    const ASKED: &[u8] = b"Connection: keep-alive\r\n";
    if expected.shows_keep_alive {
        return (seen.to_client.clone(), seen.to_backend.clone());
    }
    let told = format!("Keep-Alive: timeout={}\r\n", Timeouts::default().client_idle.as_secs() - 1);
    let mut to_client = without(&seen.to_client, told.as_bytes());
    // The first response of a connection has it.
    if !expected.is_old
        && let Some(at) = to_client.windows(ASKED.len()).position(|window| window == ASKED)
    {
        to_client.drain(at..at + ASKED.len());
    }
    (to_client, without(&seen.to_backend, ASKED))
}

fn without(bytes: &[u8], part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(part.len()).position(|window| window == part) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn bytes(out: &mut String, what: &str, expected: &[u8], got: &[u8]) {
    if expected != got {
        let at = expected.iter().zip(got).take_while(|(expected, got)| expected == got).count();
        let _ = write!(out, "  {what}, expected\n{}  {what}, got\n{}", show(expected, at), show(got, at));
    }
}

fn value<T: PartialEq + std::fmt::Debug>(out: &mut String, what: &str, expected: &T, got: &T) {
    if expected != got {
        let _ = writeln!(out, "  {what}: expected {expected:?}, got {got:?}");
    }
}
