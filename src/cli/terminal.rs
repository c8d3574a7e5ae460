//! The abilities of a terminal: colours, positions, letters beyond ASCII.

/// An environment variable that is set to something.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether text for a terminal may have colours: not where NO_COLOR is set (no-color.org), nor on one that
/// has none.
pub(super) fn allows_colours() -> bool {
    set("NO_COLOR").is_none() && !is_dumb()
}

/// Whether nothing but lines can be written to it: `TERM=dumb`, or none at all.
pub(super) fn is_dumb() -> bool {
    set("TERM").is_none_or(|name| name == "dumb")
}

/// Whether the locale has UTF-8 (locale(7)): LC_ALL comes before LC_CTYPE, and that before LANG.
pub(super) fn has_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|locale| is_utf8(&locale))
}

fn is_utf8(locale: &str) -> bool {
    let charset =
        locale.split('@').next().and_then(|rest| rest.split_once('.')).map_or("", |(_, charset)| charset);
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_says_its_charset() {
        let told = ["C.UTF-8", "de_DE.utf8@euro", "C", "POSIX", "de_DE.ISO-8859-1", "utf8"].map(is_utf8);
        assert_eq!(told, [true, true, false, false, false, false]);
    }
}
