//! The records of both sides of a connection, one given to the other.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::records::{Inbound, Records};
use crate::os::IoFault;
use crate::tls::certificate::tests::made_for;
use crate::tls::{Files, Termination, TerminationRules, certificate, provider};

/// The server's side and the client's, which have said nothing to each other.
fn pair(version: &'static SupportedProtocolVersion) -> (Records, Records) {
    let (cert, key) = made_for(&["localhost"]);
    let pairs = vec![(cert.clone().into_bytes(), key.into_bytes())];
    let files = Files { pairs, client_ca: None, client_crl: None };
    let rules = Termination::new("web", TerminationRules::default(), &files).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate::chain(cert.as_bytes()).unwrap().remove(0)).unwrap();
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
    (
        Records::of_server(UnbufferedServerConnection::new(Arc::clone(rules.server())).unwrap()),
        Records::of_client(UnbufferedClientConnection::new(client, "localhost".try_into().unwrap()).unwrap()),
    )
}

/// Gives `bytes` to `to` at once, and says what was decrypted.
fn give(to: &mut Records, bytes: &[u8], room: &mut [u8]) -> (usize, Result<(), rustls::Error>) {
    to.take_in(bytes.len(), |room| {
        room.copy_from_slice(bytes);
        Ok(bytes.len())
    })
    .unwrap();
    to.process(room)
}

fn said(by: &mut Records) -> Vec<u8> {
    let bytes = by.outgoing().to_vec();
    by.has_gone(bytes.len());
    bytes
}

/// Lets the two speak, in pieces of `size`, until both are silent.
fn converse(server: &mut Records, client: &mut Records, size: usize) {
    loop {
        let (of_client, of_server) = (said(client), said(server));
        if of_client.is_empty() && of_server.is_empty() {
            return;
        }
        of_client.chunks(size).for_each(|piece| give(server, piece, &mut []).1.unwrap());
        of_server.chunks(size).for_each(|piece| give(client, piece, &mut []).1.unwrap());
    }
}

fn connected(version: &'static SupportedProtocolVersion) -> (Records, Records) {
    let (mut server, mut client) = pair(version);
    converse(&mut server, &mut client, usize::MAX);
    (server, client)
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn a_handshake_in_single_bytes_leaves_no_buffer_behind() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version);
        converse(&mut server, &mut client, 1);
        for side in [&mut server, &mut client] {
            assert!(!side.common().is_handshaking());
            assert_eq!(side.held(), 0, "{version:?}");
        }
        let mut room = [0; 100];
        client.encrypt(b"a request").unwrap();
        let bytes = said(&mut client);
        let (last, rest) = bytes.split_last().unwrap();
        for byte in rest {
            assert_eq!(give(&mut server, &[*byte], &mut room), (0, Ok(())));
        }
        assert!(server.held() > 0);
        assert_eq!(give(&mut server, &[*last], &mut room), (9, Ok(())));
        assert_eq!((&room[..9], server.held(), client.held()), (&b"a request"[..], 0, 0));
    }
}

#[test]
fn plaintext_without_room_waits_in_order() {
    let (mut server, mut client) = connected(&rustls::version::TLS13);
    let text: Vec<u8> = (0..20_000_u32).map(|place| (place % 251) as u8).collect();
    text.chunks(5_000).for_each(|piece| client.encrypt(piece).unwrap());
    let mut all = vec![0; text.len()];
    let (filled, processed) = give(&mut server, &said(&mut client), &mut all[..7_001]);
    assert_eq!((filled, processed), (7_001, Ok(())));
    let mut at = filled;
    while at < all.len() {
        let end = all.len().min(at + 999);
        at += server.take(&mut all[at..end]);
    }
    assert!(all == text);
    assert_eq!((server.take(&mut all), server.held()), (0, 0));
}

