//! The sources of discovered backends, and the last answer of each.

use std::fmt;

use serde::Serialize;

use crate::core::time::show_span;

/// The most backends of a source that are shown to people.
const SHOWN_MAX: usize = 8;

/// A host name, a service of the DNS or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// As the configuration has it.
    pub source: String,
    /// The last good answer; `None` if there never was one.
    pub answer: Option<SourceAnswer>,
    /// Why there is no newer one, while that is so.
    pub failure: Option<NotFound>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceAnswer {
    /// The addresses of the backends.
    pub backends: Vec<String>,
    /// Since when it has been the same.
    pub since_ms: u64,
    /// Since it was last given.
    pub asked_ms: u64,
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotFound {
    /// Why, in words.
    pub why: String,
    /// Since when there is none.
    pub since_ms: u64,
}

impl fmt::Display for SourceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}: ", self.source)?;
        match &self.answer {
            Some(found) => write!(f, "{found}")?,
            None => f.write_str("nothing yet")?,
        }
        if let Some(NotFound { why, since_ms }) = &self.failure {
            write!(f, "; no answer for {}: {why}", show_span(*since_ms))?;
        }
        writeln!(f)
    }
}

impl fmt::Display for SourceAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SourceAnswer { backends, since_ms, asked_ms } = self;
        match backends.as_slice() {
            [] => f.write_str("no backend")?,
            few if few.len() <= SHOWN_MAX => f.write_str(&few.join(", "))?,
            many => write!(f, "{} and {} more", many[..SHOWN_MAX].join(", "), many.len() - SHOWN_MAX)?,
        }
        write!(f, " for {}, heard {} ago", show_span(*since_ms), show_span(*asked_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_line() {
        let source = |backends: usize, why: Option<&str>| SourceStatus {
            source: String::from("app.example:80"),
            answer: Some(SourceAnswer {
                backends: (1..=backends).map(|host| format!("10.0.0.{host}:80")).collect(),
                since_ms: 63_000,
                asked_ms: 2500,
            }),
            failure: why.map(|why| NotFound { why: why.to_owned(), since_ms: 2000 }),
        };
        assert_eq!(
            source(2, None).to_string(),
            "source app.example:80: 10.0.0.1:80, 10.0.0.2:80 for 1m 3s, heard 2.5s ago\n"
        );
        assert!(source(10, None).to_string().contains("10.0.0.8:80 and 2 more for"));
        assert!(
            source(0, Some("silence"))
                .to_string()
                .ends_with("no backend for 1m 3s, heard 2.5s ago; no answer for 2.0s: silence\n")
        );
        let never = SourceStatus { answer: None, ..source(0, Some("no such name")) };
        assert_eq!(
            never.to_string(),
            "source app.example:80: nothing yet; no answer for 2.0s: no such name\n"
        );
    }
}
