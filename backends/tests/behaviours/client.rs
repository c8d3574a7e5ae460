//! The client: bytes out, and responses read by their framing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use toy_backends::{Behaviour, Toy};

/// A read that takes this long has hung: it fails the test instead of stopping all of them.
const HUNG: Duration = Duration::from_secs(20);

pub(crate) fn toy(behaviour: &str) -> Toy {
    let behaviour: Behaviour = behaviour.parse().unwrap();
    Toy::start("127.0.0.1:0".parse().unwrap(), "a", behaviour).unwrap()
}

pub(crate) struct Client(BufReader<TcpStream>);

/// A response, read by its framing.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn new(toy: &Toy) -> Client {
        let stream = TcpStream::connect(toy.address()).unwrap();
        stream.set_read_timeout(Some(HUNG)).unwrap();
        Client(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request without a body and reads the response.
    pub(crate) fn ask(&mut self, method: &str, target: &str) -> Response {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.response(method == "HEAD")
    }

    /// Reads one response; `bare` says that it has no body whatever its fields tell.
    pub(crate) fn response(&mut self, bare: bool) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "the end within a head: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response { status, head, body: Vec::new(), trailers: String::new() };
        if bare || status < 200 || status == 204 || status == 304 {
            return response;
        }
        if response.field("Transfer-Encoding").is_some() {
            self.read_chunks(&mut response);
        } else if let Some(len) = response.field("Content-Length").map(|len| len.parse().unwrap()) {
            response.body.resize(len, 0);
            self.0.read_exact(&mut response.body).unwrap();
        } else {
            response.body = self.rest();
        }
        response
    }

    fn read_chunks(&mut self, response: &mut Response) {
        loop {
            let size = usize::from_str_radix(self.line().trim_end(), 16).unwrap();
            if size == 0 {
                break;
            }
            let from = response.body.len();
            response.body.resize(from + size, 0);
            self.0.read_exact(&mut response.body[from..]).unwrap();
            assert_eq!(self.line(), "\r\n");
        }
        while !response.trailers.ends_with("\r\n\r\n") && response.trailers != "\r\n" {
            response.trailers.push_str(&self.line());
        }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn exactly(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads all that is left, which must end with a proper end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Reads to the end, which must be a reset.
    pub(crate) fn expect_reset(&mut self) {
        let error = self.0.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    pub(crate) fn half_close(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.0.buffer().is_empty());
        self.0.into_inner()
    }
}
