//! The memory of a connection.

use super::script::{Play, encode};
use crate::h2::connection::{Connection, ConnectionConfig, Role};
use crate::h2::frame;
use crate::h2::integer;
use crate::h2::stream::Stream;

/// A head as browsers send it: every field that can be indexed is, and the cookie is long.
fn browser() -> Vec<u8> {
    let mut block = encode(&[":method=GET", ":scheme=https", ":path=/"]).bytes().to_vec();
    let fields: [(&str, &str); 8] = [
        ("host", "www.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
        ),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("sec-ch-ua-platform", "\"Linux\""),
    ];
    for (name, value) in fields {
        block.push(0x40);
        for text in [name, value] {
            integer::write(0, 7, text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Bytes of an idle connection in all, behind `count` requests.
fn idle(block: &[u8], count: u32) -> usize {
    let mut play = Play::new(Role::Server, ConnectionConfig::default());
    play.play("S4=65535 SA", usize::MAX);
    for number in 0..count {
        let mut bytes = Vec::new();
        frame::write_block(2 * number + 1, true, block, 1 << 14, &mut bytes);
        play.read(&bytes);
        play.play(&format!("<A{0} <D{0}:13.", 2 * number + 1), usize::MAX);
    }
    assert_eq!(play.connection.streams(), 0);
    play.connection.rest();
    size_of::<Connection>() + play.connection.capacity()
}

#[test]
fn an_idle_connection_is_small() {
    let get = encode(&[":method=GET", ":scheme=http", ":path=/", ":authority=h", "user-agent=h2load"]);
    let figures = [
        ("without a request", idle(get.bytes(), 0)),
        ("without a table", idle(get.bytes(), 10)),
        ("of a browser", idle(&browser(), 1)),
    ];
    for (which, bytes) in figures {
        assert!(bytes <= 1500, "{which}: {bytes} bytes");
    }
    assert_eq!(figures[0].1, size_of::<Connection>(), "nothing lies beside the struct");
    assert!(size_of::<Stream>() <= 96);
}

/// A table that is full of entries is the most that an idle connection can have.
#[test]
fn a_full_table_has_its_bound() {
    let mut block = encode(&[":method=GET", ":scheme=http", ":path=/", ":authority=h"]).bytes().to_vec();
    for letter in b'a'..=b'z' {
        block.push(0x40);
        block.extend_from_slice(&[1, letter]);
        integer::write(0, 7, 200, &mut block);
        block.resize(block.len() + 200, letter);
    }
    let full = idle(&block, 3);
    assert!(full <= size_of::<Connection>() + 4096 + 512, "{full} bytes");
}
