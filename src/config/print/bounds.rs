//! Times and bounds.

use super::words::{body, line, text, time};
use crate::config::value::show_size;
use crate::snapshot::{Limits, Recording, Timeouts};

pub(super) fn print_timeouts(out: &mut String, timeouts: &Timeouts) {
    let Timeouts {
        handshake,
        connect,
        preface,
        client_head,
        client_idle,
        backend_response,
        idle,
        stream,
        tunnel,
        queue,
        linger,
        backend_idle,
        drain,
        drain_delay,
    } = timeouts;
    out.push_str("[timeouts]\n");
    for (key, span) in [
        ("handshake", handshake),
        ("connect", connect),
        ("preface", preface),
        ("client_head", client_head),
        ("client_idle", client_idle),
        ("backend_response", backend_response),
        ("idle", idle),
        ("stream", stream),
        ("tunnel", tunnel),
        ("queue", queue),
        ("linger", linger),
        ("backend_idle", backend_idle),
        ("drain", drain),
    ] {
        line(out, key, &time(*span));
    }
    if !drain_delay.is_zero() {
        line(out, "drain_delay", &time(*drain_delay));
    }
    out.push('\n');
}

pub(super) fn print_limits(out: &mut String, limits: &Limits) {
    let Limits {
        head,
        request_line,
        field,
        fields,
        body: most,
        buffer,
        buffers,
        sessions,
        per_client,
        handshakes,
        accept_budget,
        idle_per_backend,
        route_series,
        backend_series,
        idle,
        recorder: Recording { slow, keep },
    } = limits;
    let size = |bytes: &usize| text(&show_size(*bytes as u64));
    out.push_str("[limits]\n");
    for (key, value) in [
        ("head", size(head)),
        ("request_line", size(request_line)),
        ("field", size(field)),
        ("fields", fields.to_string()),
        ("body", body(*most)),
        ("buffer", size(buffer)),
        ("buffers", buffers.to_string()),
        ("sessions", sessions.to_string()),
        ("handshakes", handshakes.to_string()),
        ("accept_budget", accept_budget.to_string()),
        ("idle_per_backend", idle_per_backend.to_string()),
        ("route_series", route_series.to_string()),
        ("backend_series", backend_series.to_string()),
        ("idle", idle.to_string()),
    ] {
        line(out, key, &value);
    }
    if let Some(most) = per_client {
        line(out, "per_client", &most.to_string());
    }
    out.push_str("\n[recorder]\n");
    line(out, "slow", &time(*slow));
    line(out, "keep", &keep.to_string());
}
