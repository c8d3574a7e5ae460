//! The findings of a configuration, for operators: every finding with its code, its place, its source line,
//! carets and a mend; and for programs, as JSON.

use std::collections::HashSet;
use std::fmt;

use annotate_snippets::{Group, Level, Renderer};
use serde::Serialize;

use super::code::{Code, Severity};
use super::excerpt::{self, Mark, Place, Source};
use super::print::Written;
use super::veil::veil;

/// The most findings that a [`ConfigReport`] holds. The checks stop at as many errors, which bounds their
/// work on a hostile file.
pub const ERRORS_MAX: usize = 100;

/// A file as it was read.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Its name, as it is shown.
    pub(super) origin: String,
    /// The contents.
    pub(super) text: String,
}

/// Everything that was found in a configuration, in the order of its files; never empty.
#[derive(Clone, Debug)]
pub struct ConfigReport {
    texts: Vec<Text>,
    found: Vec<Diagnostic>,
}

impl ConfigReport {
    /// The number of findings, 1 to [`ERRORS_MAX`].
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

    /// The findings as a JSON array: code, severity, message, help, and places with file, line, column and
    /// label. Lines and columns count from 1, columns in characters.
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

impl fmt::Display for ConfigReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigReport {}

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

/// Proof that an error was put down, so that the file is not run. Only [`Findings`] makes one.
///
/// A reader of a setting that protects something gives `Result<_, Reported>`: there is no way to answer "it
/// is not set" for a key that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported(());

/// The findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The texts with environment variables in the files.
    pub(super) written: Written,
    found: Vec<Diagnostic>,
    /// The number of errors, those included for which there was no room.
    errors: usize,
    /// The number of warnings. They have a bound of their own: many of them must not keep an error out.
    warnings: usize,
    /// Keys that are there, if mistyped: by the place of their table and their right name. They are
    /// not reported as missing.
    meant: HashSet<(Place, &'static str)>,
}

impl Findings {
    /// Adds a finding, unless there are [`ERRORS_MAX`] of its severity.
    pub(super) fn push(&mut self, found: Diagnostic) {
        let count = match found.code.severity() {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= ERRORS_MAX {
            self.found.push(found);
        }
    }

    /// Adds an error. The file is not run, even if the code of `found` is one of a warning.
    pub(super) fn refuse(&mut self, found: Diagnostic) -> Reported {
        debug_assert!(found.code.severity() == Severity::Error, "{} is a warning", found.code);
        if found.code.severity() == Severity::Warning {
            self.errors += 1;
        }
        self.push(found);
        Reported(())
    }

    /// Refuses the value at `place` that a check gave up on, and puts an error down if there is none.
    pub(super) fn given_up(&mut self, place: Place) -> Reported {
        if !self.has_errors() {
            return self.refuse(
                Diagnostic::new(Code::WrongType, "the value cannot be taken as it is written")
                    .mark(place, "this one")
                    .help("docs/configuration.md says what each key takes"),
            );
        }
        Reported(())
    }

    /// Whether looking further is pointless.
    pub(super) fn is_full(&self) -> bool {
        self.errors >= ERRORS_MAX
    }

    /// The number of errors.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Fails if an error was put down since there were `before`.
    pub(super) fn since(&self, before: usize) -> Result<(), Reported> {
        if self.errors > before { Err(Reported(())) } else { Ok(()) }
    }

    /// Records that the table at `place` has `key`, mistyped.
    pub(super) fn note_meant(&mut self, place: Place, key: &'static str) {
        self.meant.insert((place, key));
    }

    /// Whether the table at `place` has `key`, mistyped.
    pub(super) fn is_meant(&self, place: Place, key: &'static str) -> bool {
        self.meant.contains(&(place, key))
    }

    /// Whether something was found that forbids to run the file.
    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The result of the checks with the warnings, or all findings, in the order of the files.
    /// Where a file could not be read whole, findings about the whole are left out; errors go before warnings
    /// where there is no room for all.
    pub(super) fn finish<T>(
        mut self,
        texts: Vec<Text>,
        checked: Result<T, Reported>,
    ) -> Result<(T, Option<ConfigReport>), ConfigReport> {
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
        // The sort is stable, so the truncation takes the last warnings.
        self.found.sort_by_key(|found| found.code.severity());
        self.found.truncate(ERRORS_MAX);
        // A finding without a place is about something missing; it comes last.
        self.found.sort_by_key(|found| {
            found.marks.first().map_or((u16::MAX, u32::MAX), |mark| (mark.place.file, mark.place.start))
        });
        let (has_errors, is_empty) = (self.has_errors(), self.found.is_empty());
        let veiled = |text: Text| Text { text: veil(&text.text), ..text };
        let texts = if is_empty { texts } else { texts.into_iter().map(veiled).collect() };
        let report = ConfigReport { texts, found: self.found };
        match checked {
            Ok(checked) if !has_errors => Ok((checked, (!is_empty).then_some(report))),
            Ok(_) | Err(Reported(())) => Err(report),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: Code) -> Diagnostic {
        Diagnostic::new(code, "here")
    }

    #[test]
    fn many_warnings_keep_no_error_out() {
        let mut findings = Findings::default();
        for _ in 0..=ERRORS_MAX {
            findings.push(finding(Code::UnusedPool));
        }
        assert!(!findings.is_full() && findings.since(0) == Ok(()));
        findings.push(finding(Code::BadValue));
        let report = findings.finish(Vec::new(), Ok(())).unwrap_err();
        assert_eq!(report.len(), ERRORS_MAX);
        assert!(report.codes().any(|code| code == Code::BadValue));
    }

    #[test]
    fn what_is_given_up_is_an_error_and_told_once() {
        let mut findings = Findings::default();
        let told = findings.given_up(Place::default());
        assert_eq!((findings.given_up(Place::default()), findings.errors()), (told, 1));
        let report = findings.finish::<()>(Vec::new(), Err(told)).unwrap_err();
        assert_eq!(report.codes().collect::<Vec<_>>(), [Code::WrongType]);
    }

    #[test]
    fn warnings_alone_come_with_what_was_checked() {
        let mut findings = Findings::default();
        findings.push(finding(Code::UnusedPool));
        let (checked, warnings) = findings.finish(Vec::new(), Ok(7)).unwrap();
        assert_eq!((checked, warnings.unwrap().len()), (7, 1));
    }
}
