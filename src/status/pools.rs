//! The pools of a running Pollux: how each backend is, and what was last observed of it.

use std::fmt;

use serde::Serialize;

use crate::core::time::show_span;

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Whether requests go to all of its backends, because too few are well.
    pub panics: bool,
    /// Its backends, in the order of the configuration.
    pub backends: Vec<BackendStatus>,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// `up`, `warming`, `unchecked`, `down` or `ejected`.
    pub standing: &'static str,
    /// The state that the operator wants: `ready`, `drain` or `down`.
    pub state: &'static str,
    /// For how long; `None` is since it is known.
    pub since_ms: Option<u64>,
    /// Until its ejection is over.
    pub left_ms: Option<u64>,
    /// The share of its weight that it gets, in thousandths.
    pub share: u32,
    /// Its weight.
    pub weight: u32,
    /// Its requests in flight.
    pub in_flight: u32,
    /// Its latency, where that is measured.
    pub latency_us: Option<u64>,
    /// The last observations, the oldest first.
    pub history: Vec<ObservationStatus>,
}

/// Something that an operator has changed while Pollux runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The backend, as `pool/backend`.
    pub backend: String,
    /// Its key in the configuration: `state` or `weight`.
    pub what: &'static str,
    /// The value that holds.
    pub value: String,
    /// The value in the configuration.
    pub filed: String,
    /// By whom.
    pub by: String,
    /// Before so long.
    pub age_ms: u64,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changed { backend, what, value, filed, by, age_ms } = self;
        write!(
            f,
            "{backend}: {what} {value} since {}, by {by} (the configuration says {filed})",
            show_span(*age_ms)
        )
    }
}

/// One look at a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservationStatus {
    /// Before so long.
    pub age_ms: u64,
    /// By a `check` or by a `request`.
    pub by: &'static str,
    /// The phase that it reached: `connect`, `response` or `body`.
    pub phase: &'static str,
    /// The result: a status, or the error.
    pub found: String,
    /// Whether that is good.
    pub is_well: bool,
}

impl fmt::Display for PoolStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = if self.panics { "  (too few are well: requests go to all)" } else { "" };
        writeln!(f, "\npool {}{note}", self.name)?;
        let width = self.backends.iter().map(|backend| backend.name.chars().count()).max().unwrap_or(0);
        self.backends.iter().try_for_each(|backend| {
            let padding = width - backend.name.chars().count();
            writeln!(f, "  {}{:padding$}  {}", backend.name, "", backend.line())
        })
    }
}

impl BackendStatus {
    /// Its state, in one line.
    fn line(&self) -> String {
        let since = self.since_ms.map_or_else(String::new, |span| format!(" for {}", show_span(span)));
        let left = self.left_ms.map_or_else(String::new, |span| format!(", {} left", show_span(span)));
        let share = match self.share {
            1000 => String::new(),
            share => format!(" at {}.{} %", share / 10, share % 10),
        };
        let state = match self.state {
            "ready" => String::new(),
            state => format!(", {state} by the operator"),
        };
        let latency = self
            .latency_us
            .map_or_else(String::new, |us| format!("  latency {}.{:03} ms", us / 1000, us % 1000));
        format!(
            "{}{share}{since}{left}{state}  weight {}  in flight {}{latency}",
            self.standing, self.weight, self.in_flight
        )
    }

    /// Everything that is known of the backend, which belongs to `pool`.
    #[must_use]
    pub fn tell(&self, pool: &str) -> String {
        let mut text = format!("backend {pool}/{} at {}\n{}\n", self.name, self.address, self.line());
        if self.history.is_empty() {
            return text + "nothing was observed of it yet\n";
        }
        text.push_str("\nlast observations\n");
        for seen in &self.history {
            let verdict = if seen.is_well { "well" } else { "ill " };
            text.push_str(&format!(
                "  {:>9} ago  {:<7}  {verdict}  {:<8}  {}\n",
                show_span(seen.age_ms),
                seen.by,
                seen.phase,
                seen.found
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_why_a_backend_is_down() {
        let seen = |age_ms, is_well, found: &str| ObservationStatus {
            age_ms,
            by: "check",
            phase: "connect",
            found: found.into(),
            is_well,
        };
        let backend = BackendStatus {
            name: "b2".into(),
            address: "127.0.0.1:9002".into(),
            standing: "down",
            state: "ready",
            since_ms: Some(62_000),
            left_ms: None,
            share: 1000,
            weight: 3,
            in_flight: 1,
            latency_us: Some(1500),
            history: vec![seen(70_000, true, "connected"), seen(2100, false, "backend-refused")],
        };
        assert_eq!(
            backend.tell("app"),
            "backend app/b2 at 127.0.0.1:9002\n\
             down for 1m 2s  weight 3  in flight 1  latency 1.500 ms\n\n\
             last observations\n\
             \x20    1m 10s ago  check    well  connect   connected\n\
             \x20      2.1s ago  check    ill   connect   backend-refused\n"
        );
        let pool = PoolStatus { name: "app".into(), panics: true, backends: vec![backend] };
        let told = "\npool app  (too few are well: requests go to all)\n  b2  down for 1m 2s  weight 3  in flight 1  latency 1.500 ms\n";
        assert_eq!(pool.to_string(), told);
    }
}
