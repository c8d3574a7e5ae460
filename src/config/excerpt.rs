//! The lines around a mark, out of files of any size and shape: rendering costs what is shown, not what a
//! file holds.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Element, Origin, Snippet};

/// The longest piece of a file that is rendered as one, in bytes. Marks that lie further apart get a piece
/// each; a mark in a line that is longer still gets its line and column alone.
const EXCERPT_LEN_MAX: usize = 8 * 1024;

/// A piece of text in one of the files of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// The number of the file, in the order of reading.
    pub(super) file: u16,
    /// Its first byte.
    pub(super) start: u32,
    /// The byte behind its last.
    pub(super) end: u32,
}

impl Place {
    /// The bytes of `span` in the file number `file`. Files are far shorter than 4 GiB.
    pub(super) fn new(file: u16, span: Range<usize>) -> Place {
        let cut = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Place { file, start: cut(span.start), end: cut(span.end) }
    }

    /// Whether the first byte of `other` lies in it, or directly behind it.
    pub(super) fn holds(self, other: Place) -> bool {
        self.file == other.file && (self.start..=self.end).contains(&other.start)
    }

    fn span(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place, and what is to be said about it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// The place; any will do, in the file or not.
    pub(super) place: Place,
    /// The text at the mark.
    pub(super) label: String,
}

/// A file, with its lines found.
pub(super) struct Source<'a> {
    /// Its name.
    pub(super) origin: &'a str,
    text: &'a str,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
}

/// A few lines of a file.
struct Excerpt<'a> {
    text: &'a str,
    /// The number of the first line, from 1.
    line: usize,
    /// Where `text` begins in the file, in bytes.
    start: usize,
}

/// The lines to show for `marks`, of which the first is where the mistake is; for none, the first file alone.
pub(super) fn places<'a>(sources: &[Source<'a>], marks: &'a [Mark]) -> Vec<Element<'a>> {
    let Some(first) = marks.first() else {
        return sources.first().map(|source| Origin::path(source.origin).into()).into_iter().collect();
    };
    let mut elements = Vec::new();
    let mut files: Vec<u16> = marks.iter().map(|mark| mark.place.file).collect();
    // The file of the mistake comes first.
    files.sort_unstable_by_key(|file| (*file != first.place.file, *file));
    files.dedup();
    for file in files {
        let marks: Vec<_> = marks.iter().enumerate().filter(|(_, mark)| mark.place.file == file).collect();
        if let Some(source) = sources.get(usize::from(file)) {
            elements.extend(source.places(&marks));
        }
    }
    elements
}

impl<'a> Source<'a> {
    /// Finds the lines of `text`.
    pub(super) fn new(origin: &'a str, text: &'a str) -> Source<'a> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { origin, text, starts }
    }

    /// The number of the line that holds the byte at `at`, and its column in characters; both count from 1.
    pub(super) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let line = self.line_of(at);
        let start = self.starts[line];
        let end = floor(self.text, at).max(start);
        (line + 1, 1 + self.text[start..end].chars().count())
    }

    fn places(&self, marks: &[(usize, &'a Mark)]) -> Vec<Element<'a>> {
        let kind = |index| if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let Some(all) = self.excerpt(marks.iter().map(|(_, mark)| *mark)) else { return Vec::new() };
        if all.text.len() <= EXCERPT_LEN_MAX {
            let marks = marks.iter().map(|(index, mark)| all.annotate(mark, kind(*index)));
            return vec![all.snippet(self.origin).annotations(marks).into()];
        }
        let place = |(index, mark): &(usize, &'a Mark)| {
            let excerpt = self.excerpt(std::iter::once(*mark))?;
            Some(if excerpt.text.len() <= EXCERPT_LEN_MAX {
                excerpt.snippet(self.origin).annotation(excerpt.annotate(mark, kind(*index))).into()
            } else {
                let (line, column) = self.line_and_column(mark.place.span().start);
                Origin::path(self.origin).line(line).char_column(column).into()
            })
        };
        marks.iter().filter_map(place).collect()
    }

    /// The lines from the first mark to the last.
    fn excerpt<'m>(&self, marks: impl Iterator<Item = &'m Mark>) -> Option<Excerpt<'a>> {
        let lines: Vec<usize> = marks.map(|mark| self.line_of(mark.place.span().start)).collect();
        let (first, last) = (*lines.iter().min()?, *lines.iter().max()?);
        let start = self.starts[first];
        let end = self.starts.get(last + 1).map_or(self.text.len(), |next| next - 1);
        Some(Excerpt { text: &self.text[start..end], line: first + 1, start })
    }

    /// The index of the line that holds the byte at `at`; the last line if there is no such byte.
    fn line_of(&self, at: usize) -> usize {
        // The first line begins at 0, so at least one does not begin after `at`.
        self.starts.partition_point(|start| *start <= at) - 1
    }
}

impl<'a> Excerpt<'a> {
    fn snippet<T: Clone>(&self, path: &'a str) -> Snippet<'a, T> {
        Snippet::source(self.text).line_start(self.line).path(path)
    }

    fn annotate<'m>(&self, mark: &'m Mark, kind: AnnotationKind) -> Annotation<'m> {
        kind.span(self.place(&mark.place.span())).label(&*mark.label)
    }

    /// `span` of the file as a span of the excerpt, on character boundaries and no further than the end of
    /// its first line.
    fn place(&self, span: &Range<usize>) -> Range<usize> {
        let start = floor(self.text, span.start.saturating_sub(self.start));
        let end = floor(self.text, span.end.saturating_sub(self.start)).max(start);
        let line = &self.text[start..];
        let line_len = line.find(['\n', '\r']).unwrap_or(line.len());
        start..end.min(start + line_len)
    }
}

/// The greatest character boundary that is not after `index`.
fn floor(text: &str, index: usize) -> usize {
    let index = index.min(text.len());
    (0..=index).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
