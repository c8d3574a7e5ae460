//! Paths: the form in which they are compared, the ones that two readers would read differently, and the
//! rules of routes.
//!
//! A path is passed on exactly as it came. For comparing it has a *normal form*, which every reader that
//! follows RFC 3986 takes for the same path: percent-encoded letters, digits, `-`, `.`, `_` and `~` are
//! decoded and other hexadecimal digits put in capitals (§6.2.2); and the parameters of a segment (`;…`,
//! §3.3), which servlet containers drop before they look at it, are left out. `%2F` is never decoded: it is a
//! byte of a segment, not the end of one.

use std::borrow::Cow;
use std::fmt;

/// The most segments of a rule.
pub const SEGMENTS_MAX: usize = 64;

/// The normal form of `path`.
#[must_use]
pub fn normal(path: &str) -> Cow<'_, str> {
    if !path.bytes().any(|byte| matches!(byte, b'%' | b';')) {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        push_normal(&mut out, segment.split(';').next().unwrap_or_default());
    }
    Cow::Owned(out)
}

fn push_normal(out: &mut String, segment: &str) {
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let digits =
            rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(digits) = digits else {
            out.push('%');
            rest = &rest[at + 1..];
            continue;
        };
        let byte = u8::from_str_radix(digits, 16).unwrap_or(0);
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
}

/// Whether there are readers that would take `normal`, a path in normal form, for another path: dot segments,
/// empty segments, encoded slashes, backslashes and zeros.
#[must_use]
pub fn is_ambiguous(normal: &str) -> bool {
    let inner = normal.strip_prefix('/').unwrap_or(normal);
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !is_last) {
            return true;
        }
    }
    normal.contains('%') && ["%2F", "%5C", "%00"].iter().any(|code| normal.contains(code))
}

/// One segment of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// That text, in normal form.
    Literal(String),
    /// Any that is not empty, by that name.
    Any(String),
}

/// A path that a route asks for: `/users`, `/api/*`, `/users/{id}`, `/users/{id}/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    pub(crate) segments: Vec<Segment>,
    /// Whether everything below is meant too.
    pub(crate) is_prefix: bool,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `/*`, which every path matches.
impl Default for Path {
    fn default() -> Path {
        Path { text: String::from("/*"), segments: Vec::new(), is_prefix: true }
    }
}

impl Path {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is wrong with it, without a full stop.
    pub fn parse(text: &str) -> Result<Path, String> {
        let inner = text.strip_prefix('/').ok_or("it does not begin with `/`")?;
        let (inner, is_prefix) = match inner.strip_suffix('*') {
            Some("") => (None, true),
            Some(rest) => {
                (Some(rest.strip_suffix('/').ok_or("`*` stands for whole segments, as in `/api/*`")?), true)
            }
            None => (Some(inner), false),
        };
        let mut segments = Vec::new();
        for segment in inner.into_iter().flat_map(|inner| inner.split('/')) {
            segments.push(parse_segment(segment)?);
        }
        if segments.len() > SEGMENTS_MAX {
            return Err(format!("it has more than {SEGMENTS_MAX} segments"));
        }
        let names = || segments.iter().filter_map(name_of);
        if let Some(twice) =
            names().enumerate().find(|(index, name)| names().take(*index).any(|other| other == *name))
        {
            return Err(format!("`{{{}}}` stands twice in it", twice.1));
        }
        let plain: Vec<&str> = segments.iter().map(literal_of).collect();
        if is_ambiguous(&format!("/{}", plain.join("/"))) {
            return Err(String::from(
                "it has `.`, `..` or empty segments, or an encoded slash, which no request has that is let through",
            ));
        }
        Ok(Path { text: text.to_owned(), segments, is_prefix })
    }

    /// The names of its `{…}`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(name_of)
    }

    /// Its segments; `None` stands for one that may be any text.
    pub fn segments(&self) -> impl Iterator<Item = Option<&str>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => Some(text.as_str()),
            Segment::Any(_) => None,
        })
    }

    /// Whether it stands for everything below it too.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether it is the path `normal`, which is in normal form.
    #[must_use]
    pub fn matches(&self, normal: &str) -> bool {
        let Some(mut rest) = normal.strip_prefix('/').map(Some) else { return false };
        for segment in &self.segments {
            let Some(text) = rest else { return false };
            let (first, behind) =
                text.split_once('/').map_or((text, None), |(first, behind)| (first, Some(behind)));
            let is_match = match segment {
                Segment::Literal(literal) => literal == first,
                Segment::Any(_) => !first.is_empty(),
            };
            if !is_match {
                return false;
            }
            rest = behind;
        }
        self.is_prefix || rest.is_none()
    }

    /// The segment of `path` at the place of `{name}`; `path` matches and may be in normal form or not.
    #[must_use]
    pub fn capture<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let index = self.segments.iter().position(|segment| name_of(segment) == Some(name))?;
        path.strip_prefix('/')?.split('/').nth(index)
    }

    /// Whether it matches every path that `other` does.
    #[must_use]
    pub fn contains(&self, other: &Path) -> bool {
        let (ours, theirs) = (&self.segments, &other.segments);
        if ours.len() > theirs.len() || (!self.is_prefix && (ours.len() != theirs.len() || other.is_prefix)) {
            return false;
        }
        ours.iter().zip(theirs).all(|pair| match pair {
            (Segment::Literal(ours), Segment::Literal(theirs)) => ours == theirs,
            (Segment::Any(_), Segment::Literal(theirs)) => !theirs.is_empty(),
            (Segment::Any(_), Segment::Any(_)) => true,
            (Segment::Literal(_), Segment::Any(_)) => false,
        })
    }
}

