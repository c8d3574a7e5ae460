//! The language of `proxy.toml`: every table, every key, its type, its default and an example.
//!
//! This is the one description. The shape check holds a file to it, the readers can ask for no key that is not in it, and
//! the JSON Schema and the tables of `docs/configuration.md` are written from it.

use std::time::Duration;

mod bounds;
mod file;
mod listener;
mod pool;
mod route;
mod test;
mod tls;

pub(super) use bounds::{LIMITS, TIMEOUTS};
pub(super) use file::{ACCESS_LOG, ADMIN, FILE, RECORDER};
pub(super) use listener::{HSTS, LISTENER, SHARE, SOCKET};
pub(super) use pool::{BACKEND, CHECK, ERROR_WORDS, HEALTH, POOL, RETRY_WORDS, STICKY_COOKIE};
pub(super) use route::{
    CLIENT_CERT, DOMAIN, FIELDS, MATCH, PREFIX, REDIRECT, REGEX, RESPOND, REWRITE_BACK, ROUTE, ROUTE_LIMITS,
    ROUTE_TIMEOUTS,
};
pub(super) use test::{EXPECT, TEST, TEST_CERT};
pub(super) use tls::{BACKEND_TLS, CERTIFICATE, TLS};

/// A table of the language.
#[derive(Debug)]
pub(super) struct Table {
    /// How it is written, such as `[[listener]]`.
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What holds without it, as the file would say it, or in words in parentheses.
    pub(super) default: &'static str,
    /// A value that it can have.
    pub(super) example: &'static str,
    pub(super) about: &'static str,
}

/// The type of a value.
#[derive(Debug)]
pub(super) enum Kind {
    /// Text, held to a form by the checks.
    Text,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A whole number between two bounds, both included.
    Number(u64, u64),
    /// A number of bytes, or text such as `"64KiB"`, between two bounds.
    Size(u64, u64),
    /// The same, or `"none"`.
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
    Table(&'static Table),
    /// A list of tables, each under a header of its own or in braces.
    Tables(&'static Table),
    /// A table whose keys are names that the file chooses, each with a table.
    NamedTables(&'static Table),
    /// A table whose keys are names that the file chooses, each with a value.
    Names(&'static Kind),
    /// One of these; told apart by the type that TOML gives the value.
    Either(&'static [Kind]),
}

/// Every table, in the order in which they are told.
pub(super) static TABLES: &[&Table] = &[
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

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    about: &'static str,
) -> Key {
    Key { name, kind, default, example, about }
}

/// The most of anything that is counted: about as many descriptors as Linux lets a process have (`fs.nr_open`).
const COUNT_MAX: u64 = 1_000_000;

const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const HALF_DAY: Duration = Duration::from_secs(12 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// For how long browsers keep a cookie at most (RFC 6265bis §5.5).
const COOKIE_AGE_MAX: Duration = Duration::from_secs(400 * DAY.as_secs());

/// For how long browsers may be told to come by TLS alone: the longest that common servers recommend is two years.
const HSTS_AGE_MAX: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());

const NONE: &str = "(none)";

const REQUIRED: &str = "(required)";
