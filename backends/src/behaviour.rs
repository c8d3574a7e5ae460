//! The behaviour of a toy backend, as a value and as text (`--behaviour`). The texts are read and written
//! here only.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::span;

/// The behaviour of a toy backend on the connections that it accepts. [`CATALOGUE`] describes each one.
#[allow(
    missing_docs,
    reason = "the catalogue documents each behaviour once, for --help and for readers alike"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    Echo,
    Fixed(u64),
    Chunked { count: u64, size: u64 },
    SlowFirstByte(Duration),
    SlowDrip { bytes: u64, every: Duration },
    CloseDelimited(u64),
    EarlyResponse,
    Close,
    Reset,
    Truncated(u64),
    Garbage,
    Extra,
    Interim(u32),
    Websocket,
    Sse { events: u64, every: Duration },
    Upload,
    TcpEcho,
    SpeaksFirst(String),
    TcpClose,
    TcpReset,
    TcpSink,
    Silent,
    H2Goaway(u32),
    H2Refuse(u32),
    H2Streams(u32),
    H2Stuck,
    H2NoPing,
    H2Short(u64),
    GrpcStatus(u32),
}

/// One behaviour as the help shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its form, with names for its arguments, such as `fixed:N`.
    pub form: &'static str,
    /// A text that parses, such as `fixed:100`.
    pub example: &'static str,
    /// One line about what it does.
    pub about: &'static str,
}

const fn entry(form: &'static str, example: &'static str, about: &'static str) -> Entry {
    Entry { form, example, about }
}

/// Every behaviour there is, in the order of the help.
#[rustfmt::skip]
pub const CATALOGUE: &[Entry] = &[
    entry("echo", "echo", "answer with JSON that tells what came; /status/404 chooses a status"),
    entry("fixed:N", "fixed:100", "answer with a body of N bytes; /status/404 chooses a status"),
    entry("chunked:COUNTxSIZE", "chunked:3x1000", "answer with COUNT chunks of SIZE bytes and an X-Checksum trailer"),
    entry("slow-first-byte:DUR", "slow-first-byte:500ms", "wait DUR, then answer like echo"),
    entry("slow-drip:N/DUR", "slow-drip:20/100ms", "answer with N bytes of body, one every DUR"),
    entry("close-delimited:N", "close-delimited:100", "answer with N bytes that only the close ends"),
    entry("early-response", "early-response", "answer 413 before the body is read, then throw the body away"),
    entry("close", "close", "read the request head, then close without an answer"),
    entry("reset", "reset", "read the request head, then reset the connection"),
    entry("truncated:N", "truncated:100", "promise N bytes of body, send half of them, close"),
    entry("garbage", "garbage", "send bytes that are no HTTP response, then close"),
    entry("extra", "extra", "answer rightly, then send what looks like a second response; stay open"),
    entry("interim:N", "interim:2", "send N 1xx responses (100 if expected, else 103), then answer like echo"),
    entry("websocket", "websocket", "echo WebSocket messages; anything but a proper upgrade gets 426"),
    entry("sse:N/DUR", "sse:5/1s", "send N Server-Sent Events, one every DUR"),
    entry("upload", "upload", "read a body of any size, answer JSON with its length and 64-bit FNV-1a"),
    entry("tcp-echo", "tcp-echo", "raw TCP: echo bytes until the end, then half-close"),
    entry("speaks-first:TEXT", "speaks-first:220 ready", "raw TCP: send TEXT and CRLF at once, then echo"),
    entry("tcp-close", "tcp-close", "raw TCP: accept, then close at once"),
    entry("tcp-reset", "tcp-reset", "raw TCP: accept, then reset at once"),
    entry("tcp-sink", "tcp-sink", "raw TCP: read all to the end, send the decimal count of bytes, close"),
    entry("silent", "silent", "accept and read, never answer; closes only when the client does"),
    entry("h2-goaway:N", "h2-goaway:3", "HTTP/2: GOAWAY instead of the Nth answer of a connection; its last stream is the one before"),
    entry("h2-refuse:N", "h2-refuse:1", "HTTP/2: REFUSED_STREAM for the first N requests in all, then like echo"),
    entry("h2-streams:N", "h2-streams:2", "HTTP/2: N streams at once, REFUSED_STREAM for any more"),
    entry("h2-stuck", "h2-stuck", "HTTP/2: like echo, but no stream ever gets a larger window"),
    entry("h2-no-ping", "h2-no-ping", "HTTP/2: like echo, but no PING is answered"),
    entry("h2-short:N", "h2-short:100", "HTTP/2: promise N bytes of body, send half of them, END_STREAM"),
    entry("grpc-status:N", "grpc-status:14", "gRPC: answer each call with trailers only, status N"),
];

