//! The language as tables in Markdown, for `docs/configuration.md`, written from its description.

use super::language::{self, Described, Kind};
use super::value::{show_size, show_thousandths};

/// A key with its example, and the table that it is of.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// How the table is written, such as `[[listener]]`.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
    /// A value that it can have.
    pub value: &'static str,
}

/// Every key there is.
pub fn examples() -> impl Iterator<Item = Example> {
    language::TABLES
        .iter()
        .flat_map(|is| is.keys().map(|key| Example { table: is.title(), key: key.name, value: key.example }))
}

/// Every key with its type, default and example.
#[must_use]
pub fn reference() -> String {
    language::TABLES.iter().copied().map(section).collect::<Vec<_>>().join("\n")
}

fn section(is: &'static dyn Described) -> String {
    let mut out = format!(
        "## `{}`\n\n{}\n\n| key | type | default | example | |\n|---|---|---|---|---|\n",
        is.title(),
        is.about()
    );
    for key in is.keys() {
        let default = match key.default.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(words) => words.to_owned(),
            None => code(key.default),
        };
        // A table is written under its header, anything else behind its key.
        let is_header = key.example.starts_with('[') && !matches!(key.kind, Kind::List(_) | Kind::Either(_));
        let example =
            if is_header { code(key.example) } else { code(&format!("{} = {}", key.name, key.example)) };
        let cells = [code(key.name), kind(&key.kind), default, example, key.about.replace('|', "\\|")];
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|").replace('\n', "\\n"))
}

fn kind(is: &Kind) -> String {
    match is {
        Kind::Text => String::from("text"),
        Kind::Word(words) => {
            words.iter().map(|word| code(&format!("\"{word}\""))).collect::<Vec<_>>().join(", ")
        }
        Kind::Number(min, max) => format!("{min} to {max}"),
        Kind::Size(min, max) => format!("size, {} to {}", show_size(*min), show_size(*max)),
        Kind::SizeOrNone => String::from("size or `\"none\"`"),
        Kind::Fraction(min, max) => {
            format!("number, {} to {}", show_thousandths(*min), show_thousandths(*max))
        }
        Kind::Time(_) => String::from("time"),
        Kind::Flag => String::from("`true`, `false`"),
        Kind::List(item) => format!("list of {}", kind(item)),
        Kind::Table(_) => String::from("table"),
        Kind::Tables(_) => String::from("tables"),
        Kind::NamedTables(_) => String::from("named tables"),
        Kind::Names(value) => format!("table: names, each with {}", kind(value)),
        Kind::Either(kinds) => kinds.iter().map(kind).collect::<Vec<_>>().join(" or "),
    }
}
