//! The language as tables in Markdown, for `docs/configuration.md`, written from its description.

use super::language::{self, Described, Kind};
use super::value::{show_size, show_thousandths};

/// A key with its example, and the table that it is of.
#[derive(Clone, Debug)]
pub struct Example {
    /// The form of the table, such as `[[listener]]`.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
    /// A value that it can have.
    pub value: String,
    /// The default, if a file can say it.
    pub default: Option<String>,
    /// Further values of its kind. Whether one is good depends on the other keys.
    pub others: Vec<String>,
}

/// Every key there is.
pub fn examples() -> impl Iterator<Item = Example> {
    language::TABLES.iter().flat_map(|is| {
        is.keys().map(|key| Example {
            table: is.title(),
            key: key.name,
            value: key.example.to_owned(),
            default: (!key.default.starts_with('(')).then(|| key.default.to_owned()),
            others: others(&key.kind),
        })
    })
}

/// Texts of the forms that keys take.
const TEXTS: [&str; 15] = [
    "other",
    "next",
    "other.pem",
    "other.token",
    "/other",
    "^/other/(?<version>[0-9]+)/",
    "other.example",
    "other/json",
    "http/1.0",
    "127.0.0.1:77",
    "10.9.0.0/16",
    "{path}",
    "0640",
    "4xx",
    "other-long-secret-text",
];

fn others(is: &Kind) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
    match is {
        Kind::Text => words(&TEXTS),
        Kind::Word(all) => words(all),
        Kind::Number(min, max) | Kind::Size(min, max) => {
            [*min, min + 1, *max].iter().map(ToString::to_string).collect()
        }
        Kind::SizeOrNone => vec![String::from("\"none\""), String::from("4321")],
        Kind::Fraction(min, max) => [*min, min + 1, *max].map(show_thousandths).to_vec(),
        Kind::Time(_) => words(&["1s", "17s", "5m"]),
        Kind::Flag => vec![String::from("true"), String::from("false")],
        Kind::List(item) => others(item).into_iter().map(|item| format!("[{item}]")).collect(),
        Kind::Names(value) => {
            others(value).into_iter().map(|value| format!("{{ other = {value} }}")).collect()
        }
        Kind::Either(kinds) => kinds.iter().flat_map(others).collect(),
        Kind::Table(_) | Kind::Tables(_) | Kind::NamedTables(_) => Vec::new(),
    }
}

/// Every key with its type, default and example.
#[must_use]
pub fn reference() -> String {
    language::TABLES.iter().copied().map(section).collect::<Vec<_>>().join("\n")
}

/// The tables of times and bounds for `proxy.toml`. Each key is a comment with its default; one without a
/// default is indented and has its example.
#[must_use]
pub fn commented() -> String {
    let tables: [&'static dyn Described; 3] = [&language::TIMEOUTS, &language::LIMITS, &language::RECORDER];
    let table = |is: &'static dyn Described| {
        let mut out = comment(is.about());
        out.push_str(is.title());
        for key in is.keys() {
            out.push_str("\n\n");
            out.push_str(&comment(key.about));
            out.push_str(&match key.default {
                language::NONE => format!("#   {} = {}", key.name, key.example),
                default => format!("# {} = {default}", key.name),
            });
        }
        out + "\n"
    };
    tables.map(table).join("\n\n")
}

/// The longest line of a comment, in characters.
const COMMENT_WIDTH: usize = 110;

/// `text` as lines of a comment.
fn comment(text: &str) -> String {
    let (mut out, mut width) = (String::from("#"), 1);
    for word in text.split(' ') {
        let length = word.chars().count();
        if width + 1 + length > COMMENT_WIDTH {
            out.push_str("\n#");
            width = 1;
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + length;
    }
    out + "\n"
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
