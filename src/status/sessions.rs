//! Sessions one by one: which are asked for, and how each is called.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Holder;
use crate::core::slab::Key;
use crate::core::time::show_span;
use crate::session::SessionActivity;

/// The most sessions that are listed.
pub const LISTED_MAX: usize = 1000;

/// The name of a session, for as long as its process lives: the number of its worker, its slot there, and how
/// many have had that slot before, with full stops between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId {
    /// The worker, counted from 0.
    pub worker: usize,
    /// Its key in that worker.
    pub key: Key,
}

impl SessionId {
    /// The session that is called `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<SessionId> {
        let mut parts = text.split('.').map(str::parse::<u32>);
        let (worker, slot, generation) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        let key = Key::from_bits(u64::from(generation) << 32 | u64::from(slot));
        parts.next().is_none().then_some(SessionId { worker: worker as usize, key })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.key.to_bits();
        write!(f, "{}.{}.{}", self.worker, bits as u32, bits >> 32)
    }
}

/// The order of a list of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The sessions with the oldest activity.
    #[default]
    Oldest,
    /// The sessions that have moved most bytes.
    Biggest,
}

/// The sessions that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsAsk {
    /// Sessions with that activity; all if it is `None`.
    #[serde(default)]
    pub kind: Option<SessionActivity>,
    /// The order.
    #[serde(default)]
    pub order: Order,
    /// The number of sessions at most, up to [`LISTED_MAX`].
    pub count: usize,
}

impl Default for SessionsAsk {
    fn default() -> Self {
        SessionsAsk { kind: None, order: Order::default(), count: 100 }
    }
}

impl SessionsAsk {
    /// Puts the sessions in order, and leaves those that were asked for.
    pub fn arrange(&self, found: &mut Vec<Holder>) {
        match self.order {
            Order::Oldest => found.sort_by_key(|holder| Reverse(holder.age_ms)),
            Order::Biggest => {
                found.sort_by_key(|holder| Reverse(holder.bytes_up.saturating_add(holder.bytes_down)));
            }
        }
        found.truncate(self.count.min(LISTED_MAX));
    }
}

/// A list of sessions for people.
#[must_use]
pub fn tell_sessions(sessions: &[Holder]) -> String {
    if sessions.is_empty() {
        return String::from("no client\n");
    }
    let width = sessions.iter().map(|holder| holder.id.len()).max().unwrap_or(0);
    let line = |holder: &Holder| format!("{:width$}  {:>8}  {holder}\n", holder.id, show_span(holder.age_ms));
    sessions.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back() {
        let id = SessionId { worker: 3, key: Key::from_bits(7 << 32 | 12) };
        assert_eq!(id.to_string(), "3.12.7");
        assert_eq!(SessionId::parse("3.12.7"), Some(id));
        for bad in ["", "3", "3.12", "3.12.7.1", "a.b.c", "3.12.-7", "3.12.99999999999"] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
    }
}
