//! Texts with names in braces, as templates of routes and of the access log have them.

/// A part of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Characters that stand for themselves; never empty.
    Text(String),
    /// The text between `{` and `}`.
    Name(&'a str),
}

/// The parts of `text` in order; `{{` and `}}` stand for braces. A brace that stands alone is an error, and
/// the last item.
pub fn parts(text: &str) -> impl Iterator<Item = Result<Part<'_>, String>> {
    let mut rest = Some(text);
    let mut name = None;
    std::iter::from_fn(move || {
        if let Some(name) = name.take() {
            return Some(Ok(Part::Name(name)));
        }
        let mut plain = String::new();
        let mut left = rest.take()?;
        while let Some(at) = left.find(['{', '}']) {
            plain.push_str(&left[..at]);
            let brace = &left[at..=at];
            left = &left[at + 1..];
            if let Some(behind) = left.strip_prefix(brace) {
                plain.push_str(brace);
                left = behind;
                continue;
            }
            let inner = if brace == "{" { left.split_once('}') } else { None };
            let Some((inside, behind)) = inner else {
                return Some(Err(format!(
                    "a `{brace}` stands alone; `{brace}{brace}` is the character itself"
                )));
            };
            rest = Some(behind);
            if plain.is_empty() {
                return Some(Ok(Part::Name(inside)));
            }
            name = Some(inside);
            return Some(Ok(Part::Text(plain)));
        }
        plain.push_str(left);
        (!plain.is_empty()).then_some(Ok(Part::Text(plain)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_names_come_in_order() {
        let read = |text| parts(text).collect::<Result<Vec<_>, _>>();
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("a{{b}}c"), Ok(vec![text("a{b}c")]));
        assert_eq!(read("{a}{b}"), Ok(vec![Part::Name("a"), Part::Name("b")]));
        assert_eq!(read("x{a}{{y{b}"), Ok(vec![text("x"), Part::Name("a"), text("{y"), Part::Name("b")]));
        for bad in ["a}b", "{a", "{", "a}}}"] {
            assert!(read(bad).is_err_and(|error| error.contains("stands alone")), "{bad}");
        }
        assert_eq!(parts("{a}{").next(), Some(Ok(Part::Name("a"))), "what comes first is told first");
    }
}
