//! How a pool chooses: `balance`, and what belongs to one policy only.

use crate::config::code::Code;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::route::Template;
use crate::snapshot::{Balance, Hashing};

/// The policy of a pool; the default where it has a finding.
pub(super) fn balance(table: Reader<'_>, findings: &mut Findings) -> Balance {
    let word = table.text("balance").map_or("", |(word, _)| word);
    let balance = match word {
        "least-connections" => Balance::LeastConnections,
        "random" => Balance::Random,
        "two-choices" => Balance::TwoChoices,
        "latency" => Balance::Latency,
        "hash" => return Balance::Hash(hashing(table, findings)),
        "first" => Balance::First,
        // Any other word is none of the language, and has been told.
        _ => Balance::RoundRobin,
    };
    for key in ["hash_key", "max_load"] {
        if let Some(entry) = table.entry(key) {
            findings.push(
                Diagnostic::new(Code::NoEffect, format!("{} changes nothing here", quote(key)))
                    .mark(entry.key_place, "only `balance = \"hash\"` goes by it")
                    .help("remove it, or write `balance = \"hash\"`"),
            );
        }
    }
    balance
}

fn hashing(table: Reader<'_>, findings: &mut Findings) -> Hashing {
    let mut hashing = Hashing::default();
    if let Some((text, place)) = table.text("hash_key") {
        match Template::parse(text, &[]) {
            Ok(key) if key.constant().is_none() => hashing.key = key,
            Ok(_) => findings.push(
                Diagnostic::new(Code::BadTemplate, "`hash_key` has no variable")
                    .mark(place, "the same for every request")
                    .help("write for example `{client}`, `{path}` or `{cookie.session}`"),
            ),
            Err(error) => findings.push(
                Diagnostic::new(Code::BadTemplate, format!("bad template: {}", error.0))
                    .mark(place, "cannot be filled in")
                    .help("write for example `{client}`, or `{{` for a brace"),
            ),
        }
    }
    hashing.max_load = table.thousandths("max_load").map(|(load, _)| load);
    hashing
}
