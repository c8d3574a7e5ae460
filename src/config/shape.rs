//! Holds a file to the language: keys that exist, values of the right type and within their bounds.

use std::borrow::Cow;

use super::code::Code;
use super::doc::{self, Entry, Node, Value};
use super::language::{Described, Key, Kind};
use super::quote::{quote, quote_list};
use super::report::{Diagnostic, Findings};
use super::suggest::closest;
use super::value::{
    ValueError, parse_body, parse_duration, parse_size, parse_thousandths, show_duration, show_size,
    show_thousandths,
};

/// Checks `table` against its description, and everything in it.
pub(super) fn check(table: &doc::Table, is: &'static dyn Described, findings: &mut Findings) {
    for entry in &table.entries {
        if findings.is_full() {
            return;
        }
        match is.find(&entry.key) {
            Some(key) => value(&Asked { key, kind: &key.kind, is_item: false }, &entry.node, findings),
            None => unknown_key(table, entry, is, findings),
        }
    }
}

fn unknown_key(table: &doc::Table, entry: &Entry, is: &'static dyn Described, findings: &mut Findings) {
    let names = || is.keys().map(|key| key.name);
    let known = quote_list(names());
    let help = match closest(&entry.key, names()) {
        Some(near) => {
            findings.note_meant(table.place, near);
            format!("did you mean {}? the keys here are {known}", quote(near))
        }
        None => format!("the keys here are {known}"),
    };
    findings.push(
        Diagnostic::new(Code::UnknownKey, format!("unknown key {}", quote(&entry.key)))
            .mark(entry.key_place, "no such key here")
            .help(help),
    );
}

/// The type that is expected of a value.
struct Asked {
    key: &'static Key,
    kind: &'static Kind,
    /// Whether the value is one of several that the key has.
    is_item: bool,
}

impl Asked {
    fn item(&self, kind: &'static Kind) -> Asked {
        Asked { key: self.key, kind, is_item: true }
    }

    /// The value, in a sentence.
    fn subject(&self) -> String {
        if self.is_item { format!("an entry of `{}`", self.key.name) } else { format!("`{}`", self.key.name) }
    }
}

fn value(asked: &Asked, node: &Node, findings: &mut Findings) {
    match (asked.kind, &node.value) {
        (Kind::Text, Value::Text { .. }) => {}
        (Kind::Flag, found) if truth(found).is_some() => {}
        (Kind::Word(words), Value::Text { text, .. }) => word(asked, words, text, node, findings),
        (Kind::Number(min, max), found) if number(found).is_some() => {
            in_range(asked, node, number(found).unwrap_or_default(), *min, *max, |n| n.to_string(), findings);
        }
        (Kind::Fraction(min, max), found) if fraction_text(found).is_some() => {
            fraction(asked, node, (*min, *max), findings);
        }
        (Kind::Size(..) | Kind::SizeOrNone, Value::Text { .. } | Value::Number(_)) => {
            size(asked, node, findings);
        }
        (Kind::Time(_), Value::Text { text, .. }) => {
            time(asked, text, node, findings);
        }
        (Kind::List(kind), Value::List(items)) => {
            let asked = asked.item(kind);
            for item in items {
                if findings.is_full() {
                    return;
                }
                value(&asked, item, findings);
            }
        }
        (Kind::Table(is), Value::Table(table)) => check(table, *is, findings),
        (Kind::Tables(is), Value::List(items)) => {
            for item in items {
                match item.table() {
                    Some(table) => check(table, *is, findings),
                    None => findings.push(wrong_type(&asked.item(asked.kind), item)),
                }
            }
        }
        (Kind::NamedTables(is), Value::Table(table)) => {
            for entry in &table.entries {
                match entry.node.table() {
                    Some(table) => check(table, *is, findings),
                    None => findings.push(wrong_type(&asked.item(asked.kind), &entry.node)),
                }
            }
        }
        (Kind::Names(kind), Value::Table(table)) => {
            let asked = asked.item(kind);
            table.entries.iter().for_each(|entry| value(&asked, &entry.node, findings));
        }
        (Kind::Either(kinds), found) => match kinds.iter().find(|kind| takes(kind, found)) {
            Some(kind) => value(&Asked { kind, ..*asked }, node, findings),
            None => findings.push(wrong_type(asked, node)),
        },
        (
            Kind::Text
            | Kind::Word(_)
            | Kind::Number(..)
            | Kind::Fraction(..)
            | Kind::Size(..)
            | Kind::SizeOrNone
            | Kind::Time(_)
            | Kind::Flag
            | Kind::List(_)
            | Kind::Table(_)
            | Kind::Tables(_)
            | Kind::NamedTables(_)
            | Kind::Names(_),
            _,
        ) => findings.push(wrong_type(asked, node)),
    }
}

