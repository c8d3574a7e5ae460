//! `balance` of a pool, and the keys of one policy only.

use crate::config::code::Code;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::route::Template;
use crate::snapshot::{Balance, Hashing};

/// `balance`.
pub(in crate::config) fn policy(table: Reader<'_>, findings: &mut Findings) -> Result<Balance, Reported> {
    let Some((word, place)) = table.text("balance") else { return Err(findings.given_up(table.place())) };
    Ok(match word {
        "round-robin" => Balance::RoundRobin,
        "least-connections" => Balance::LeastConnections,
        "random" => Balance::Random,
        "two-choices" => Balance::TwoChoices,
        "latency" => Balance::Latency,
        "hash" => Balance::Hash(Hashing::default()),
        "first" => Balance::First,
        _ => return Err(findings.given_up(place)),
    })
}

/// Warns of a key that only a hash goes by.
pub(in crate::config) fn warn_of_no_hash(table: Reader<'_>, key: &str, findings: &mut Findings) {
    let Some(entry) = table.entry(key) else { return };
    findings.push(
        Diagnostic::new(Code::NoEffect, format!("{} changes nothing here", quote(key)))
            .mark(entry.key_place, "only `balance = \"hash\"` goes by it")
            .help("remove it, or write `balance = \"hash\"`"),
    );
}

/// `hash_key`.
pub(in crate::config) fn hash_key(table: Reader<'_>, findings: &mut Findings) -> Result<Template, Reported> {
    let Some((text, place)) = table.text("hash_key") else { return Err(findings.given_up(table.place())) };
    match Template::parse(text, &[]) {
        Ok(key) if key.constant().is_none() => Ok(key),
        Ok(_) => Err(findings.refuse(
            Diagnostic::new(Code::BadTemplate, "`hash_key` has no variable")
                .mark(place, "the same for every request")
                .help("write for example `{client}`, `{path}` or `{cookie.session}`"),
        )),
        Err(error) => Err(findings.refuse(
            Diagnostic::new(Code::BadTemplate, format!("bad template: {}", error.0))
                .mark(place, "cannot be filled in")
                .help("write for example `{client}`, or `{{` for a brace"),
        )),
    }
}
