//! The language of `proxy.toml`: one block per key.
//!
//! A block ([`Setting`]) holds a key's name, kind, default, example and text, and the field that holds its
//! value. Everything else walks the blocks: shape check, reading, printing, `plan`, the JSON Schema and the
//! documentation. A field of a plain type is `field!(name)`: its type says how it is read and printed
//! (`settings::Value`). A field with rules of its own names its reader, which returns a value or an error,
//! and its printer. A structural key has a block without a field, and a reader in `check/`: it holds tables of
//! their own, or is a default for those tables.

use std::time::Duration;

mod bounds;
mod condition;
mod file;
mod health;
mod listener;
mod pool;
mod route;
mod test;
mod tls;

use super::check::Site;
use super::read::Reader;
use super::report::{Findings, Reported};
use crate::snapshot::Mode;

pub(super) use bounds::{LIMITS, TIMEOUTS};
pub(super) use condition::{CLIENT_CERT, MATCH, REGEX};
pub(super) use file::{ACCESS_LOG, ADMIN, FILE, RECORDER, destination_alone};
pub(super) use health::{CHECK, ERROR_WORDS, HEALTH};
pub(super) use listener::{HSTS, LISTENER, SHARE, SOCKET};
pub(super) use pool::{BACKEND, POOL, RETRY_WORDS, STICKY_COOKIE};
pub(super) use route::{
    DOMAIN, FIELDS, PREFIX, REDIRECT, RESPOND, REWRITE_BACK, ROUTE, ROUTE_LIMITS, ROUTE_TIMEOUTS,
};
pub(super) use test::{EXPECT, TEST, TEST_CERT};
pub(super) use tls::{BACKEND_TLS, CERTIFICATE, TLS};

/// A table of the language, whose values are in a `T`.
pub(super) struct Table<T: 'static> {
    /// Its form, such as `[[listener]]`.
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Setting<T>],
}

/// A table, whatever holds its values.
pub(super) trait Described: Sync {
    fn title(&self) -> &'static str;
    fn about(&self) -> &'static str;
    fn key(&self, index: usize) -> Option<&'static Key>;
    /// Whether a field holds the value of that key.
    #[cfg(test)]
    fn has_field(&self, index: usize) -> bool;
}

impl<T> Described for Table<T> {
    fn title(&self) -> &'static str {
        self.title
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn key(&self, index: usize) -> Option<&'static Key> {
        self.keys.get(index).map(|setting| &setting.key)
    }

    #[cfg(test)]
    fn has_field(&self, index: usize) -> bool {
        self.keys[index].field.is_some()
    }
}

impl dyn Described {
    /// The keys, in the order of the documentation.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        (0..).map_while(|index| self.key(index))
    }

    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// The block of a key.
pub(super) struct Setting<T: 'static> {
    pub(super) key: Key,
    /// The field that holds its value; `None` if it is structural.
    pub(super) field: Option<Field<T>>,
}

impl<T> Setting<T> {
    /// Sets the field that holds its value.
    const fn at(self, field: Field<T>) -> Setting<T> {
        Setting { key: self.key, field: Some(field) }
    }

    /// Restricts it to where a backend answers.
    const fn for_backends(self) -> Setting<T> {
        Setting { key: Key { is_for_backends: true, ..self.key }, field: self.field }
    }

    /// Restricts it to one mode of a listener.
    const fn only(self, mode: Mode) -> Setting<T> {
        Setting { key: Key { only: Some(mode), ..self.key }, field: self.field }
    }
}

/// Puts the value of a key that is there into a `T`.
pub(super) type Read<T> =
    fn(&mut T, &'static Key, Reader<'_>, &mut Site<'_>, &mut Findings) -> Result<(), Reported>;

/// The field of a `T` that holds the value of a key. `field!` makes one.
pub(super) struct Field<T> {
    pub(super) read: Read<T>,
    /// The value as a file would say it; `None` where only a file without the key says it.
    pub(super) show: fn(&T, &Key) -> Option<String>,
    pub(super) differs: fn(&T, &T) -> bool,
}

/// The description of a key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The default, as the file would say it, or in words in parentheses.
    pub(super) default: &'static str,
    /// A value that it can have.
    pub(super) example: &'static str,
    pub(super) about: &'static str,
    /// The only mode of a listener in which it means something.
    pub(super) only: Option<Mode>,
    /// Whether it means something only where a backend answers.
    pub(super) is_for_backends: bool,
}