fn name_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Literal(_) => None,
        Segment::Any(name) => Some(name),
    }
}

fn literal_of(segment: &Segment) -> &str {
    match segment {
        Segment::Literal(text) => text,
        Segment::Any(_) => "x",
    }
}

fn parse_segment(text: &str) -> Result<Segment, String> {
    if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return if is_name(name) {
            Ok(Segment::Any(name.to_owned()))
        } else {
            Err(format!("`{{{name}}}` is not a name: write lower-case letters, digits and `_`"))
        };
    }
    if text.contains(['{', '}', '*']) {
        return Err(String::from(
            "`*` and `{name}` stand for whole segments, as in `/api/*` and `/users/{id}`",
        ));
    }
    if text.contains(['?', '#']) {
        return Err(String::from(
            "a path has no query and no fragment; a query parameter is matched by `query`",
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(String::from(
            "it has blanks or other characters that no target has; write them percent-encoded",
        ));
    }
    if normal(text) != text {
        return Err(format!(
            "`{text}` is not in normal form, in which paths are compared: write `{}`",
            normal(text)
        ));
    }
    Ok(Segment::Literal(text.to_owned()))
}

/// Whether `text` can be the name of a part of a path.
pub(crate) fn is_name(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 64 && text.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_form_keeps_the_meaning() {
        for (path, form) in [
            ("/a/b", "/a/b"),
            ("/%61%2D/%7e", "/a-/~"),
            ("/a%2fb", "/a%2Fb"),
            ("/%c3%a9", "/%C3%A9"),
            ("/a;v=1/b;c", "/a/b"),
            ("/%2e%2e/x", "/../x"),
            ("/..;/x", "/../x"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            ("/%252e", "/%252e"),
        ] {
            assert_eq!(normal(path), form, "{path}");
        }
    }

    #[test]
    fn what_two_readers_would_read_differently() {
        for path in [
            "/..", "/a/../b", "/a/.", "/./a", "//a", "/a//b", "/a%2Fb", "/a%2fb", "/%5c", "/%00", "/%2E%2e/",
            "/..;/a", "/;/a",
        ] {
            assert!(is_ambiguous(&normal(path)), "{path}");
        }
        for path in ["/", "/a", "/a/", "/a/b.c", "/.well-known/x", "/a..b/", "/...", "/%252e", "/a;b/c", "*"]
        {
            assert!(!is_ambiguous(&normal(path)), "{path}");
        }
    }

    #[test]
    fn rules_match_whole_segments() {
        for (rule, path, is_match) in [
            ("/users", "/users", true),
            ("/users", "/users/", false),
            ("/users", "/user", false),
            ("/users/", "/users/", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/*", "/", true),
            ("/*", "/a/b", true),
            ("/*", "*", false),
            ("/api/*", "/api", true),
            ("/api/*", "/api/", true),
            ("/api/*", "/api/v1/x", true),
            ("/api/*", "/apix", false),
            ("/users/{id}", "/users/7", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users/7/x", false),
            ("/users/{id}/*", "/users/7/x/y", true),
            ("/users/{id}/*", "/users/7", true),
        ] {
            assert_eq!(Path::parse(rule).unwrap().matches(path), is_match, "{rule} {path}");
        }
        assert_eq!(Path::parse("/u/{id}/x").unwrap().capture("id", "/u/7;a/x"), Some("7;a"));
    }

    #[test]
    fn rules_that_could_never_match_are_refused() {
        for bad in [
            "", "a", "/a*", "/*/b", "/a/{b", "/{B}", "/{a}/{a}", "/a?b", "/a b", "/%61", "/a/../b", "//a",
            "/a%2Fb", "/a;b", "/é",
        ] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
        assert!(Path::parse(&"/a".repeat(65)).is_err());
    }

    #[test]
    fn containment_is_matching_more() {
        for (wide, narrow, is_contained) in [
            ("/*", "/a/b", true),
            ("/a/*", "/a", true),
            ("/a/*", "/a/{b}/*", true),
            ("/a/{b}", "/a/c", true),
            ("/a/{b}", "/a/", false),
            ("/a/c", "/a/{b}", false),
            ("/a", "/a/*", false),
            ("/a/*", "/*", false),
        ] {
            assert_eq!(
                Path::parse(wide).unwrap().contains(&Path::parse(narrow).unwrap()),
                is_contained,
                "{wide} {narrow}"
            );
        }
    }
}
