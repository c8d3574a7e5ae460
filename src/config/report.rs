//! What is wrong with a file, for people: every finding with its place, its source line, carets and a mend.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{Group, Level, Renderer};

use super::excerpt::{Mark, Source};

/// The most errors that a [`Report`] holds. The checks stop there, which bounds their work on a hostile file.
pub const ERRORS_MAX: usize = 100;

/// Everything that was found wrong with a file, in the order of the file; never empty.
#[derive(Clone, Debug)]
pub struct Report {
    origin: String,
    source: String,
    found: Vec<Diagnostic>,
}

impl Report {
    /// A report of a single error.
    pub(super) fn one(origin: &str, source: &str, found: Diagnostic) -> Report {
        Report { origin: origin.to_owned(), source: source.to_owned(), found: vec![found] }
    }

    /// How many errors there are, 1 to [`ERRORS_MAX`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Never true: without an error there is no report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The errors as text, with ANSI colours if `colour`; the last line has no newline.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let source = Source::new(&self.source);
        let render = |found| renderer.render(&[self.group(found, &source)]);
        let mut texts: Vec<String> = self.found.iter().map(render).collect();
        if self.found.len() == ERRORS_MAX {
            texts.push(format!("The first {ERRORS_MAX} errors end the checks: there may be more."));
        }
        texts.join("\n\n")
    }

    fn group<'a>(&'a self, found: &'a Diagnostic, source: &Source<'a>) -> Group<'a> {
        let title = Level::ERROR.primary_title(&*found.message);
        let group = title.elements(source.places(&self.origin, &found.marks));
        match &found.help {
            Some(help) => group.element(Level::HELP.message(&**help)),
            None => group,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// One error.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    message: String,
    /// The places involved; the first is where the error is.
    marks: Vec<Mark>,
    help: Option<String>,
}

impl Diagnostic {
    /// An error that says `message`; text from the file in it must be quoted.
    pub(super) fn new(message: impl Into<String>) -> Diagnostic {
        Diagnostic { message: message.into(), marks: Vec::new(), help: None }
    }

    /// Points at the bytes of `span`; the first mark is the place of the error.
    pub(super) fn mark(mut self, span: Range<usize>, label: impl Into<String>) -> Diagnostic {
        self.marks.push(Mark { span, label: label.into() });
        self
    }

    /// Says how to mend it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Diagnostic>);

impl Findings {
    /// Adds an error, unless there are [`ERRORS_MAX`].
    pub(super) fn push(&mut self, found: Diagnostic) {
        if !self.is_full() {
            self.0.push(found);
        }
    }

    /// Whether looking further is pointless.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= ERRORS_MAX
    }

    /// `checked` if nothing was found, a report in the order of the file otherwise.
    pub(super) fn finish<T>(mut self, checked: T, origin: &str, source: &str) -> Result<T, Report> {
        if self.0.is_empty() {
            return Ok(checked);
        }
        // An error without a place is about something missing; it comes last.
        self.0.sort_by_key(|found| found.marks.first().map_or(usize::MAX, |mark| mark.span.start));
        Err(Report { origin: origin.to_owned(), source: source.to_owned(), found: self.0 })
    }
}