/// The type of a value.
pub(super) enum Kind {
    /// Text, held to a form by the checks.
    Text,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A whole number between two bounds, both included.
    Number(u64, u64),
    /// A number of bytes, or text such as `"64KiB"`, between two bounds.
    Size(u64, u64),
    /// A size, or `"none"`.
    SizeOrNone,
    /// A number with up to three decimals, between two bounds in thousandths.
    Fraction(u64, u64),
    /// A time such as `"2s"`, above zero. One that is longer than this is a warning.
    Time(Duration),
    /// `true` or `false`.
    Flag,
    /// A list.
    List(&'static Kind),
    /// A table.
    Table(&'static dyn Described),
    /// A list of tables, each under a header of its own or in braces.
    Tables(&'static dyn Described),
    /// A table whose keys are names that the file chooses, each with a table.
    NamedTables(&'static dyn Described),
    /// A table whose keys are names that the file chooses, each with a value.
    Names(&'static Kind),
    /// One of these; told apart by the type that TOML gives the value.
    Either(&'static [Kind]),
}

/// Every table, in the order in which they are told.
pub(super) static TABLES: &[&dyn Described] = &[
    &FILE,
    &ADMIN,
    &ACCESS_LOG,
    &LISTENER,
    &TLS,
    &CERTIFICATE,
    &SOCKET,
    &HSTS,
    &SHARE,
    &ROUTE,
    &MATCH,
    &CLIENT_CERT,
    &REGEX,
    &REDIRECT,
    &RESPOND,
    &PREFIX,
    &REWRITE_BACK,
    &DOMAIN,
    &FIELDS,
    &ROUTE_TIMEOUTS,
    &ROUTE_LIMITS,
    &POOL,
    &BACKEND,
    &BACKEND_TLS,
    &STICKY_COOKIE,
    &HEALTH,
    &CHECK,
    &TIMEOUTS,
    &LIMITS,
    &RECORDER,
    &TEST,
    &TEST_CERT,
    &EXPECT,
];

/// The block of a structural key.
const fn key<T>(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    about: &'static str,
) -> Setting<T> {
    Setting {
        key: Key { name, kind, default, example, about, only: None, is_for_backends: false },
        field: None,
    }
}

/// The most of anything that is counted: about as many descriptors as Linux lets a process have
/// (`fs.nr_open`).
const COUNT_MAX: u64 = 1_000_000;

const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const HALF_DAY: Duration = Duration::from_secs(12 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// For how long browsers keep a cookie at most (RFC 6265bis §5.5).
const COOKIE_AGE_MAX: Duration = Duration::from_secs(400 * DAY.as_secs());

/// For how long browsers may be told to come by TLS alone: the longest that common servers recommend is two
/// years.
const HSTS_AGE_MAX: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());

pub(super) const NONE: &str = "(none)";

const REQUIRED: &str = "(required)";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The titles of `is` and of every table in it.
    fn titles(is: &'static dyn Described, found: &mut BTreeSet<&'static str>) {
        if found.insert(is.title()) {
            is.keys().for_each(|key| inside(&key.kind, found));
        }
    }

    fn inside(kind: &'static Kind, found: &mut BTreeSet<&'static str>) {
        match kind {
            Kind::Table(is) | Kind::Tables(is) | Kind::NamedTables(is) => titles(*is, found),
            Kind::List(kind) | Kind::Names(kind) => inside(kind, found),
            Kind::Either(kinds) => kinds.iter().for_each(|kind| inside(kind, found)),
            Kind::Text
            | Kind::Word(_)
            | Kind::Number(..)
            | Kind::Size(..)
            | Kind::SizeOrNone
            | Kind::Fraction(..)
            | Kind::Time(_)
            | Kind::Flag => {}
        }
    }

    /// These hold tables of their own, or are defaults for the backends of pools.
    #[test]
    fn few_keys_are_structural() {
        let mut found = Vec::new();
        for table in TABLES {
            let structural = table.keys().enumerate().filter(|(index, _)| !table.has_field(*index));
            found.extend(structural.map(|(_, key)| format!("{} {}", table.title(), key.name)));
        }
        let expected = [
            "proxy.toml include",
            "proxy.toml resolver",
            "proxy.toml listener",
            "proxy.toml pool",
            "proxy.toml test",
            "proxy.toml timeouts",
            "proxy.toml limits",
            "proxy.toml recorder",
            "[[listener]] route",
            "[pool.NAME] max_requests",
            "[pool.NAME] max_connections",
            "[pool.NAME] backends",
        ];
        assert_eq!(found, expected);
    }

    /// Tests and documentation go over [`TABLES`], so that none may be missing there.
    #[test]
    fn every_table_is_listed_once() {
        let mut found = BTreeSet::new();
        titles(&FILE, &mut found);
        let listed: Vec<&str> = TABLES.iter().map(|is| is.title()).collect();
        assert_eq!(found, listed.iter().copied().collect());
        assert_eq!(found.len(), listed.len());
    }
}
