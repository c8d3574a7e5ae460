//! What is wrong with a configuration, for people: every finding with its code, its place, its source line, carets and a
//! mend; and for programs, as JSON.

use std::collections::HashSet;
use std::fmt;

use annotate_snippets::{Group, Level, Renderer};
use serde::Serialize;

use super::code::{Code, Severity};
use super::excerpt::{self, Mark, Place, Source};

/// The most findings that a [`Report`] holds. The checks stop there, which bounds their work on a hostile file.
pub const ERRORS_MAX: usize = 100;

/// A file as it was read.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Its name, as it is shown.
    pub(super) origin: String,
    /// What it holds.
    pub(super) text: String,
}

/// Everything that was found in a configuration, in the order of its files; never empty.
#[derive(Clone, Debug)]
pub struct Report {
    texts: Vec<Text>,
    found: Vec<Diagnostic>,
}

impl Report {
    /// How many findings there are, 1 to [`ERRORS_MAX`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Never true: without a finding there is no report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The codes of the findings, in their order.
    pub fn codes(&self) -> impl Iterator<Item = Code> {
        self.found.iter().map(|found| found.code)
    }

    /// The findings as text, with ANSI colours if `colour`; the last line has no newline.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let sources: Vec<_> = self.texts.iter().map(|text| Source::new(&text.origin, &text.text)).collect();
        let render = |found| renderer.render(&[group(found, &sources)]);
        let mut texts: Vec<String> = self.found.iter().map(render).collect();
        if self.found.len() == ERRORS_MAX {
            texts.push(format!("The first {ERRORS_MAX} findings end the checks: there may be more."));
        }
        texts.join("\n\n")
    }

    /// The findings as a JSON array: code, severity, message, help, and places with file, line, column and label. Lines and
    /// columns count from 1, columns in characters.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let sources: Vec<_> = self.texts.iter().map(|text| Source::new(&text.origin, &text.text)).collect();
        let shown = |found: &Diagnostic| Shown {
            code: found.code.text(),
            severity: found.code.severity().to_string(),
            message: found.message.clone(),
            help: found.help.clone(),
            places: found.marks.iter().filter_map(|mark| shown_place(mark, &sources)).collect(),
        };
        serde_json::json!(self.found.iter().map(shown).collect::<Vec<_>>())
    }
}

#[derive(Serialize)]
struct Shown {
    code: &'static str,
    severity: String,
    message: String,
    help: Option<String>,
    places: Vec<ShownPlace>,
}

#[derive(Serialize)]
struct ShownPlace {
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    label: String,
}

fn shown_place(mark: &Mark, sources: &[Source<'_>]) -> Option<ShownPlace> {
    let source = sources.get(usize::from(mark.place.file))?;
    let [(line, column), (end_line, end_column)] =
        [mark.place.start, mark.place.end].map(|at| source.line_and_column(at as usize));
    let (file, label) = (source.origin.to_owned(), mark.label.clone());
    Some(ShownPlace { file, line, column, end_line, end_column, label })
}

fn group<'a>(found: &'a Diagnostic, sources: &[Source<'a>]) -> Group<'a> {
    let level = match found.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&*found.message).id(found.code.text());
    let group = title.elements(excerpt::places(sources, &found.marks));
    match &found.help {
        Some(help) => group.element(Level::HELP.message(&**help)),
        None => group,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// One finding.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    code: Code,
    message: String,
    /// The places involved; the first is where the mistake is.
    marks: Vec<Mark>,
    help: Option<String>,
}

impl Diagnostic {
    /// A finding that says `message`; text from the file in it must be quoted.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic { code, message: message.into(), marks: Vec::new(), help: None }
    }

    /// Whether it says that a text could not be read, so that nothing else that is said of that text counts.
    fn is_of_reading(&self) -> bool {
        matches!(self.code, Code::Syntax | Code::NoVariable)
    }

    /// Whether it points at one of `places`.
    fn is_about(&self, places: &[Place]) -> bool {
        self.marks.iter().any(|mark| places.iter().any(|place| mark.place.holds(*place)))
    }

    /// Points at `place`; the first mark is the place of the mistake.
    pub(super) fn mark(mut self, place: Place, label: impl Into<String>) -> Diagnostic {
        self.marks.push(Mark { place, label: label.into() });
        self
    }

    /// Says how to mend it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Diagnostic>,
    /// Keys that are there, if mistyped: by the place of their table and their right name. Nobody is told that they are missing.
    meant: HashSet<(Place, &'static str)>,
}

impl Findings {
    /// Adds a finding, unless there are [`ERRORS_MAX`].
    pub(super) fn push(&mut self, found: Diagnostic) {
        if !self.is_full() {
            self.found.push(found);
        }
    }

    /// Whether looking further is pointless.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= ERRORS_MAX
    }

    /// How many findings there are.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Takes note that the table at `place` has `key`, mistyped.
    pub(super) fn note_meant(&mut self, place: Place, key: &'static str) {
        self.meant.insert((place, key));
    }

    /// Whether the table at `place` has `key`, mistyped.
    pub(super) fn is_meant(&self, place: Place, key: &'static str) -> bool {
        self.meant.contains(&(place, key))
    }

    /// Whether something was found that forbids to run the file.
    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.code.severity() == Severity::Error)
    }

    /// A report in the order of the files; `None` if nothing was found. Where a file could not be read whole, findings about
    /// the whole are left out.
    pub(super) fn finish(mut self, texts: Vec<Text>) -> Option<Report> {
        let is_unread = self.found.iter().any(|found| found.code == Code::Syntax);
        let broken: Vec<Place> = self
            .found
            .iter()
            .filter(|found| found.is_of_reading())
            .filter_map(|found| found.marks.first().map(|mark| mark.place))
            .collect();
        self.found.retain(|found| {
            found.is_of_reading() || (!found.is_about(&broken) && (!is_unread || found.code.is_local()))
        });
        // A finding without a place is about something missing; it comes last.
        self.found.sort_by_key(|found| {
            found.marks.first().map_or((u16::MAX, u32::MAX), |mark| (mark.place.file, mark.place.start))
        });
        (!self.found.is_empty()).then_some(Report { texts, found: self.found })
    }
}
