//! An explanation for people.

use std::fmt;

use super::{End, Explanation, Forwarded};
use crate::policy::Judged;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listener {}", self.listener)?;
        if let Some(client) = &self.client {
            write!(f, ", client {client}")?;
        }
        f.write_str("\n\nroutes\n")?;
        let width = self.routes.iter().map(|route| route.place.chars().count()).max().unwrap_or(0);
        for route in &self.routes {
            match &route.missed {
                Some(missed) => writeln!(f, "  missed  {:width$}  {}: {missed}", route.place, route.name)?,
                None => writeln!(f, "  taken   {:width$}  {}", route.place, route.name)?,
            }
        }
        if self.routes.is_empty() {
            f.write_str("  none was tried\n")?;
        }
        if !self.policies.is_empty() {
            f.write_str("\npolicies\n")?;
            let width = self.policies.iter().map(|it| it.policy.chars().count()).max().unwrap_or(0);
            for Judged { policy, verdict, .. } in &self.policies {
                writeln!(f, "  {policy:width$}  {verdict}")?;
            }
        }
        match &self.end {
            End::Forwarded(forwarded) => forwarded.fmt(f),
            End::Answered { status, head, body_bytes } => {
                writeln!(f, "\nanswered by the route itself: {status}")?;
                head.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
                if *body_bytes > 0 { writeln!(f, "  and a body of {body_bytes} bytes") } else { Ok(()) }
            }
            End::Refused { status: Some(status), cause } => writeln!(f, "\nanswered with {status}: {cause}"),
            End::Refused { status: None, cause } => writeln!(f, "\nended: {cause}"),
            End::Options => writeln!(f, "\nanswered with 204: it asks what Pollux can do"),
        }
    }
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.head.is_empty() {
            f.write_str("\nthe request as the backend gets it\n")?;
            self.head.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        writeln!(f, "\npool {}", self.pool)?;
        if let Some(split) = &self.split {
            writeln!(f, "  chosen {split}")?;
        }
        let width = self.candidates.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
        for candidate in &self.candidates {
            let fate = match &candidate.excluded {
                Some(why) => format!("excluded: {why}"),
                None if self.picked.as_ref() == Some(&candidate.name) => String::from("picked"),
                None => String::from("could be picked"),
            };
            let address = if candidate.address == candidate.name {
                String::new()
            } else {
                format!(" ({})", candidate.address)
            };
            let tier = if candidate.tier > 1 { format!("  tier {}", candidate.tier) } else { String::new() };
            writeln!(f, "  {:width$}{address}  weight {}{tier}  {fate}", candidate.name, candidate.weight)?;
        }
        for at in &self.workers {
            let picked = at.picked.as_deref().unwrap_or("nobody");
            write!(f, "  worker {} picks {picked} now; idle connections:", at.worker)?;
            for (candidate, count) in self.candidates.iter().zip(&at.idle) {
                write!(f, " {} {count}", candidate.name)?;
            }
            writeln!(f)?;
        }
        writeln!(f, "  {}", self.rule)
    }
}
