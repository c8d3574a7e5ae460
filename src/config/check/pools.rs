//! `[pool.NAME]`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use toml::Spanned;

use super::{NAME_LEN_MAX, first_place, leaf};
use crate::config::quote::quote;
use crate::config::raw::{self, Entry, Leaf};
use crate::config::report::{Diagnostic, Findings};
use crate::config::value::{Resolve, backend_addresses, named};
use crate::snapshot::{Address, Backend, Balance, Pool};

const BALANCES: [(&str, Balance); 1] = [("round-robin", Balance::RoundRobin)];

/// The pools in the order of the file; one with a finding is there all the same, so that its listeners find it.
pub(super) fn check(
    raw: &BTreeMap<Spanned<String>, raw::Pool>,
    resolve: &mut Resolve<'_>,
    findings: &mut Findings,
) -> Vec<Pool> {
    if raw.is_empty() {
        let help = "add one:\n[pool.app]\nbackends = [\"127.0.0.1:9001\"]";
        findings.push(Diagnostic::new("there is no pool").help(help));
    }
    let mut pools: Vec<_> = raw.iter().collect();
    pools.sort_by_key(|(name, _)| name.span().start);
    pools.into_iter().map(|(name, raw)| pool(name, raw, resolve, findings)).collect()
}

fn pool(name: &Spanned<String>, raw: &raw::Pool, resolve: &mut Resolve<'_>, findings: &mut Findings) -> Pool {
    check_name(name, findings);
    let balance = raw.balance.as_ref().and_then(|leaf| leaf::word("balance", leaf, &BALANCES, findings));
    let mut backends = Vec::new();
    match &raw.backends {
        None => findings.push(empty(name.get_ref(), name.span(), "`backends` is missing")),
        Some(entries) if entries.get_ref().is_empty() => {
            findings.push(empty(name.get_ref(), entries.span(), "expected at least one backend"));
        }
        Some(entries) => {
            let mut seen = HashMap::new();
            for entry in entries.get_ref() {
                // Each entry may ask the resolver, so stop when nobody would see the answer.
                if findings.is_full() {
                    break;
                }
                for backend in entry_backends(entry, resolve, findings) {
                    if let Some(first) = first_place(&mut seen, &backend.address, &entry.span()) {
                        findings.push(duplicate(&backend.address, entry.span(), first));
                    }
                    backends.push(backend);
                }
            }
        }
    }
    Pool { name: name.get_ref().clone(), balance: balance.unwrap_or_default(), backends }
}

/// A pool's name can stand for the host in a request, so it has to be a valid Host value.
fn check_name(name: &Spanned<String>, findings: &mut Findings) {
    let text = name.get_ref();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.is_empty() || text.len() > NAME_LEN_MAX || !text.bytes().all(allowed) {
        findings.push(
            Diagnostic::new(format!("{} cannot be the name of a pool", quote(text)))
                .mark(name.span(), format!("expected 1 to {NAME_LEN_MAX} letters, digits, `_` and `-`"))
                .help("the name can stand as a Host, so it has no other characters"),
        );
    }
}

fn empty(pool: &str, span: Range<usize>, label: &str) -> Diagnostic {
    Diagnostic::new(format!("the pool {} has no backend", quote(pool)))
        .mark(span, label)
        .help("list where the backends listen: `backends = [\"127.0.0.1:9001\"]`")
}

/// The backends that one entry of the list stands for; none when it has a finding.
fn entry_backends(
    entry: &Spanned<Entry>,
    resolve: &mut Resolve<'_>,
    findings: &mut Findings,
) -> Vec<Backend> {
    let (address, weight) = match entry.get_ref() {
        Entry::Short(address) => (Some((address, entry.span())), None),
        Entry::Long(raw) => {
            (raw.address.as_ref().map(|leaf| (leaf.get_ref(), leaf.span())), raw.weight.as_ref())
        }
    };
    let max = u64::from(Backend::WEIGHT_MAX);
    let weight = weight.map_or(Some(1), |leaf| leaf::integer("weight", leaf, 1..=max, findings));
    let weight = weight.and_then(|weight| u32::try_from(weight).ok());
    let Some((address, span)) = address else {
        findings.push(
            Diagnostic::new("the backend has no address")
                .mark(entry.span(), "`address` is missing")
                .help("write `{ address = \"127.0.0.1:9001\", weight = 1 }`, or the address alone as text"),
        );
        return Vec::new();
    };
    let Some((written, addresses)) = read_address(address, span, resolve, findings) else {
        return Vec::new();
    };
    weight.map_or_else(Vec::new, |weight| named(written, weight, addresses))
}

fn read_address<'a>(
    leaf: &'a Leaf,
    span: Range<usize>,
    resolve: &mut Resolve<'_>,
    findings: &mut Findings,
) -> Option<(&'a str, Vec<Address>)> {
    let found = match leaf {
        Leaf::Text(text) => match backend_addresses(text, resolve) {
            Ok(addresses) => return Some((text, addresses)),
            Err(error) => Diagnostic::new(format!("bad backend address: {}", error.message()))
                .mark(span, error.expected())
                .help(error.help()),
        },
        Leaf::Integer(_) | Leaf::Other(_) => Diagnostic::new("the address of a backend is not text")
            .mark(span, "expected text")
            .help("write `\"127.0.0.1:9001\"`, or `{ address = \"127.0.0.1:9001\", weight = 3 }`"),
    };
    findings.push(found);
    None
}

fn duplicate(address: &Address, second: Range<usize>, first: Range<usize>) -> Diagnostic {
    Diagnostic::new(format!("the backend {} stands twice in the pool", quote(&address.to_string())))
        .mark(second, "again here")
        .mark(first, "first here")
        .help("remove one of the two; to send it more, write `{ address = \"…\", weight = 2 }`")
}
