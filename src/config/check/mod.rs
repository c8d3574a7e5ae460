//! From the raw shape to the checked one: every mistake in one run.
//!
//! A check that fails puts a finding down and goes on with a stand-in, usually the default. The result counts only if
//! nothing was found, so a stand-in is never run.

mod leaf;
mod limits;
mod listeners;
mod pools;
mod timeouts;

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use super::raw;
use super::report::Findings;
use super::value::Resolve;
use super::{Loaded, THREADS_MAX};
use crate::snapshot::Snapshot;

/// The longest name of a listener or a pool, in bytes.
const NAME_LEN_MAX: usize = 64;

/// Checks the whole file.
pub(super) fn file(raw: &raw::File, resolve: &mut Resolve<'_>, findings: &mut Findings) -> Loaded {
    let threads = raw.threads.as_ref().and_then(|threads| {
        leaf::integer("threads", threads, 1..=THREADS_MAX as u64, findings)
            .and_then(|n| usize::try_from(n).ok())
    });
    let pools = pools::check(&raw.pool, resolve, findings);
    let listeners = listeners::check(&raw.listener, &pools, resolve, findings);
    let timeouts = timeouts::check(&raw.timeouts, findings);
    let limits = limits::check(&raw.limits, findings);
    Loaded { snapshot: Snapshot { listeners, pools, timeouts, limits }, threads }
}

/// Where `key` was seen before, if it was; otherwise it is noted as seen at `span`.
fn first_place<K: Clone + Eq + Hash>(
    seen: &mut HashMap<K, Range<usize>>,
    key: &K,
    span: &Range<usize>,
) -> Option<Range<usize>> {
    let first = seen.get(key).cloned();
    if first.is_none() {
        seen.insert(key.clone(), span.clone());
    }
    first
}
