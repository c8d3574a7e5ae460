//! Pools: backends, retries, health, stickiness.

use std::fmt::Write;
use std::path::Path;

use super::words::{line, list, table, text, time};
use crate::balance::Duty;
use crate::config::language::{CHECK, HEALTH, STICKY_COOKIE};
use crate::config::settings::print_inline;
use crate::config::value::show_thousandths;
use crate::discovery::{Like, Question, Source};
use crate::preface::proxy::Version;
use crate::snapshot::{Announce, Backend, Balance, Pool, Retries};
use crate::tls::OriginationRules;

fn print_origination(rules: &OriginationRules) -> String {
    let OriginationRules { ca, name, client, verify, min_version } = rules;
    let path = |path: &Path| text(&path.to_string_lossy());
    let pairs = [
        ("ca", ca.as_deref().map(path)),
        ("name", name.as_deref().map(text)),
        ("cert", client.as_ref().map(|pair| path(&pair.cert))),
        ("key", client.as_ref().map(|pair| path(&pair.key))),
        ("verify", Some(text(verify.word()))),
        ("min_version", Some(text(min_version.word()))),
    ];
    table(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))))
}

pub(super) fn print_pool(out: &mut String, pool: &Pool) {
    let _ = writeln!(out, "[pool.{}]", pool.name);
    line(out, "balance", &text(pool.balance.word()));
    if let Balance::Hash(hashing) = &pool.balance {
        line(out, "hash_key", &text(&hashing.key.to_string()));
        if let Some(load) = hashing.max_load {
            line(out, "max_load", &show_thousandths(u64::from(load)));
        }
    }
    if let Some(sticky) = &pool.sticky {
        line(out, "sticky", &print_inline(&STICKY_COOKIE, sticky));
    }
    if let Some(announce) = pool.announce {
        line(out, "proxy_protocol", &text(announce.version.word()));
        if announce.version == Version::V2 {
            line(out, "proxy_protocol_fields", &announced_fields(announce));
            line(out, "proxy_protocol_max", &announce.length_max.to_string());
        }
    }
    line(out, "max_pending", &pool.max_pending.to_string());
    if let Some(queue) = pool.queue {
        line(out, "queue", &time(queue));
    }
    if let Some(most) = pool.max_reuse {
        line(out, "max_reuse", &most.to_string());
    }
    line(out, "request_trailers", &text(if pool.passes_trailers { "pass" } else { "drop" }));
    line(out, "reach_wait", &pool.reach_wait.map_or_else(|| String::from("false"), time));
    line(out, "on_client_close", &text(pool.on_client_close.word()));
    line(out, "expect", &text(pool.expect.word()));
    if let Some(most) = pool.collect {
        line(out, "request_body", &text("buffer"));
        line(out, "request_buffer", &most.to_string());
    }
    let Retries { most, connect, reset, timeout, statuses, budget, budget_min } = &pool.retries;
    let words = [("connect", connect), ("reset", reset), ("timeout", timeout)];
    let words = words.into_iter().filter(|(_, is_on)| **is_on).map(|(word, _)| text(word));
    line(out, "retries", &most.to_string());
    line(out, "retry_on", &list(words.chain(statuses.iter().map(ToString::to_string))));
    line(out, "retry_budget", &show_thousandths(u64::from(*budget)));
    line(out, "retry_budget_min", &budget_min.to_string());
    match pool.resolve {
        Some(interval) => line(out, "resolve", &time(interval)),
        None => line(out, "resolve", "false"),
    }
    line(out, "resolve_family", &text(pool.family.word()));
    if !pool.resolver.is_empty() {
        line(out, "resolver", &list(pool.resolver.iter().map(|server| text(&server.to_string()))));
    }
    line(out, "health", &print_inline(&HEALTH, &pool.health));
    if let Some(check) = &pool.check {
        line(out, "check", &print_inline(&CHECK, check));
    }
    if let Some(tls) = &pool.tls {
        line(out, "tls", &print_origination(tls));
    }
    out.push_str("backends = [\n");
    let given = if pool.sources.is_empty() { pool.backends.as_slice() } else { &[] };
    let items = given.iter().map(print_backend).chain(pool.sources.iter().map(|source| match source {
        Source::Given(backend) => print_backend(backend),
        Source::Asked { question, like } => print_asked(question, like),
    }));
    for item in items {
        let _ = writeln!(out, "    {item},");
    }
    out.push_str("]\n\n");
}

fn announced_fields(announce: Announce) -> String {
    let Announce { version: _, authority, alpn, unique_id, ssl, length_max: _ } = announce;
    let words = [("authority", authority), ("alpn", alpn), ("unique-id", unique_id), ("ssl", ssl)];
    list(words.into_iter().filter(|(_, is_said)| *is_said).map(|(word, _)| text(word)))
}

fn print_backend(backend: &Backend) -> String {
    let Backend { name, address, weight, tier, max_requests, max_connections, duty, tls_name } = backend;
    let bounds = (*max_requests, *max_connections);
    print_item(Some(name), &address.to_string(), (*weight, *tier), bounds, tls_name.as_deref(), *duty)
}

fn print_asked(question: &Question, like: &Like) -> String {
    let Like { name, weight, tier, max_requests, max_connections, duty, tls_name } = like;
    let bounds = (*max_requests, *max_connections);
    print_item(name.as_ref(), &question.to_string(), (*weight, *tier), bounds, tls_name.as_deref(), *duty)
}

fn print_item(
    name: Option<&String>,
    address: &str,
    (weight, tier): (u32, u8),
    (max_requests, max_connections): (Option<u32>, Option<u32>),
    tls_name: Option<&str>,
    duty: Duty,
) -> String {
    let pairs = [
        ("name", name.map(|name| text(name))),
        ("address", Some(text(address))),
        ("weight", Some(weight.to_string())),
        ("tier", Some(tier.to_string())),
        ("max_requests", max_requests.map(|most| most.to_string())),
        ("max_connections", max_connections.map(|most| most.to_string())),
        ("tls_name", tls_name.map(text)),
        ("state", (duty != Duty::Ready).then(|| text(duty.word()))),
    ];
    table(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))))
}
