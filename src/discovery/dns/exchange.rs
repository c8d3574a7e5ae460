//! One query and its answer: by datagram, and by TCP where that did not do.
//!
//! Each query has an identity that cannot be guessed, and a socket of its own, hence a port that the kernel
//! draws; the socket is connected, so only the server that was asked is heard. A message that is no answer to
//! it is dropped, and waiting goes on (RFC 5452).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{Kind, Query, Record, Verdict};
use super::{Client, Failure};
use crate::os;

/// The longest datagram that is taken, in bytes. Servers are asked for at most 1232, and some send more.
const DATAGRAM_MAX: usize = 4096;

/// The records of an answer.
pub(super) struct Reply {
    pub(super) answers: Vec<Record>,
}

impl Client<'_> {
    /// Asks one server after the other for the records of `kind` that `name` has, and those that were not
    /// heard once more.
    pub(super) fn ask(&self, name: &str, kind: Kind) -> Result<Reply, Failure> {
        let mut last = Failure::Silent(String::from("there is no server to ask"));
        for timeout in self.rounds {
            let mut is_heard = true;
            for server in self.servers {
                if self.deadline <= Instant::now() {
                    return Err(last);
                }
                let id = os::random(os::ambient()).map_err(|error| Failure::Silent(error.to_string()))?;
                let query = Query { id: u16::from_ne_bytes(id), name, kind, is_extended: true };
                last = match self.ask_one(*server, &query, timeout)? {
                    Ok(Verdict::Records { answers }) => return Ok(Reply { answers }),
                    Ok(Verdict::NoName) => return Err(Failure::NoName),
                    Ok(Verdict::Refused(code)) => {
                        Failure::Refused(format!("{server} has no answer ({code})"))
                    }
                    Ok(Verdict::Cut) => {
                        Failure::Refused(format!("the answer of {server} is cut, over TCP too"))
                    }
                    Ok(Verdict::Foreign) => {
                        Failure::Refused(format!("{server} does not answer what was asked"))
                    }
                    Err(error) => {
                        is_heard = false;
                        Failure::Silent(format!("{server}: {error}"))
                    }
                };
            }
            if is_heard {
                break;
            }
        }
        Err(last)
    }

    /// Asks `server`. The outer error is for what no server could answer.
    fn ask_one(
        &self,
        server: SocketAddr,
        query: &Query<'_>,
        timeout: Duration,
    ) -> Result<io::Result<Verdict>, Failure> {
        let until = || self.deadline.min(Instant::now() + timeout);
        let once = |query: &Query<'_>| {
            let bytes = query.bytes()?;
            Ok(match by_datagram(server, query, &bytes, until()) {
                Ok(Verdict::Cut) => by_stream(server, query, &bytes, until()),
                said => said,
            })
        };
        match once(query)? {
            // Servers without EDNS(0) say so in these ways (RFC 6891 section 7).
            Ok(Verdict::Refused("FORMERR" | "NOTIMP" | "BADVERS")) => {
                once(&Query { is_extended: false, ..query.clone() })
            }
            said => Ok(said),
        }
    }
}

fn by_datagram(server: SocketAddr, query: &Query<'_>, bytes: &[u8], until: Instant) -> io::Result<Verdict> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(bytes)?;
    let (mut buffer, mut strangers) = ([0; DATAGRAM_MAX], 0_u64);
    loop {
        let Ok(left) = left(until) else { return Err(unheard(strangers)) };
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(len) => match query.judge(&buffer[..len]) {
                Verdict::Foreign => strangers += 1,
                verdict
                @ (Verdict::Cut | Verdict::Records { .. } | Verdict::NoName | Verdict::Refused(_)) => {
                    return Ok(verdict);
                }
            },
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn unheard(strangers: u64) -> io::Error {
    match strangers {
        0 => io::Error::other("no answer in time"),
        count => io::Error::other(format!("no answer in time, but {count} messages that are none")),
    }
}

/// The message has its length before it (RFC 1035 section 4.2.2).
fn by_stream(server: SocketAddr, query: &Query<'_>, bytes: &[u8], until: Instant) -> io::Result<Verdict> {
    let mut stream = TcpStream::connect_timeout(&server, left(until)?)?;
    stream.set_write_timeout(Some(left(until)?))?;
    let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat())?;
    let mut len = [0; 2];
    read_exact(&mut stream, &mut len, until)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    read_exact(&mut stream, &mut message, until)?;
    Ok(query.judge(&message))
}

/// As `Read::read_exact`, but the deadline holds for the whole, however slowly it drips.
fn read_exact(stream: &mut TcpStream, mut room: &mut [u8], until: Instant) -> io::Result<()> {
    while !room.is_empty() {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(room) {
            Ok(0) => return Err(io::Error::other("the answer ends before its end")),
            Ok(len) => room = &mut room[len..],
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The time until `until`, above zero.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(unheard(0)) } else { Ok(left) }
}

fn is_pause(error: &io::Error) -> bool {
    [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut, io::ErrorKind::Interrupted].contains(&error.kind())
}
