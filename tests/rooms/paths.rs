//! The paths that a file of Rust names, wherever they stand: in `use` with its groups, in code, and in the
//! arguments of macros.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

/// A path, such as `crate::core::time::Time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its segments; `*` is one.
    pub(crate) segments: Vec<String>,
    /// The number of modules of the file itself around it.
    pub(crate) depth: usize,
    /// The line where it begins.
    pub(crate) line: usize,
}

/// The names in a file, without its tests.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) named: Vec<Named>,
    /// The modules that it declares for tests alone, whose files are others.
    pub(crate) test_modules: Vec<String>,
}

/// Reads the text of a file.
///
/// # Errors
/// When it is not made of tokens of Rust.
pub(crate) fn read(text: &str) -> Result<Found, String> {
    let tokens: TokenStream = text.parse().map_err(|error| format!("no tokens of Rust: {error}"))?;
    let mut found = Found::default();
    walk(tokens, 0, &mut found);
    Ok(found)
}

fn walk(tokens: TokenStream, depth: usize, found: &mut Found) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        if is_test_attribute(&trees[at..]) {
            at = skip_item(&trees, at + 2, found);
            continue;
        }
        match &trees[at] {
            TokenTree::Ident(word) if !is_keyword(word) && !is_behind_path(&trees, at) => {
                at = path(&trees, at, &[], depth, found);
            }
            TokenTree::Group(group) => {
                let is_module = group.delimiter() == Delimiter::Brace
                    && at >= 2
                    && matches!(&trees[at - 2], TokenTree::Ident(word) if word == "mod");
                walk(group.stream(), depth + usize::from(is_module), found);
                at += 1;
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

/// Reads the path that begins at `at`, behind `before`; gives where what follows begins.
fn path(trees: &[TokenTree], mut at: usize, before: &[String], depth: usize, found: &mut Found) -> usize {
    let line = trees[at].span().start().line;
    let mut segments = before.to_vec();
    loop {
        match trees.get(at) {
            Some(TokenTree::Ident(word)) => segments.push(word.to_string()),
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => segments.push("*".to_owned()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                members(&group.stream(), &segments, depth, found);
                return at + 1;
            }
            // A turbofish, `Vec::<u8>::new`: what is within is a path of its own.
            Some(TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_)) | None => break,
        }
        at += 1;
        if !is_colons(trees, at) {
            break;
        }
        at += 2;
    }
    // A single name is a path only where it may be another name for a crate, as in `use std as other;`.
    if segments.len() > 1 || segments[0] == "std" || segments[0] == "alloc" {
        found.named.push(Named { segments, depth, line });
    }
    at
}

/// The members of a group of `use`, such as `{self, time::Time, outcome::{Cause, Record as Told}}`.
fn members(group: &TokenStream, before: &[String], depth: usize, found: &mut Found) {
    let trees: Vec<TokenTree> = group.clone().into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        let is_start = at == 0 || matches!(&trees[at - 1], TokenTree::Punct(comma) if comma.as_char() == ',');
        let next = if is_start { path(&trees, at, before, depth, found) } else { at + 1 };
        at = next.max(at + 1);
    }
}

fn is_colons(trees: &[TokenTree], at: usize) -> bool {
    let is_colon =
        |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(it)) if it.as_char() == ':');
    is_colon(trees.get(at)) && is_colon(trees.get(at + 1))
}

/// Whether a path may begin with `::` behind that word.
fn is_keyword(word: &Ident) -> bool {
    ["use", "as", "in", "dyn", "impl", "mut", "return", "for", "where", "break"].iter().any(|it| word == it)
}

/// Whether a part of the same path stands before.
fn is_behind_path(trees: &[TokenTree], at: usize) -> bool {
    if at < 3 || !is_colons(trees, at - 2) {
        return false;
    }
    matches!(&trees[at - 3], TokenTree::Ident(word) if !is_keyword(word))
}

/// Whether `#[cfg(test)]` stands there.
fn is_test_attribute(trees: &[TokenTree]) -> bool {
    let [TokenTree::Punct(mark), TokenTree::Group(group), ..] = trees else { return false };
    let text: String = group.stream().to_string().split_whitespace().collect();
    mark.as_char() == '#' && text == "cfg(test)"
}

/// The end of the item that begins at `at`; a module without a body is noted.
fn skip_item(trees: &[TokenTree], mut at: usize, found: &mut Found) -> usize {
    while let Some(tree) = trees.get(at) {
        match tree {
            TokenTree::Ident(word) if word == "mod" => {
                if let (Some(TokenTree::Ident(name)), Some(TokenTree::Punct(_))) =
                    (trees.get(at + 1), trees.get(at + 2))
                {
                    found.test_modules.push(name.to_string());
                }
            }
            TokenTree::Punct(end) if end.as_char() == ';' => return at + 1,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return at + 1,
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Group(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
    at
}

#[test]
fn every_kind_of_path_is_found() {
    let text = "
        use crate::{core::{self, time::Time}, http::scan as look};
        // crate::comment
        fn f() { let _ = \"crate::text\"; assert_eq!(crate::route::hash(1), [super::x::Y::<crate::z::Z>::new()]); }
        mod inner { use super::super::wire::Wire; }
        use ::std::net::TcpStream;
        pub(in crate::config) struct S(::core::net::IpAddr);
        #[cfg(test)]
        mod tests { use crate::hidden::Test; }
        #[cfg(test)]
        mod far;
    ";
    let found = read(text).unwrap();
    let shown: Vec<_> =
        found.named.iter().map(|it| format!("{}{}", "  ".repeat(it.depth), it.segments.join("::"))).collect();
    assert_eq!(
        shown,
        [
            "crate::core::self",
            "crate::core::time::Time",
            "crate::http::scan",
            "crate::route::hash",
            "super::x::Y",
            "crate::z::Z",
            "  super::super::wire::Wire",
            "std::net::TcpStream",
            "crate::config",
            "core::net::IpAddr",
        ]
    );
    assert_eq!(found.named[3].line, 4);
    assert_eq!(found.test_modules, ["far"]);
}
