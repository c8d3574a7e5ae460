//! A TOML document as a tree of our own: owned, in the order of the file, every value with its place. Files
//! that are included are merged into one tree, so that the checks see one configuration.

use std::cell::Cell;
use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::code::Code;
use super::environment;
use super::excerpt::Place;
use super::quote::quote;
use super::report::{Diagnostic, Findings};
use super::syntax;
use super::world::World;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text {
        text: String,
        /// Whether something of it came from the environment, where everything is text: it may then stand for
        /// a number.
        is_expanded: bool,
    },
    Number(i64),
    /// A number with decimals, as it was written.
    Decimal(String),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
    /// A value that no key takes; the words name it in messages.
    Other(&'static str),
}

/// A table, its keys in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Its header, or the braces with what is between them.
    pub(super) place: Place,
    pub(super) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
    /// Whether a reader could not take the value. See [`Table::misread`].
    pub(super) is_misread: Cell<bool>,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The first value, here or in a table inside of it, that was there for a reader and that it could not
    /// take. If the shape is good there is none; a file that has one all the same is not run, because the
    /// setting would silently not hold.
    pub(super) fn misread(&self) -> Option<Place> {
        let inside = |entry: &Entry| entry.node.items().iter().find_map(|node| node.table()?.misread());
        self.entries
            .iter()
            .find_map(|entry| if entry.is_misread.get() { Some(entry.node.place) } else { inside(entry) })
    }
}

impl Value {
    /// The type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text { .. } => "text",
            Value::Number(_) => "a number",
            Value::Decimal(_) => "a fraction",
            Value::Flag(_) => "a boolean",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }
}

/// Reads `text`, the file number `file`. Text that is not TOML becomes a finding, and the rest is read all
/// the same.
pub(super) fn parse(text: &str, file: u16, world: &mut dyn World, findings: &mut Findings) -> Table {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut lines = HashSet::new();
    for error in &errors {
        // One mistake can be several to the reader; one per line is enough to find it.
        let start = error.span().map_or(0, |span| span.start);
        if lines.insert(text.get(..start).and_then(|before| before.rfind('\n'))) {
            findings.push(syntax::explain(text, file, error));
        }
        if findings.is_full() {
            break;
        }
    }
    let span = root.span();
    table(root.get_ref(), Place::new(file, span), file, world, findings)
}

fn table(
    table: &DeTable<'_>,
    place: Place,
    file: u16,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Table {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| Entry {
        key: key.get_ref().clone().into_owned(),
        key_place: Place::new(file, key.span()),
        node: node(value, file, world, findings),
        is_misread: Cell::new(false),
    };
    Table { place, entries: pairs.into_iter().map(entry).collect() }
}

fn node(value: &Spanned<DeValue<'_>>, file: u16, world: &mut dyn World, findings: &mut Findings) -> Node {
    let place = Place::new(file, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => {
            let (text, is_expanded) = environment::expand(text, place, world, findings);
            Value::Text { text, is_expanded }
        }
        DeValue::Integer(number) => {
            let digits = number.as_str();
            i64::from_str_radix(digits, number.radix())
                .map_or(Value::Other("a number beyond 64 bits"), Value::Number)
        }
        DeValue::Float(number) => Value::Decimal(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(item, file, world, findings)).collect())
        }
        DeValue::Table(inner) => Value::Table(table(inner, place, file, world, findings)),
    };
    Node { place, value }
}

/// Adds what an included file says to what was said before: lists of tables grow, tables are united, and what
/// both say is a finding.
pub(super) fn merge(into: &mut Table, from: Table, findings: &mut Findings) {
    for entry in from.entries {
        let Some(known) = into.entries.iter_mut().find(|known| known.key == entry.key) else {
            into.entries.push(entry);
            continue;
        };
        match (&mut known.node.value, entry.node.value) {
            (Value::List(known), Value::List(more)) => known.extend(more),
            (Value::Table(known), Value::Table(more)) => {
                for entry in more.entries {
                    match known.get(&entry.key) {
                        Some(first) => findings.push(twice(first, &entry)),
                        None => known.entries.push(entry),
                    }
                }
            }
            (_, value) => {
                let entry = Entry { node: Node { value, ..entry.node }, ..entry };
                findings.push(twice(known, &entry));
            }
        }
    }
}

fn twice(first: &Entry, second: &Entry) -> Diagnostic {
    Diagnostic::new(Code::SetTwice, format!("{} is set twice", quote(&second.key)))
        .mark(second.key_place, "again here")
        .mark(first.key_place, "first here")
        .help("remove one of the two: over all files a setting is made once")
}
