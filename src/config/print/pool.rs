//! Pools: backends, retries, health, stickiness.

use std::fmt::Write;

use crate::config::forms::BackendForm;
use crate::config::language::{BACKEND, POOL};
use crate::config::settings::{print_inline, print_lines};
use crate::snapshot::{BackendSource, Pool};

pub(super) fn print_pool(out: &mut String, pool: &Pool) {
    let _ = writeln!(out, "[pool.{}]", pool.name);
    print_lines(out, &POOL, pool);
    out.push_str("backends = [\n");
    let given = if pool.sources.is_empty() { pool.backends.as_slice() } else { &[] };
    let items = given.iter().map(BackendForm::of).chain(pool.sources.iter().map(|source| match source {
        BackendSource::Given(backend) => BackendForm::of(backend),
        BackendSource::Asked { question, like } => {
            BackendForm { address: question.to_string(), like: like.clone() }
        }
    }));
    for item in items {
        let _ = writeln!(out, "    {},", print_inline(&BACKEND, &item));
    }
    out.push_str("]\n\n");
}
