//! Access lines after a template, such as `{client} "{method} {path}" {status} {header.user-agent}`.

use super::field::Field;
use crate::core::captured::CapturedNames;
use crate::syntax::braces::{self, Part};
use crate::syntax::grammar::is_token;

/// The most pieces of a template.
const PIECES_MAX: usize = 100;

/// A template, ready to be written. Two of the same text are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Time,
    ApacheTime,
    Field(Field),
    /// A header field of the request, in lower case.
    Request(String),
    /// A field of the response.
    Response(String),
}

impl Layout {
    /// Reads `text`; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// Why it is no template, without a full stop.
    pub fn parse(text: &str) -> Result<Layout, String> {
        if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(format!("it has the control character {c:?}"));
        }
        let mut pieces = Vec::new();
        for part in braces::parts(text) {
            pieces.push(match part? {
                Part::Text(text) => Piece::Text(text),
                Part::Name(name) => Piece::parse(name)?,
            });
        }
        if pieces.len() > PIECES_MAX {
            return Err(format!("it has more than {PIECES_MAX} parts"));
        }
        Ok(Layout { text: text.to_owned(), pieces })
    }

    /// The text that was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The header fields that it names.
    pub(super) fn needs(&self) -> CapturedNames {
        let mut wanted = CapturedNames::default();
        for piece in &self.pieces {
            match piece {
                Piece::Request(name) => wanted.request.push(name.clone()),
                Piece::Response(name) => wanted.response.push(name.clone()),
                Piece::Text(_) | Piece::Time | Piece::ApacheTime | Piece::Field(_) => {}
            }
        }
        wanted
    }
}

impl Piece {
    fn parse(name: &str) -> Result<Piece, String> {
        let header = |name: &str| is_token(name.as_bytes()).then(|| name.to_ascii_lowercase());
        match name.split_once('.') {
            _ if name == "time" => Some(Piece::Time),
            _ if name == "apache_time" => Some(Piece::ApacheTime),
            Some(("header", name)) => header(name).map(Piece::Request),
            Some(("response", name)) => header(name).map(Piece::Response),
            Some(_) | None => name.parse().ok().map(Piece::Field),
        }
        .ok_or_else(|| format!("`{{{name}}}` is no variable here"))
    }

    /// The names of all variables, for messages.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        ["time", "apache_time", "header.NAME", "response.NAME"]
            .into_iter()
            .chain(Field::ALL.iter().map(|field| field.as_str()))
    }
}

/// The names of all variables of a template.
pub fn variables() -> impl Iterator<Item = &'static str> {
    Piece::names()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_one() {
        for name in variables() {
            Layout::parse(&format!("a{{{}}}b", name.replace("NAME", "X-A"))).unwrap();
        }
        let needs = Layout::parse("{header.X-A} {{}} {response.ETag} {status}").unwrap().needs();
        assert_eq!((needs.request, needs.response), (vec![String::from("x-a")], vec![String::from("etag")]));
    }

    #[test]
    fn mistakes_are_told() {
        for bad in ["{", "}", "{nope}", "{header.}", "{header.a b}", "{}", "a\nb", "{header}"] {
            assert!(Layout::parse(bad).is_err(), "{bad}");
        }
    }
}
