//! A stream in the form of an HTTP/1.1 connection: what is written to it is a response as text.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pollux_core::h2::frame::ErrorCode;

use super::line::Line;

/// The fields that a response may have.
const FIELDS_MAX: usize = 128;

/// See the module. The last one that drops it ends the stream.
pub(crate) struct StreamConn {
    line: Arc<Line>,
    stream: u32,
    is_head: bool,
    answer: Mutex<Answer>,
}

/// The answer, as far as it is written.
struct Answer {
    /// Text that is not translated yet.
    text: Vec<u8>,
    rest: Rest,
    read_limit: Option<Duration>,
}

/// The part of a response that comes next (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Head,
    Length(u64),
    ChunkSize,
    Chunk(u64),
    Trailers,
    UntilEnd,
    Nothing,
}

impl StreamConn {
    pub(super) fn new(line: Arc<Line>, stream: u32, is_head: bool) -> StreamConn {
        let answer = Answer { text: Vec::new(), rest: Rest::Head, read_limit: None };
        StreamConn { line, stream, is_head, answer: Mutex::new(answer) }
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.answer.lock().unwrap_or_else(PoisonError::into_inner).read_limit;
        self.line.read(self.stream, buffer, limit)
    }

    pub(crate) fn limit_reads(&self, span: Duration) {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).read_limit = Some(span);
    }

    pub(crate) fn reset(&self) {
        self.line.reset(self.stream, ErrorCode::INTERNAL_ERROR);
    }

    /// Nothing more is written.
    pub(crate) fn finish(&self) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut answer.rest, Rest::Nothing) {
            Rest::UntilEnd => drop(self.line.data(self.stream, b"", true)),
            Rest::Nothing => {}
            Rest::Head | Rest::Length(_) | Rest::ChunkSize | Rest::Chunk(_) | Rest::Trailers => self.reset(),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.text.extend_from_slice(bytes);
        while self.step(&mut answer)? {}
        Ok(())
    }

    /// Translates the next part; whether there may be another.
    fn step(&self, answer: &mut Answer) -> io::Result<bool> {
        match answer.rest {
            Rest::Head => return self.head(answer),
            Rest::Length(left) | Rest::Chunk(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(answer.text.len());
                let is_chunk = matches!(answer.rest, Rest::Chunk(_));
                let left = left - count as u64;
                if count > 0 {
                    let piece: Vec<u8> = answer.text.drain(..count).collect();
                    self.line.data(self.stream, &piece, left == 0 && !is_chunk)?;
                }
                answer.rest = match (left, is_chunk) {
                    (0, false) => Rest::Nothing,
                    (0, true) if answer.text.len() < 2 => Rest::Chunk(0),
                    (0, true) => {
                        answer.text.drain(..2);
                        Rest::ChunkSize
                    }
                    (_, false) => Rest::Length(left),
                    (_, true) => Rest::Chunk(left),
                };
                return Ok(answer.rest == Rest::ChunkSize);
            }
            Rest::ChunkSize => {
                let Some(end) = answer.text.windows(2).position(|two| two == b"\r\n") else {
                    return Ok(false);
                };
                let line: Vec<u8> = answer.text.drain(..end + 2).take(end).collect();
                let size =
                    std::str::from_utf8(&line).ok().and_then(|line| u64::from_str_radix(line, 16).ok());
                answer.rest = match size.ok_or(io::ErrorKind::InvalidData)? {
                    0 => Rest::Trailers,
                    size => Rest::Chunk(size),
                };
            }
            Rest::Trailers => return self.trailers(answer),
            Rest::UntilEnd => {
                let piece = std::mem::take(&mut answer.text);
                self.line.data(self.stream, &piece, false)?;
                return Ok(false);
            }
            Rest::Nothing => {
                answer.text.clear();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn head(&self, answer: &mut Answer) -> io::Result<bool> {
        let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut slots);
        let length = match parsed.parse(&answer.text) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => {
                self.reset();
                return Err(io::ErrorKind::InvalidData.into());
            }
        };
        let status = parsed.code.unwrap_or(500);
        let text = status.to_string();
        let mut rest = Rest::UntilEnd;
        let names: Vec<String> = parsed.headers.iter().map(|field| field.name.to_ascii_lowercase()).collect();
        let mut fields = vec![(":status", text.as_bytes())];
        for (name, field) in names.iter().zip(parsed.headers.iter()) {
            match &name[..] {
                "connection" | "keep-alive" | "upgrade" => continue,
                "transfer-encoding" => {
                    rest = Rest::ChunkSize;
                    continue;
                }
                "content-length" => {
                    let value = std::str::from_utf8(field.value).ok().and_then(|value| value.parse().ok());
                    rest = Rest::Length(value.unwrap_or(0));
                }
                _ => {}
            }
            fields.push((name, field.value));
        }
        if self.is_head || matches!(status, 204 | 304) || rest == Rest::Length(0) {
            rest = Rest::Nothing;
        }
        if (100..200).contains(&status) {
            rest = Rest::Head;
        }
        self.line.fields(self.stream, &fields, rest == Rest::Nothing)?;
        answer.text.drain(..length);
        answer.rest = rest;
        Ok(!answer.text.is_empty())
    }

    fn trailers(&self, answer: &mut Answer) -> io::Result<bool> {
        let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let Ok(httparse::Status::Complete((length, fields))) =
            httparse::parse_headers(&answer.text, &mut slots)
        else {
            return Ok(false);
        };
        if fields.is_empty() {
            self.line.data(self.stream, b"", true)?;
        } else {
            let names: Vec<String> = fields.iter().map(|field| field.name.to_ascii_lowercase()).collect();
            let fields: Vec<_> =
                names.iter().zip(fields.iter()).map(|(name, field)| (&name[..], field.value)).collect();
            self.line.fields(self.stream, &fields, true)?;
        }
        answer.text.drain(..length);
        answer.rest = Rest::Nothing;
        Ok(true)
    }
}

impl Drop for StreamConn {
    fn drop(&mut self) {
        self.finish();
        self.line.close(self.stream);
    }
}
