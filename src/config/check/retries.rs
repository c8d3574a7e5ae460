//! The retry rules of a pool.

use crate::config::code::Code;
use crate::config::doc::Node;
use crate::config::language::RETRY_WORDS;
use crate::config::print::words;
use crate::config::quote::{quote, quote_list};
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::shape;
use crate::snapshot::Retries;

/// `retry_on`.
pub(in crate::config) fn retry_on(
    retries: &mut Retries,
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<(), Reported> {
    let before = findings.errors();
    (retries.connect, retries.reset, retries.timeout) = (false, false, false);
    for node in table.list("retry_on") {
        cause(node, retries, findings);
    }
    findings.since(before)
}

/// `retry_on`, as a file would say it.
pub(in crate::config) fn show(retries: &Retries) -> String {
    let Retries { most: _, connect, reset, timeout, statuses, budget: _, budget_min: _ } = retries;
    let all = [("connect", connect), ("reset", reset), ("timeout", timeout)];
    let all = all.into_iter().filter(|(_, is_on)| **is_on).map(|(word, _)| words::text(word));
    words::list(all.chain(statuses.iter().map(ToString::to_string)))
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
