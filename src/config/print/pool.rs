//! Pools: backends, retries, health, stickiness.

use std::fmt::Write;

use super::words::{table, text};
use crate::config::compare::like;
use crate::config::language::{BACKEND, POOL};
use crate::config::settings::{pairs, print_lines};
use crate::snapshot::{Backend, BackendSource, Like, Pool};

pub(super) fn print_pool(out: &mut String, pool: &Pool) {
    let _ = writeln!(out, "[pool.{}]", pool.name);
    print_lines(out, &POOL, pool);
    out.push_str("backends = [\n");
    let given = if pool.sources.is_empty() { pool.backends.as_slice() } else { &[] };
    let items = given.iter().map(print_backend).chain(pool.sources.iter().map(|source| match source {
        BackendSource::Given(backend) => print_backend(backend),
        BackendSource::Asked { question, like } => print_item(&question.to_string(), like),
    }));
    for item in items {
        let _ = writeln!(out, "    {item},");
    }
    out.push_str("]\n\n");
}

fn print_backend(backend: &Backend) -> String {
    print_item(&backend.address.to_string(), &like(backend))
}

fn print_item(address: &str, like: &Like) -> String {
    let rest = pairs(&BACKEND, like).map(|(key, value)| (key.name.to_owned(), value));
    table([(String::from("address"), text(address))].into_iter().chain(rest))
}
