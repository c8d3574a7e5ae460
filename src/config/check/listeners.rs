//! `[[listener]]`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;

use super::{NAME_LEN_MAX, first_place, leaf};
use crate::config::quote::{quote, quote_list};
use crate::config::raw::{self, Leaf};
use crate::config::report::{Diagnostic, Findings};
use crate::config::suggest::closest;
use crate::config::value::{Resolve, bind_address};
use crate::snapshot::{Listener, Mode, Pool, PoolId};

const MODES: [(&str, Mode); 2] = [("http", Mode::Http), ("tcp", Mode::Tcp)];

/// The listeners that could be made out, in the order of the file.
pub(super) fn check(
    raw: &[Spanned<raw::Listener>],
    pools: &[Pool],
    resolve: &mut Resolve<'_>,
    findings: &mut Findings,
) -> Vec<Listener> {
    if raw.is_empty() {
        let help = "add one:\n[[listener]]\nbind = \"127.0.0.1:8080\"";
        findings.push(Diagnostic::new("there is no listener").help(help));
    }
    let mut seen = Seen::default();
    let mut listeners = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        // Each listener may ask the resolver, so stop when nobody would see the answer.
        if findings.is_full() {
            break;
        }
        listeners.extend(listener(index, raw, pools, &mut seen, resolve, findings));
    }
    listeners
}

/// What the listeners before have taken, and where they say so.
#[derive(Default)]
struct Seen {
    names: HashMap<String, Range<usize>>,
    binds: HashMap<SocketAddr, Range<usize>>,
}

fn listener(
    index: usize,
    raw: &Spanned<raw::Listener>,
    pools: &[Pool],
    seen: &mut Seen,
    resolve: &mut Resolve<'_>,
    findings: &mut Findings,
) -> Option<Listener> {
    let (span, raw) = (raw.span(), raw.get_ref());
    // Each part is checked before the first `?`, so that one mistake does not hide another.
    let name = name(index, &span, raw, seen, findings);
    let bind = bind(&span, raw, seen, resolve, findings);
    let mode = raw.mode.as_ref().map_or(Some(Mode::Http), |leaf| leaf::word("mode", leaf, &MODES, findings));
    let pool = pool(&span, raw, pools, findings);
    Some(Listener { name: name?, bind: bind?, mode: mode?, pool: pool? })
}

fn name(
    index: usize,
    header: &Range<usize>,
    raw: &raw::Listener,
    seen: &mut Seen,
    findings: &mut Findings,
) -> Option<String> {
    let (name, span) = match &raw.name {
        None => (format!("listener-{}", index + 1), header.clone()),
        Some(leaf) => (valid_name(leaf, findings)?, leaf.span()),
    };
    if let Some(first) = first_place(&mut seen.names, &name, &span) {
        let defaulted = if raw.name.is_none() { "named so for its place" } else { "again here" };
        findings.push(
            Diagnostic::new(format!("two listeners have the name {}", quote(&name)))
                .mark(span, defaulted)
                .mark(first, "first here")
                .help("give one of the two another `name`"),
        );
    }
    Some(name)
}

fn valid_name(leaf: &Spanned<Leaf>, findings: &mut Findings) -> Option<String> {
    let name = leaf::text("name", leaf, "web", findings)?;
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_LEN_MAX {
        "is too long"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Some(name.to_owned());
    };
    findings.push(
        Diagnostic::new(format!("the name of the listener {problem}"))
            .mark(leaf.span(), format!("expected 1 to {NAME_LEN_MAX} bytes without control characters"))
            .help("the name is for the logs: write a short word, such as `name = \"web\"`"),
    );
    None
}

fn bind(
    header: &Range<usize>,
    raw: &raw::Listener,
    seen: &mut Seen,
    resolve: &mut Resolve<'_>,
    findings: &mut Findings,
) -> Option<SocketAddr> {
    let Some(leaf) = &raw.bind else {
        findings.push(
            Diagnostic::new("the listener has no address")
                .mark(header.clone(), "`bind` is missing")
                .help("say where clients connect: `bind = \"127.0.0.1:8080\"`"),
        );
        return None;
    };
    let address = match bind_address(leaf::text("bind", leaf, "127.0.0.1:8080", findings)?, resolve) {
        Ok(address) => address,
        Err(error) => {
            findings.push(leaf::refused("bind", leaf, &error));
            return None;
        }
    };
    // With port 0 each listener gets a port of its own.
    let taken = if address.port() == 0 { None } else { first_place(&mut seen.binds, &address, &leaf.span()) };
    if let Some(first) = taken {
        findings.push(
            Diagnostic::new(format!("two listeners bind {}", quote(&address.to_string())))
                .mark(leaf.span(), "again here")
                .mark(first, "first here")
                .help("give one of the two another port, or remove it"),
        );
    }
    Some(address)
}

fn pool(
    header: &Range<usize>,
    raw: &raw::Listener,
    pools: &[Pool],
    findings: &mut Findings,
) -> Option<PoolId> {
    let names = || pools.iter().map(|pool| pool.name.as_str());
    let Some(leaf) = &raw.pool else {
        if pools.len() > 1 {
            findings.push(
                Diagnostic::new("the listener does not say which pool it serves")
                    .mark(header.clone(), "`pool` is missing")
                    .help(format!("write `pool = \"…\"` with one of {}", quote_list(names()))),
            );
        }
        return (pools.len() == 1).then_some(PoolId(0));
    };
    let written = leaf::text("pool", leaf, "app", findings)?;
    if let Some(index) = names().position(|name| name == written) {
        return Some(PoolId(index));
    }
    // Without any pool there is a finding already, and none to choose from.
    if !pools.is_empty() {
        let known = quote_list(names());
        let help = match closest(written, names()) {
            Some(near) => format!("did you mean {}? the pools are {known}", quote(near)),
            None => format!("the pools are {known}"),
        };
        findings.push(
            Diagnostic::new(format!("unknown pool {}", quote(written)))
                .mark(leaf.span(), "no such pool")
                .help(help),
        );
    }
    None
}
