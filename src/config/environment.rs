//! `${NAME}` in values: environment variables. They are put into values that have been read, so nothing that
//! stands in a variable can change the structure of the file.

use super::code::Code;
use super::excerpt::Place;
use super::quote::quote;
use super::report::{Diagnostic, Findings};
use super::world::World;

/// `text` with every `${NAME}` replaced, and whether there was one. `${NAME:-text}` has a text for a variable
/// that is not set; `$${` stands for `${`.
pub(super) fn expand(
    text: &str,
    place: Place,
    world: &mut dyn World,
    findings: &mut Findings,
) -> (String, bool) {
    let (mut out, mut rest, mut is_expanded) = (String::new(), text, false);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        is_expanded = true;
        let Some((inner, behind)) = rest[at + 2..].split_once('}') else {
            let found = Diagnostic::new(Code::NoVariable, "a `${` without its `}`")
                .mark(place, "here")
                .help("write `${NAME}`, or `$${` for the characters `${`");
            findings.push(found);
            return (out, is_expanded);
        };
        rest = behind;
        out.push_str(&lookup(inner, place, world, findings));
    }
    out.push_str(rest);
    if is_expanded {
        findings.written.note_text(&out, text);
    }
    (out, is_expanded)
}

fn lookup(inner: &str, place: Place, world: &mut dyn World, findings: &mut Findings) -> String {
    let (name, fallback) =
        inner.split_once(":-").map_or((inner, None), |(name, fallback)| (name, Some(fallback)));
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        findings.push(
            Diagnostic::new(
                Code::NoVariable,
                format!("{} is not the name of an environment variable", quote(name)),
            )
            .mark(place, "expected letters, digits and `_`")
            .help("write `${NAME}`, or `$${` for the characters `${`"),
        );
        return String::new();
    }
    if let Some(value) = world.variable(name).or_else(|| fallback.map(str::to_owned)) {
        findings.written.note_variable(&value, name);
        return value;
    }
    findings.push(
        Diagnostic::new(Code::NoVariable, format!("the environment variable {} is not set", quote(name)))
            .mark(place, "used here")
            .help(format!("set it, or give a text for when it is not: `${{{name}:-…}}`")),
    );
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::world::tests::Variables;

    #[test]
    fn variables_defaults_and_escapes() {
        let mut world = Variables(&[("PORT", "8080"), ("EMPTY", "")]);
        for (text, expanded, is_expanded, findings) in [
            ("plain $5 {x}", "plain $5 {x}", false, 0),
            ("127.0.0.1:${PORT}", "127.0.0.1:8080", true, 0),
            ("${PORT}${PORT}", "80808080", true, 0),
            ("${EMPTY:-x}", "", true, 0),
            ("${NONE:-a:-b}", "a:-b", true, 0),
            ("$${PORT}", "${PORT}", false, 0),
            ("${NONE}", "", true, 1),
            ("${}", "", true, 1),
            ("${1A}", "", true, 1),
            ("${PORT", "", true, 1),
        ] {
            let mut found = Findings::default();
            let out = expand(text, Place::default(), &mut world, &mut found);
            assert_eq!((out.0.as_str(), out.1, found.errors()), (expanded, is_expanded, findings), "{text}");
        }
    }
}
