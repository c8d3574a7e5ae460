//! Walks the blocks of `language/`: fills the checked configuration from a file, prints it, and compares two.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::check::Site;
use super::doc::Entry;
use super::language::{Key, Kind, Table};
use super::print::words;
use super::read::Reader;
use super::report::{Findings, Reported};
use super::value::{show_size, show_thousandths};
use crate::balance::health::Start;
use crate::route::{AmbiguousPaths, Destinations, Retry, Template};
use crate::snapshot::{
    AdminState, Announcing, BackendProtocol, Balance, ClientAuth, ClientClose, ExpectContinue, ExpiredCrl,
    Forwarding, Interims, IpFamily, MinVersion, Mode, NO_ADDRESS, ProxyStatus, RequestIds, SameSite, Secret,
    Traces, UnknownNames, Verify,
};
use crate::syntax::target::Targets;

/// A value that can be printed.
pub(super) trait Show {
    /// The value as a file would say it; `None` where only a file without the key says it.
    fn show(&self, key: &Key) -> Option<String>;
}

/// A value that is read by no more rules than the kind of its key.
pub(super) trait Value: Show + Sized {
    /// The value of a key that is there. If it cannot be taken, the shape check has reported it or [`Reader`]
    /// marks it as misread: in both cases the file is not run.
    fn take(key: &Key, table: Reader<'_>) -> Option<Self>;
}

/// The [`Field`](super::language::Field) at a path such as `socket.v6only`. Its type is a [`Value`], or a
/// reader is named that returns a value or an error for a key that is there. Its type implements [`Show`], or
/// a printer is named.
macro_rules! field {
    ($($part:ident).+) => {
        $crate::config::language::Field {
            read: |of, key, table, _, _| {
                if let Some(value) = $crate::config::settings::Value::take(key, table) {
                    of.$($part).+ = value;
                }
                Ok(())
            },
            show: |of, key| $crate::config::settings::Show::show(&of.$($part).+, key),
            differs: |a, b| a.$($part).+ != b.$($part).+,
        }
    };
    ($($part:ident).+, |$table:pat_param, $site:pat_param, $findings:pat_param| $read:expr) => {
        $crate::config::language::Field {
            read: |of, _, $table, $site, $findings| {
                of.$($part).+ = $read?;
                Ok(())
            },
            show: |of, key| $crate::config::settings::Show::show(&of.$($part).+, key),
            differs: |a, b| a.$($part).+ != b.$($part).+,
        }
    };
    (
        $($part:ident).+,
        |$table:pat_param, $site:pat_param, $findings:pat_param| $read:expr,
        |$value:pat_param| $show:expr
    ) => {
        $crate::config::language::Field {
            read: |of, _, $table, $site, $findings| {
                of.$($part).+ = $read?;
                Ok(())
            },
            show: |of, _| {
                let $value = &of.$($part).+;
                $show
            },
            differs: |a, b| a.$($part).+ != b.$($part).+,
        }
    };
}
pub(super) use field;

/// A [`Field`](super::language::Field) of a part that can be missing, such as the key of a hash. If it is
/// missing, `$warn` reports that the key changes nothing.
macro_rules! field_in {
    ($outer:ident as $has:path, $part:ident, $warn:path) => {
        $crate::config::language::Field {
            read: |of, key, table, _, findings| {
                if let $has(part) = &mut of.$outer {
                    if let Some(value) = $crate::config::settings::Value::take(key, table) {
                        part.$part = value;
                    }
                } else {
                    $warn(table, key.name, findings);
                }
                Ok(())
            },
            ..field_in!($outer as $has, $part)
        }
    };
    ($outer:ident as $has:path, $part:ident, $warn:path, $read:path) => {
        $crate::config::language::Field {
            read: |of, key, table, _, findings| {
                if let $has(part) = &mut of.$outer {
                    part.$part = $read(table, findings)?;
                } else {
                    $warn(table, key.name, findings);
                }
                Ok(())
            },
            ..field_in!($outer as $has, $part)
        }
    };
    ($outer:ident as $has:path, $part:ident) => {
        $crate::config::language::Field {
            read: $crate::config::settings::elsewhere,
            show: |of, key| {
                if let $has(part) = &of.$outer {
                    $crate::config::settings::Show::show(&part.$part, key)
                } else {
                    None
                }
            },
            differs: |a, b| {
                if let ($has(a), $has(b)) = (&a.$outer, &b.$outer) { a.$part != b.$part } else { false }
            },
        }
    };
}
pub(super) use field_in;

/// The [`Field`](super::language::Field) of a key that the reader of its table reads together with other
/// keys.
macro_rules! shown {
    ($part:ident) => {
        shown!($part, |value, key| $crate::config::settings::Show::show(value, key))
    };
    ($part:ident, |$value:pat_param| $show:expr) => {
        shown!($part, |$value, _| $show)
    };
    ($part:ident, |$value:pat_param, $key:pat_param| $show:expr) => {
        $crate::config::language::Field {
            read: $crate::config::settings::elsewhere,
            show: |of, $key| {
                let $value = &of.$part;
                $show
            },
            differs: |a, b| a.$part != b.$part,
        }
    };
}
pub(super) use shown;

/// For a key that the reader of its table reads, together with other keys.
pub(super) fn elsewhere<T>(
    _: &mut T,
    _: &'static Key,
    _: Reader<'_>,
    _: &mut Site<'_>,
    _: &mut Findings,
) -> Result<(), Reported> {
    Ok(())
}

/// Puts the value of each key of `table` into `of`. It reads every key, so that one mistake does not hide
/// another.
pub(super) fn read<T>(
    is: &'static Table<T>,
    table: Reader<'_>,
    of: &mut T,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<(), Reported> {
    let mut all = Ok(());
    for setting in is.keys {
        if let Some(field) = setting.field.as_ref().filter(|_| table.has(setting.key.name)) {
            all = (field.read)(of, &setting.key, table, site, findings).and(all);
        }
    }
    all
}

/// The keys and values of `of`, as a file would say them.
pub(super) fn pairs<T>(is: &'static Table<T>, of: &T) -> impl Iterator<Item = (&'static Key, String)> {
    let pair = |setting: &'static super::language::Setting<T>| {
        let value = (setting.field.as_ref()?.show)(of, &setting.key)?;
        Some((&setting.key, value))
    };
    is.keys.iter().filter_map(pair)
}

/// Prints the keys and values as lines.
pub(super) fn print_lines<T>(out: &mut String, is: &'static Table<T>, of: &T) {
    for (key, value) in pairs(is, of) {
        words::line(out, key.name, &value);
    }
}

/// The keys and values in braces.
pub(super) fn print_inline<T>(is: &'static Table<T>, of: &T) -> String {
    words::table(pairs(is, of).map(|(key, value)| (key.name.to_owned(), value)))
}

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) key: &'static str,
    /// The value before, as a file would say it; `None` where only a file without the key says it.
    pub(crate) was: Option<String>,
    pub(crate) is: Option<String>,
}