#[test]
fn what_comes_before_a_broken_record_counts_and_an_alert_says_why() {
    for version in VERSIONS {
        let (mut server, mut client) = connected(version);
        client.encrypt(b"good").unwrap();
        client.encrypt(b"bad").unwrap();
        client.encrypt(b"behind").unwrap();
        let mut bytes = said(&mut client);
        // A bit of the second record.
        let first = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        bytes[first + 10] ^= 1;
        let mut room = [0; 100];
        let (filled, processed) = give(&mut server, &bytes, &mut room);
        assert_eq!(&room[..filled], b"good");
        assert_eq!(processed, Err(rustls::Error::DecryptError));
        assert_eq!((server.inbound(), server.take(&mut room)), (Inbound::Broken, 0));
        let alert = said(&mut server);
        server.close();
        assert!(server.outgoing().is_empty(), "no close_notify behind an alert");
        let (_, told) = give(&mut client, &alert, &mut room);
        assert_eq!(told, Err(rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)));
    }
}

#[test]
fn one_direction_may_end_before_the_other() {
    for version in VERSIONS {
        let (mut server, mut client) = connected(version);
        client.encrypt(b"all").unwrap();
        client.close();
        let mut room = [0; 100];
        assert_eq!(give(&mut server, &said(&mut client), &mut room), (3, Ok(())));
        assert_eq!(server.inbound(), Inbound::Closed);
        server.encrypt(b"the answer").unwrap();
        server.close();
        assert_eq!(give(&mut client, &said(&mut server), &mut room), (10, Ok(())));
        assert_eq!((client.inbound(), server.held(), client.held()), (Inbound::Closed, 0, 0));
    }
}

#[test]
fn no_bytes_make_it_panic_or_grow() {
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..300 {
        let version = VERSIONS[round % 2];
        let (mut server, mut client) = if rng.bool() { pair(version) } else { connected(version) };
        let mut bytes = said(&mut client);
        if !client.common().is_handshaking() {
            client.encrypt(b"a request").unwrap();
            bytes = said(&mut client);
        }
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            match rng.u8(..3) {
                0 => bytes[at] = rng.u8(..),
                1 => bytes.insert(at, rng.u8(..)),
                _ => drop(bytes.remove(at)),
            }
        }
        let mut room = [0; 100];
        for piece in bytes.chunks(rng.usize(1..600)) {
            if server.inbound() != Inbound::Open {
                break;
            }
            let _ = give(&mut server, piece, &mut room);
        }
        server.close();
        assert!(server.held() < 128 * 1024);
    }
}

/// Handshake messages in records of one byte of theirs each.
#[test]
fn a_message_in_many_records_is_held_up_to_a_bound() {
    let (mut server, _) = pair(&rustls::version::TLS13);
    // A ClientHello of 60,000 bytes begins.
    let header = [1, 0, 0xea, 0x60];
    let mut room = [0; 100];
    let mut records = header.into_iter().chain(std::iter::repeat(0)).map(|byte| [22, 3, 1, 0, 1, byte]);
    let taken = records.by_ref().take(60_000).take_while(|record| {
        let read = server.take_in(record.len(), |room| {
            room.copy_from_slice(record);
            Ok(record.len())
        });
        read.is_ok() && server.process(&mut room).1.is_ok()
    });
    let count = taken.count();
    assert!((10_000..12_000).contains(&count), "{count}");
}

/// The storage that a long answer has left serves the next request, and is there for others behind it.
#[test]
fn a_short_record_in_large_storage_is_not_moved() {
    let (mut server, mut client) = connected(&rustls::version::TLS13);
    for _ in 0..4 {
        server.encrypt(&[b'x'; 16_000]).unwrap();
    }
    drop(said(&mut server));
    client.encrypt(b"a request").unwrap();
    let bytes = said(&mut client);
    server
        .take_in(bytes.len(), |room| {
            room.copy_from_slice(&bytes);
            Ok(bytes.len())
        })
        .unwrap();
    assert!(server.held() > 60_000, "{} bytes", server.held());
    let mut room = [0; 100];
    assert_eq!((server.process(&mut room), server.held()), ((9, Ok(())), 0));
    // Nothing has come: nothing is kept.
    server.take_in(100, |_| Err(IoFault::Blocked)).unwrap_err();
    assert_eq!(server.held(), 0);
}
