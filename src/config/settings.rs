//! Walks the blocks of `language/`: fills the checked configuration from a file, prints it, and compares two.

use std::time::Duration;

use super::check::Site;
use super::language::{Key, Kind, Table};
use super::print::words;
use super::read::Reader;
use super::report::{Findings, Told};
use super::value::{show_size, show_thousandths};

/// The type of a field.
pub(super) trait Value: PartialEq + Sized {
    /// The value of a key that is there; `None` if it cannot be taken, of which the shape check or [`Reader`] takes note.
    fn take(key: &Key, table: Reader<'_>) -> Option<Self>;

    /// The value as a file would say it; `None` where only a file without the key says it.
    fn show(&self, key: &Key) -> Option<String>;
}

/// The [`Field`](super::language::Field) at a path such as `tls.alpn`. Its type is a [`Value`], or it comes with a reader, which
/// gives a value or an error for a key that is there, and with a printer.
macro_rules! field {
    ($($part:ident).+) => {
        $crate::config::language::Field {
            read: |of, key, table, _, findings| {
                of.$($part).+ = $crate::config::settings::take(key, table, findings)?;
                Ok(())
            },
            show: |of, key| $crate::config::settings::Value::show(&of.$($part).+, key),
            differs: |a, b| a.$($part).+ != b.$($part).+,
        }
    };
    ($($part:ident).+, $read:expr, $show:expr) => {
        $crate::config::language::Field {
            read: |of, _, table, site, findings| {
                of.$($part).+ = ($read)(table, site, findings)?;
                Ok(())
            },
            show: |of, _| ($show)(&of.$($part).+),
            differs: |a, b| a.$($part).+ != b.$($part).+,
        }
    };
}
pub(super) use field;

/// The value of a key that is there.
pub(super) fn take<V: Value>(key: &Key, table: Reader<'_>, findings: &mut Findings) -> Result<V, Told> {
    V::take(key, table).ok_or_else(|| {
        let place = table.entry(key.name).map_or(table.place(), |entry| entry.node.place);
        findings.given_up(place)
    })
}

/// Puts the value of each key that `table` has into `of`. Every key is read, so that one mistake does not hide another.
pub(super) fn read<T>(
    is: &'static Table<T>,
    table: Reader<'_>,
    of: &mut T,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<(), Told> {
    let mut all = Ok(());
    for setting in is.keys {
        if let Some(field) = setting.field.as_ref().filter(|_| table.has(setting.key.name)) {
            all = (field.read)(of, &setting.key, table, site, findings).and(all);
        }
    }
    all
}

/// The keys and values of `of`, as a file would say them.
pub(super) fn pairs<T>(is: &'static Table<T>, of: &T) -> impl Iterator<Item = (&'static str, String)> {
    let pair = |setting: &'static super::language::Setting<T>| {
        let value = (setting.field.as_ref()?.show)(of, &setting.key)?;
        Some((setting.key.name, value))
    };
    is.keys.iter().filter_map(pair)
}

/// The same as lines.
pub(super) fn print_lines<T>(out: &mut String, is: &'static Table<T>, of: &T) {
    for (key, value) in pairs(is, of) {
        words::line(out, key, &value);
    }
}

/// The same in braces.
pub(super) fn print_inline<T>(is: &'static Table<T>, of: &T) -> String {
    words::table(pairs(is, of).map(|(key, value)| (key.to_owned(), value)))
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

/// A time of zero stands for none: that in a file is above zero.
impl Value for Duration {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.time(key.name).map(|(time, _)| time)
    }

    fn show(&self, _: &Key) -> Option<String> {
        (!self.is_zero()).then(|| words::time(*self))
    }
}

impl Value for bool {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.flag(key.name)
    }

    fn show(&self, _: &Key) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.text(key.name).map(|(text, _)| text.to_owned())
    }

    fn show(&self, _: &Key) -> Option<String> {
        Some(words::text(self))
    }
}

/// A bound in bytes that may be `"none"`.
impl Value for Option<u64> {
    fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
        table.size_or_none(key.name).map(|(bytes, _)| bytes)
    }

    fn show(&self, _: &Key) -> Option<String> {
        Some(words::body(*self))
    }
}

/// Values that a file can leave out.
macro_rules! optional {
    ($($of:ty),*) => {$(
        impl Value for Option<$of> {
            fn take(key: &Key, table: Reader<'_>) -> Option<Self> {
                <$of>::take(key, table).map(Some)
            }

            fn show(&self, key: &Key) -> Option<String> {
                self.as_ref().and_then(|value| value.show(key))
            }
        }
    )*};
}
optional!(u16, u32, usize, Duration, String);
