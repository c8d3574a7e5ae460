use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::core::time::Time;
use crate::h2::decoder::{Bounds, Decoded, Decoder};
use crate::h2::encoder::{FieldBlock, Strings};
use crate::h2::fields::{Fields, HeaderField};
use crate::h2::frame::{self, FrameHead, FrameType};
use crate::h2::head::ResponseHead;
use crate::message::BodyLength;

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in list {
        let start = fields.arena().len();
        fields.arena().extend_from_slice(name.as_bytes());
        fields.arena().extend_from_slice(value.as_bytes());
        fields.keep(start, name.len(), false);
    }
    fields
}

/// All the text that waits, read through a room of `size` bytes.
fn text_of(inward: &mut Inward, size: usize) -> String {
    let (mut text, mut room) = (Vec::new(), vec![0; size]);
    while let Ok(count) = inward.read(&mut room) {
        text.extend_from_slice(&room[..count]);
    }
    String::from_utf8(text).expect("text")
}

#[test]
fn an_empty_body_has_no_text() {
    for (length, ends) in
        [(BodyLength::Empty, true), (BodyLength::Empty, false), (BodyLength::Known(5), false)]
    {
        let mut inward = Inward::new(length, ends);
        assert_eq!(inward.is_whole(), ends);
        assert!(!inward.has_more());
        inward.end(None);
        assert!(inward.is_whole() && !inward.has_more());
    }
    let mut open = Inward::new(BodyLength::Open, false);
    open.end(None);
    assert_eq!(text_of(&mut open, 3), "0\r\n\r\n");
}

#[test]
fn trailers_that_could_be_taken_for_something_else_do_not_pass() {
    let mut inward = Inward::new(BodyLength::Open, false);
    inward.end(Some(&fields(&[
        ("grpc-status", "0"),
        ("content-length", "5"),
        ("host", "x"),
        ("authorization", "x"),
        ("x-forwarded-for", "x"),
        ("x-sum", "1"),
    ])));
    assert_eq!(text_of(&mut inward, 64), "0\r\ngrpc-status: 0\r\nx-sum: 1\r\n\r\n");
}

#[test]
fn a_body_has_the_framing_that_its_head_says() {
    let mut plain = Inward::new(BodyLength::Known(5), false);
    plain.data(b"he");
    plain.data(b"");
    plain.data(b"llo");
    plain.end(Some(&fields(&[("x-sum", "1")])));
    assert_eq!(text_of(&mut plain, 2), "hello");
    let mut chunked = Inward::new(BodyLength::Open, false);
    chunked.data(b"he");
    chunked.data(b"");
    chunked.data(&[b'l'; 0x1a3]);
    chunked.end(Some(&fields(&[("x-sum", "1"), ("content-length", "9"), ("host", "x")])));
    let rest = "l".repeat(0x1a3);
    assert_eq!(text_of(&mut chunked, 7), format!("2\r\nhe\r\n1a3\r\n{rest}\r\n0\r\nx-sum: 1\r\n\r\n"));
    // Bytes behind the end belong to no request.
    chunked.data(b"more");
    chunked.end(None);
    assert_eq!(chunked.read(&mut [0; 9]), Err(Unread::Blocked));
}

#[test]
fn a_tunnel_begins_with_the_switch_and_has_ends() {
    let mut inward = Inward::new(BodyLength::Empty, false);
    inward.data(b"early ");
    assert!(!inward.open_tunnel());
    inward.data(b"late");
    assert_eq!(text_of(&mut inward, 4), "early late");
    assert_eq!(inward.read(&mut [0; 9]), Err(Unread::Blocked));
    inward.end(None);
    assert!(inward.has_more());
    assert_eq!(inward.read(&mut [0; 9]), Ok(0));
    // The end may have come before the switch.
    let mut inward = Inward::new(BodyLength::Empty, false);
    inward.end(None);
    assert_eq!(inward.read(&mut [0; 9]), Err(Unread::Blocked));
    assert!(inward.open_tunnel() && !inward.open_tunnel());
    assert_eq!(inward.read(&mut [0; 9]), Ok(0));
}

