//! `pollux changes`: what an operator has changed while Pollux runs, as a diff of the files that would have
//! said the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pollux::config;
use pollux::control::Command;
use serde::Deserialize;
use similar::TextDiff;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::args::CallArgs;
use super::call::{call, tell};
use super::{Failure, say};

/// Lines around a change that a diff shows.
const AROUND: usize = 3;

/// As much of a status as is needed.
#[derive(Deserialize)]
struct StatusPart {
    configuration: Configuration,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Configuration {
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Change {
    /// As `pool/backend`.
    backend: String,
    /// The key.
    what: String,
    value: String,
    by: String,
}

/// A file of the configuration, as it is and as it would be.
struct File {
    path: PathBuf,
    before: String,
    document: DocumentMut,
}

/// `pollux changes`.
pub(super) fn changes(args: &CallArgs) -> Result<ExitCode, Failure> {
    let reply = call(args.socket(), Command::Status)?;
    if reply.exit != 0 {
        return Ok(tell(&reply));
    }
    let told: StatusPart = serde_json::from_value(reply.data)
        .map_err(|error| Failure::failed(format!("that Pollux tells of itself in another way: {error}")))?;
    if told.changes.is_empty() {
        say("# nothing was changed while running");
        return Ok(ExitCode::SUCCESS);
    }
    let mut files = told.configuration.file.as_deref().map_or_else(|| Ok(Vec::new()), read_all)?;
    let mut notes = Vec::new();
    for change in &told.changes {
        let note = format!("# {}: {} {}, by {}", change.backend, change.what, change.value, change.by);
        let is_written = files.iter_mut().any(|file| write(&mut file.document, change));
        let why = if is_written {
            ""
        } else {
            ": no file says anything of this backend, so this cannot be put into one"
        };
        notes.push(note + why);
    }
    say(&notes.join("\n"));
    for file in files {
        let diff = file.diff();
        // A line of it may be a blank: nothing is taken off its end but what `say` adds.
        if !diff.is_empty() {
            say(diff.strip_suffix('\n').unwrap_or(&diff));
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl File {
    /// The diff that makes it what it would be, for `patch -p1 -d /`; empty if it stays as it is.
    fn diff(&self) -> String {
        let after = self.document.to_string();
        if after == self.before {
            return String::new();
        }
        // patch takes the name up to a tab, and a blank for its end where there is none.
        let name = format!("{}\t", self.path.display());
        TextDiff::from_lines(&self.before, &after)
            .unified_diff()
            .context_radius(AROUND)
            .header(&format!("a{name}"), &format!("b{name}"))
            .to_string()
    }
}

/// The file and those that it includes.
fn read_all(path: &Path) -> Result<Vec<File>, Failure> {
    let files = config::files(path).map_err(|report| Failure::usage(super::settings::show(&report)))?;
    files.iter().map(|path| read(path)).collect()
}

/// A file by its own name: patch changes none through a link, and none whose name has `..` in it.
fn read(path: &Path) -> Result<File, Failure> {
    let fail = |why: String| Failure::failed(format!("cannot read {}: {why}", path.display()));
    let path = fs::canonicalize(path).map_err(|error| fail(error.to_string()))?;
    let before = fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    let document = before.parse().map_err(|error: toml_edit::TomlError| fail(error.to_string()))?;
    Ok(File { path, before, document })
}

/// Puts the change into the document, if that says something of the backend.
fn write(document: &mut DocumentMut, change: &Change) -> bool {
    let Some((pool, backend)) = change.backend.split_once('/') else { return false };
    let backends = entry(document.as_item_mut(), "pool").and_then(|pools| entry(pools, pool));
    let backends = backends.and_then(|pool| entry(pool, "backends"));
    match backends {
        Some(Item::Value(Value::Array(array))) => write_in_array(array, backend, change),
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter_mut().any(|table| write_in_table(table, backend, change))
        }
        Some(Item::None | Item::Value(_) | Item::Table(_)) | None => false,
    }
}

/// The entry of a table, if there is one. `Item::get_mut` would make one where there is none.
fn entry<'a>(item: &'a mut Item, key: &str) -> Option<&'a mut Item> {
    item.as_table_like_mut()?.get_mut(key)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and more may come")]
fn write_in_array(array: &mut Array, backend: &str, change: &Change) -> bool {
    array.iter_mut().any(|item| match item {
        Value::InlineTable(table) if is_called(table.get("name"), table.get("address"), backend) => {
            table.insert(&change.what, value(change));
            table.fmt();
            true
        }
        Value::String(address) if config::expanded(address.value()) == backend => {
            let mut table = InlineTable::new();
            table.insert("address", Value::from(address.value()));
            table.insert(&change.what, value(change));
            // Text around it, such as a comment or the end of the line before, stays.
            let mut table = Value::InlineTable(table);
            *table.decor_mut() = item.decor().clone();
            *item = table;
            true
        }
        _ => false,
    })
}

fn write_in_table(table: &mut Table, backend: &str, change: &Change) -> bool {
    let text = |key: &str| table.get(key).and_then(Item::as_value);
    let is_meant = is_called(text("name"), text("address"), backend);
    if is_meant {
        table.insert(&change.what, Item::Value(value(change)));
    }
    is_meant
}

/// Whether a backend with that name, or else that address, is called `backend`.
fn is_called(name: Option<&Value>, address: Option<&Value>, backend: &str) -> bool {
    name.or(address).and_then(Value::as_str).is_some_and(|text| config::expanded(text) == backend)
}

fn value(change: &Change) -> Value {
    change.value.parse::<i64>().map_or_else(|_| Value::from(change.value.as_str()), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, backend: &str, what: &str, value: &str) -> Option<String> {
        let mut document: DocumentMut = text.parse().unwrap();
        let [backend, what, value] = [backend, what, value].map(str::to_owned);
        let change = Change { backend, what, value, by: String::from("a test") };
        write(&mut document, &change).then(|| document.to_string())
    }

    #[test]
    fn what_was_changed_is_put_where_the_file_speaks_of_the_backend() {
        let text = "[pool.app]\nbackends = [\n    \"127.0.0.1:1\", # the first\n    { name = \"b2\", address = \"127.0.0.1:2\", weight = 2 },\n]\n";
        assert_eq!(
            written(text, "app/127.0.0.1:1", "state", "drain").unwrap(),
            text.replace("\"127.0.0.1:1\"", "{ address = \"127.0.0.1:1\", state = \"drain\" }")
        );
        assert_eq!(written(text, "app/b2", "weight", "5").unwrap(), text.replace("weight = 2", "weight = 5"));
        let tables = "[[pool.app.backends]]\nname = \"b1\"\naddress = \"127.0.0.1:1\"\n";
        assert_eq!(written(tables, "app/b1", "weight", "0").unwrap(), format!("{tables}weight = 0\n"));
        for backend in ["app/b3", "other/b2", "app/127.0.0.1:2"] {
            assert_eq!(written(text, backend, "state", "down"), None);
        }
        // Nor is a pool made in a file that has it not.
        let mut document: DocumentMut = text.parse().unwrap();
        let [backend, what, value] = ["other/b2", "state", "down"].map(str::to_owned);
        assert!(!write(&mut document, &Change { backend, what, value, by: String::new() }));
        assert_eq!(document.to_string(), text);
    }
}
