//! A leaf as the type that its key takes.

use std::ops::RangeInclusive;

use toml::Spanned;

use crate::config::quote::{quote, quote_list};
use crate::config::raw::Leaf;
use crate::config::report::{Diagnostic, Findings};
use crate::config::suggest::closest;
use crate::config::value::ValueError;

/// The text of `leaf`, the value of `key`; anything else becomes a finding, with `example` in its help.
pub(super) fn text<'a>(
    key: &str,
    leaf: &'a Spanned<Leaf>,
    example: &str,
    findings: &mut Findings,
) -> Option<&'a str> {
    match leaf.get_ref() {
        Leaf::Text(text) => Some(text),
        Leaf::Integer(_) | Leaf::Other(_) => {
            let help = format!("write it in double quotes, such as `{key} = \"{example}\"`");
            findings.push(wrong_type(key, leaf, "text").help(help));
            None
        }
    }
}

/// The whole number of `leaf`, the value of `key`; anything else, or a number out of `range`, becomes a finding.
pub(super) fn integer(
    key: &str,
    leaf: &Spanned<Leaf>,
    range: RangeInclusive<u64>,
    findings: &mut Findings,
) -> Option<u64> {
    let help = format!("write a number from {} to {}", range.start(), range.end());
    let found = match leaf.get_ref() {
        Leaf::Integer(number) => match u64::try_from(*number).ok().filter(|number| range.contains(number)) {
            Some(number) => return Some(number),
            None => out_of_range(
                key,
                leaf,
                &number.to_string(),
                &range.start().to_string(),
                &range.end().to_string(),
            ),
        },
        Leaf::Text(_) | Leaf::Other(_) => wrong_type(key, leaf, "a whole number").help(help),
    };
    findings.push(found);
    None
}

/// One of a few words, the value of `key`; anything else becomes a finding.
pub(super) fn word<T: Copy>(
    key: &str,
    leaf: &Spanned<Leaf>,
    words: &[(&str, T)],
    findings: &mut Findings,
) -> Option<T> {
    let names = || words.iter().map(|(name, _)| *name);
    let written = text(key, leaf, names().next().unwrap_or_default(), findings)?;
    if let Some((_, value)) = words.iter().find(|(name, _)| *name == written) {
        return Some(*value);
    }
    let known = quote_list(names());
    let help = match closest(written, names()) {
        Some(near) => format!("did you mean {}? the choice is {known}", quote(near)),
        None => format!("the choice is {known}"),
    };
    findings.push(
        Diagnostic::new(format!("unknown {key} {}", quote(written)))
            .mark(leaf.span(), format!("no such {key}"))
            .help(help),
    );
    None
}

/// A value of `key` whose text its reader refused.
pub(super) fn refused(key: &str, leaf: &Spanned<Leaf>, error: &ValueError) -> Diagnostic {
    Diagnostic::new(format!("bad `{key}`: {}", error.message()))
        .mark(leaf.span(), error.expected())
        .help(error.help())
}

/// A value of `key` that is not of the type that the key takes.
pub(super) fn wrong_type(key: &str, leaf: &Spanned<Leaf>, expected: &str) -> Diagnostic {
    let found = match leaf.get_ref() {
        Leaf::Text(_) => "text",
        Leaf::Integer(_) => "a number",
        Leaf::Other(found) => found,
    };
    Diagnostic::new(format!("`{key}` is {found}, not {expected}"))
        .mark(leaf.span(), format!("expected {expected}"))
}

/// A number of `key` that lies outside its bounds, all three as they should be shown.
pub(super) fn out_of_range(key: &str, leaf: &Spanned<Leaf>, found: &str, min: &str, max: &str) -> Diagnostic {
    Diagnostic::new(format!("`{key}` is out of range: {found}"))
        .mark(leaf.span(), format!("expected {min} to {max}"))
        .help(format!("write a value from {min} to {max}"))
}
