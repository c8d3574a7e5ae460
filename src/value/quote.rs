//! Text from a file inside a message: escaped, so that it cannot move the cursor, and cut, so that it cannot
//! flood the screen.

/// The most characters of a quoted text that are shown.
const SHOWN_MAX: usize = 60;

/// `text` between backticks.
pub(crate) fn quote(text: &str) -> String {
    let mut shown = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_MAX {
            shown.push('…');
            break;
        }
        match c {
            // `escape_debug` would put a backslash before these that the file does not have.
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown.push('`');
    shown
}

/// The first names of a list, each between backticks.
pub(crate) fn quote_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const NAMES_MAX: usize = 12;
    let mut names = names.map(quote);
    let mut shown = names.by_ref().take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    if names.next().is_some() {
        shown.push_str(", …");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(quote("a\u{1b}[2J\n"), "`a\\u{1b}[2J\\n`");
        assert_eq!(quote("it's"), "`it's`");
        assert_eq!(quote(&"x".repeat(1000)).chars().count(), SHOWN_MAX + 3);
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(quote_list(["a", "b"].into_iter()), "`a`, `b`");
        assert!(quote_list(["a"; 100].into_iter()).ends_with("`a`, …"));
    }
}
