//! What concerns the process: threads, control, the admin address, the access log.

use super::listener::print_permissions;
use super::words::{line, list, text, time};
use crate::access::{Choice, Redaction, Rules};
use crate::admin::{Admin, TokenSource};
use crate::config::Process;
use crate::config::value::show_thousandths;
use crate::core::noted::NOTHING;

pub(super) fn print_process(out: &mut String, process: &Process) {
    let Process { threads, control, access_log, admin } = process;
    if let Some(threads) = threads {
        line(out, "threads", &threads.to_string());
    }
    if let Some(control) = control {
        line(out, "control", &text(&control.to_string_lossy()));
    }
    if let Some(rules) = access_log {
        print_access_log(out, rules);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    if let Some(admin) = admin {
        print_admin(out, admin);
    }
}

fn print_admin(out: &mut String, admin: &Admin) {
    out.push_str("[admin]\n");
    line(out, "bind", &text(&admin.bind.to_string()));
    print_permissions(out, &admin.socket);
    match admin.token.as_ref().map(|token| &token.source) {
        Some(TokenSource::File(path)) => line(out, "token_file", &text(&path.to_string_lossy())),
        Some(TokenSource::Variable(name)) => line(out, "token_env", &text(name)),
        None => line(out, "writable", &admin.writable.to_string()),
    }
    out.push('\n');
}

/// The rules in one line if they are only where to, else as a table.
fn print_access_log(out: &mut String, rules: &Rules) {
    let Rules { to, format, choice, redaction, headers } = rules;
    let to = to.as_ref().map(|to| text(&to.to_string()));
    if let Some(to) = &to
        && (format, choice, redaction, headers)
            == (&None, &Choice::default(), &Redaction::default(), &NOTHING)
    {
        return line(out, "access_log", to);
    }
    out.push_str("\n[access_log]\n");
    if let Some(to) = to {
        line(out, "to", &to);
    }
    if let Some(format) = format {
        line(out, "format", &text(format.text()));
    }
    line(out, "status", &list(choice.statuses.iter().map(|statuses| text(&statuses.to_string()))));
    if let Some(span) = choice.slower_than {
        line(out, "slower_than", &time(span));
    }
    if let Some(share) = choice.sample {
        line(out, "sample", &show_thousandths(share.into()));
    }
    line(out, "except", &list(choice.except.iter().map(|cause| text(cause.word()))));
    let query = redaction.query.then(|| text("query"));
    let hidden = redaction.headers.iter().map(|name| text(&format!("header:{name}")));
    line(out, "redact", &list(query.into_iter().chain(hidden)));
    line(out, "request_headers", &list(headers.request.iter().map(|name| text(name))));
    line(out, "response_headers", &list(headers.response.iter().map(|name| text(name))));
}
