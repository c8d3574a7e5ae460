//! The parts of a configuration file that are hidden when its lines are shown: keys in PEM, and values under
//! names of secrets.
//!
//! It goes by the text, not by the tree: a file that is no TOML has secrets too. Every byte of them becomes a
//! `*`, so that places hold.

/// Parts of names under which secrets stand.
const NAMES: [&str; 10] = [
    "secret",
    "token",
    "passw",
    "passphrase",
    "authorization",
    "cookie",
    "credential",
    "api-key",
    "api_key",
    "apikey",
];

/// Names that have such a part and say where a secret is, or what it is called.
const PLAIN: [&str; 4] = ["token_file", "cookie", "cookies", "set-cookie-name"];

/// `text` without its secrets, as long as it was.
pub(super) fn veil(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    cover_blocks(text, &mut bytes);
    let mut at = 0;
    while let Some(equals) = text[at..].find('=').map(|found| at + found) {
        at = equals + 1;
        let name = name_before(&text[..equals]);
        if is_secret(name) {
            cover_value(text, at, name == "token_env", &mut bytes);
        }
    }
    // Whole characters were covered, or none of them.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The name that `key = ` ends with, in quotes or without.
fn name_before(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t', '"', '\'']);
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    &text[text
        .rfind(|c| !is_of_name(c))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8))..]
}

fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !PLAIN.contains(&name) && NAMES.iter().any(|part| lower.contains(part))
}

/// Covers the value that begins behind `from`: text of any kind, a list or a table on one line, or whatever
/// stands there.
///
/// A name of the environment is no secret, and is what has to be looked at.
fn cover_value(text: &str, from: usize, is_name: bool, bytes: &mut [u8]) {
    let start = from + text[from..].len() - text[from..].trim_start_matches([' ', '\t']).len();
    let rest = &text[start..];
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let quoted = |marks: &str, most: usize| {
        let inside = &rest[marks.len()..most];
        let end =
            inside.match_indices(marks).find(|(at, _)| marks.starts_with('\'') || !is_escaped(inside, *at));
        (marks.len(), marks.len() + end.map_or(inside.len(), |(at, _)| at))
    };
    let (first, last) = match rest {
        _ if rest.starts_with("\"\"\"") => quoted("\"\"\"", rest.len()),
        _ if rest.starts_with("'''") => quoted("'''", rest.len()),
        _ if rest.starts_with('"') => quoted("\"", line),
        _ if rest.starts_with('\'') => quoted("'", line),
        _ if rest.starts_with('[') => (1, rest.find(']').unwrap_or(rest.len())),
        _ if rest.starts_with('{') => (1, rest[..line].rfind('}').unwrap_or(line)),
        _ => (0, rest[..line].find(['#', ',', '}']).unwrap_or(line)),
    };
    let value = &rest[first..last.max(first)];
    let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let reference = value.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    if reference.or(is_name.then_some(value)).is_none_or(|name| !name.chars().all(is_of_name)) {
        cover(&mut bytes[start + first..start + last.max(first)]);
    }
}

fn is_escaped(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Covers what stands in PEM between BEGIN and END, or up to the end of the text.
fn cover_blocks(text: &str, bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(begin) = text[at..].find("-BEGIN ").map(|found| at + found) {
        let end = text[begin..].find("-END ").map_or(text.len(), |found| begin + found);
        cover(&mut bytes[begin + "-BEGIN ".len()..end]);
        at = end;
    }
}

fn cover(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b'*');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_secrets_are_covered_and_nothing_else() {
        for (text, shown) in [
            ("secret = \"abc\" # d", "secret = \"***\" # d"),
            (
                "sticky = { cookie = \"srv\", secret = \"a\\\"bc\", path = \"/\" }",
                "sticky = { cookie = \"srv\", secret = \"*****\", path = \"/\" }",
            ),
            ("secret = \"abc", "secret = \"***"),
            ("secret = abc, x = 1", "secret = ***, x = 1"),
            ("secret = \"${NAME}\"", "secret = \"${NAME}\""),
            ("secret = \"${NAME:-abc}\"", "secret = \"************\""),
            ("\"X-Api-Key\" = 'abc'", "\"X-Api-Key\" = '***'"),
            ("set = { Authorization = \"Bearer \u{e4}\" }", "set = { Authorization = \"*********\" }"),
            ("password = [\"a\", \"b\"]", "password = [********]"),
            ("secret = \"\"\"a\nb\"\"\"\nx = 1", "secret = \"\"\"*\n*\"\"\"\nx = 1"),
            ("token_env = \"MY_TOKEN\"", "token_env = \"MY_TOKEN\""),
            ("token_env = \"8fPq\"", "token_env = \"****\""),
            ("token_file = \"admin.token\"", "token_file = \"admin.token\""),
            (
                "key = '''-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----'''",
                "key = '''-----BEGIN ****************\n***\n****-END PRIVATE KEY-----'''",
            ),
        ] {
            assert_eq!(veil(text), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_survives_all_texts_and_keeps_their_places(text in "[a-z=\"'{}\\[\\]\n \u{e4}\\\\-]{0,40}", name in "(secret|x|token|-----BEGIN X)") {
            let whole = format!("{text}{name} = {text}");
            let shown = veil(&whole);
            prop_assert_eq!(shown.len(), whole.len());
            let lines = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
            prop_assert_eq!(lines(&shown), lines(&whole));
        }
    }
}
