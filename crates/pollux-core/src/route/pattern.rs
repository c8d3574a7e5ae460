//! Regular expressions, compiled when the configuration is loaded and bounded in size.

use std::fmt;
use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

/// The longest expression, in bytes.
const TEXT_MAX: usize = 1024;

/// The memory that a compiled expression may take, in bytes.
const SIZE_MAX: usize = 256 * 1024;

/// A compiled expression. Two of the same text are equal.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
}

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// The mistake, without a full stop.
    pub message: String,
    /// Where in the text, in bytes, if that is known.
    pub span: Option<Range<usize>>,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// When it is not an expression, is longer than 1 KiB, or would take more than 256 KiB.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        if text.len() > TEXT_MAX {
            return Err(PatternError { message: format!("it is longer than {TEXT_MAX} bytes"), span: None });
        }
        // The compiler tells of its mistakes in text alone; the parser says where.
        if let Err(error) = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text) {
            return Err(located(&error));
        }
        let built = RegexBuilder::new(text).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).build();
        let regex = built.map_err(|error| {
            let is_big = matches!(error, regex::Error::CompiledTooBig(_));
            let message = if is_big {
                format!("compiled it takes more than {SIZE_MAX} bytes")
            } else {
                error.to_string()
            };
            PatternError { message, span: None }
        })?;
        Ok(Pattern { regex })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether it is found in `bytes`.
    #[must_use]
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.regex.is_match(bytes)
    }

    /// The text of the group called `name`, if the expression is found in `bytes`.
    #[must_use]
    pub fn capture<'t>(&self, name: &str, bytes: &'t [u8]) -> Option<&'t [u8]> {
        Some(self.regex.captures(bytes)?.name(name)?.as_bytes())
    }

    /// The names of its groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }
}

fn located(error: &regex_syntax::Error) -> PatternError {
    let (message, span) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span()),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span()),
        error => return PatternError { message: error.to_string(), span: None },
    };
    PatternError { message, span: Some(span.start.offset..span.end.offset) }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_their_place_in_the_text() {
        for (text, span) in
            [("^/a(b", Some(3..4)), ("[z-a]", Some(1..4)), ("(?=x)", Some(0..3)), ("\\w{9999}{9999}", None)]
        {
            assert_eq!(Pattern::new(text).unwrap_err().span, span, "{text}");
        }
        assert!(Pattern::new(&"x".repeat(TEXT_MAX + 1)).is_err());
        let pattern = Pattern::new("^/v(?P<major>[0-9]+)/").unwrap();
        assert_eq!(pattern.capture("major", b"/v12/x"), Some(&b"12"[..]));
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["major"]);
    }
}