/// The keys whose values differ.
pub(super) fn differing<T>(is: &'static Table<T>, before: &T, after: &T) -> Vec<Difference> {
    let difference = |setting: &'static super::language::Setting<T>| {
        let field = setting.field.as_ref().filter(|field| (field.differs)(before, after))?;
        let show = |of| (field.show)(of, &setting.key);
        Some(Difference { key: setting.key.name, was: show(before), is: show(after) })
    };
    is.keys.iter().filter_map(difference).collect()
}

/// Numbers: of things, of bytes or of thousandths, as the kind of the key has it.
macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
                let found = match key.kind {
                    Kind::Size(..) => table.size(key.name),
                    Kind::Fraction(..) => table.thousandths(key.name),
                    _ => table.number(key.name),
                };
                found.map(|(number, _)| number)
            }
        }

        impl Show for $number {
            fn show(&self, key: &Key) -> Option<String> {
                let number = u64::try_from(*self).unwrap_or(u64::MAX);
                Some(match key.kind {
                    Kind::Size(..) => words::text(&show_size(number)),
                    Kind::Fraction(..) => show_thousandths(number),
                    _ => number.to_string(),
                })
            }
        }
    )*};
}
numbers!(u8, u16, u32, usize);

impl Value for Duration {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.time(key.name).map(|(time, _)| time)
    }
}