/// Whether a value of that type could be meant for `kind`.
fn takes(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Text | Kind::Word(_) | Kind::Time(_) => matches!(value, Value::Text { .. }),
        Kind::Number(..) => number(value).is_some(),
        Kind::Fraction(..) => fraction_text(value).is_some(),
        Kind::Size(..) | Kind::SizeOrNone => matches!(value, Value::Text { .. } | Value::Number(_)),
        Kind::Flag => truth(value).is_some(),
        Kind::List(_) | Kind::Tables(_) => matches!(value, Value::List(_)),
        Kind::Table(_) | Kind::NamedTables(_) | Kind::Names(_) => matches!(value, Value::Table(_)),
        Kind::Either(kinds) => kinds.iter().any(|kind| takes(kind, value)),
    }
}

/// The whole number that `value` is, or that the environment has put into it.
pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text { text, is_expanded: true } => text.trim().parse().ok(),
        Value::Text { .. }
        | Value::Decimal(_)
        | Value::Flag(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Other(_) => None,
    }
}

/// The number that `value` is, whole or not, as it was written, or that the environment has put into it.
fn fraction_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Number(number) => Some(number.to_string().into()),
        Value::Decimal(text) | Value::Text { text, is_expanded: true } => Some(text.into()),
        Value::Text { .. } | Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => None,
    }
}

/// The thousandths of the number that `value` is, if it is one.
pub(super) fn thousandths(value: &Value) -> Option<u64> {
    parse_thousandths(&fraction_text(value)?).ok()
}

/// The truth value that `value` is, or that the environment has put into it.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(*flag),
        Value::Text { text, is_expanded: true } => text.trim().parse().ok(),
        Value::Text { .. }
        | Value::Number(_)
        | Value::Decimal(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Other(_) => None,
    }
}

fn word(asked: &Asked, words: &[&str], written: &str, node: &Node, findings: &mut Findings) {
    if words.contains(&written) {
        return;
    }
    let known = quote_list(words.iter().copied());
    let help = match closest(written, words.iter().copied()) {
        Some(near) => format!("did you mean {}? the choice is {known}", quote(near)),
        None => format!("the choice is {known}"),
    };
    let name = asked.key.name;
    findings.push(
        Diagnostic::new(Code::UnknownWord, format!("unknown {name} {}", quote(written)))
            .mark(node.place, format!("no such {name}"))
            .help(help),
    );
}

fn time(asked: &Asked, text: &str, node: &Node, findings: &mut Findings) {
    match (parse_duration(text), asked.kind) {
        (Err(error), _) => findings.push(refused(asked.key.name, node, &error)),
        (Ok(time), Kind::Time(longest)) if time > *longest => {
            let [found, longest] = [time, *longest].map(show_duration);
            let message = format!("{} is very long: {found}", asked.subject());
            let help = format!("write at most `{longest}`; the units are `ms`, `s`, `m`, `h` and `d`");
            findings.push(
                Diagnostic::new(Code::AbsurdTime, message).mark(node.place, "is this unit meant?").help(help),
            );
        }
        (Ok(_), _) => {}
    }
}

fn size(asked: &Asked, node: &Node, findings: &mut Findings) {
    let (min, max) = if let Kind::Size(min, max) = asked.kind { (*min, *max) } else { (0, u64::MAX) };
    let bytes = match (node.text(), number(&node.value)) {
        (Some(text), _) if matches!(asked.kind, Kind::SizeOrNone) => {
            parse_body(text).map(|body| body.unwrap_or(0))
        }
        (Some(text), _) => parse_size(text),
        (None, Some(number)) if number >= 0 => Ok(number.unsigned_abs()),
        (None, _) => {
            let help = "write a number of bytes, or text with a unit, such as `\"64KiB\"`";
            let found = Diagnostic::new(Code::OutOfRange, format!("{} is negative", asked.subject()))
                .mark(node.place, "expected a size")
                .help(help);
            return findings.push(found);
        }
    };
    match bytes {
        Ok(bytes) => {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            in_range(asked, node, bytes, min, max, |n| show_size(u64::try_from(n).unwrap_or(0)), findings);
        }
        Err(error) => findings.push(refused(asked.key.name, node, &error)),
    }
}

