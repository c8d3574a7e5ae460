//! Mistakes in the TOML itself, told in the same form as those of the checks.

use std::ops::Range;

use super::quote::{quote, quote_list};
use super::report::Diagnostic;
use super::suggest::closest;

/// What the TOML reader found wrong with `text`.
pub(super) fn explain(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    if let Some((key, known)) = unknown_key(message) {
        let help = match closest(key, known.iter().copied()) {
            Some(near) => format!("did you mean {}? the keys here are {}", quote(near), list(&known)),
            None => format!("the keys here are {}", list(&known)),
        };
        return Diagnostic::new(format!("unknown key {}", quote(key)))
            .mark(span, "no such key here")
            .help(help);
    }
    if let Some((found, expected)) =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "))
    {
        return wrong_type(found, expected)
            .mark(span.clone(), "of the wrong type")
            .help(type_help(text.get(span).unwrap_or_default(), expected));
    }
    syntax(text, span, message)
}

/// The key and the known keys out of serde's "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    // The key may hold anything, the known keys are ours: the last "expected" is serde's.
    let (key, known) = message.strip_prefix("unknown field `")?.rsplit_once("`, expected ")?;
    Some((key, known.split('`').skip(1).step_by(2).collect()))
}

fn list(names: &[&str]) -> String {
    quote_list(names.iter().copied())
}

fn wrong_type(found: &str, expected: &str) -> Diagnostic {
    let expected = if expected == "a sequence" { "a list" } else { "a table" };
    // Serde adds the value to the name of its type; the source line shows it anyway.
    let found = match found.split(' ').next().unwrap_or_default() {
        "map" => "a table",
        "sequence" => "a list",
        "string" => "text",
        "integer" => "a number",
        "boolean" => "a boolean",
        _ => "another type",
    };
    Diagnostic::new(format!("expected {expected}, found {found}"))
}

fn type_help(source: &str, expected: &str) -> &'static str {
    match (expected, source) {
        ("a sequence", table) if table.starts_with("[listener") => {
            "there may be several listeners: write `[[listener]]` with two brackets"
        }
        ("a sequence", _) => "write a list in brackets, such as `backends = [\"127.0.0.1:9001\"]`",
        _ => "write a table, such as `[pool.app]` or `[timeouts]` on a line of its own",
    }
}

/// What is not TOML at all. The reader knows where, but seldom what was meant.
fn syntax(text: &str, span: Range<usize>, message: &str) -> Diagnostic {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let value = value_before(text, span.start);
    let (what, label, help) = match value {
        Some("") => ("the key has no value", "expected a value", String::from("write one after `=`")),
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
    Diagnostic::new(format!("not valid TOML: {what}")).mark(span, label).help(help)
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
    fn the_known_keys_are_read_out_of_the_message() {
        assert_eq!(unknown_key("unknown field `a`, expected `b` or `c`"), Some(("a", vec!["b", "c"])));
        assert_eq!(
            unknown_key("unknown field `a`, expected one of `b`, `c`, `d`"),
            Some(("a", vec!["b", "c", "d"]))
        );
        assert_eq!(
            unknown_key("unknown field `a`, expected `b`, expected `c`"),
            Some(("a`, expected `b", vec!["c"]))
        );
        assert_eq!(unknown_key("missing field `a`"), None);
    }

    #[test]
    fn a_value_is_found_only_behind_its_equals_sign() {
        let text = "a = 1\nkey = 127.0.0.1 # local\n";
        assert_eq!(value_before(text, 15), Some("127.0.0.1"));
        assert_eq!(value_before(text, 7), None);
        assert_eq!(value_before(text, 1000), None);
        assert_eq!(value_before("key =", 5), Some(""));
    }
}