#[test]
fn a_switch_is_the_200_of_an_extended_connect_and_nothing_else_is() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\nContent-Length: 1\r\n\r\n";
    let mut outward = Outward::of_connect();
    let mut got = Got::default();
    assert_eq!(outward.write(switch.as_bytes(), b"bytes"), switch.len() + 5);
    got.take(&mut outward, 1000).expect("a head and bytes");
    let head = (200, None, ":status=200 sec-websocket-protocol=chat ".to_owned());
    assert_eq!((&got.heads, got.body.as_slice(), got.ends), (&vec![head], &b"bytes"[..], 0));
    assert!(outward.has_switched());
    outward.finish();
    got.take(&mut outward, 1000).expect("an end");
    assert_eq!(got.ends, 1);
    for (status, sent) in [(200, 501), (204, 501), (403, 403), (302, 302), (426, 426)] {
        let mut outward = Outward::of_connect();
        let text = format!("HTTP/1.1 {status} X\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n");
        let mut got = Got::default();
        outward.write(text.as_bytes(), b"");
        got.take(&mut outward, 1000).expect("a head");
        assert_eq!((got.heads[0].0, got.ends, outward.has_switched()), (sent, 1, false), "{status}");
    }
}

#[test]
fn a_request_that_is_given_up_never_looks_whole() {
    let mut inward = Inward::new(BodyLength::Open, false);
    inward.data(b"half");
    inward.reset();
    assert!(inward.has_more());
    assert_eq!(inward.read(&mut [0; 99]), Err(Unread::Lost));
    assert!(!inward.is_whole());
    inward.end(None);
    assert_eq!((inward.read(&mut [0; 99]), inward.room(1000)), (Err(Unread::Lost), 0));
}

#[test]
fn no_more_is_promised_than_there_is_room_for() {
    for capacity in [0, 11, 12, 13, 64, 1000] {
        let mut inward = Inward::new(BodyLength::Open, false);
        let room = inward.room(capacity);
        inward.data(&vec![b'x'; room]);
        assert!(text_of(&mut inward, 64).len() <= capacity, "{capacity}");
    }
}

/// The messages that a stream got: heads and trailers with their fields, data as one, and the count of ends.
#[derive(Debug, Default, PartialEq)]
struct Got {
    heads: Vec<(u16, Option<u64>, String)>,
    body: Vec<u8>,
    trailers: Option<String>,
    ends: u32,
}

impl Got {
    /// Takes all that is to be sent, in frames of at most `frame` bytes.
    fn take(&mut self, outward: &mut Outward, frame: usize) -> Result<(), BrokenText> {
        while let Some(outgoing) = outward.next_outgoing()? {
            match outgoing {
                Outgoing::Head { status, length, ends } => {
                    self.heads.push((status, length, lines(outward.block())));
                    self.ends += u32::from(ends);
                }
                Outgoing::Request { length, ends, is_head, .. } => {
                    self.heads.push((u16::from(is_head), length, lines(outward.block())));
                    self.ends += u32::from(ends);
                }
                Outgoing::Data { ends } => {
                    let count = outward.body().len().min(frame);
                    let ends = ends && count == outward.body().len();
                    self.body.extend_from_slice(&outward.body()[..count]);
                    outward.send(count, ends);
                    self.ends += u32::from(ends);
                }
                Outgoing::Trailers => {
                    self.trailers = Some(lines(outward.block()));
                    self.ends += 1;
                }
            }
        }
        Ok(())
    }
}

/// The fields of a block, `name=value` each.
fn lines(block: &FieldBlock) -> String {
    let mut decoder = Decoder::new(0);
    let mut fields = Fields::default();
    let bounds = Bounds { list: 1 << 20, fields: 1000 };
    assert_eq!(decoder.decode(block.bytes(), bounds, &mut fields), Ok(Decoded::Whole));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|field| format!("{}={} ", text(field.name), text(field.value))).collect()
}

/// The messages that `text` makes, written in pieces of `piece` bytes and sent in frames of `frame`.
fn sent(text: &[u8], is_head: bool, piece: usize, frame: usize) -> Result<Got, BrokenText> {
    let mut outward = Outward::new(is_head);
    let mut got = Got::default();
    for bytes in text.chunks(piece) {
        let mut left = bytes;
        while !left.is_empty() {
            let (first, second) = left.split_at(left.len() / 2);
            let count = outward.write(first, second);
            got.take(&mut outward, frame)?;
            if count == 0 {
                return Ok(got);
            }
            left = &left[count..];
        }
    }
    outward.finish();
    got.take(&mut outward, frame)?;
    Ok(got)
}