fn fraction(asked: &Asked, node: &Node, (min, max): (u64, u64), findings: &mut Findings) {
    let text = fraction_text(&node.value).unwrap_or_default();
    match parse_thousandths(&text) {
        Ok(found) => {
            let found = i64::try_from(found).unwrap_or(i64::MAX);
            let show = |n| show_thousandths(u64::try_from(n).unwrap_or(0));
            in_range(asked, node, found, min, max, show, findings);
        }
        Err(error) => findings.push(refused(asked.key.name, node, &error)),
    }
}

fn in_range(
    asked: &Asked,
    node: &Node,
    found: i64,
    min: u64,
    max: u64,
    show: impl Fn(i64) -> String,
    findings: &mut Findings,
) {
    if u64::try_from(found).is_ok_and(|found| (min..=max).contains(&found)) {
        return;
    }
    let [low, high] = [min, max].map(|bound| show(i64::try_from(bound).unwrap_or(i64::MAX)));
    findings.push(
        Diagnostic::new(Code::OutOfRange, format!("{} is out of range: {}", asked.subject(), show(found)))
            .mark(node.place, format!("expected {low} to {high}"))
            .help(format!("write a value from {low} to {high}")),
    );
}

/// A value of `key` whose text its reader refused.
pub(super) fn refused(key: &str, node: &Node, error: &ValueError) -> Diagnostic {
    Diagnostic::new(Code::BadValue, format!("bad `{key}`: {}", error.message()))
        .mark(node.place, error.expected())
        .help(error.help())
}

/// A value that is not of the type that the key takes.
fn wrong_type(asked: &Asked, node: &Node) -> Diagnostic {
    let expected = expected(asked.kind);
    Diagnostic::new(Code::WrongType, format!("{} is {}, not {expected}", asked.subject(), node.value.kind()))
        .mark(node.place, format!("expected {expected}"))
        .help(type_help(asked, node))
}

/// The type in words.
pub(super) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::Word(_) => String::from("text"),
        Kind::Number(..) => String::from("a whole number"),
        Kind::Fraction(..) => String::from("a number"),
        Kind::Size(..) | Kind::SizeOrNone => String::from("a size"),
        Kind::Time(_) => String::from("a time"),
        Kind::Flag => String::from("true or false"),
        Kind::List(_) => String::from("a list"),
        Kind::Table(_) | Kind::Names(_) | Kind::NamedTables(_) => String::from("a table"),
        Kind::Tables(_) => String::from("tables"),
        Kind::Either(kinds) => kinds.iter().map(expected).collect::<Vec<_>>().join(" or "),
    }
}

fn type_help(asked: &Asked, node: &Node) -> String {
    let (name, example) = (asked.key.name, asked.key.example);
    match asked.kind {
        // The unit that was left out is a guess, and the commonest one.
        Kind::Time(_) => match number(&node.value) {
            Some(number) => {
                format!("write text with a unit, such as `{name} = \"{}s\"`", number.saturating_abs().max(1))
            }
            None => format!("write text with a unit, such as `{name} = {example}`"),
        },
        Kind::Number(min, max) => format!("write a number from {min} to {max}"),
        Kind::Fraction(min, max) => {
            format!("write a number from {} to {}", show_thousandths(*min), show_thousandths(*max))
        }
        Kind::Size(..) | Kind::SizeOrNone => {
            String::from("write a number of bytes, or text with a unit, such as `\"64KiB\"`")
        }
        Kind::Tables(_) if !asked.is_item => {
            format!("there may be several: write `{example}` with two brackets")
        }
        Kind::Table(_) | Kind::NamedTables(_) | Kind::Tables(_) if example.starts_with('[') => {
            format!("write a table, such as `{example}` on a line of its own")
        }
        Kind::Text | Kind::Word(_) if !asked.is_item => {
            format!("write it in double quotes, such as `{name} = {example}`")
        }
        Kind::Text
        | Kind::Word(_)
        | Kind::Flag
        | Kind::List(_)
        | Kind::Table(_)
        | Kind::NamedTables(_)
        | Kind::Tables(_)
        | Kind::Names(_)
        | Kind::Either(_) => format!("write for example `{name} = {example}`"),
    }
}
