//! Paths and names of a backend in its responses, put back into those that the client knows: the inverse of
//! the change that a route made to the path of the request.

use std::borrow::Cow;

use super::path::Path;
use super::rule::PrefixEdit;

/// A domain of the backends, and the one that clients know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    /// The backends', in lower case.
    pub inner: String,
    /// The clients', in lower case.
    pub outer: String,
}

/// The parts of a route's responses that are rewritten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteBack {
    /// Whether paths are.
    pub paths: bool,
    /// The names that are.
    pub domains: Option<Domains>,
}

/// The rewriting of one response.
#[derive(Clone, Copy, Debug)]
pub struct Back<'a> {
    /// The edit of the request's path, which is undone.
    pub prefix: Option<&'a PrefixEdit>,
    /// The names that are exchanged.
    pub domains: Option<&'a Domains>,
    /// The authority that the request was for: URIs that have it, or the backends' domain, are about this
    /// site.
    pub authority: &'a [u8],
}

impl PrefixEdit {
    /// The path for which [`PrefixEdit::apply`] gives `path`; `None` if there is none.
    #[must_use]
    pub fn undo(&self, path: &str) -> Option<String> {
        let rest = match self.to.as_str() {
            "" => path,
            to => path.strip_prefix(to).filter(|rest| rest.is_empty() || rest.starts_with('/'))?,
        };
        // Two slashes in a row come out of none.
        if !(rest.is_empty() || rest.starts_with('/')) || rest.starts_with("//") {
            return None;
        }
        let from = prefix_of(&self.from);
        Some(if from.is_empty() && rest.is_empty() { String::from("/") } else { format!("{from}{rest}") })
    }
}

/// The prefix without the `/*` behind it.
fn prefix_of(from: &Path) -> String {
    let text = from.to_string();
    text.strip_suffix("/*").unwrap_or(&text).to_owned()
}

impl Domains {
    /// The name that clients know for `name`, if that is the backends' domain or below it.
    fn outward(&self, name: &str) -> Option<String> {
        exchanged(name, &self.inner, &self.outer)
    }

    /// The other way: what `outward` gives that name for.
    #[must_use]
    pub fn inward(&self, name: &str) -> Option<String> {
        exchanged(name, &self.outer, &self.inner)
    }
}

fn exchanged(name: &str, from: &str, to: &str) -> Option<String> {
    let at = name.len().checked_sub(from.len())?;
    let (before, domain) = name.split_at_checked(at)?;
    let is_below = before.is_empty() || before.ends_with('.');
    (is_below && domain.eq_ignore_ascii_case(from)).then(|| format!("{before}{to}"))
}

