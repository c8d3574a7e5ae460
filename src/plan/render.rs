//! A plan for people.

use std::fmt;

use super::{ChangeKind, Plan, Replay};

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::Opened => "opens",
            ChangeKind::Closed => "closes",
            ChangeKind::Added => "adds",
            ChangeKind::Removed => "removes",
            ChangeKind::Drained => "drains",
            ChangeKind::Moved => "moves",
            ChangeKind::Changed => "changes",
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            writeln!(f, "nothing changes")?;
        }
        for change in &self.changes {
            let how = if change.how.is_empty() { String::new() } else { format!(": {}", change.how) };
            writeln!(f, "{:8} {}{how}", change.kind.to_string(), change.what)?;
        }
        self.replay.as_ref().map_or(Ok(()), |replay| write!(f, "\n{replay}"))
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} logged requests would go elsewhere ({} lines skipped)",
            self.moved, self.requests, self.skipped
        )?;
        for moved in &self.examples {
            writeln!(f, "  {} from {}: {}, was {}", moved.request, moved.client, moved.is, moved.was)?;
        }
        Ok(())
    }
}