/// A time of zero stands for none: that in a file is above zero.
impl Show for Duration {
    fn show(&self, _: &Key) -> Option<String> {
        (!self.is_zero()).then(|| words::time(*self))
    }
}

impl Value for bool {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.flag(key.name)
    }
}

impl Show for bool {
    fn show(&self, _: &Key) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.text(key.name).map(|(text, _)| text.to_owned())
    }
}

impl Show for String {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::text(self))
    }
}

impl<V: Value> Value for Option<V> {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        V::take(key, table).map(Some)
    }
}

impl<V: Show> Show for Option<V> {
    fn show(&self, key: &Key) -> Option<String> {
        self.as_ref().and_then(|value| value.show(key))
    }
}

/// A bound in bytes that may be `"none"`.
impl Value for Option<u64> {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.size_or_none(key.name).map(|(bytes, _)| bytes)
    }
}

impl Show for Option<u64> {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::body(*self))
    }
}

/// Enums, by their words.
macro_rules! words {
    ($($of:ty: [$($is:ident),+]),+ $(,)?) => {$(
        impl Value for $of {
            fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
                let (found, _) = table.text(key.name)?;
                [$(<$of>::$is),+].into_iter().find(|it| it.as_str() == found)
            }
        }

        impl Show for $of {
            fn show(&self, _: &Key) -> Option<String> {
                Some(words::text(self.as_str()))
            }
        }
    )+};
}
words! {
    AmbiguousPaths: [Refuse, Pass],
    Announcing: [Never, Optional, Required],
    ClientClose: [Abort, Finish],
    Destinations: [Own, Always, Pass],
    AdminState: [Ready, Drain, Down],
    BackendProtocol: [Auto, Http1, Http2],
    ExpectContinue: [Pass, Answer],
    IpFamily: [Any, V4, V6],
    ExpiredCrl: [Refuse, Accept],
    Forwarding: [XForwarded, Forwarded],
    Interims: [Continue, All],
    MinVersion: [Tls12, Tls13],
    Mode: [Http, Tcp],
    ProxyStatus: [Own, All, Off],
    RequestIds: [Backend, Both, Off],
    Retry: [Safe, Unsent, Off],
    SameSite: [Lax, Strict, None],
    Start: [Up, Down, CheckFirst],
    Targets: [Strict, Lenient],
    Traces: [Pass, Start],
    UnknownNames: [Default, Refuse],
    Verify: [Full, Off],
}

impl Show for ClientAuth {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::text(self.as_str()))
    }
}

impl Show for PathBuf {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::text(&self.to_string_lossy()))
    }
}

impl Value for Vec<String> {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.list(key.name).iter().map(|item| item.text().map(str::to_owned)).collect()
    }
}

/// A table whose keys are names that the file chooses, each with a text.
impl Value for Vec<(String, String)> {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        let pair = |entry: &Entry| Some((entry.key.clone(), entry.node.text()?.to_owned()));
        table.names(key.name).iter().map(pair).collect()
    }
}

impl Show for Vec<(String, String)> {
    fn show(&self, _: &Key) -> Option<String> {
        let pairs = self.iter().map(|(name, value)| (words::quoted_key(name), words::text(value)));
        (!self.is_empty()).then(|| words::table(pairs))
    }
}

impl Show for Vec<String> {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::texts(self))
    }
}

impl Show for Balance {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::text(self.as_str()))
    }
}

impl Show for Secret {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::text(&self.0))
    }
}

impl Show for Template {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::text(&self.to_string()))
    }
}

/// Statuses, one by one or as ranges.
impl Show for Vec<(u16, u16)> {
    fn show(&self, _: &Key) -> Option<String> {
        Some(words::list(self.iter().map(words::range)))
    }
}

/// Networks; that of Unix sockets has a word.
impl Show for Vec<IpNet> {
    fn show(&self, _: &Key) -> Option<String> {
        let unix = IpNet::from(NO_ADDRESS.ip());
        let network =
            |it: &IpNet| words::text(&if *it == unix { String::from("unix") } else { it.to_string() });
        Some(words::list(self.iter().map(network)))
    }
}

impl Show for Vec<SocketAddr> {
    fn show(&self, _: &Key) -> Option<String> {
        (!self.is_empty()).then(|| words::list(self.iter().map(|address| words::text(&address.to_string()))))
    }
}
