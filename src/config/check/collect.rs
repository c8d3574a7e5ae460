//! `request_body` of a pool and what belongs to it: bodies that are collected.

use crate::config::code::Code;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};

/// `request_body`: whether bodies are collected that come in chunks.
pub(in crate::config) fn is_on(table: Reader<'_>, findings: &mut Findings) -> Result<bool, Reported> {
    match table.text("request_body") {
        Some(("stream", _)) => Ok(false),
        Some(("buffer", _)) => Ok(true),
        Some((_, place)) => Err(findings.given_up(place)),
        None => Err(findings.given_up(table.place())),
    }
}

/// `request_buffer`: the longest body that is collected, if any is.
pub(in crate::config) fn most(
    collect: &mut Option<u64>,
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<(), Reported> {
    if let Some(most) = collect {
        if let Some((size, _)) = table.size("request_buffer") {
            *most = size;
        }
    } else if let Some(entry) = table.entry("request_buffer") {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`request_buffer` changes nothing here")
                .mark(entry.key_place, "no body is collected")
                .help("write `request_body = \"buffer\"`, or remove it"),
        );
    }
    Ok(())
}
