//! Names: their form, and that none stands for two.

use std::collections::HashMap;
use std::hash::Hash;

use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::quote::{quote, quote_list};
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::suggest::closest;

/// The longest name, in bytes.
pub(super) const NAME_LEN_MAX: usize = 64;

/// The longest name of a backend, in bytes: a host with its port, and an address behind it, fit.
const BACKEND_NAME_LEN_MAX: usize = 400;

/// The first place of each of some things.
#[derive(Debug)]
pub(super) struct Seen<K>(HashMap<K, Place>);

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Seen(HashMap::new())
    }
}

impl<K: Eq + Hash> Seen<K> {
    /// Where `key` was seen before, if it was; otherwise it is noted as seen at `place`.
    pub(super) fn first(&mut self, key: K, place: Place) -> Option<Place> {
        match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => Some(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(place);
                None
            }
        }
    }
}

/// Checks a name that is for people: short, and without characters that could move the cursor.
pub(super) fn check_plain(what: &str, name: &str, place: Place, findings: &mut Findings) -> bool {
    let Some(problem) = problem(what, name) else { return true };
    let most = len_max(what);
    findings.push(
        Diagnostic::new(Code::BadName, format!("the name of the {what} {problem}"))
            .mark(place, format!("expected 1 to {most} bytes without control characters"))
            .help("the name is for the logs: write a short word, such as `name = \"web\"`"),
    );
    false
}

fn len_max(what: &str) -> usize {
    if what == "backend" { BACKEND_NAME_LEN_MAX } else { NAME_LEN_MAX }
}

/// The reason why `name` is refused, if it is.
fn problem(what: &str, name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > len_max(what) {
        Some("is too long")
    } else {
        name.chars().any(char::is_control).then_some("has a control character")
    }
}

/// Whether the block of the key takes `name`.
pub(super) fn is_plain(what: &str, name: &str) -> bool {
    problem(what, name).is_none()
}

/// `name`, which is for people.
pub(in crate::config) fn plain(
    table: Reader<'_>,
    what: &str,
    findings: &mut Findings,
) -> Result<String, Reported> {
    let Some((name, place)) = table.text("name") else { return Err(findings.given_up(table.place())) };
    if check_plain(what, name, place, findings) { Ok(name.to_owned()) } else { Err(findings.given_up(place)) }
}

/// Two things of the same kind with the same name.
pub(super) fn twice(what: &str, name: &str, second: (Place, &str), first: Place) -> Diagnostic {
    Diagnostic::new(Code::DuplicateName, format!("two {what} have the name {}", quote(name)))
        .mark(second.0, second.1)
        .mark(first, "first here")
        .help("give one of the two another `name`")
}

/// A name for which there is nothing.
pub(super) fn unknown(code: Code, what: &str, written: &str, place: Place, names: &[&str]) -> Diagnostic {
    let known = quote_list(names.iter().copied());
    let help = match closest(written, names.iter().copied()) {
        Some(near) => format!("did you mean {}? the {what}s are {known}", quote(near)),
        None if names.is_empty() => format!("there is no {what}"),
        None => format!("the {what}s are {known}"),
    };
    Diagnostic::new(code, format!("unknown {what} {}", quote(written)))
        .mark(place, format!("no such {what}"))
        .help(help)
}
