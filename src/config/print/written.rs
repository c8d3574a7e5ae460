//! The printed form with environment variables by name instead of by value, and without credentials.

use std::fmt;

use super::words::text;

/// The texts of a file with variables, and their values. Neither is shown by itself.
#[derive(Clone, Default)]
pub struct Written {
    /// Whole texts: as they are, and as they are written.
    texts: Vec<(String, String)>,
    /// Variables: what they stand for, and their names.
    variables: Vec<(String, String)>,
}

/// The text of a variable is looked for inside of others from this length on, in bytes: a short one is no
/// secret, and stands anywhere.
const INSIDE_MIN: usize = 6;

/// Stands in the place of a credential.
const HIDDEN: &str = "\"(not shown)\"";

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written")
    }
}

impl Written {
    pub(in crate::config) fn note_text(&mut self, is: &str, written: &str) {
        self.texts.push((is.to_owned(), written.to_owned()));
    }

    pub(in crate::config) fn note_variable(&mut self, is: &str, name: &str) {
        self.variables.push((is.to_owned(), name.to_owned()));
    }

    /// The printed text of a value, between its quotes, as it was written.
    fn restore(&self, printed: &str) -> String {
        if let Some((_, written)) = self.texts.iter().find(|(is, _)| text(is) == printed) {
            // Its variables are ones, and what is no variable has its two signs there too.
            return text(written).replace("$${", "${").replace("$$${", "$${");
        }
        let mut restored = printed.to_owned();
        for (is, name) in self.variables.iter().filter(|(is, _)| is.len() >= INSIDE_MIN) {
            let is = text(is);
            restored = restored.replace(&is[1..is.len() - 1], &format!("${{{name}}}"));
        }
        restored
    }
}

/// `printed` with each value as it was `written`; if `hides`, credentials are left out that stand in the file
/// itself.
pub(super) fn as_written(printed: &str, written: &Written, hides: bool) -> String {
    let (mut out, mut rest, mut key) = (String::with_capacity(printed.len()), printed, String::new());
    let mut is_field = false;
    while let Some(at) = rest.find('"') {
        out.push_str(&rest[..at]);
        if let Some(bare) = bare_key(&rest[..at]) {
            bare.clone_into(&mut key);
            is_field = false;
        }
        let end = at + 1 + end_of_text(&rest[at + 1..]);
        let value = &rest[at..end];
        rest = &rest[end..];
        if rest.starts_with(" =") {
            key = value[1..value.len().saturating_sub(1)].to_ascii_lowercase();
            is_field = true;
            out.push_str(value);
            continue;
        }
        let restored = written.restore(value);
        let is_suspect = may_be_credential(&key) || (is_field && looks_like_credential(&key, &restored));
        let is_credential = hides && is_suspect && !restored.contains("${");
        out.push_str(if is_credential && !is_made_of_variables(&restored) { HIDDEN } else { &restored });
    }
    out + rest
}

/// The key in `before`, which is what stands before a value, if it is not between quotes: those that the
/// language has.
fn bare_key(before: &str) -> Option<&str> {
    let key = before.strip_suffix(" = ").or_else(|| before.strip_suffix(" = ["))?;
    let key = key.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    // Names between quotes are those of fields, which `as_written` has read already.
    (!key.is_empty()).then_some(key)
}

/// Where a basic string of TOML ends, behind its second quote.
fn end_of_text(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether the value of that key, or of the field of that name, is a secret.
fn may_be_credential(key: &str) -> bool {
    const WORDS: [&str; 7] =
        ["authorization", "secret", "token", "password", "api-key", "apikey", "auth-key"];
    let is_place = matches!(key, "token_file" | "token_env");
    matches!(key, "cookie" | "set-cookie") || (!is_place && WORDS.iter().any(|word| key.contains(word)))
}

/// Fields with long values that are no secrets.
const HARMLESS: [&str; 17] = [
    "accept",
    "cache-control",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "host",
    "link",
    "location",
    "permissions-policy",
    "referrer-policy",
    "server",
    "strict-transport-security",
    "user-agent",
    "vary",
];

/// A word of so many characters in the field of an unknown name may be a token or a passphrase.
const WORD_MIN: usize = 16;

/// Whether a value in the field of that name, as it is printed, may be a credential by its looks: it names a
/// scheme, or has a long word that stands for itself.
fn looks_like_credential(name: &str, printed: &str) -> bool {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "+/=_-.~".contains(c);
    let (mut word, mut depth) = (0, 0_usize);
    let mut has_long = false;
    for c in printed.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        word = if depth == 0 && is_of_word(c) { word + 1 } else { 0 };
        has_long |= word >= WORD_MIN;
    }
    let lower = printed.to_ascii_lowercase();
    let has_scheme =
        ["\"bearer ", "\"basic ", "\"digest ", "\"token "].iter().any(|it| lower.starts_with(it));
    has_scheme || (has_long && !HARMLESS.contains(&name))
}

