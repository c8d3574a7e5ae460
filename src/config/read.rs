//! Takes the values out of a table that was held to the language.
//!
//! A value of the wrong type has been told already, so here it is simply not there.

use std::time::Duration;

use super::doc::{Entry, Node, Table, Value};
use super::excerpt::Place;
use super::language;
use super::shape;
use super::value::{parse_body, parse_duration, parse_size};

/// A table together with its description.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    table: &'a Table,
    is: &'static language::Table,
}

/// A value with its place.
pub(super) type Found<T> = Option<(T, Place)>;

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table, is: &'static language::Table) -> Reader<'a> {
        Reader { table, is }
    }

    /// The place of the table: its header, or its braces.
    pub(super) fn place(&self) -> Place {
        self.table.place
    }

    /// The entry of `key`, whatever it holds.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        debug_assert!(
            self.is.keys.iter().any(|known| known.name == key),
            "{key} is no key of {}",
            self.is.title
        );
        self.table.get(key)
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub(super) fn text(&self, key: &str) -> Found<&'a str> {
        let node = self.node(key)?;
        Some((node.text()?, node.place))
    }

    pub(super) fn number(&self, key: &str) -> Found<u64> {
        let node = self.node(key)?;
        Some((u64::try_from(shape::number(&node.value)?).ok()?, node.place))
    }

    /// A number in thousandths.
    pub(super) fn thousandths(&self, key: &str) -> Found<u64> {
        let node = self.node(key)?;
        Some((shape::thousandths(&node.value)?, node.place))
    }

    pub(super) fn count(&self, key: &str) -> Option<usize> {
        self.number(key).and_then(|(number, _)| usize::try_from(number).ok())
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.node(key).and_then(|node| shape::truth(&node.value))
    }

    pub(super) fn time(&self, key: &str) -> Found<Duration> {
        let (text, place) = self.text(key)?;
        Some((parse_duration(text).ok()?, place))
    }

    pub(super) fn size(&self, key: &str) -> Found<u64> {
        self.bytes(key, |text| parse_size(text).ok())
    }

    pub(super) fn size_or_none(&self, key: &str) -> Found<Option<u64>> {
        self.bytes(key, |text| parse_body(text).ok())
    }

    fn bytes<T: From<u64>>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Found<T> {
        let node = self.node(key)?;
        let bytes = match node.text() {
            Some(text) => parse(text)?,
            None => T::from(u64::try_from(shape::number(&node.value)?).ok()?),
        };
        Some((bytes, node.place))
    }

    /// The items of a list; a single value stands for a list of one.
    pub(super) fn list(&self, key: &str) -> &'a [Node] {
        self.node(key).map_or(&[], Node::items)
    }

    /// The table at `key`.
    pub(super) fn table(&self, key: &str, is: &'static language::Table) -> Option<Reader<'a>> {
        self.node(key)?.table().map(|table| Reader { table, is })
    }

    /// The tables at `key`, those that are tables.
    pub(super) fn tables(&self, key: &str, is: &'static language::Table) -> impl Iterator<Item = Reader<'a>> {
        self.list(key).iter().filter_map(Node::table).map(move |table| Reader { table, is })
    }

    /// The names and values of a table whose keys the file has chosen.
    pub(super) fn names(&self, key: &str) -> &'a [Entry] {
        self.node(key).and_then(Node::table).map_or(&[], |table| &table.entries)
    }
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text { text, .. } = &self.value { Some(text) } else { None }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        if let Value::Table(table) = &self.value { Some(table) } else { None }
    }

    /// The items of a list, or the value itself.
    pub(super) fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { std::slice::from_ref(self) }
    }
}