#[test]
fn a_response_becomes_heads_data_and_trailers() {
    let plain = "HTTP/1.1 200 OK\r\nX-A: b\r\n";
    for (text, is_head, heads, body, trailers) in [
        (
            format!("{plain}Content-Length: 5\r\nConnection: close\r\nKeep-Alive: timeout=4\r\n\r\nhello"),
            false,
            vec![(200, Some(5), ":status=200 x-a=b content-length=5 ")],
            "hello",
            None,
        ),
        (
            format!("{plain}Content-Length: 0\r\n\r\n"),
            false,
            vec![(200, None, ":status=200 x-a=b content-length=0 ")],
            "",
            None,
        ),
        (
            format!("{plain}Content-Length: 5\r\n\r\n"),
            true,
            vec![(200, None, ":status=200 x-a=b content-length=5 ")],
            "",
            None,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n".to_owned(),
            false,
            vec![(304, None, ":status=304 content-length=5 etag=\"x\" ")],
            "",
            None,
        ),
        (
            format!("{plain}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
            false,
            vec![(200, None, ":status=200 x-a=b ")],
            "hello",
            None,
        ),
        (
            format!(
                "{plain}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nx: \r\n\r\n"
            ),
            false,
            vec![(200, None, ":status=200 x-a=b ")],
            "hello",
            Some("grpc-status=0 x= "),
        ),
        (
            format!("{plain}Transfer-Encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n"),
            false,
            vec![(200, None, ":status=200 x-a=b ")],
            "",
            Some("x=y "),
        ),
        (
            format!(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 \r\n\r\n{plain}\r\nall the rest"
            ),
            false,
            vec![
                (103, None, ":status=103 link=</a> "),
                (100, None, ":status=100 "),
                (200, None, ":status=200 x-a=b "),
            ],
            "all the rest",
            None,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), false, vec![(204, None, ":status=204 ")], "", None),
    ] {
        let heads: Vec<_> =
            heads.into_iter().map(|(status, length, it)| (status, length, it.to_owned())).collect();
        let trailers = trailers.map(str::to_owned);
        let wanted = Got { heads, body: body.into(), trailers, ends: 1 };
        for piece in [1, 2, 3, 7, 1000] {
            for frame in [1, 4, 1000] {
                assert_eq!(
                    sent(text.as_bytes(), is_head, piece, frame).as_ref(),
                    Ok(&wanted),
                    "{text} {piece}"
                );
            }
        }
    }
}

#[test]
fn a_response_that_is_cut_short_never_ends() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n";
    for text in [whole, chunked] {
        for cut in 0..text.len() {
            assert_eq!(sent(&text.as_bytes()[..cut], false, 1000, 1000), Err(BrokenText), "{}", &text[..cut]);
        }
    }
}

#[test]
fn a_long_head_has_room_and_a_body_has_a_bound() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let got = sent(format!("{long}body").as_bytes(), false, 4096, 100).expect("a response");
    assert_eq!(
        (got.heads[0].2.len(), got.body.as_slice()),
        (100_000 + ":status=200 x= ".len(), &b"body"[..])
    );
    let mut outward = Outward::new(false);
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(outward.write(head, b""), head.len());
    assert!(outward.next_outgoing().expect("a head").is_some());
    let taken = outward.write(&vec![0; 1 << 20], b"");
    assert!((1..100_000).contains(&taken), "{taken} bytes wait although none was sent");
}

