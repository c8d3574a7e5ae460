//! The kinds of clients, and what each may expect.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use socket2::SockRef;

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Get,
    Post,
    Pipelined,
    Slow,
    HalfClosing,
    Aborting,
    Bad,
    BeforeBadBackends,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Get,
        Kind::Post,
        Kind::Pipelined,
        Kind::Slow,
        Kind::HalfClosing,
        Kind::Aborting,
        Kind::Bad,
        Kind::BeforeBadBackends,
    ];
}

pub(crate) struct Crowd {
    pub(crate) good: SocketAddr,
    pub(crate) bad: SocketAddr,
    pub(crate) is_over: AtomicBool,
    /// Exchanges that were what they had to be.
    pub(crate) exact: AtomicU64,
}

/// One response.
struct Response {
    status: u16,
    body: String,
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Client(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn receive(&mut self) -> Response {
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        while line != "\r\n" {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection ended before a response");
            status = status.or_else(|| line.split(' ').nth(1).and_then(|code| code.parse().ok()));
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = text.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Response { status: status.unwrap(), body: String::from_utf8(body).unwrap() }
    }
}

/// A request with an id that the echo gives back.
struct Asked {
    id: u64,
    body: Option<String>,
    is_chunked: bool,
}

impl Asked {
    fn get(rng: &mut Rng) -> Asked {
        Asked { id: rng.u64(..), body: None, is_chunked: false }
    }

    fn post(rng: &mut Rng) -> Asked {
        let length = rng.usize(..20_000);
        let body = std::iter::repeat_with(|| rng.alphanumeric()).take(length).collect();
        Asked { id: rng.u64(..), body: Some(body), is_chunked: rng.bool() }
    }

    fn bytes(&self) -> Vec<u8> {
        let id = self.id;
        let text = match &self.body {
            None => format!("GET /{id} HTTP/1.1\r\nHost: soak\r\n\r\n"),
            Some(body) if self.is_chunked => {
                let (first, second) = body.split_at(body.len() / 3);
                let chunks: String = [first, second]
                    .iter()
                    .filter(|chunk| !chunk.is_empty())
                    .map(|chunk| format!("{:X};x=y\r\n{chunk}\r\n", chunk.len()))
                    .collect();
                format!(
                    "POST /{id} HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
                )
            }
            Some(body) => {
                let length = body.len();
                format!("POST /{id} HTTP/1.1\r\nHost: soak\r\nContent-Length: {length}\r\n\r\n{body}")
            }
        };
        text.into_bytes()
    }

    fn check(&self, response: &Response) {
        assert_eq!(response.status, 200, "{}", response.body);
        let target = format!("\"target\":\"/{}\"", self.id);
        let body = format!("\"body\":\"{}\"", self.body.as_deref().unwrap_or_default());
        assert!(response.body.contains(&target), "the response to another request: {}", response.body);
        assert!(response.body.contains(&body), "another body than was sent to /{}", self.id);
    }
}

impl Crowd {
    pub(crate) fn run(&self, kind: Kind, number: usize) {
        let mut rng = Rng::with_seed(number as u64 * 100 + kind as u64);
        while !self.is_over.load(Ordering::Relaxed) {
            match kind {
                Kind::Get => self.one_after_the_other(&mut rng, Asked::get),
                Kind::Post => self.one_after_the_other(&mut rng, Asked::post),
                Kind::Pipelined => self.pipelined(&mut rng),
                Kind::Slow => self.slow(&mut rng),
                Kind::HalfClosing => self.half_closing(&mut rng),
                Kind::Aborting => self.aborting(&mut rng),
                Kind::Bad => self.bad(&mut rng),
                Kind::BeforeBadBackends => self.before_bad_backends(&mut rng),
            }
        }
    }

    fn told(&self, asked: &Asked, response: &Response) {
        asked.check(response);
        self.exact.fetch_add(1, Ordering::Relaxed);
    }

    fn one_after_the_other(&self, rng: &mut Rng, draw: fn(&mut Rng) -> Asked) {
        let mut client = Client::connect(self.good);
        for _ in 0..rng.usize(1..50) {
            let asked = draw(rng);
            client.send(&asked.bytes());
            self.told(&asked, &client.receive());
        }
    }

    fn pipelined(&self, rng: &mut Rng) {
        let mut client = Client::connect(self.good);
        let asked: Vec<_> = (0..rng.usize(2..8))
            .map(|_| if rng.bool() { Asked::get(rng) } else { Asked::post(rng) })
            .collect();
        let bytes: Vec<u8> = asked.iter().flat_map(Asked::bytes).collect();
        let mut writer = client.0.get_ref().try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).unwrap());
            asked.iter().for_each(|asked| self.told(asked, &client.receive()));
        });
    }

    fn slow(&self, rng: &mut Rng) {
        let mut client = Client::connect(self.good);
        let asked = Asked::get(rng);
        for byte in asked.bytes() {
            client.send(&[byte]);
            std::thread::yield_now();
        }
        self.told(&asked, &client.receive());
    }

    fn half_closing(&self, rng: &mut Rng) {
        let mut client = Client::connect(self.good);
        let asked = Asked::post(rng);
        client.send(&asked.bytes());
        client.0.get_ref().shutdown(Shutdown::Write).unwrap();
        self.told(&asked, &client.receive());
    }

    /// Leaves in the middle, in order or with a RST; and asks for something before it does so again, for it
    /// is to be rude and not a flood.
    fn aborting(&self, rng: &mut Rng) {
        self.half_closing(rng);
        let mut client = Client::connect(self.good);
        let bytes = Asked::post(rng).bytes();
        client.send(&bytes[..rng.usize(..bytes.len())]);
        if rng.bool() {
            SockRef::from(client.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Says what is refused, and expects the refusal and the end.
    fn bad(&self, rng: &mut Rng) {
        let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        let cases: [(&str, u16); 6] = [
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n", 413),
            ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
            ("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 501),
            (&long, 431),
        ];
        let (request, status) = cases[rng.usize(..cases.len())];
        let mut client = Client::connect(self.good);
        client.send(request.as_bytes());
        assert_eq!(client.receive().status, status, "{request}");
        let mut rest = Vec::new();
        client.0.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "something came after a refusal");
    }

    /// Nothing but Pollux's own 502 can come of these.
    fn before_bad_backends(&self, rng: &mut Rng) {
        let mut client = Client::connect(self.bad);
        for _ in 0..rng.usize(1..20) {
            client.send(&Asked::get(rng).bytes());
            assert_eq!(client.receive().status, 502);
        }
    }
}
