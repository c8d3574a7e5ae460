//! `[timeouts]`.

use std::time::Duration;

use toml::Spanned;

use super::leaf;
use crate::config::raw::{self, Leaf};
use crate::config::report::Findings;
use crate::config::value::parse_duration;
use crate::snapshot::Timeouts;

pub(super) fn check(raw: &raw::Timeouts, findings: &mut Findings) -> Timeouts {
    let default = Timeouts::default();
    let mut time = |key, leaf: &Option<Spanned<Leaf>>, default| match leaf {
        None => default,
        Some(leaf) => read(key, leaf, findings).unwrap_or(default),
    };
    Timeouts {
        connect: time("connect", &raw.connect, default.connect),
        client_head: time("client_head", &raw.client_head, default.client_head),
        client_idle: time("client_idle", &raw.client_idle, default.client_idle),
        backend_response: time("backend_response", &raw.backend_response, default.backend_response),
        idle: time("idle", &raw.idle, default.idle),
        tunnel: time("tunnel", &raw.tunnel, default.tunnel),
        queue: time("queue", &raw.queue, default.queue),
        linger: time("linger", &raw.linger, default.linger),
        backend_idle: time("backend_idle", &raw.backend_idle, default.backend_idle),
        drain: time("drain", &raw.drain, default.drain),
    }
}

fn read(key: &str, leaf: &Spanned<Leaf>, findings: &mut Findings) -> Option<Duration> {
    let found = match leaf.get_ref() {
        Leaf::Text(text) => match parse_duration(text) {
            Ok(time) => return Some(time),
            Err(error) => leaf::refused(key, leaf, &error),
        },
        // The unit that was left out is a guess, and the commonest one.
        Leaf::Integer(number) => leaf::wrong_type(key, leaf, "a time").help(format!(
            "write text with a unit, such as `{key} = \"{}s\"`",
            number.saturating_abs().max(1)
        )),
        Leaf::Other(_) => leaf::wrong_type(key, leaf, "a time")
            .help(format!("write text with a unit, such as `{key} = \"2s\"`")),
    };
    findings.push(found);
    None
}
