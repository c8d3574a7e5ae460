//! The meaning of each cause, with advice, for `pollux why` and docs/causes.md.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::Serialize;

use crate::core::outcome::Cause;
use crate::core::word::UnknownWord;
use crate::http::answer::error_type;
use crate::value::suggest::closest;

/// Everything that there is to say of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Its word.
    pub cause: &'static str,
    /// The party at fault: `client`, `backend`, `pollux` or `operator`.
    pub who: &'static str,
    /// The status that Pollux answers with, if nothing of a response has been passed on; `None` where it
    /// answers nothing.
    pub status: Option<u16>,
    /// The error type of RFC 9209 that stands for it in Proxy-Status.
    pub error: &'static str,
    /// The event.
    pub meaning: &'static str,
    /// The step that mends it.
    pub remedy: &'static str,
}

impl Why {
    /// Explains `cause`.
    #[must_use]
    pub fn of(cause: Cause) -> Why {
        Why {
            cause: cause.as_str(),
            who: cause.who().as_str(),
            status: cause.status(),
            error: error_type(cause),
            meaning: cause.meaning(),
            remedy: cause.remedy(),
        }
    }

    /// The explanations of all causes, in their order.
    pub fn all() -> impl Iterator<Item = Why> {
        Cause::ALL.iter().copied().map(Why::of)
    }

    /// The end of the exchange, as the client sees it.
    fn answer(&self) -> String {
        self.status.map_or_else(|| String::from("no answer"), |status| status.to_string())
    }
}

/// The error names the nearest cause, if one is near.
impl FromStr for Why {
    type Err = String;

    fn from_str(word: &str) -> Result<Why, String> {
        word.parse().map(Why::of).map_err(|UnknownWord| {
            let near = closest(word, Cause::ALL.iter().map(|cause| cause.as_str()));
            let help = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("there is no cause `{}`{help}", word.escape_debug())
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Why { cause, who, error, meaning, remedy, .. } = self;
        writeln!(f, "{cause} (by the {who}; {}; {error})\n\n{meaning}\n\n{remedy}", self.answer())
    }
}

/// All causes as Markdown, for docs/causes.md.
#[must_use]
pub fn page() -> String {
    let mut out = String::from("| cause | by | answer | error type of RFC 9209 |\n|---|---|---|---|\n");
    // Writing to a String cannot fail.
    for why in Why::all() {
        let Why { cause, who, error, .. } = why;
        let _ = writeln!(out, "| [`{cause}`](#{cause}) | {who} | {} | `{error}` |", why.answer());
    }
    for Why { cause, meaning, remedy, .. } in Why::all() {
        let _ = write!(out, "\n## {cause}\n\n{meaning}\n\n{remedy}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_a_mistyped_one_is_not_far() {
        for cause in Cause::ALL {
            let why = Why::from_str(cause.as_str()).unwrap();
            assert_eq!(why, Why::of(*cause));
            assert!(why.to_string().starts_with(cause.as_str()) && page().contains(why.remedy));
        }
        let told = Why::from_str("backend-refuse").unwrap_err();
        assert_eq!(told, "there is no cause `backend-refuse`; did you mean `backend-refused`?");
        assert_eq!(Why::from_str("xyzzy\n").unwrap_err(), "there is no cause `xyzzy\\n`");
    }
}
