//! The requests of a hostile client, and the answers of a backend to them.

use fastrand::Rng;

/// A way to have an exchange end badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trick {
    /// A request that takes for ever.
    LongPoll,
    /// A method for which the backend closes the connection without an answer.
    Method,
    /// A target for which it resets the connection.
    Reset,
    /// A trailer, at which it closes the connection.
    Trailer,
    /// A status that is called an error.
    Status,
    /// A response that is cut short.
    Cut,
    /// A response of which the rest never comes.
    Stall,
    /// A stream that has nothing to say.
    Quiet,
    /// A body that the client does not finish, while the response is under way.
    HalfBody,
    /// A body that the client does not finish, until the backend has had enough.
    Impatience,
    /// Something that is no response.
    Garbage,
    /// A head that is too long.
    LongHead,
    /// Interim responses without end.
    Interims,
    /// A switch of protocols that was not asked for.
    Switch,
    /// A body behind the answer to HEAD, which the next request may find.
    HeadBody,
}

const ALL: [Trick; 15] = [
    Trick::LongPoll,
    Trick::Method,
    Trick::Reset,
    Trick::Trailer,
    Trick::Status,
    Trick::Cut,
    Trick::Stall,
    Trick::Quiet,
    Trick::HalfBody,
    Trick::Impatience,
    Trick::Garbage,
    Trick::LongHead,
    Trick::Interims,
    Trick::Switch,
    Trick::HeadBody,
];

impl Trick {
    pub(super) fn draw(rng: &mut Rng) -> Trick {
        ALL[rng.usize(..ALL.len())]
    }

    /// The path by which the backend knows it.
    fn path(self) -> &'static str {
        match self {
            Trick::LongPoll => "/long-poll",
            Trick::Method => "/method",
            Trick::Reset => "/reset",
            Trick::Trailer => "/trailer",
            Trick::Status => "/status",
            Trick::Cut => "/cut",
            Trick::Stall => "/stall",
            Trick::Quiet => "/quiet",
            Trick::HalfBody => "/half-body",
            Trick::Impatience => "/impatience",
            Trick::Garbage => "/garbage",
            Trick::LongHead => "/long-head",
            Trick::Interims => "/interims",
            Trick::Switch => "/switch",
            Trick::HeadBody => "/head-body",
        }
    }

    /// The one of a request head.
    pub(super) fn of(head: &str) -> Option<Trick> {
        let path = head.split(' ').nth(1)?;
        ALL.into_iter().find(|trick| trick.path() == path)
    }

    /// The request, as far as it is ever sent.
    pub(super) fn request(self, rng: &mut Rng) -> Vec<u8> {
        let half = "Content-Length: 1000\r\n\r\nhalf";
        let mut plain = || if rng.bool() { ("POST", "Content-Length: 2\r\n\r\nok") } else { ("GET", "\r\n") };
        let (method, rest) = match self {
            Trick::Method => ("PROPFIND", "\r\n"),
            Trick::Trailer => ("POST", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"),
            Trick::HalfBody | Trick::Impatience => ("POST", half),
            Trick::HeadBody => ("HEAD", "\r\n"),
            Trick::LongPoll
            | Trick::Reset
            | Trick::Status
            | Trick::Cut
            | Trick::Stall
            | Trick::Quiet
            | Trick::Garbage
            | Trick::LongHead
            | Trick::Interims
            | Trick::Switch => plain(),
        };
        format!("{method} {} HTTP/1.1\r\nHost: h\r\n{rest}", self.path()).into_bytes()
    }

    /// The answer of a backend, as far as it ever answers.
    pub(super) fn answer(self) -> Vec<u8> {
        let text = match self {
            Trick::LongPoll | Trick::Method | Trick::Reset | Trick::Trailer | Trick::Impatience => {
                String::new()
            }
            Trick::Status => String::from("HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n"),
            Trick::Cut | Trick::Stall => String::from("HTTP/1.1 200 \r\nContent-Length: 100\r\n\r\nhalf"),
            Trick::Quiet | Trick::HalfBody => {
                String::from("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            }
            Trick::Garbage => String::from("I am not a response\r\n\r\n"),
            Trick::LongHead => {
                format!("HTTP/1.1 200 \r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(9000))
            }
            Trick::Interims => "HTTP/1.1 103 \r\n\r\n".repeat(40),
            Trick::Switch => String::from("HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
            Trick::HeadBody => String::from("HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody"),
        };
        text.into_bytes()
    }
}
