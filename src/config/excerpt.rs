//! The lines around a mark, out of a file of any size and shape: rendering costs what is shown, not what the file holds.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Element, Origin, Snippet};

/// The longest piece of a file that is rendered as one, in bytes. Marks that lie further apart get a piece each; a mark in a
/// line that is longer still gets its line and column alone.
const EXCERPT_LEN_MAX: usize = 8 * 1024;

/// A place in a file, and what is to be said about it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// The place, in bytes; any range will do, in the file or not.
    pub(super) span: Range<usize>,
    /// What is said there.
    pub(super) label: String,
}

/// A file, with its lines found.
pub(super) struct Source<'a> {
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

impl<'a> Source<'a> {
    /// Finds the lines of `text`.
    pub(super) fn new(text: &'a str) -> Source<'a> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { text, starts }
    }

    /// What to show for `marks`, of which the first is where the error is; for none, the file alone.
    pub(super) fn places(&self, path: &'a str, marks: &'a [Mark]) -> Vec<Element<'a>> {
        let kind = |index| if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let Some(all) = self.excerpt(marks) else { return vec![Origin::path(path).into()] };
        if all.text.len() <= EXCERPT_LEN_MAX {
            let marks = marks.iter().enumerate().map(|(index, mark)| all.annotate(mark, kind(index)));
            return vec![all.snippet(path).annotations(marks).into()];
        }
        let place = |(index, mark)| {
            let excerpt = self.excerpt(std::slice::from_ref(mark))?;
            Some(if excerpt.text.len() <= EXCERPT_LEN_MAX {
                excerpt.snippet(path).annotation(excerpt.annotate(mark, kind(index))).into()
            } else {
                let column = 1 + excerpt.text[..excerpt.place(&mark.span).start].chars().count();
                Origin::path(path).line(excerpt.line).char_column(column).into()
            })
        };
        marks.iter().enumerate().filter_map(place).collect()
    }

    /// The lines from the first mark to the last.
    fn excerpt(&self, marks: &[Mark]) -> Option<Excerpt<'a>> {
        let lines = marks.iter().map(|mark| self.line_of(mark.span.start));
        let (first, last) = (lines.clone().min()?, lines.max()?);
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
        kind.span(self.place(&mark.span)).label(&*mark.label)
    }

    /// `span` of the file as a span of the excerpt, on character boundaries and no further than the end of its first line.
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
