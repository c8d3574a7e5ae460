//! Takes the values out of a table that was held to the language.
//!
//! A value of the wrong type has been told already, so here it is simply not there. A value that the shape
//! let pass and that cannot be taken all the same is noted ([`Entry::is_misread`]), and the file is not run:
//! a key that is there never stands for its absence.

use std::time::Duration;

use super::doc::{Entry, Node, Table, Value};
use super::excerpt::Place;
use super::language::{Described, Key, Kind};
use super::report::{Findings, Reported};
use super::shape;
use super::value::{parse_body, parse_duration, parse_size};
use crate::snapshot::Mode;

/// A table together with its description.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    table: &'a Table,
    is: &'static dyn Described,
}

/// A value with its place.
pub(super) type Found<T> = Option<(T, Place)>;

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table, is: &'static dyn Described) -> Reader<'a> {
        Reader { table, is }
    }

    /// The place of the table: its header, or its braces.
    pub(super) fn place(&self) -> Place {
        self.table.place
    }

    /// The entry of `key`, whatever it holds.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        debug_assert!(self.is.find(key).is_some(), "{key} is no key of {}", self.is.title());
        self.table.get(key)
    }

    /// The entries whose keys mean something in that mode of a listener only.
    pub(super) fn only_in(&self, mode: Mode) -> impl Iterator<Item = &'a Entry> {
        self.of_keys(move |key| key.only == Some(mode))
    }

    /// The entries whose keys mean something only where a backend answers.
    pub(super) fn for_backends(&self) -> impl Iterator<Item = &'a Entry> {
        self.of_keys(|key| key.is_for_backends)
    }

    fn of_keys(&self, is_one: impl Fn(&Key) -> bool) -> impl Iterator<Item = &'a Entry> {
        let table = self.table;
        self.is.keys().filter(move |key| is_one(key)).filter_map(|key| table.get(key.name))
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The value of `key`, as `take` has it; notes one that it cannot take. Of a key that takes one of
    /// several types another reader may take it.
    fn taken<T>(&self, key: &str, take: impl Fn(&'a Node) -> Option<T>) -> Found<T> {
        let entry = self.entry(key)?;
        let taken = take(&entry.node);
        if taken.is_none() && !self.is.find(key).is_some_and(|it| matches!(it.kind, Kind::Either(_))) {
            entry.is_misread.set(true);
        }
        Some((taken?, entry.node.place))
    }

    pub(super) fn text(&self, key: &str) -> Found<&'a str> {
        self.taken(key, Node::text)
    }

    /// Text that may be shown in a message: `None` if something of it came from the environment, or if it
    /// looks like a key. A secret that was written in the place of a file name must not appear in a log.
    pub(super) fn shown(&self, key: &str) -> Option<&'a str> {
        let Value::Text { text, is_expanded: false } = &self.node(key)?.value else { return None };
        let is_like_a_key = text.contains("-----") || text.contains('\n');
        (!is_like_a_key).then_some(text.as_str())
    }

    /// A whole number, of a type that has room for the bounds of the key.
    pub(super) fn number<T: TryFrom<u64>>(&self, key: &str) -> Found<T> {
        let number = |node: &Node| T::try_from(u64::try_from(shape::number(&node.value)?).ok()?).ok();
        self.taken(key, number)
    }

    /// A number in thousandths.
    pub(super) fn thousandths<T: TryFrom<u64>>(&self, key: &str) -> Found<T> {
        self.taken(key, |node| T::try_from(shape::thousandths(&node.value)?).ok())
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.taken(key, |node| shape::truth(&node.value)).map(|(flag, _)| flag)
    }

    pub(super) fn time(&self, key: &str) -> Found<Duration> {
        self.taken(key, |node| parse_duration(node.text()?).ok())
    }

    pub(super) fn size<T: TryFrom<u64>>(&self, key: &str) -> Found<T> {
        self.taken(key, |node| T::try_from(bytes(node, |text| parse_size(text).ok())?).ok())
    }

    pub(super) fn size_or_none(&self, key: &str) -> Found<Option<u64>> {
        self.taken(key, |node| bytes(node, |text| parse_body(text).ok()))
    }

    /// The items of a list; a single value stands for a list of one.
    pub(super) fn list(&self, key: &str) -> &'a [Node] {
        self.node(key).map_or(&[], Node::items)
    }

    /// The table at `key`: it is there, or the key is not.
    pub(super) fn table(
        &self,
        key: &str,
        is: &'static dyn Described,
        findings: &mut Findings,
    ) -> Result<Option<Reader<'a>>, Reported> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        match entry.node.table() {
            Some(table) => Ok(Some(Reader { table, is })),
            None => Err(findings.given_up(entry.node.place)),
        }
    }

    /// The table at `key`, which takes other types too.
    pub(super) fn table_of_either(&self, key: &str, is: &'static dyn Described) -> Option<Reader<'a>> {
        self.taken(key, Node::table).map(|(table, _)| Reader { table, is })
    }

    /// The tables at `key`, those that are tables.
    pub(super) fn tables(&self, key: &str, is: &'static dyn Described) -> impl Iterator<Item = Reader<'a>> {
        let entry = self.entry(key);
        let items = entry.map_or(&[][..], |entry| entry.node.items());
        items.iter().filter_map(move |node| {
            if let (None, Some(entry)) = (node.table(), entry) {
                entry.is_misread.set(true);
            }
            node.table().map(|table| Reader { table, is })
        })
    }

    /// The names and values of a table whose keys the file has chosen.
    pub(super) fn names(&self, key: &str) -> &'a [Entry] {
        self.node(key).and_then(Node::table).map_or(&[], |table| &table.entries)
    }
}

fn bytes<T: From<u64>>(node: &Node, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    match node.text() {
        Some(text) => parse(text),
        None => u64::try_from(shape::number(&node.value)?).ok().map(T::from),
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