proptest! {
    /// The stream gets the bytes that its exchange writes, in whatever pieces.
    #[test]
    fn a_body_arrives_whole_in_every_split(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        piece in 1usize..50,
        frame in 1usize..50,
        is_chunked in any::<bool>(),
    ) {
        let body = chunks.concat();
        let mut text = Vec::from("HTTP/1.1 200 OK\r\n");
        if is_chunked {
            text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in &chunks {
                text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
        } else {
            text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            text.extend_from_slice(&body);
        }
        let got = sent(&text, false, piece, frame).expect("a response");
        prop_assert_eq!((got.body, got.ends), (body, 1));
    }
}

/// The request that `text` makes.
fn asked(text: &[u8], is_encrypted: bool) -> Result<Got, BrokenText> {
    let mut outward = Outward::of_request(is_encrypted);
    let mut got = Got::default();
    assert_eq!(outward.write(text, b""), text.len());
    got.take(&mut outward, 4)?;
    Ok(got)
}

#[test]
fn a_request_becomes_a_head_data_and_trailers() {
    let got = asked(
        b"POST /a?b HTTP/1.1\r\nHost: x.org:1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello",
        false,
    );
    let got = got.expect("a request");
    let head = ":method=POST :scheme=http :authority=x.org:1 :path=/a?b x-a=b content-length=5 ";
    assert_eq!(got.heads, [(0, Some(5), head.to_owned())]);
    assert_eq!((&got.body[..], got.ends), (&b"hello"[..], 1));
    let got = asked(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", true).expect("a request");
    assert_eq!(got.heads, [(1, None, ":method=HEAD :scheme=https :authority=x :path=/ ".to_owned())]);
    assert_eq!(got.ends, 1);
    let chunked =
        b"PUT / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/grpc\r\n\r\n\
        5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
    let got = asked(chunked, false).expect("a request");
    let head = ":method=PUT :scheme=http :authority=x :path=/ te=trailers content-type=application/grpc ";
    assert_eq!(got.heads, [(0, None, head.to_owned())]);
    assert_eq!((&got.body[..], got.trailers.as_deref(), got.ends), (&b"hello"[..], Some("x-sum=1 "), 1));
}

#[test]
fn a_request_that_is_cut_never_looks_whole() {
    let mut outward = Outward::of_request(false);
    outward.write(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel", b"");
    let mut got = Got::default();
    got.take(&mut outward, 99).expect("so far so good");
    outward.finish();
    assert_eq!(got.take(&mut outward, 99), Err(BrokenText));
    assert_eq!(got.ends, 0);
}

/// The text of a response with these fields.
fn told(fields_of: &[(&str, &str)], length: Option<u64>, ends: bool, is_head: bool) -> (String, Inward) {
    let mut inward = Inward::new(BodyLength::Empty, false);
    let status = fields_of[0].1.parse().expect("a status");
    inward.head(&ResponseHead { status, length }, &fields(fields_of), ends, is_head);
    (text_of(&mut inward, 7), inward)
}

#[test]
fn a_response_of_a_backend_gets_the_framing_of_its_text() {
    let (ok, length) = ((":status", "200"), ("content-length", "5"));
    for (fields, length, ends, is_head, text) in [
        (&[ok, length][..], Some(5), false, false, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (&[ok], None, false, false, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (&[ok], None, true, false, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        (&[ok, length], Some(5), true, true, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (&[(":status", "204")], None, true, false, "HTTP/1.1 204 No Content\r\n\r\n"),
        (&[(":status", "103"), ("link", "x")], None, false, false, "HTTP/1.1 103 \r\nlink: x\r\n\r\n"),
    ] {
        assert_eq!(told(fields, length, ends, is_head).0, text);
    }
    let (_, mut inward) = told(&[ok], None, false, false);
    inward.data(b"hi");
    inward.end(Some(&fields(&[("grpc-status", "0"), ("host", "x")])));
    assert_eq!(text_of(&mut inward, 3), "2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n");
}

#[test]
fn what_came_of_a_response_is_read_before_the_loss() {
    let (_, mut inward) = told(&[(":status", "200")], None, false, false);
    inward.data(b"half");
    inward.reset();
    assert_eq!(text_of(&mut inward, 64), "4\r\nhalf\r\n");
    assert_eq!(inward.read(&mut [0; 9]), Err(Unread::Lost));
}

/// The frames of a server: its settings, and a response with a body in two pieces and a trailer.
fn response_frames() -> Vec<u8> {
    let mut server = Vec::new();
    crate::h2::settings::Settings::default().write(true, &mut server);
    let mut block = FieldBlock::default();
    block.push(HeaderField { name: b":status", value: b"200", is_secret: false }, Strings::Plain);
    frame::write_block(1, false, block.bytes(), frame::PAYLOAD_MAX, &mut server);
    for piece in [b"he", b"ll"] {
        let head = FrameHead { length: 2, kind: FrameType::Data, flags: 0, stream: 1 };
        server.extend_from_slice(&head.bytes());
        server.extend_from_slice(piece);
    }
    let mut block = FieldBlock::default();
    block.push(HeaderField { name: b"x-sum", value: b"1", is_secret: false }, Strings::Plain);
    frame::write_block(1, true, block.bytes(), frame::PAYLOAD_MAX, &mut server);
    server
}

#[test]
fn one_request_goes_its_way_alone() {
    for size in [1, 3, 1000] {
        let mut solo = Solo::new(false, Arc::default(), Time::ZERO);
        let request = b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert_eq!(solo.write(request, Time::ZERO), request.len());
        assert!(solo.output().starts_with(frame::PREFACE));
        solo.consume(solo.output().len());
        let (mut text, mut room) = (Vec::new(), [0; 9]);
        for bytes in response_frames().chunks(size) {
            solo.take(bytes, Time::ZERO);
            while let Ok(count) = solo.read(&mut room) {
                text.extend_from_slice(&room[..count]);
            }
        }
        let text = String::from_utf8(text).expect("text");
        let body =
            text.strip_prefix("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").expect("a head");
        let chunks = body.strip_suffix("0\r\nx-sum: 1\r\n\r\n").expect("trailers");
        // Sizes and data in turn.
        assert_eq!(chunks.split("\r\n").skip(1).step_by(2).collect::<String>(), "hell", "{chunks}");
    }
}

#[test]
fn a_request_alone_hears_of_its_end() {
    for (bytes, is_lost) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], true), (&response_frames()[..9], false)]
    {
        let mut solo = Solo::new(false, Arc::default(), Time::ZERO);
        solo.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", Time::ZERO);
        solo.take(bytes, Time::ZERO);
        assert_eq!(solo.read(&mut [0; 9]) == Err(Unread::Lost), is_lost);
    }
}

#[test]
fn a_switch_to_websocket_is_an_extended_connect() {
    let mut outward = Outward::of_request(true);
    let head = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: x, WebSocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_eq!(outward.write(head, b"hi"), head.len() + 2);
    let connect = Some(Outgoing::Request { length: None, ends: false, is_head: false, is_connect: true });
    assert_eq!(outward.next_outgoing(), Ok(connect));
    outward.put_back_connect();
    let connect = Some(Outgoing::Request { length: None, ends: false, is_head: false, is_connect: true });
    assert_eq!(outward.next_outgoing(), Ok(connect));
    assert_eq!(outward.socket_key(), b"dGhl");
    assert_eq!(outward.next_outgoing(), Ok(Some(Outgoing::Data { ends: false })));
    assert_eq!(outward.body(), b"hi");
    outward.finish();
    assert_eq!(outward.next_outgoing(), Ok(Some(Outgoing::Data { ends: true })));

    // Without a key there is no handshake, and a body is none of its parts.
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nSec-WebSocket-Key: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nContent-Length: 1\r\n\r\n",
    ] {
        let mut outward = Outward::of_request(true);
        outward.write(head.as_bytes(), b"");
        let outgoing = outward.next_outgoing();
        assert!(
            matches!(outgoing, Ok(Some(Outgoing::Request { is_connect: false, .. }))),
            "{head}: {outgoing:?}"
        );
    }
}

#[test]
fn the_head_of_a_tunnel_is_the_101_that_it_stands_for() {
    let mut inward = Inward::new(BodyLength::Empty, false);
    let told =
        fields(&[(":status", "200"), ("content-length", "9"), ("sec-websocket-accept", "no"), ("x", "y")]);
    inward.switch(&told, "yes", false);
    inward.data(b"bytes");
    inward.end(None);
    let mut room = [0; 512];
    let count = inward.read(&mut room).unwrap();
    let text = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-accept: yes\r\nx: y\r\n\r\nbytes";
    assert_eq!(std::str::from_utf8(&room[..count]), Ok(text));
    assert_eq!(inward.read(&mut room), Ok(0), "a tunnel has an end");
}
