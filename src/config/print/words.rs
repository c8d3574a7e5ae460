//! Lines, texts, lists and tables of TOML.

use std::fmt::Write;
use std::time::Duration;

use crate::config::value::{show_duration, show_size};

/// A line `key = value`. Writing to a String cannot fail.
pub(in crate::config) fn line(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key} = {value}");
}

/// A text between quotes, so that nothing in it is taken for a variable.
pub(in crate::config) fn text(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(in crate::config) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A list of texts.
pub(in crate::config) fn texts(items: &[String]) -> String {
    list(items.iter().map(|item| text(item)))
}

pub(in crate::config) fn table(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key} = {value}")).collect();
    if pairs.is_empty() { String::from("{}") } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// A range of statuses, or a single one.
pub(in crate::config) fn range((first, last): &(u16, u16)) -> String {
    if first == last { first.to_string() } else { text(&format!("{first}-{last}")) }
}

pub(in crate::config) fn time(time: Duration) -> String {
    text(&show_duration(time))
}

pub(in crate::config) fn body(bytes: Option<u64>) -> String {
    text(&bytes.map_or_else(|| String::from("none"), show_size))
}

/// A key that the file has chosen; unlike values it has no variables.
pub(in crate::config) fn quoted_key(key: &str) -> String {
    text(key).replace("$${", "${")
}
