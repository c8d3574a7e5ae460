//! The raw shape: what TOML can say, before anything is checked.
//!
//! Tables and keys are as strict as serde makes them: an unknown key is an error. Every leaf is taken as it comes, whatever
//! its type, because a wrong type is then one more finding of the checks instead of the end of the reading.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) threads: Option<Spanned<Leaf>>,
    #[serde(default)]
    pub(super) listener: Vec<Spanned<Listener>>,
    #[serde(default)]
    pub(super) pool: BTreeMap<Spanned<String>, Pool>,
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    #[serde(default)]
    pub(super) limits: Limits,
}

/// A `[[listener]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) name: Option<Spanned<Leaf>>,
    pub(super) bind: Option<Spanned<Leaf>>,
    pub(super) mode: Option<Spanned<Leaf>>,
    pub(super) pool: Option<Spanned<Leaf>>,
}

/// A `[pool.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pool {
    pub(super) balance: Option<Spanned<Leaf>>,
    pub(super) backends: Option<Spanned<Vec<Spanned<Entry>>>>,
}

/// One of `backends`.
#[derive(Debug)]
pub(super) enum Entry {
    /// `"127.0.0.1:9001"`, or a leaf of the wrong type.
    Short(Leaf),
    /// `{ address = "127.0.0.1:9001", weight = 3 }`.
    Long(Backend),
}

/// The long form of a backend.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backend {
    pub(super) address: Option<Spanned<Leaf>>,
    pub(super) weight: Option<Spanned<Leaf>>,
}

/// `[timeouts]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) connect: Option<Spanned<Leaf>>,
    pub(super) client_head: Option<Spanned<Leaf>>,
    pub(super) client_idle: Option<Spanned<Leaf>>,
    pub(super) backend_response: Option<Spanned<Leaf>>,
    pub(super) idle: Option<Spanned<Leaf>>,
    pub(super) tunnel: Option<Spanned<Leaf>>,
    pub(super) queue: Option<Spanned<Leaf>>,
    pub(super) linger: Option<Spanned<Leaf>>,
    pub(super) backend_idle: Option<Spanned<Leaf>>,
    pub(super) drain: Option<Spanned<Leaf>>,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) head: Option<Spanned<Leaf>>,
    pub(super) request_line: Option<Spanned<Leaf>>,
    pub(super) field: Option<Spanned<Leaf>>,
    pub(super) fields: Option<Spanned<Leaf>>,
    pub(super) body: Option<Spanned<Leaf>>,
    pub(super) buffer: Option<Spanned<Leaf>>,
    pub(super) sessions: Option<Spanned<Leaf>>,
    pub(super) accept_budget: Option<Spanned<Leaf>>,
    pub(super) buffers: Option<Spanned<Leaf>>,
    pub(super) idle_per_backend: Option<Spanned<Leaf>>,
}

/// The value of a key.
#[derive(Debug)]
pub(super) enum Leaf {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Anything else, which no key takes; the word names it in messages.
    Other(&'static str),
}

const NUMBER_TOO_LARGE: &str = "a number beyond 64 bits";

impl<'de> Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeafVisitor)
    }
}

struct LeafVisitor;

impl<'de> Visitor<'de> for LeafVisitor {
    type Value = Leaf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Leaf, E> {
        Ok(Leaf::Text(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Leaf, E> {
        Ok(Leaf::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Leaf, E> {
        Ok(i64::try_from(number).map_or(Leaf::Other(NUMBER_TOO_LARGE), Leaf::Integer))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Leaf, E> {
        Ok(Leaf::Other(NUMBER_TOO_LARGE))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Leaf, E> {
        Ok(Leaf::Other(NUMBER_TOO_LARGE))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Leaf, E> {
        Ok(Leaf::Other("a fraction"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Leaf, E> {
        Ok(Leaf::Other("a boolean"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Leaf, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Leaf::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Leaf, A::Error> {
        // The deserializer shows a date as a map, too.
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Leaf::Other("a table or a date"))
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backend")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Entry, E> {
        LeafVisitor.visit_str(text).map(Entry::Short)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Entry, E> {
        LeafVisitor.visit_i64(number).map(Entry::Short)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Entry, E> {
        LeafVisitor.visit_u64(number).map(Entry::Short)
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Entry, E> {
        LeafVisitor.visit_i128(number).map(Entry::Short)
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Entry, E> {
        LeafVisitor.visit_u128(number).map(Entry::Short)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Entry, E> {
        LeafVisitor.visit_f64(number).map(Entry::Short)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Entry, E> {
        LeafVisitor.visit_bool(value).map(Entry::Short)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Entry, A::Error> {
        LeafVisitor.visit_seq(items).map(Entry::Short)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Entry, A::Error> {
        // Serde's untagged enums would lose the spans inside and say no more than "no variant matched".
        Backend::deserialize(MapAccessDeserializer::new(entries)).map(Entry::Long)
    }
}
