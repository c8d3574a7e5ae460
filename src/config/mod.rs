//! `proxy.toml`, from text to a [`Snapshot`].
//!
//! A file passes through two shapes. The first is what TOML can say: a tree of values that remember where
//! they stand (`doc.rs`), held to the description of the language (`language`, `shape.rs`). [`Snapshot`] is
//! what Pollux can run. Between them lie the checks (`check/`). Every mistake is found in one run, in the
//! TOML itself, in the shape and in the meaning; each is told with a code, its place and the way to mend it.
//!
//! Host names, environment variables and files are asked for here, through [`World`], and nowhere else. No
//! input makes this room panic.

mod check;
mod code;
pub(crate) mod compare;
mod doc;
mod environment;
mod excerpt;
mod forms;
mod include;
mod language;
mod lookups;
mod print;
mod read;
mod reference;
mod report;
mod schema;
mod settings;
mod shape;
mod syntax;
mod veil;
mod world;

use std::path::{Path, PathBuf};

use crate::access;
use crate::admin::Admin;
use crate::discovery::Answers;
use crate::explain::Trial;
use crate::snapshot::Snapshot;
use crate::tls::Handles;

pub use crate::snapshot::SourcePlaces;
pub use code::{Code, Severity};
use excerpt::{Place, Source};
pub use lookups::AtOnce;
pub use print::{Written, print, print_as_written};
pub use reference::{Example, commented, examples, reference};
pub use report::{ConfigReport, ERRORS_MAX};
use report::{Diagnostic, Findings, Text};
pub use schema::schema;

pub use crate::value;
use crate::value::{quote, suggest};
use value::Resolve;
pub use world::{Machine, World};

/// The largest file that is read, in bytes.
pub const FILE_LEN_MAX: usize = 1024 * 1024;

/// The most worker threads that `threads` may ask for.
pub const THREADS_MAX: usize = 1024;

/// A configuration that has been read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration of the workers.
    pub snapshot: Snapshot,
    /// The TLS objects that its rules need.
    pub tls: Handles,
    /// The settings of the process.
    pub process: ProcessSettings,
    /// The answers from which the backends of pools were made.
    pub answers: Answers,
    /// The tests that it brings along.
    pub tests: Vec<Trial>,
    /// The places of its parts in the files.
    pub places: SourcePlaces,
    /// Its texts with the names of environment variables.
    pub written: Written,
    /// Warnings: it can be run, but is probably not meant.
    pub warnings: Option<ConfigReport>,
}

/// The settings of the process in a file. A flag on the command line wins over each of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The number of worker threads to start, 1 to [`THREADS_MAX`]; `None` when the file leaves it open.
    pub threads: Option<usize>,
    /// Where the control socket is opened, if there is to be one.
    pub control: Option<PathBuf>,
    /// The rules for the line of each exchange; `None` when the file leaves it open.
    pub access_log: Option<access::AccessLogRules>,
    /// Where the admin address is, if there is to be one.
    pub admin: Option<Admin>,
}

fn sources(texts: &[Text]) -> Vec<Source<'_>> {
    texts.iter().map(|text| Source::new(&text.origin, &text.text)).collect()
}