impl Back<'_> {
    /// The value that the client gets for a field of the response; `None` if it is that of the backend.
    #[must_use]
    pub fn rewrite(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // A value that is not ASCII is no URI, and no attribute that matters.
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii())?;
        let new = if is("location") || is("content-location") {
            self.uri(text.trim())?
        } else if is("refresh") {
            self.refresh(text)?
        } else if is("set-cookie") {
            self.cookie(text)?
        } else {
            return None;
        };
        Some(new.into_bytes())
    }

    /// A URI reference: of the site, with or without its authority. One that is relative to the path is right
    /// as it is.
    fn uri(&self, text: &str) -> Option<String> {
        let scheme = ["http:", "https:"]
            .into_iter()
            .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
        let rest = &text[scheme.map_or(0, str::len)..];
        let Some(behind) = rest.strip_prefix("//") else {
            return if scheme.is_none() && rest.starts_with('/') { self.path_of(rest) } else { None };
        };
        let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
        let (authority, path) = behind.split_at(end);
        let host = self.authority(authority)?;
        let path = self.path_of(path).map_or(Cow::Borrowed(path), Cow::Owned);
        let start = &text[..text.len() - behind.len()];
        Some(format!("{start}{host}{path}"))
    }

    /// The authority that the client knows for one of the site; `None` for one of another site.
    fn authority<'t>(&self, authority: &'t str) -> Option<Cow<'t, str>> {
        if authority.as_bytes().eq_ignore_ascii_case(self.authority) {
            return Some(Cow::Borrowed(authority));
        }
        let end = authority.rfind(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at(end);
        let outer = self.domains?.outward(host)?;
        Some(Cow::Owned(format!("{outer}{port}")))
    }

    /// A path with what stands behind it.
    fn path_of(&self, text: &str) -> Option<String> {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let (path, behind) = text.split_at(end);
        let path = if path.is_empty() { "/" } else { path };
        Some(format!("{}{behind}", self.prefix?.undo(path)?))
    }

    /// `5; url=/x`, with or without quotes.
    fn refresh(&self, text: &str) -> Option<String> {
        let at = text.to_ascii_lowercase().find("url")?;
        let equals = at + 3 + text[at + 3..].find(|byte: char| byte != ' ')?;
        if !text[equals..].starts_with('=') {
            return None;
        }
        let start = equals + 1 + text[equals + 1..].find(|byte: char| !matches!(byte, ' ' | '\'' | '"'))?;
        let end = text[start..].find(['\'', '"']).map_or(text.trim_end().len(), |end| start + end);
        Some(format!("{}{}{}", &text[..start], self.uri(&text[start..end])?, &text[end..]))
    }

    /// A Set-Cookie with its Path and its Domain.
    fn cookie(&self, text: &str) -> Option<String> {
        let mut parts = text.split(';');
        let mut out = parts.next()?.to_owned();
        let mut is_changed = false;
        for part in parts {
            let new = part.split_once('=').and_then(|(name, value)| {
                let value = value.trim();
                let new = match name.trim() {
                    name if name.eq_ignore_ascii_case("path") => self.cookie_path(value),
                    name if name.eq_ignore_ascii_case("domain") => {
                        self.domains?.outward(value.strip_prefix('.').unwrap_or(value))
                    }
                    _ => None,
                };
                Some(format!("{name}={}", new?))
            });
            is_changed |= new.is_some();
            out.push(';');
            out.push_str(new.as_deref().unwrap_or(part));
        }
        is_changed.then_some(out)
    }

    /// The path of a cookie. `/` of the backend is the whole prefix, which has no slash behind it: `/api/`
    /// would leave out `/api`.
    fn cookie_path(&self, path: &str) -> Option<String> {
        let whole = self.prefix?.undo(path).filter(|_| path.starts_with('/'))?;
        Some(if path == "/" && whole.len() > 1 { whole.trim_end_matches('/').to_owned() } else { whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::path;
    use proptest::prelude::*;

    fn edit(from: &str, to: &str) -> PrefixEdit {
        let from = Path::parse(&format!("{}/*", from.trim_end_matches('/'))).unwrap();
        PrefixEdit { from, to: to.to_owned() }
    }

    fn rewritten(prefix: &PrefixEdit, name: &str, value: &str) -> Option<String> {
        let domains = Domains { inner: String::from("app.internal"), outer: String::from("example.com") };
        let back = Back { prefix: Some(prefix), domains: Some(&domains), authority: b"www.example.com" };
        back.rewrite(name, value.as_bytes()).map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn what_comes_back_is_what_the_client_knows() {
        let (strip, replace) = (edit("/api", ""), edit("/api", "/v2"));
        for (prefix, name, value, new) in [
            (&strip, "Location", "/x?q=/y#/z", Some("/api/x?q=/y#/z")),
            (&strip, "location", "/", Some("/api/")),
            (&strip, "Location", "http://www.example.com/x", Some("http://www.example.com/api/x")),
            (&strip, "Location", "https://WWW.example.com", Some("https://WWW.example.com/api/")),
            (&strip, "Location", "https://www.example.com?q", Some("https://www.example.com/api/?q")),
            (&strip, "Location", "//www.example.com/x", Some("//www.example.com/api/x")),
            (&strip, "Location", "http://a.app.internal:8080/x", Some("http://a.example.com:8080/api/x")),
            (&strip, "Location", "http://elsewhere.example/x", None),
            (&strip, "Location", "http://www.example.com:81/x", None),
            (&strip, "Location", "http://notapp.internal/x", None),
            (&strip, "Location", "mailto:/x", None),
            (&strip, "Location", "x/y", None),
            (&strip, "Location", "?q", None),
            (&strip, "Location", "", None),
            (&strip, "Content-Location", "/x", Some("/api/x")),
            (&strip, "X-Location", "/x", None),
            (&replace, "Location", "/v2/x", Some("/api/x")),
            (&replace, "Location", "/v2", Some("/api")),
            (&replace, "Location", "/v2x", None),
            (&replace, "Location", "/x", None),
            (&replace, "Location", "http://app.internal/x", Some("http://example.com/x")),
            (&strip, "Refresh", "5; url=/x", Some("5; url=/api/x")),
            (&strip, "Refresh", "0;URL='/x'", Some("0;URL='/api/x'")),
            (&strip, "Refresh", "5", None),
            (&strip, "Set-Cookie", "a=b; Path=/; HttpOnly", Some("a=b; Path=/api; HttpOnly")),
            (
                &strip,
                "Set-Cookie",
                "a=/x;path=/x;Domain=.app.internal",
                Some("a=/x;path=/api/x;Domain=example.com"),
            ),
            (&strip, "Set-Cookie", "Path=/x", None),
            (&strip, "Set-Cookie", "a=b; Path=x; Domain=other.example", None),
            (&replace, "Set-Cookie", "a=b; Path=/v2/", Some("a=b; Path=/api/")),
            (&replace, "Set-Cookie", "a=b; Path=/", None),
        ] {
            assert_eq!(rewritten(prefix, name, value).as_deref(), new, "{name}: {value}");
        }
    }

    fn prefixes() -> impl Strategy<Value = String> {
        prop::collection::vec("[a-c]{1,2}", 0..3)
            .prop_map(|parts| parts.iter().map(|part| format!("/{part}")).collect())
    }

    proptest! {
        /// For any path of a request, its rewritten form comes back as a path that is taken for the same, and
        /// becomes the same again; and whatever a backend says that has a path outside, leads there.
        #[test]
        fn both_directions_are_inverses(
            from in prefixes(), to in prefixes(), rest in "(/[a-c;%~]{0,3}){0,4}", said in "(/[a-c]{0,2}){1,4}",
        ) {
            let edit = edit(&from, &to);
            let path = if from.is_empty() && rest.is_empty() { String::from("/") } else { format!("{from}{rest}") };
            if !path::is_ambiguous(&path::normal(&path)) {
                let (start, end) = edit.apply(&path).unwrap();
                let inner = format!("{start}{end}");
                let outer = edit.undo(&inner).unwrap();
                // Of `/api` and `/api/` a backend without prefix sees the same.
                let is_root = inner == "/";
                prop_assert!(outer == path || (is_root && outer.trim_end_matches('/') == path.trim_end_matches('/')), "{} {} {}", path, inner, outer);
                let again = edit.apply(&outer).map(|(start, end)| format!("{start}{end}"));
                prop_assert_eq!(again, Some(inner));
            }
            if !path::is_ambiguous(&said) && let Some(outer) = edit.undo(&said) {
                let inner = edit.apply(&outer).map(|(start, end)| format!("{start}{end}"));
                // A client asks for `/` where a backend says its prefix without the slash.
                let is_root = outer == "/";
                let is_same = |inner: &str| inner == said || (is_root && inner.trim_end_matches('/') == said.trim_end_matches('/'));
                prop_assert!(inner.as_deref().is_some_and(is_same), "{} {} {:?}", said, outer, inner);
            }
        }

        #[test]
        fn names_are_exchanged_both_ways(before in "([a-c]{1,3}\\.){0,2}", inner in "[a-c]{1,3}\\.[de]", outer in "[a-c]{1,3}\\.[fg]") {
            let domains = Domains { inner: inner.clone(), outer: outer.clone() };
            let name = format!("{before}{inner}");
            let out = domains.outward(&name).unwrap();
            prop_assert_eq!(&out, &format!("{before}{outer}"));
            prop_assert_eq!(domains.inward(&out), Some(name));
        }

        #[test]
        fn no_value_panics(value in "[ -~]{0,30}", name in prop::sample::select(vec!["location", "refresh", "set-cookie"])) {
            rewritten(&edit("/api", ""), name, &value);
        }
    }
}
