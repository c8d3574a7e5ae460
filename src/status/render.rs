//! A status for people.

use std::fmt::{self, Write};

use crate::core::time::show_span;

use super::{AGES_S, Configuration, Crowd, Drain, Group, Holder, Status};

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pollux {}, process {}, up {}", self.version, self.pid, show_span(self.uptime_ms))?;
        writeln!(f, "{}", self.configuration)?;
        if let Some(drain) = &self.drain {
            writeln!(f, "draining for {}; {}", show_span(drain.since_ms), drain.forecast(&self.crowd))?;
        }
        for listener in &self.listeners {
            writeln!(f, "listener {} on {} ({})", listener.name, listener.address, listener.mode)?;
        }
        self.certificates.iter().try_for_each(|certificate| writeln!(f, "{certificate}"))?;
        writeln!(f)?;
        self.tell_workers(f)?;
        self.pools.iter().try_for_each(|pool| pool.fmt(f))?;
        if !self.sources.is_empty() {
            writeln!(f)?;
            self.sources.iter().try_for_each(|source| source.fmt(f))?;
        }
        if let Some(log) = self.log.as_ref().filter(|log| log.changed_from.is_some()) {
            writeln!(f, "\nlog {log}")?;
        }
        if !self.changes.is_empty() {
            writeln!(f, "\nchanged while running")?;
            self.changes.iter().try_for_each(|change| writeln!(f, "  {change}"))?;
        }
        self.crowd.fmt(f)
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("from the command line");
        write!(f, "configuration {file}, loaded {} ago", show_span(self.loaded_ms))?;
        match self.reloads {
            0 => Ok(()),
            1 => f.write_str(" (1 reload)"),
            count => write!(f, " ({count} reloads)"),
        }
    }
}

impl Status {
    fn tell_workers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "worker    clients  backends in use  idle   own  buffers  pipes")?;
        for worker in &self.workers {
            writeln!(
                f,
                "{:<6} {:>10} {:>16} {:>5} {:>5} {:>8} {:>6}",
                worker.number,
                worker.sessions,
                worker.backends_in_use,
                worker.backends_idle,
                worker.backends_own,
                worker.buffers_out,
                worker.pipes_out
            )?;
        }
        match self.workers_silent {
            0 => Ok(()),
            1 => writeln!(f, "1 worker has ended, or did not answer"),
            count => writeln!(f, "{count} workers have ended, or did not answer"),
        }
    }

    /// The sessions that hold a drain, in one line for the log.
    #[must_use]
    pub fn drain_line(&self) -> String {
        let Some(drain) = &self.drain else { return String::from("not draining") };
        let mut line = format!("draining for {}", show_span(drain.since_ms));
        for (place, group) in self.crowd.groups.iter().enumerate() {
            let separator = if place == 0 { ": " } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(
                line,
                "{separator}{} {} (oldest {})",
                group.count,
                group.kind.as_str(),
                show_span(group.oldest_ms)
            );
        }
        let _ = write!(line, "; {}", drain.forecast(&self.crowd));
        if let Some(holder) = self.crowd.holders.first() {
            let _ = write!(line, "; the oldest is {holder}");
        }
        line
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "\nno client");
        }
        write!(f, "\nclients     count")?;
        AGES_S.iter().try_for_each(|bound| write!(f, " {:>6}", format!("<{}", show_bound(*bound))))?;
        writeln!(f, "  older   oldest")?;
        self.groups.iter().try_for_each(|group| writeln!(f, "{group}"))?;
        writeln!(f, "\noldest, those that are served first")?;
        self.holders.iter().try_for_each(|holder| writeln!(f, "  {holder}"))
    }
}

/// A number of bytes, to two places or so.
fn show_bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >= 1 << shift) {
        // Tenths of the unit, in whole numbers.
        Some((unit, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

fn show_bound(bound_s: u64) -> String {
    if bound_s < 60 { format!("{bound_s}s") } else { format!("{}m", bound_s / 60) }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} {:>6}", self.kind.as_str(), self.count)?;
        self.ages.iter().try_for_each(|count| write!(f, " {count:>6}"))?;
        write!(f, " {:>8}", show_span(self.oldest_ms))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}: client {}", self.kind.as_str(), show_span(self.age_ms), self.client)?;
        write!(f, " of {}", self.listener)?;
        if let Some(backend) = &self.backend {
            write!(f, ", backend {backend}")?;
        }
        if !self.request.is_empty() {
            write!(f, ", {}", self.request)?;
        }
        if self.bytes_up + self.bytes_down > 0 {
            let [up, down] = [self.bytes_up, self.bytes_down].map(show_bytes);
            write!(f, ", {up} up, {down} down")?;
        }
        if let (Some(bytes), Some(ms)) = (self.bytes_left, self.left_ms()) {
            write!(f, ", {} left, about {} at this rate", show_bytes(bytes), show_span(ms))?;
        }
        Ok(())
    }
}

impl Drain {
    /// When it ends, and who is cut off then.
    #[must_use]
    pub fn forecast(&self, crowd: &Crowd) -> String {
        let (busy, left_ms) = (crowd.busy(), self.left_ms);
        let others = crowd.groups.iter().filter_map(|group| group.ends_ms).max();
        let others = others.map(|ends_ms| show_span(ends_ms.min(left_ms)));
        match (busy, others) {
            (0, None) => String::from("it ends now"),
            (0, Some(others)) => format!("it ends within {others}"),
            (busy, others) => {
                let who = if busy == 1 { "1 client is" } else { &format!("{busy} clients are") };
                let before =
                    others.map_or_else(String::new, |ends| format!(", the others leave within {ends}"));
                format!(
                    "it ends in {} at the latest, and whoever is served then is cut off: {who} served{before}",
                    show_span(left_ms)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionActivity;

    #[test]
    fn spans_are_short() {
        let shown = [0, 3249, 10_900, 242_000, 11_220_000, 1_047_600_000].map(show_span);
        assert_eq!(shown, ["0.0s", "3.2s", "10s", "4m 2s", "3h 7m", "12d 3h"]);
    }

    #[test]
    fn bytes_are_round() {
        let shown = [999, 1024, 1_500_000, u64::MAX].map(show_bytes);
        assert_eq!(shown, ["999 B", "1.0 KiB", "1.4 MiB", "17179869183.9 GiB"]);
    }

    #[test]
    fn a_forecast_says_when_and_who() {
        let drain = Drain { since_ms: 3000, left_ms: 27_000 };
        let mut crowd = Crowd::default();
        assert_eq!(drain.forecast(&crowd), "it ends now");
        crowd.count(SessionActivity::Idle, 100, Some(900));
        assert_eq!(drain.forecast(&crowd), "it ends within 0.9s");
        crowd.count(SessionActivity::Tunnel, 100, None);
        assert_eq!(
            drain.forecast(&crowd),
            "it ends in 27s at the latest, and whoever is served then is cut off: 1 client is served, the others leave within 0.9s"
        );
    }
}