/// A text that names no behaviour, with the reason. Shown, it lists the valid ones.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseBehaviourError(String);

impl fmt::Display for ParseBehaviourError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms: Vec<&str> = CATALOGUE.iter().map(|entry| entry.form).collect();
        write!(f, "{}\nvalid behaviours: {}", self.0, forms.join(", "))
    }
}

impl std::error::Error for ParseBehaviourError {}

impl FromStr for Behaviour {
    type Err = ParseBehaviourError;

    fn from_str(text: &str) -> Result<Behaviour, ParseBehaviourError> {
        parse(text).map_err(ParseBehaviourError)
    }
}

fn parse(text: &str) -> Result<Behaviour, String> {
    let Some((kind, argument)) = text.split_once(':') else {
        return parse_plain(text);
    };
    Ok(match kind {
        "fixed" => Behaviour::Fixed(number("N", argument, 0)?),
        "chunked" => {
            let (count, size) = pair(kind, argument, 'x', "COUNTxSIZE")?;
            // A chunk of size 0 would be the last chunk (RFC 9112 §7.1).
            Behaviour::Chunked { count: number("COUNT", count, 0)?, size: number("SIZE", size, 1)? }
        }
        "slow-first-byte" => Behaviour::SlowFirstByte(span::parse(argument)?),
        "slow-drip" => {
            let (bytes, every) = pair(kind, argument, '/', "N/DUR")?;
            Behaviour::SlowDrip { bytes: number("N", bytes, 0)?, every: span::parse(every)? }
        }
        "close-delimited" => Behaviour::CloseDelimited(number("N", argument, 0)?),
        "truncated" => Behaviour::Truncated(number("N", argument, 1)?),
        // Without at least one, a client that waits for 100 (Continue) would wait for ever.
        "interim" => Behaviour::Interim(number("N", argument, 1)?),
        "sse" => {
            let (events, every) = pair(kind, argument, '/', "N/DUR")?;
            Behaviour::Sse { events: number("N", events, 0)?, every: span::parse(every)? }
        }
        "speaks-first" => Behaviour::SpeaksFirst(argument.to_owned()),
        "h2-goaway" => Behaviour::H2Goaway(number("N", argument, 1)?),
        "h2-refuse" => Behaviour::H2Refuse(number("N", argument, 1)?),
        "h2-streams" => Behaviour::H2Streams(number("N", argument, 1)?),
        "h2-short" => Behaviour::H2Short(number("N", argument, 1)?),
        "grpc-status" => Behaviour::GrpcStatus(number("N", argument, 0)?),
        _ if parse_plain(kind).is_ok() => return Err(format!("`{kind}` takes no argument")),
        _ => return Err(format!("there is no behaviour `{kind}`")),
    })
}

fn parse_plain(text: &str) -> Result<Behaviour, String> {
    Ok(match text {
        "echo" => Behaviour::Echo,
        "early-response" => Behaviour::EarlyResponse,
        "close" => Behaviour::Close,
        "reset" => Behaviour::Reset,
        "garbage" => Behaviour::Garbage,
        "extra" => Behaviour::Extra,
        "websocket" => Behaviour::Websocket,
        "upload" => Behaviour::Upload,
        "tcp-echo" => Behaviour::TcpEcho,
        "tcp-close" => Behaviour::TcpClose,
        "tcp-reset" => Behaviour::TcpReset,
        "tcp-sink" => Behaviour::TcpSink,
        "silent" => Behaviour::Silent,
        "h2-stuck" => Behaviour::H2Stuck,
        "h2-no-ping" => Behaviour::H2NoPing,
        _ => {
            let takes_argument = |entry: &&Entry| entry.form.split(':').next() == Some(text);
            return Err(match CATALOGUE.iter().find(takes_argument) {
                Some(entry) => {
                    format!("`{text}` needs an argument: {}, such as {}", entry.form, entry.example)
                }
                None => format!("there is no behaviour `{text}`"),
            });
        }
    })
}

