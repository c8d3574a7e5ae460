//! Routes: conditions, actions, and what they change of a message.

use super::words::{list, quoted_key, table, text};
use crate::config::forms::RouteForm;
use crate::config::language::{HSTS, MATCH, PREFIX, REGEX, REWRITE_BACK, ROUTE};
use crate::config::settings::{pairs, print_inline, print_lines};
use crate::route::path::Path;
use crate::route::{Conditions, PrefixEdit, RewriteBack, Route, Template, Want};
use crate::snapshot::{Hsts, Mode, Snapshot};

pub(super) fn print_route(out: &mut String, route: &Route, mode: Mode, snapshot: &Snapshot) {
    out.push_str("[[listener.route]]\n");
    print_lines(out, &ROUTE, &RouteForm::of(route, mode, snapshot));
    out.push('\n');
}

/// The keys that mean something in that mode.
pub(in crate::config) fn conditions(when: &Conditions, mode: Mode) -> String {
    let pairs = pairs(&MATCH, when).filter(|(key, _)| key.only.is_none_or(|only| only == mode));
    table(pairs.map(|(key, value)| (key.name.to_owned(), value)))
}

/// A table of names, each with what is wanted of its value.
pub(in crate::config) fn wants(wants: &[(String, Want)]) -> Option<String> {
    let want = |want: &Want| match want {
        Want::Is(values) => list(values.iter().map(|value| text(value))),
        Want::Like(pattern) => print_inline(&REGEX, &Some(pattern.clone())),
        Want::Present => String::from("true"),
        Want::Absent => String::from("false"),
    };
    let pairs = wants.iter().map(|(name, wanted)| (quoted_key(name), want(wanted)));
    (!wants.is_empty()).then(|| table(pairs))
}

pub(in crate::config) fn fields(fields: &[(String, Template)]) -> String {
    table(fields.iter().map(|(name, value)| (quoted_key(name), text(&value.to_string()))))
}

/// `strip_prefix`, if the prefix is only taken off.
pub(in crate::config) fn strip_prefix(PrefixEdit { from, to }: &PrefixEdit) -> Option<String> {
    to.is_empty().then(|| prefix(from))
}

/// `replace_prefix`, if something takes the place of the prefix.
pub(in crate::config) fn replace_prefix(edit: &PrefixEdit) -> Option<String> {
    (!edit.to.is_empty()).then(|| print_inline(&PREFIX, edit))
}

/// The prefix of a path, without the `/*` behind it.
pub(in crate::config) fn prefix(from: &Path) -> String {
    let rule = from.to_string();
    text(rule.strip_suffix("/*").filter(|from| !from.is_empty()).unwrap_or("/"))
}

pub(in crate::config) fn rewrite_back(back: &RewriteBack) -> Option<String> {
    match back {
        RewriteBack { paths: false, domains: None } => None,
        RewriteBack { paths: true, domains: None } => Some(String::from("true")),
        RewriteBack { domains: Some(_), .. } => Some(print_inline(&REWRITE_BACK, back)),
    }
}

/// `hsts` of a route, whose clients may be told nothing.
pub(in crate::config) fn hsts_of_route(hsts: Option<&Hsts>) -> String {
    hsts.map_or_else(|| String::from("false"), |hsts| print_inline(&HSTS, hsts))
}
