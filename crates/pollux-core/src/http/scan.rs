//! Finds the end of a message head, however slowly it arrives, and holds its lines to the strict form.
//!
//! The scan remembers how far it has looked, so a head that drips in byte by byte costs a linear amount of
//! work. It checks what has to do with lines: that each ends in CRLF with no other CR or LF about (RFC 9112
//! §2.2 lets a recipient accept a bare LF; a recipient that does can be made to disagree with one that does
//! not), that none is folded (§5.2), that the whole is bounded. What stands in the lines is for the parser.

use memchr::memchr;

/// The bounds of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head, the empty lines before it and behind it included.
    pub head: usize,
    /// Bytes of its first line, the CRLF not counted.
    pub first_line: usize,
    /// So many empty lines are skipped before it (RFC 9112 §2.2 asks for at least one before a request).
    pub empty_lines: usize,
}

/// Why a head cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFault {
    /// A CR without LF, an LF without CR, or too many empty lines before the first line.
    FirstLine,
    /// A CR without LF or an LF without CR in a later line, or a line that begins with a blank.
    Field,
    /// The first line is too long.
    FirstLineTooLong,
    /// The head is too long.
    TooLong,
}

/// A scan under way. Starts anew with [`HeadScan::default`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Empty lines before the head take this many bytes.
    start: usize,
    /// The beginning of the line that is being looked at.
    line: usize,
    /// Up to here there is no LF in that line.
    looked: usize,
}

impl HeadScan {
    /// Looks at `bytes`, which are all of the unscanned ones and begin with those of the last call.
    ///
    /// Returns the range of the head without the empty lines before it and with the one that ends it, or
    /// `None` while it is not complete.
    ///
    /// # Errors
    /// See [`ScanFault`]; found as early as the line that is wrong is complete.
    pub fn scan(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<(usize, usize)>, ScanFault> {
        while let Some(found) = memchr(b'\n', &bytes[self.looked..]) {
            let end = self.looked + found + 1;
            if self.line(bytes, end, limits)? {
                return Ok(Some((self.start, end)));
            }
            self.line = end;
            self.looked = end;
        }
        self.looked = bytes.len();
        // The head is not complete, so at least one more byte belongs to it.
        self.check_length(bytes.len() + 1, limits)?;
        Ok(None)
    }

    /// Whether `bytes`, which the scan has looked at, hold more than the empty lines that may come before a
    /// head.
    #[must_use]
    pub fn has_begun(&self, bytes: &[u8]) -> bool {
        !matches!(&bytes[self.start.min(bytes.len())..], b"" | b"\r")
    }

    /// Checks the line that ends before `end`; true if it is the empty one behind the head.
    fn line(&mut self, bytes: &[u8], end: usize, limits: &HeadLimits) -> Result<bool, ScanFault> {
        let is_first = self.line == self.start;
        let fault = if is_first { ScanFault::FirstLine } else { ScanFault::Field };
        // The bounds come first, so that the verdict on a line does not depend on how much of it has been
        // seen before.
        self.check_length(end, limits)?;
        let Some(line) = bytes[self.line..end].strip_suffix(b"\r\n") else { return Err(fault) };
        if memchr(b'\r', line).is_some() {
            return Err(fault);
        }
        if is_first && line.is_empty() {
            self.start = end;
            return if end > 2 * limits.empty_lines { Err(ScanFault::FirstLine) } else { Ok(false) };
        }
        if !is_first && matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(ScanFault::Field);
        }
        Ok(line.is_empty())
    }

    fn check_length(&self, end: usize, limits: &HeadLimits) -> Result<(), ScanFault> {
        let is_first = self.line == self.start;
        if is_first && end - self.line > limits.first_line + 2 {
            return Err(ScanFault::FirstLineTooLong);
        }
        if end > limits.head {
            return Err(ScanFault::TooLong);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: HeadLimits = HeadLimits { head: 64, first_line: 20, empty_lines: 2 };

    fn whole(bytes: &[u8]) -> Result<Option<(usize, usize)>, ScanFault> {
        HeadScan::default().scan(bytes, &LIMITS)
    }

    fn dripped(bytes: &[u8], sizes: &[usize]) -> Result<Option<(usize, usize)>, ScanFault> {
        let (mut scan, mut end, mut sizes) = (HeadScan::default(), 0, sizes.iter().cycle());
        loop {
            end = (end + sizes.next().unwrap()).min(bytes.len());
            match scan.scan(&bytes[..end], &LIMITS) {
                Ok(None) if end < bytes.len() => {}
                verdict => return verdict,
            }
        }
    }

    #[test]
    fn lines_end_in_crlf_and_in_nothing_else() {
        let long = [b"GET / HTTP/1.1\r\n".as_slice(), &[b'a'; 60]].concat();
        for (bytes, verdict) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Ok(Some((0, 18)))),
            (b"GET / HTTP/1.1\r\na: b\r\n\r\nrest", Ok(Some((0, 24)))),
            (b"\r\n\r\nGET /\r\n\r\n", Ok(Some((4, 13)))),
            (b"GET / HTTP/1.1\r\na: b\r\n", Ok(None)),
            (b"", Ok(None)),
            (b"\r\n\r\n\r\n", Err(ScanFault::FirstLine)),
            (b"GET / HTTP/1.1\n", Err(ScanFault::FirstLine)),
            (b"\nGET / HTTP/1.1\r\n", Err(ScanFault::FirstLine)),
            (b"GET\r / HTTP/1.1\r\n", Err(ScanFault::FirstLine)),
            (b"GET / HTTP/1.1\r\r\n", Err(ScanFault::FirstLine)),
            (b"GET / HTTP/1.1\r\na: b\n", Err(ScanFault::Field)),
            (b"GET / HTTP/1.1\r\na: b\r\r\n", Err(ScanFault::Field)),
            (b"GET / HTTP/1.1\r\na: b\rc: d\r\n", Err(ScanFault::Field)),
            (b"GET / HTTP/1.1\r\na: b\r\n c\r\n", Err(ScanFault::Field)),
            (b"GET / HTTP/1.1\r\n\ta: b\r\n", Err(ScanFault::Field)),
            (b"GET / HTTP/1.1\r\n\n", Err(ScanFault::Field)),
            (b"GET /123456789abcdef HTTP/1.1\r\n", Err(ScanFault::FirstLineTooLong)),
            (b"GET /123456789abcdef HTTP/1.1", Err(ScanFault::FirstLineTooLong)),
            (&long, Err(ScanFault::TooLong)),
        ] {
            assert_eq!(whole(bytes), verdict, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        /// The verdict does not depend on how the bytes were cut into reads.
        #[test]
        fn any_split_gives_the_same_verdict(
            parts in prop::collection::vec(prop::sample::select(vec!["\r\n", "\n", "\r", "GET / HTTP/1.1", "a: b", " ", "x"]), 0..14),
            sizes in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let bytes = parts.concat().into_bytes();
            let (whole, dripped) = (whole(&bytes), dripped(&bytes, &sizes));
            // A head that is too long may be noticed before a wrong line of it: both are refused.
            prop_assert!(whole == dripped || (whole.is_err() && dripped.is_err()), "{:?} but dripped {:?}", whole, dripped);
        }
    }
}