fn number<T: FromStr + PartialOrd + From<u8> + fmt::Display>(
    name: &str,
    text: &str,
    least: u8,
) -> Result<T, String> {
    match text.parse() {
        Ok(number) if number >= T::from(least) => Ok(number),
        Ok(_) | Err(_) => Err(format!("{name} must be a whole number, {least} or more, not `{text}`")),
    }
}

fn pair<'a>(kind: &str, text: &'a str, between: char, form: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once(between).ok_or_else(|| format!("`{kind}` is written {kind}:{form}"))
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Behaviour::Echo => f.write_str("echo"),
            Behaviour::Fixed(n) => write!(f, "fixed:{n}"),
            Behaviour::Chunked { count, size } => write!(f, "chunked:{count}x{size}"),
            Behaviour::SlowFirstByte(wait) => write!(f, "slow-first-byte:{}", span::show(*wait)),
            Behaviour::SlowDrip { bytes, every } => write!(f, "slow-drip:{bytes}/{}", span::show(*every)),
            Behaviour::CloseDelimited(n) => write!(f, "close-delimited:{n}"),
            Behaviour::EarlyResponse => f.write_str("early-response"),
            Behaviour::Close => f.write_str("close"),
            Behaviour::Reset => f.write_str("reset"),
            Behaviour::Truncated(n) => write!(f, "truncated:{n}"),
            Behaviour::Garbage => f.write_str("garbage"),
            Behaviour::Extra => f.write_str("extra"),
            Behaviour::Interim(n) => write!(f, "interim:{n}"),
            Behaviour::Websocket => f.write_str("websocket"),
            Behaviour::Sse { events, every } => write!(f, "sse:{events}/{}", span::show(*every)),
            Behaviour::Upload => f.write_str("upload"),
            Behaviour::TcpEcho => f.write_str("tcp-echo"),
            Behaviour::SpeaksFirst(text) => write!(f, "speaks-first:{text}"),
            Behaviour::TcpClose => f.write_str("tcp-close"),
            Behaviour::TcpReset => f.write_str("tcp-reset"),
            Behaviour::TcpSink => f.write_str("tcp-sink"),
            Behaviour::Silent => f.write_str("silent"),
            Behaviour::H2Goaway(n) => write!(f, "h2-goaway:{n}"),
            Behaviour::H2Refuse(n) => write!(f, "h2-refuse:{n}"),
            Behaviour::H2Streams(n) => write!(f, "h2-streams:{n}"),
            Behaviour::H2Stuck => f.write_str("h2-stuck"),
            Behaviour::H2NoPing => f.write_str("h2-no-ping"),
            Behaviour::H2Short(n) => write!(f, "h2-short:{n}"),
            Behaviour::GrpcStatus(n) => write!(f, "grpc-status:{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_the_catalogue_reads_back() {
        for entry in CATALOGUE {
            let behaviour: Behaviour = entry.example.parse().unwrap();
            assert_eq!(behaviour.to_string(), entry.example);
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_the_valid_ones_are_listed() {
        for (text, part) in [
            ("", "there is no behaviour ``"),
            ("nonsense:1", "there is no behaviour `nonsense`"),
            ("echo:1", "`echo` takes no argument"),
            ("fixed", "`fixed` needs an argument: fixed:N, such as fixed:100"),
            ("fixed:-1", "N must be a whole number"),
            ("chunked:5", "`chunked` is written chunked:COUNTxSIZE"),
            ("chunked:5x0", "SIZE must be a whole number, 1 or more"),
            ("sse:5/fast", "`fast` is no length of time"),
            ("interim:0", "1 or more"),
        ] {
            let message = text.parse::<Behaviour>().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
            assert!(message.contains("valid behaviours: echo, fixed:N, "), "{message}");
        }
    }
}
