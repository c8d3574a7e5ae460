//! A backend: reads requests as strictly as Pollux is to write them, and gives the answers of its script.

use std::collections::VecDeque;

use pollux::prelude::proxy;

use crate::case::{Answer, End};

/// Bytes that a backend is about to say on one of its connections, and whether it leaves behind them.
#[derive(Debug)]
pub(crate) struct Saying {
    pub(crate) connection: usize,
    pub(crate) bytes: Vec<u8>,
    /// Their place among all the bytes of the script.
    pub(crate) place: usize,
    pub(crate) end: Option<End>,
}

/// The progress of a connection with the request that it is being sent.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// The beginning of the request.
    from: usize,
    /// The answer that is meant for it, once its head is there.
    answer: Option<usize>,
    is_opaque: bool,
}

/// All backends of one case; every connection of theirs takes its answers from the same list.
#[derive(Debug)]
pub(crate) struct Backends {
    answers: Vec<Answer>,
    next: usize,
    readings: Vec<Reading>,
    /// Bytes that are sent at once.
    pub(crate) prompt: VecDeque<Saying>,
    /// Bytes that are sent when nothing else happens any more.
    pub(crate) later: VecDeque<Saying>,
}

impl Backends {
    pub(crate) fn new(answers: Vec<Answer>) -> Backends {
        let (prompt, later) = (VecDeque::new(), VecDeque::new());
        Backends { answers, next: 0, readings: Vec::new(), prompt, later }
    }

    /// Takes note of a new connection.
    pub(crate) fn open(&mut self) {
        self.readings.push(Reading::default());
    }

    /// Takes note that `received` is now what has come in on `connection` since it was opened.
    pub(crate) fn listen(&mut self, connection: usize, received: &[u8]) -> Result<(), String> {
        loop {
            let reading = &mut self.readings[connection];
            if reading.is_opaque {
                return Ok(());
            }
            if reading.from == 0 {
                match proxy::read(received) {
                    proxy::ProxyReading::Header(length, _) => reading.from = length,
                    proxy::ProxyReading::Incomplete => return Ok(()),
                    proxy::ProxyReading::Absent | proxy::ProxyReading::Malformed => {}
                }
            }
            let bytes = &received[reading.from..];
            let Some((head, framing)) = head(bytes)? else { return Ok(()) };
            let index = match reading.answer {
                Some(index) => index,
                None => {
                    let index = self.next;
                    (self.next, reading.answer) = (index + 1, Some(index));
                    self.say_at_head(connection, index);
                    index
                }
            };
            let Some(body) = body(&bytes[head..], framing)? else { return Ok(()) };
            let reading = &mut self.readings[connection];
            (reading.from, reading.answer) = (reading.from + head + body, None);
            self.say_at_end(connection, index);
        }
    }

    fn say_at_head(&mut self, connection: usize, index: usize) {
        let Some(answer) = self.answers.get(index) else { return };
        let place = answer.place;
        if !answer.at_head.is_empty() {
            self.prompt.push_back(Saying { connection, bytes: answer.at_head.clone(), place, end: None });
        }
    }

    fn say_at_end(&mut self, connection: usize, index: usize) {
        let Some(answer) = self.answers.get(index) else { return };
        self.readings[connection].is_opaque = answer.is_switch();
        let place = answer.place + answer.at_head.len();
        if !answer.says.is_empty() || answer.end.is_some() {
            let bytes = answer.says.clone();
            self.prompt.push_back(Saying { connection, bytes, place, end: answer.end });
        }
        if !answer.then.is_empty() || answer.then_end.is_some() {
            let (bytes, place) = (answer.then.clone(), place + answer.says.len());
            self.later.push_back(Saying { connection, bytes, place, end: answer.then_end });
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The length of the head that `bytes` begin with, and how the body behind it is framed.
fn head(bytes: &[u8]) -> Result<Option<(usize, Framing)>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let words = lines.next().unwrap_or_default().split(' ').collect::<Vec<_>>();
    if words.len() != 3 || words[2] != "HTTP/1.1" || words.contains(&"") {
        return Err(format!("a backend was sent the request line {:?}", words.join(" ")));
    }
    let (mut hosts, mut framings) = (0, Vec::new());
    for line in lines {
        let Some((name, value)) = line.split_once(": ").filter(|_| !line.contains(['\r', '\n', '\0'])) else {
            return Err(format!("a backend was sent the field {line:?}"));
        };
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "content-length" => framings.push(value.parse().map(Framing::Length).map_err(|e| e.to_string())?),
            "transfer-encoding" if value == "chunked" => framings.push(Framing::Chunked),
            "transfer-encoding" => return Err(format!("a backend was sent Transfer-Encoding: {value}")),
            _ => {}
        }
    }
    match (hosts, &framings[..]) {
        (1, []) => Ok(Some((end + 4, Framing::Length(0)))),
        (1, [framing]) => Ok(Some((end + 4, *framing))),
        _ => Err(format!("a backend was sent {hosts} Hosts and {} framing fields", framings.len())),
    }
}

/// The length of the body that `bytes` begin with, once it is there.
fn body(bytes: &[u8], framing: Framing) -> Result<Option<usize>, String> {
    match framing {
        Framing::Length(length) => Ok((bytes.len() >= length).then_some(length)),
        Framing::Chunked => {
            let mut at = 0;
            loop {
                let Some(line) = line(&bytes[at..]) else { return Ok(None) };
                at += line.len() + 2;
                let is_canonical = line.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let text = String::from_utf8_lossy(line);
                let size = usize::from_str_radix(&text, 16).ok().filter(|_| is_canonical);
                match size.ok_or_else(|| format!("a backend was sent the chunk size {text:?}"))? {
                    0 => return Ok(trailers(&bytes[at..]).map(|length| at + length)),
                    size if bytes.len() - at < size.saturating_add(2) => return Ok(None),
                    size if &bytes[at + size..at + size + 2] == b"\r\n" => at += size + 2,
                    _ => return Err("a backend was sent a chunk without its end".to_owned()),
                }
            }
        }
    }
}

/// The length of the trailer section, with the line that ends it.
fn trailers(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some(at);
        }
    }
}

/// The line that `bytes` begin with, without its CRLF.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|window| window == b"\r\n").map(|end| &bytes[..end])
}
