//! `proxy_protocol` of a pool and what belongs to it: how backends are told of their clients.

use crate::config::code::Code;
use crate::config::print::words;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::prelude::proxy::{PASSES_EVERYWHERE, ProxyVersion};
use crate::snapshot::Announce;

/// `proxy_protocol`: a header of that version without further fields, or none.
pub(in crate::config) fn version(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Option<Announce>, Reported> {
    let version = match table.text("proxy_protocol") {
        Some(("off", _)) => return Ok(None),
        Some(("v1", _)) => ProxyVersion::V1,
        Some(("v2", _)) => ProxyVersion::V2,
        Some((_, place)) => return Err(findings.given_up(place)),
        None => return Err(findings.given_up(table.place())),
    };
    let (authority, alpn, unique_id, ssl) = (false, false, false, false);
    Ok(Some(Announce { version, authority, alpn, unique_id, ssl, length_max: PASSES_EVERYWHERE }))
}

/// The header that `announce` asks for, if it is of version 2; warns of `key` if it is not.
fn of_v2<'a>(
    announce: &'a mut Option<Announce>,
    table: Reader<'_>,
    key: &str,
    findings: &mut Findings,
) -> Option<&'a mut Announce> {
    let found = announce.as_mut().filter(|announce| announce.version == ProxyVersion::V2);
    if let (None, Some(entry)) = (&found, table.entry(key)) {
        findings.push(
            Diagnostic::new(Code::NoEffect, format!("`{key}` changes nothing here"))
                .mark(entry.key_place, "only version 2 has fields")
                .help("write `proxy_protocol = \"v2\"`, or remove the key"),
        );
    }
    found
}

/// `proxy_protocol_fields`.
pub(in crate::config) fn fields(
    announce: &mut Option<Announce>,
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<(), Reported> {
    if let Some(announce) = of_v2(announce, table, "proxy_protocol_fields", findings) {
        let says = |word| table.list("proxy_protocol_fields").iter().any(|item| item.text() == Some(word));
        announce.authority = says("authority");
        announce.alpn = says("alpn");
        announce.unique_id = says("unique-id");
        announce.ssl = says("ssl");
    }
    Ok(())
}

/// `proxy_protocol_fields`, as a file would say them.
pub(in crate::config) fn show_fields(announce: Option<Announce>) -> Option<String> {
    let announce = announce.filter(|announce| announce.version == ProxyVersion::V2)?;
    let Announce { version: _, authority, alpn, unique_id, ssl, length_max: _ } = announce;
    let all = [("authority", authority), ("alpn", alpn), ("unique-id", unique_id), ("ssl", ssl)];
    Some(words::list(all.into_iter().filter(|(_, is_said)| *is_said).map(|(word, _)| words::text(word))))
}

/// `proxy_protocol_max`.
pub(in crate::config) fn length_max(
    announce: &mut Option<Announce>,
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<(), Reported> {
    if let Some(announce) = of_v2(announce, table, "proxy_protocol_max", findings)
        && let Some((size, _)) = table.size("proxy_protocol_max")
    {
        announce.length_max = size;
    }
    Ok(())
}

/// `proxy_protocol_max`, as a file would say it.
pub(in crate::config) fn show_length_max(announce: Option<Announce>) -> Option<String> {
    let announce = announce.filter(|announce| announce.version == ProxyVersion::V2)?;
    Some(announce.length_max.to_string())
}
