//! When and how often a pool's requests are sent again.

use crate::config::code::Code;
use crate::config::doc::Node;
use crate::config::language::RETRY_WORDS;
use crate::config::quote::{quote, quote_list};
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::config::shape;
use crate::snapshot::Retries;

/// The rules of a pool.
pub(super) fn retries(table: Reader<'_>, findings: &mut Findings) -> Retries {
    let default = Retries::default();
    let number = |key| table.number(key).map(|(number, _)| number);
    let mut retries = Retries {
        most: number("retries").unwrap_or(default.most),
        budget: table.thousandths("retry_budget").map_or(default.budget, |(budget, _)| budget),
        budget_min: number("retry_budget_min").unwrap_or(default.budget_min),
        ..default
    };
    if table.has("retry_on") {
        retries = Retries { connect: false, reset: false, timeout: false, ..retries };
        for node in table.list("retry_on") {
            cause(node, &mut retries, findings);
        }
    }
    retries
}

fn cause(node: &Node, retries: &mut Retries, findings: &mut Findings) {
    match node.text() {
        Some("connect") => retries.connect = true,
        Some("reset") => retries.reset = true,
        Some("timeout") => retries.timeout = true,
        Some(text) if shape::number(&node.value).is_none() => {
            let words = quote_list(RETRY_WORDS.iter().copied());
            findings.push(
                Diagnostic::new(Code::UnknownWord, format!("{} is nothing to retry on", quote(text)))
                    .mark(node.place, "no such word")
                    .help(format!("the choice is {words} and statuses such as 503")),
            );
        }
        Some(_) | None => {
            let status = shape::number(&node.value).and_then(|status| u16::try_from(status).ok());
            retries.statuses.extend(status.filter(|status| !retries.statuses.contains(status)));
        }
    }
}
