//! Bytes as the tables write them, and as a failure shows them.

use pollux::core::identity::{Ids, RequestId};

/// The Date of every backend, and of Pollux itself.
const DATE: &str = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";

/// The fields that Pollux adds to a request for host `h` that came from the tables' client.
const ADDED: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\nX-Forwarded-Port: 80\r\nVia: ";

/// Turns the notation of the tables into bytes: line feeds of the file are dropped, `\r`, `\n`, `\t`, `\\`
/// and `\xHH` are what they are elsewhere, `\{text*7}` is the text seven times, and any other `\{…}` is one
/// of the words below.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['\\', '\n']) {
        out.extend_from_slice(&rest.as_bytes()[..start]);
        rest = &rest[start..];
        let length = if rest.starts_with('\n') { 1 } else { escape(rest, &mut out) };
        rest = &rest[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Reads the escape that `text` begins with, and says how long it is.
fn escape(text: &str, out: &mut Vec<u8>) -> usize {
    match text.as_bytes()[1] {
        b'r' => out.push(b'\r'),
        b'n' => out.push(b'\n'),
        b't' => out.push(b'\t'),
        b'\\' => out.push(b'\\'),
        b'x' => {
            out.push(u8::from_str_radix(&text[2..4], 16).expect("two hexadecimal digits behind \\x"));
            return 4;
        }
        b'{' => {
            let end = text.find('}').expect("a } behind \\{");
            out.extend_from_slice(&braces(&text[2..end]));
            return end + 1;
        }
        other => panic!("\\{} is no escape", char::from(other)),
    }
    2
}

fn braces(inner: &str) -> Vec<u8> {
    if let Some((text, count)) = inner.rsplit_once('*')
        && let Ok(count) = count.parse()
    {
        return unescape(text).repeat(count);
    }
    let words: Vec<&str> = inner.split(' ').collect();
    match words[..] {
        ["id", place] => number(place).to_string(),
        ["parent", place] => number(place).to_string()[16..].to_owned(),
        ["date"] => DATE.to_owned(),
        ["get"] => "GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        ["get", "relayed"] => format!("GET / HTTP/1.1\r\nHost: h\r\n{ADDED}1.1 pollux\r\n\r\n"),
        ["added"] => format!("{ADDED}1.1 pollux\r\n"),
        ["added", "1.0"] => format!("{ADDED}1.0 pollux\r\n"),
        ["ok"] => format!("HTTP/1.1 200 OK\r\n{DATE}Content-Length: 2\r\n\r\nok"),
        ["ok", "relayed"] => {
            format!("HTTP/1.1 200 OK\r\n{DATE}Content-Length: 2\r\nVia: 1.1 pollux\r\n\r\nok")
        }
        ["ok", "relayed", option] => {
            let via = format!("Via: 1.1 pollux\r\nConnection: {option}\r\n");
            format!("HTTP/1.1 200 OK\r\n{DATE}Content-Length: 2\r\n{via}\r\nok")
        }
        ["answer", status, cause, ref how @ ..] => {
            let connection = match how {
                _ if how.contains(&"close") => "Connection: close\r\n",
                _ if how.contains(&"keep-alive") => "Connection: keep-alive\r\n",
                _ => "",
            };
            let mut whole = answer(status, cause, connection);
            if how.contains(&"head") {
                whole.truncate(whole.find("\r\n\r\n").map_or(0, |end| end + 4));
            }
            whole
        }
        _ => panic!("\\{{{inner}}} is not in the list of tests/http/README.md"),
    }
    .into_bytes()
}

/// The number at that place of those that a worker gives whose key is 0.
fn number(place: &str) -> RequestId<'static> {
    let (ids, place) = (Ids::new(0), place.parse().expect("a place"));
    (0..place).for_each(|_| {
        let _ = ids.next();
    });
    RequestId::Own(ids.next())
}

/// Pollux's own answer, as [`without_error_type`] leaves it.
fn answer(status: &str, cause: &str, connection: &str) -> String {
    let reason = match status {
        "400" => "Bad Request",
        "404" => "Not Found",
        "408" => "Request Timeout",
        "413" => "Content Too Large",
        "414" => "URI Too Long",
        "417" => "Expectation Failed",
        "431" => "Request Header Fields Too Large",
        "501" => "Not Implemented",
        "502" => "Bad Gateway",
        "503" => "Service Unavailable",
        "504" => "Gateway Timeout",
        "505" => "HTTP Version Not Supported",
        other => panic!("Pollux never answers with {other}"),
    };
    let body = format!("{status} {reason}: {cause}\n");
    format!(
        "HTTP/1.1 {status} {reason}\r\n{DATE}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Proxy-Status: pollux; details=\"{cause}\"\r\n{connection}\r\n{body}",
        body.len()
    )
}

/// Takes the error type of RFC 9209 out of Proxy-Status: the tables are about causes, of which there are
/// more.
pub(crate) fn without_error_type(bytes: &[u8]) -> Vec<u8> {
    const BEFORE: &[u8] = b"Proxy-Status: pollux;";
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(start) = rest.windows(BEFORE.len()).position(|window| window == BEFORE) {
        let (head, tail) = rest.split_at(start + BEFORE.len());
        out.extend_from_slice(head);
        let is_type = tail.starts_with(b" error=");
        let end = tail.iter().position(|&byte| byte == b';').filter(|_| is_type);
        rest = end.map_or(tail, |end| &tail[end + 1..]);
    }
    out.extend_from_slice(rest);
    out
}

/// Lines that are shown before the first difference, and behind it.
const SHOWN: (usize, usize) = (6, 12);

/// Shows the lines of `bytes` around byte `at`, indented.
pub(crate) fn show(bytes: &[u8], at: usize) -> String {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let before = bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
    lines.truncate(before + SHOWN.1);
    let first = before.saturating_sub(SHOWN.0);
    let mut out = if first > 0 { format!("    ({first} lines that are right)\n") } else { String::new() };
    for line in &lines[first.min(lines.len())..] {
        out.push_str(&format!("    {}\n", line.escape_ascii()));
    }
    if bytes.is_empty() { "    (nothing)\n".to_owned() } else { out }
}
