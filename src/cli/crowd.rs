//! The clients of the demo, so that there is something to see: they ask for this and that, now more, now
//! less, and some misbehave.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// The address that they come from: an address of the loopback that no other client uses.
pub(super) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// The number of clients, and the shortest and longest wait of one between two requests.
const CLIENTS: u64 = 6;
const PAUSES_MS: (u64, u64) = (20, 320);

/// The time that it takes from many requests to few and back.
const TIDE: Duration = Duration::from_secs(90);

/// The time that any step may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The clients, who leave when this is dropped.
pub(super) struct Crowd(Arc<AtomicBool>);

impl Crowd {
    /// Lets them come to `address`.
    pub(super) fn come(address: SocketAddr) -> io::Result<Crowd> {
        let is_over = Arc::new(AtomicBool::new(false));
        for number in 0..CLIENTS {
            let (is_over, begun) = (Arc::clone(&is_over), Instant::now());
            let mut dice = 0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xd134_2543_de82_ef95);
            let live = move || {
                while !is_over.load(Ordering::Relaxed) {
                    // Errors are part of the picture, and Pollux records them.
                    let _ = visit(address, &mut dice, &is_over, begun);
                }
            };
            thread::Builder::new().name("demo-client".into()).spawn(live)?;
        }
        Ok(Crowd(is_over))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A number below `bound`, drawn by xorshift.
fn draw(dice: &mut u64, bound: u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice % bound
}

/// One connection, with some requests one after the other.
fn visit(address: SocketAddr, dice: &mut u64, is_over: &AtomicBool, begun: Instant) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(HOME, 0).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(CALL_TIMEOUT))?;
    socket.set_write_timeout(Some(CALL_TIMEOUT))?;
    pause(dice, begun);
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    for _ in 0..1 + draw(dice, 12) {
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        pause(dice, begun);
        let page = draw(dice, 30);
        let request = match draw(dice, 200) {
            0 => String::from("GET /a page HTTP/1.1\r\nHost: demo\r\n\r\n"),
            1 => String::from("GET / HTTP/1.1\r\nHost: demo\r\nHost: other\r\n\r\n"),
            2 | 3 => {
                // Gone before the answer comes.
                return stream
                    .write_all(b"POST /upload HTTP/1.1\r\nHost: demo\r\nContent-Length: 100000\r\n\r\nx");
            }
            4..40 => String::from("POST /notes HTTP/1.1\r\nHost: demo\r\nContent-Length: 5\r\n\r\nhello"),
            _ => format!("GET /pages/{page} HTTP/1.1\r\nHost: demo\r\n\r\n"),
        };
        stream.write_all(request.as_bytes())?;
        if !read_response(&mut stream)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits for a while that follows the tide.
fn pause(dice: &mut u64, begun: Instant) {
    let turn = begun.elapsed().as_secs_f64() / TIDE.as_secs_f64() * std::f64::consts::TAU;
    let (least, most) = PAUSES_MS;
    let ebb = (1.0 - turn.sin()) / 2.0;
    let longest = least + ((most - least) as f64 * ebb) as u64;
    thread::sleep(Duration::from_millis(least + draw(dice, longest.max(1))));
}

/// Reads a response with Content-Length; false if the connection ends with it.
fn read_response(stream: &mut TcpStream) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        let count = stream.read(&mut some)?;
        if count == 0 {
            return Ok(false);
        }
        bytes.extend_from_slice(&some[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            return Ok(!head.contains("connection: close"));
        }
    }
}
