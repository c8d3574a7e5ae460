//! `proxy.toml`, from text to a [`Snapshot`].
//!
//! A file passes through two shapes. The raw one (`raw.rs`) is what TOML can say: tables, keys, and leaves that remember
//! where they stand. [`Snapshot`] is what Pollux can run. Between them lie the checks (`check/`), which find every mistake
//! in one run and say for each where it is, what was expected and how to mend it. A mistake in the TOML itself, or a key that
//! does not exist, ends the reading before the checks begin, because nothing certain is known about the rest of the file.
//!
//! Host names are resolved here and nowhere else. No input makes this room panic.

mod check;
mod excerpt;
mod quote;
mod raw;
mod report;
mod shape;
mod suggest;
pub mod value;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::snapshot::Snapshot;

use report::{Diagnostic, Findings};
pub use report::{ERRORS_MAX, Report};
use value::Resolve;

/// The largest file that is read, in bytes.
pub const FILE_LEN_MAX: usize = 1024 * 1024;

/// The most worker threads that `threads` may ask for.
pub const THREADS_MAX: usize = 1024;

/// A file that has been read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the workers run on.
    pub snapshot: Snapshot,
    /// How many worker threads to start, 1 to [`THREADS_MAX`]; `None` when the file leaves it open.
    pub threads: Option<usize>,
}

/// Reads and checks the file at `path`, and resolves the host names in it.
///
/// # Errors
///
/// When the file cannot be read, is longer than [`FILE_LEN_MAX`], is not UTF-8, or fails a check.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let origin = path.display().to_string();
    let bytes = read(path).map_err(|error| {
        let message = format!("cannot read the configuration: {error}");
        let help = "name an existing file that this user may read";
        Report::one(&origin, "", Diagnostic::new(message).help(help))
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, &origin),
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            // Every byte before `start` is kept as it is, so the offset holds in the lossy text too.
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let found = Diagnostic::new("the file is not UTF-8 text")
                .mark(start..start + 1, "this byte belongs to no character")
                .help("save the file as UTF-8");
            Err(Report::one(&origin, &text, found))
        }
    }
}

/// Checks `text` and resolves the host names in it; `origin` is the file name that errors show.
///
/// # Errors
///
/// When `text` is longer than [`FILE_LEN_MAX`], is not TOML, has an unknown key, or fails a check.
pub fn parse(text: &str, origin: &str) -> Result<Loaded, Report> {
    parse_with(text, origin, &mut value::resolve)
}

/// Like [`parse`], with host names looked up by `resolve`, so that a test or a fuzzer needs no network.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_with(text: &str, origin: &str, resolve: &mut Resolve<'_>) -> Result<Loaded, Report> {
    if text.len() > FILE_LEN_MAX {
        let found = Diagnostic::new(format!("the file is longer than {FILE_LEN_MAX} bytes"))
            .help("a configuration is far smaller: is this the right file?");
        return Err(Report::one(origin, "", found));
    }
    let raw: raw::File =
        toml::from_str(text).map_err(|error| Report::one(origin, text, shape::explain(text, &error)))?;
    let mut findings = Findings::default();
    let loaded = check::file(&raw, resolve, &mut findings);
    findings.finish(loaded, origin, text)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to know that the file is too long.
    File::open(path)?.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_LEN_MAX {
        // The cut may run through a character; the message about the length is the one that helps.
        return Err(std::io::Error::other(format!("it is longer than {FILE_LEN_MAX} bytes")));
    }
    Ok(bytes)
}
