//! `resolver`: the servers of the DNS that are asked for backends.

use std::net::SocketAddr;

use super::names::Seen;
use crate::config::code::Code;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::shape;
use crate::config::value::parse_server;
use crate::discovery::SERVERS_MAX;

/// The servers that `table` names, in their order; there are none where it does not say.
pub(in crate::config) fn resolver(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Vec<SocketAddr>, Reported> {
    let before = findings.errors();
    let Some(entry) = table.entry("resolver") else { return Ok(Vec::new()) };
    let (mut servers, mut seen) = (Vec::new(), Seen::default());
    for item in table.list("resolver") {
        let Some(text) = item.text() else { continue };
        match parse_server(text) {
            Ok(server) if seen.first(server.to_string(), item.place).is_none() => servers.push(server),
            // A server that is named twice is asked once.
            Ok(_) => {}
            Err(error) => findings.push(shape::refused("resolver", item, &error)),
        }
    }
    if servers.len() > SERVERS_MAX {
        findings.push(
            Diagnostic::new(Code::TooMany, format!("`resolver` names {} servers", servers.len()))
                .mark(entry.node.place, format!("expected {SERVERS_MAX} at most"))
                .help("two or three are enough: each is asked when those before it do not answer"),
        );
    }
    findings.since(before)?;
    Ok(servers)
}