/// Whether a text has nothing of its own but what says how it is to be read: `Bearer {header.x}`.
fn is_made_of_variables(printed: &str) -> bool {
    let inner = printed.trim_matches('"');
    let inner = inner.strip_prefix("Bearer ").or_else(|| inner.strip_prefix("Basic ")).unwrap_or(inner);
    inner.is_empty() || (inner.starts_with('{') && inner.ends_with('}') && inner.matches('{').count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(printed: &str, hides: bool) -> String {
        let mut written = Written::default();
        written.note_text("Bearer s3cr3t-value", "Bearer ${TOKEN}");
        written.note_variable("s3cr3t-value", "TOKEN");
        written.note_variable("80", "PORT");
        as_written(printed, &written, hides)
    }

    #[test]
    fn values_of_variables_are_not_shown() {
        for (printed, expected) in [
            ("\"Authorization\" = \"Bearer s3cr3t-value\"", "\"Authorization\" = \"Bearer ${TOKEN}\""),
            ("a = [\"x-s3cr3t-value-y\", \"80\"]", "a = [\"x-${TOKEN}-y\", \"80\"]"),
            ("weight = 80\n[pool.s3cr3t-value]\n", "weight = 80\n[pool.s3cr3t-value]\n"),
            ("\"s3cr3t-value\" = 1", "\"s3cr3t-value\" = 1"),
            ("body = \"say \\\"s3cr3t-value\\\"\"", "body = \"say \\\"${TOKEN}\\\"\""),
        ] {
            assert_eq!(shown(printed, false), expected);
            assert_eq!(shown(printed, true), expected);
        }
    }

    #[test]
    fn credentials_of_the_file_itself_are_hidden_where_that_is_wanted() {
        for (printed, is_hidden) in [
            ("set = { \"Authorization\" = \"Basic YTpi\" }", true),
            ("header = { \"x-api-key\" = [\"one\"] }", true),
            ("sticky = { cookie = \"srv\", secret = \"literal-secret-of-it\" }", true),
            ("set = { \"Authorization\" = \"Bearer {header.x-token}\" }", false),
            ("set = { \"X-Client\" = \"one\" }", false),
            ("set = { \"X-Upstream\" = \"Bearer abc\" }", true),
            ("set = { \"X-Upstream\" = \"Bearer {header.x-token}\" }", false),
            ("set = { \"X-Upstream\" = \"8fPq2LmZ01xYtRwQ\" }", true),
            ("set = { \"X-Upstream\" = \"correct-horse-battery-staple\" }", true),
            ("set = { \"X-Upstream\" = [\"a\", \"key 0123456789abcdef0\"] }", true),
            ("set = { \"X-From\" = \"{header.x-forwarded-for}-{client_addr}\" }", false),
            ("set = { \"Strict-Transport-Security\" = \"max-age=31536000\" }", false),
            (
                "set = { \"X-Frame-Options\" = \"SAMEORIGIN\" }, location = \"https://long.example.com/\"",
                false,
            ),
            ("token_file = \"admin.token\"", false),
        ] {
            let hidden = shown(printed, true);
            assert_eq!(hidden.contains("(not shown)"), is_hidden, "{hidden}");
            assert_eq!(shown(printed, false), printed);
            for value in ["YTpi", "one\"]", "literal-secret"] {
                assert!(!is_hidden || !hidden.contains(value), "{hidden}");
            }
        }
    }
}
