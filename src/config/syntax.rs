//! Mistakes in the TOML itself, told in the same form as those of the checks.

use std::ops::Range;

use super::code::Code;
use super::excerpt::Place;
use super::quote::quote;
use super::report::Diagnostic;
use super::veil::veil;

/// The mistake that the TOML reader found in `text`, the file number `file`.
pub(super) fn explain(text: &str, file: u16, error: &toml::de::Error) -> Diagnostic {
    syntax(text, file, error.span().unwrap_or(0..0), error.message())
}

/// A text that is not TOML. The reader knows the place, but seldom the intention.
fn syntax(text: &str, file: u16, span: Range<usize>, message: &str) -> Diagnostic {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    // The value is quoted in the help, unless it may be a secret.
    let veiled = veil(text);
    let value = value_before(&veiled, span.start);
    let (what, label, help) = match value {
        Some("") => ("the key has no value", "expected a value", String::from("write one after `=`")),
        Some(bare) if bare.contains("**") => (what, "", String::from(syntax_help(what))),
        Some(bare) if !bare.starts_with(['"', '\'', '[', '{']) => {
            (what, "expected text in double quotes", format!("write {}", quote(&format!("\"{bare}\""))))
        }
        Some(_) | None => (what, "", String::from(syntax_help(what))),
    };
    let label = match (label, expected) {
        ("", "" | "nothing") => String::from("here"),
        ("", expected) => format!("expected {expected}"),
        (label, _) => label.to_owned(),
    };
    Diagnostic::new(Code::Syntax, format!("not valid TOML: {what}"))
        .mark(Place::new(file, span), label)
        .help(help)
}

/// The value of the line `key = value # comment` when `at` lies behind its `=`.
fn value_before(text: &str, at: usize) -> Option<&str> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let (key, value) = line.split_once('=')?;
    (at > start + key.len()).then(|| value.split('#').next().unwrap_or_default().trim())
}

fn syntax_help(what: &str) -> &'static str {
    if what.contains("duplicate key") {
        "a key may stand once in a table: remove one of the two"
    } else if what.contains("string") {
        "text stands between two double quotes, on one line"
    } else {
        "a line is `[table]`, or `key = value` with text in double quotes; `#` begins a comment"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_only_behind_its_equals_sign() {
        let text = "a = 1\nkey = 127.0.0.1 # local\n";
        assert_eq!(value_before(text, 15), Some("127.0.0.1"));
        assert_eq!(value_before(text, 7), None);
        assert_eq!(value_before(text, 1000), None);
        assert_eq!(value_before("key =", 5), Some(""));
    }
}
