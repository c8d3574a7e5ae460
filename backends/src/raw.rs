//! Behaviours below HTTP: bytes in, bytes out.

use std::io;

use crate::peer::Peer;
use crate::shared::Shared;

/// Sends back what comes, and ends its own direction when the client has ended the other.
pub(crate) fn echo(mut peer: Peer) -> io::Result<()> {
    loop {
        let bytes = peer.read_some()?;
        if bytes.is_empty() {
            peer.finish_writing();
            return Ok(());
        }
        peer.write(&bytes)?;
    }
}

/// Speaks before the client does, as SMTP and many databases do, then echoes.
pub(crate) fn speak_first(mut peer: Peer, text: &str) -> io::Result<()> {
    peer.write(format!("{text}\r\n").as_bytes())?;
    echo(peer)
}

/// Reads everything, then sends how many bytes it was.
pub(crate) fn sink(mut peer: Peer) -> io::Result<()> {
    let mut count = 0;
    loop {
        let bytes = peer.read_some()?;
        if bytes.is_empty() {
            return peer.write(u64::to_string(&count).as_bytes());
        }
        count += bytes.len() as u64;
    }
}

/// Reads and never answers. The first request head counts as a request, if what comes is one.
pub(crate) fn stay_silent(mut peer: Peer, toy: &Shared) {
    if let Ok(Some(head)) = peer.read_head() {
        toy.note(&head);
    }
    while peer.read_some().is_ok_and(|bytes| !bytes.is_empty()) {}
}
