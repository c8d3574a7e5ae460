//! Routes: conditions, actions, and what they change of a message.

use super::words::{line, list, quoted_key, table, text};
use crate::config::language::{HSTS, MATCH, PREFIX, REDIRECT, RESPOND, REWRITE_BACK, ROUTE};
use crate::config::settings::{pairs, print_inline, print_lines};
use crate::route::path::Path;
use crate::route::{Action, Conditions, PrefixEdit, RewriteBack, Route, Split, Template, Want};
use crate::snapshot::{Hsts, Mode, Snapshot};

pub(super) fn print_route(out: &mut String, route: &Route, mode: Mode, snapshot: &Snapshot) {
    out.push_str("[[listener.route]]\n");
    line(out, "name", &text(&route.name));
    line(out, "match", &conditions(&route.when, mode));
    print_action(out, &route.action, snapshot);
    if let Some(options) = &route.options {
        print_lines(out, &ROUTE, options);
    }
    out.push('\n');
}

/// The keys that mean something in that mode.
fn conditions(when: &Conditions, mode: Mode) -> String {
    let pairs = pairs(&MATCH, when).filter(|(key, _)| key.only.is_none_or(|only| only == mode));
    table(pairs.map(|(key, value)| (key.name.to_owned(), value)))
}

/// A table of names, each with what is wanted of its value.
pub(in crate::config) fn wants(wants: &[(String, Want)]) -> Option<String> {
    let want = |want: &Want| match want {
        Want::Is(values) => list(values.iter().map(|value| text(value))),
        Want::Like(pattern) => format!("{{ regex = {} }}", text(pattern.text())),
        Want::Present => String::from("true"),
        Want::Absent => String::from("false"),
    };
    let pairs = wants.iter().map(|(name, wanted)| (quoted_key(name), want(wanted)));
    (!wants.is_empty()).then(|| table(pairs))
}

pub(super) fn print_action(out: &mut String, action: &Action, snapshot: &Snapshot) {
    match action {
        Action::Pool(pool) => line(out, "pool", &text(&snapshot.pool(*pool).name)),
        Action::Split(Split { shares, sticky }) => {
            let share = |share: &crate::route::SplitShare| {
                let pool = text(&snapshot.pool(share.pool).name);
                format!("{{ pool = {pool}, weight = {} }}", share.weight)
            };
            line(out, "split", &list(shares.iter().map(share)));
            if let Some(sticky) = sticky {
                line(out, "sticky", &text(&sticky.to_string()));
            }
        }
        Action::Redirect(redirect) => line(out, "redirect", &print_inline(&REDIRECT, redirect)),
        Action::Respond(respond) => line(out, "respond", &print_inline(&RESPOND, respond)),
    }
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