/// A place as `file:line`.
fn show(place: Place, sources: &[Source<'_>]) -> String {
    sources.get(usize::from(place.file)).map_or_else(String::new, |source| {
        format!("{}:{}", source.origin, source.line_and_column(place.start as usize).0)
    })
}

/// The tests, each with its place.
fn place_trials(trials: &[(Trial, Place)], texts: &[Text]) -> Vec<Trial> {
    let sources = sources(texts);
    trials.iter().map(|(trial, place)| Trial { place: show(*place, &sources), ..trial.clone() }).collect()
}

/// The places of listeners and routes, each as `file:line`.
fn show_places(places: &[(Place, Vec<Place>)], texts: &[Text]) -> SourcePlaces {
    let sources = sources(texts);
    let show = |place: &Place| show(*place, &sources);
    let listener = |(place, routes): &(Place, Vec<Place>)| (show(place), routes.iter().map(show).collect());
    SourcePlaces { listeners: places.iter().map(listener).collect() }
}

/// Reads and checks the file at `path` and those that it includes, and resolves the host names in them.
///
/// # Errors
///
/// When a file cannot be read, is longer than [`FILE_LEN_MAX`], is not UTF-8, or fails a check.
pub fn load(path: &Path) -> Result<Loaded, ConfigReport> {
    load_at_once(path, &mut AtOnce::new(&Answers::default()))
}

/// Like [`load`]; where names have no answer now, `names` may know one of before.
///
/// # Errors
///
/// As [`load`].
pub fn load_at_once(path: &Path, names: &mut AtOnce<'_>) -> Result<Loaded, ConfigReport> {
    let loaded = load_in(path, names);
    if names.look_up() { load_in(path, names) } else { loaded }
}

/// The settings of the process in the file at `path`, without a lookup of any name.
///
/// # Errors
///
/// As [`load`].
pub fn load_process(path: &Path) -> Result<ProcessSettings, ConfigReport> {
    load_in(path, &mut lookups::Nameless::default()).map(|loaded| loaded.process).or_else(|_| {
        // A load reports its mistakes as with the names.
        load(path).map(|loaded| loaded.process)
    })
}

/// Like [`load`], in a world of the caller's.
///
/// # Errors
///
/// As [`load`].
pub fn load_in(path: &Path, world: &mut dyn World) -> Result<Loaded, ConfigReport> {
    let mut findings = Findings::default();
    let main = include::read(path, None, 0, world, &mut findings);
    finish(main, path.parent().unwrap_or(Path::new("")), world, findings)
}

/// The files of the configuration at `path`: itself, and those that it includes, whatever may be wrong with
/// what they say.
///
/// # Errors
///
/// When the first cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigReport> {
    let (world, mut findings) = (&mut Machine, Findings::default());
    let main = include::read(path, None, 0, world, &mut findings);
    let (mut texts, _) = findings.finish(Vec::new(), Ok(vec![main]))?;
    include::all(&mut texts, path.parent().unwrap_or(Path::new("")), world, &mut Findings::default());
    Ok(texts.into_iter().map(|text| PathBuf::from(text.origin)).collect())
}

/// `text`, which stands in a configuration, with the environment variables that it names. One that is not set
/// is left out.
#[must_use]
pub fn expanded(text: &str) -> String {
    environment::expand(text, Place::default(), &mut Machine, &mut Findings::default()).0
}

/// Checks `text` and resolves the host names in it; `origin` is the file name that findings show.
///
/// # Errors
///
/// When `text` is longer than [`FILE_LEN_MAX`] or fails a check.
pub fn parse(text: &str, origin: &str) -> Result<Loaded, ConfigReport> {
    parse_in(text, origin, &mut Machine)
}

/// Like [`parse`], with host names looked up by `resolve` and neither files nor environment variables to be
/// had, so that a test or a fuzzer needs no machine.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_with(text: &str, origin: &str, resolve: &mut Resolve<'_>) -> Result<Loaded, ConfigReport> {
    parse_in(text, origin, &mut world::Names(resolve))
}

/// Like [`parse`], in a world of the caller's.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_in(text: &str, origin: &str, world: &mut dyn World) -> Result<Loaded, ConfigReport> {
    let mut findings = Findings::default();
    let mut main = Text { origin: origin.to_owned(), text: text.to_owned() };
    if text.len() > FILE_LEN_MAX {
        main.text.clear();
        findings.push(
            Diagnostic::new(Code::Unreadable, format!("the file is longer than {FILE_LEN_MAX} bytes"))
                .help("a configuration is far smaller: is this the right file?"),
        );
    }
    finish(main, Path::new(""), world, findings)
}

/// Checks what `main` and the files that it includes, relative to `folder`, say.
fn finish(
    main: Text,
    folder: &Path,
    world: &mut dyn World,
    mut findings: Findings,
) -> Result<Loaded, ConfigReport> {
    // Any further finding about a file that was not read would be wrong.
    if let Err(told) = findings.since(0) {
        return findings.finish(vec![main], Err(told)).map(|(loaded, _)| loaded);
    }
    let mut texts = vec![main];
    let root = include::all(&mut texts, folder, world, &mut findings);
    shape::check(&root, &language::FILE, &mut findings);
    let checked = check::file(&root, &texts, world, &mut findings);
    let places = show_places(&checked.places, &texts);
    let tests = place_trials(&checked.trials, &texts);
    let (answers, tls) = (checked.answers, checked.tls);
    let written = std::mem::take(&mut findings.written);
    let ((snapshot, process), warnings) = findings.finish(texts, checked.checked)?;
    Ok(Loaded { snapshot, tls, process, answers, places, tests, written, warnings })
}
