//! A snapshot as a file that says it: everything, defaults included.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::Process;
use super::value::{show_size, show_thousandths};
use crate::access::{Choice, Redaction, Rules};
use crate::admin::{Admin, TokenSource};
use crate::balance::Duty;
use crate::balance::health::{Check, Kind as Probing, Passive, Start};
use crate::core::noted::NOTHING;
use crate::discovery::{Like, Question, Source};
use crate::preface::proxy::Version;
use crate::route::{
    Action, AmbiguousPaths, Conditions, FieldEdits, Options, PrefixEdit, Respond, Retry, Route, Split,
    Template, Want,
};
use crate::snapshot::{
    Announce, Announcing, Backend, Balance, Forwarding, Hsts, Limits, Listener, Mode, NO_ADDRESS,
    Permissions, Pool, Recording, Retries, SameSite, Snapshot, SocketOptions, Sticky, Telling, Timeouts,
};
use crate::tls::{OriginationRules, Pair, TerminationRules};

/// `snapshot` as TOML that loads to the same. Files that it includes and variables that it uses have become what they stood
/// for; of a file that a route answers with, the path is named.
#[must_use]
pub fn print(snapshot: &Snapshot, process: &Process) -> String {
    let mut out = String::new();
    print_process(&mut out, process);
    for listener in &snapshot.listeners {
        print_listener(&mut out, listener, snapshot);
    }
    for pool in &snapshot.pools {
        print_pool(&mut out, pool);
    }
    print_timeouts(&mut out, &snapshot.timeouts);
    print_limits(&mut out, &snapshot.limits);
    out
}

fn print_process(out: &mut String, process: &Process) {
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
    match admin.token.as_ref().map(|token| &token.source) {
        Some(TokenSource::File(path)) => line(out, "token_file", &text(&path.to_string_lossy())),
        Some(TokenSource::Variable(name)) => line(out, "token_env", &text(name)),
        None => {}
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

/// A line `key = value`. Writing to a String cannot fail.
fn line(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key} = {value}");
}

/// A text between quotes, so that nothing in it is taken for a variable.
fn text(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn table(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key} = {value}")).collect();
    if pairs.is_empty() { String::from("{}") } else { format!("{{ {} }}", pairs.join(", ")) }
}

fn time(time: Duration) -> String {
    text(&humantime::format_duration(time).to_string())
}

fn body(bytes: Option<u64>) -> String {
    text(&bytes.map_or_else(|| String::from("none"), show_size))
}

fn print_listener(out: &mut String, listener: &Listener, snapshot: &Snapshot) {
    out.push_str("[[listener]]\n");
    line(out, "name", &text(&listener.name));
    line(out, "bind", &text(&listener.bind.to_string()));
    print_socket(out, listener);
    line(out, "mode", &text(&listener.mode.to_string()));
    if let Some(tls) = &listener.tls {
        line(out, "tls", &print_termination(tls.rules()));
    }
    let mut routes = listener.routes.routes();
    if let Some((last, others)) = routes.split_last()
        && is_own(last)
    {
        print_action(out, &last.action, snapshot);
        routes = others;
    }
    line(out, "proxy_protocol", &text(listener.announcing.word()));
    if listener.mode == Mode::Http || listener.announcing != Announcing::Never {
        let shown = |net: &IpNet| {
            if net.addr() == NO_ADDRESS.ip() && net.prefix_len() == 128 {
                text("unix")
            } else {
                text(&net.to_string())
            }
        };
        let networks = listener.trusted_proxies.iter().map(shown);
        line(out, "trusted_proxies", &list(networks));
    }
    match listener.mode {
        Mode::Tcp => {}
        Mode::Http => {
            let forwarding = match listener.forwarding {
                Forwarding::XForwarded => "x-forwarded",
                Forwarding::Forwarded => "forwarded",
            };
            line(out, "forwarding", &text(forwarding));
            let Telling { request_id, traces, proxy_status, hsts } = listener.telling;
            line(out, "request_id", &text(request_id.word()));
            line(out, "traces", &text(traces.word()));
            line(out, "proxy_status", &text(proxy_status.word()));
            if let Some(Hsts { max_age_s, include_subdomains, preload }) = hsts {
                let pairs = [
                    ("max_age", time(Duration::from_secs(max_age_s))),
                    ("include_subdomains", include_subdomains.to_string()),
                    ("preload", preload.to_string()),
                ];
                line(out, "hsts", &table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value))));
            }
            let ambiguous = match listener.routes.ambiguous() {
                AmbiguousPaths::Refuse => "refuse",
                AmbiguousPaths::Pass => "pass",
            };
            line(out, "ambiguous_paths", &text(ambiguous));
        }
    }
    out.push('\n');
    for route in routes {
        print_route(out, route, listener.mode, snapshot);
    }
}

fn print_socket(out: &mut String, listener: &Listener) {
    let SocketOptions { v6only, interface, permissions } = &listener.socket;
    if listener.bind.ip().is_some_and(|address| address.is_ipv6()) {
        line(out, "v6only", &v6only.to_string());
    }
    if let Some(interface) = interface {
        line(out, "interface", &text(interface));
    }
    let Permissions { mode, user, group } = permissions;
    let pairs = [
        mode.map(|mode| ("mode", text(&format!("{mode:04o}")))),
        user.as_ref().map(|user| ("user", text(user))),
        group.as_ref().map(|group| ("group", text(group))),
    ];
    if *permissions != Permissions::default() {
        let pairs = pairs.into_iter().flatten().map(|(key, value)| (key.to_owned(), value));
        line(out, "socket", &table(pairs));
    }
}

fn print_termination(rules: &TerminationRules) -> String {
    let TerminationRules { certificates, client_ca, client_auth, min_version, alpn, unknown_names } = rules;
    let path = |path: &Path| text(&path.to_string_lossy());
    let pair = |pair: &Pair| {
        table(
            [("cert", &pair.cert), ("key", &pair.key)]
                .into_iter()
                .map(|(key, it)| (key.to_owned(), path(it))),
        )
    };
    let pairs = [
        ("certificates", Some(list(certificates.iter().map(pair)))),
        ("client_ca", client_ca.as_deref().map(path)),
        ("client_auth", client_ca.is_some().then(|| text(client_auth.word()))),
        ("min_version", Some(text(min_version.word()))),
        ("alpn", Some(list(alpn.iter().map(|name| text(name))))),
        ("unknown_names", Some(text(unknown_names.word()))),
    ];
    table(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))))
}

fn print_origination(rules: &OriginationRules) -> String {
    let OriginationRules { ca, name, client, verify, min_version } = rules;
    let path = |path: &Path| text(&path.to_string_lossy());
    let pairs = [
        ("ca", ca.as_deref().map(path)),
        ("name", name.as_deref().map(text)),
        ("cert", client.as_ref().map(|pair| path(&pair.cert))),
        ("key", client.as_ref().map(|pair| path(&pair.key))),
        ("verify", Some(text(verify.word()))),
        ("min_version", Some(text(min_version.word()))),
    ];
    table(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))))
}

/// Whether a route is what a listener's own `pool` or `split` makes.
fn is_own(route: &Route) -> bool {
    route.name == Route::DEFAULT
        && route.when.is_empty()
        && route.options.is_none()
        && route.action.pools().next().is_some()
}

fn print_route(out: &mut String, route: &Route, mode: Mode, snapshot: &Snapshot) {
    out.push_str("[[listener.route]]\n");
    line(out, "name", &text(&route.name));
    line(out, "match", &conditions(&route.when, mode));
    print_action(out, &route.action, snapshot);
    if let Some(options) = &route.options {
        print_options(out, options);
    }
    out.push('\n');
}

fn conditions(when: &Conditions, mode: Mode) -> String {
    let host = match mode {
        Mode::Http => "host",
        Mode::Tcp => "sni",
    };
    let shown = |key: &str, items: Vec<String>| {
        (!items.is_empty()).then(|| (key.to_owned(), list(items.iter().map(|item| text(item)))))
    };
    let pairs = [
        shown(host, when.hosts.iter().map(ToString::to_string).collect()),
        shown("path", when.paths.iter().map(ToString::to_string).collect()),
        when.path_regex.as_ref().map(|regex| (String::from("path_regex"), text(regex.text()))),
        shown("method", when.methods.clone()),
        wants("header", &when.headers),
        wants("query", &when.query),
        wants("cookie", &when.cookies),
        shown("client", when.clients.iter().map(ToString::to_string).collect()),
        shown("alpn", when.alpn.clone()),
    ];
    table(pairs.into_iter().flatten())
}

fn wants(key: &str, wants: &[(String, Want)]) -> Option<(String, String)> {
    let want = |want: &Want| match want {
        Want::Is(values) => list(values.iter().map(|value| text(value))),
        Want::Like(pattern) => format!("{{ regex = {} }}", text(pattern.text())),
        Want::Present => String::from("true"),
        Want::Absent => String::from("false"),
    };
    let pairs = wants.iter().map(|(name, wanted)| (quoted_key(name), want(wanted)));
    (!wants.is_empty()).then(|| (key.to_owned(), table(pairs)))
}

/// A key that the file has chosen; unlike values it has no variables.
fn quoted_key(key: &str) -> String {
    text(key).replace("$${", "${")
}

fn print_action(out: &mut String, action: &Action, snapshot: &Snapshot) {
    match action {
        Action::Pool(pool) => line(out, "pool", &text(&snapshot.pool(*pool).name)),
        Action::Split(Split { shares, sticky }) => {
            let share = |share: &crate::route::Share| {
                let pool = text(&snapshot.pool(share.pool).name);
                format!("{{ pool = {pool}, weight = {} }}", share.weight)
            };
            line(out, "split", &list(shares.iter().map(share)));
            if let Some(sticky) = sticky {
                line(out, "sticky", &text(&sticky.to_string()));
            }
        }
        Action::Redirect(redirect) => {
            let location = text(&redirect.location.to_string());
            line(out, "redirect", &format!("{{ status = {}, location = {location} }}", redirect.status));
        }
        Action::Respond(respond) => line(out, "respond", &print_respond(respond)),
    }
}

fn print_respond(respond: &Respond) -> String {
    let mut pairs = vec![(String::from("status"), respond.status.to_string())];
    if !respond.headers.is_empty() {
        pairs.push((String::from("headers"), fields(&respond.headers)));
    }
    pairs.push(match &respond.body.file {
        Some(file) => (String::from("body_file"), text(&file.display().to_string())),
        None => (String::from("body"), text(&String::from_utf8_lossy(&respond.body.bytes))),
    });
    table(pairs.into_iter())
}

fn fields(fields: &[(String, Template)]) -> String {
    table(fields.iter().map(|(name, value)| (quoted_key(name), text(&value.to_string()))))
}

fn print_options(out: &mut String, options: &Options) {
    if let Some(PrefixEdit { from, to }) = &options.prefix {
        let from = from.to_string();
        let from = from.strip_suffix("/*").filter(|from| !from.is_empty()).unwrap_or("/");
        match to.as_str() {
            "" => line(out, "strip_prefix", &text(from)),
            to => line(out, "replace_prefix", &format!("{{ from = {}, to = {} }}", text(from), text(to))),
        }
    }
    for (key, edits) in [("request_headers", &options.request), ("response_headers", &options.response)] {
        if !edits.is_empty() {
            line(out, key, &print_edits(edits));
        }
    }
    if let Some(timeouts) = &options.timeouts {
        let Timeouts { connect, backend_response, idle, tunnel, queue, .. } = timeouts;
        let all = [
            ("connect", connect),
            ("backend_response", backend_response),
            ("idle", idle),
            ("tunnel", tunnel),
            ("queue", queue),
        ];
        line(out, "timeouts", &table(all.into_iter().map(|(key, span)| (key.to_owned(), time(*span)))));
    }
    if let Some(most) = options.body {
        line(out, "limits", &format!("{{ body = {} }}", body(most)));
    }
    let retry = match options.retry {
        Retry::Safe => "safe",
        Retry::Unsent => "unsent",
        Retry::Off => "off",
    };
    line(out, "retry", &text(retry));
}

fn print_edits(edits: &FieldEdits) -> String {
    let pairs = [
        ("remove", list(edits.remove.iter().map(|name| text(name)))),
        ("set", fields(&edits.set)),
        ("add", fields(&edits.add)),
    ];
    table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)))
}

fn print_pool(out: &mut String, pool: &Pool) {
    let _ = writeln!(out, "[pool.{}]", pool.name);
    line(out, "balance", &text(pool.balance.word()));
    if let Balance::Hash(hashing) = &pool.balance {
        line(out, "hash_key", &text(&hashing.key.to_string()));
        if let Some(load) = hashing.max_load {
            line(out, "max_load", &show_thousandths(u64::from(load)));
        }
    }
    if let Some(sticky) = &pool.sticky {
        line(out, "sticky", &print_sticky(sticky));
    }
    if let Some(announce) = pool.announce {
        line(out, "proxy_protocol", &text(announce.version.word()));
        if announce.version == Version::V2 {
            line(out, "proxy_protocol_fields", &announced_fields(announce));
        }
    }
    line(out, "max_pending", &pool.max_pending.to_string());
    if let Some(queue) = pool.queue {
        line(out, "queue", &time(queue));
    }
    if let Some(most) = pool.max_reuse {
        line(out, "max_reuse", &most.to_string());
    }
    let Retries { most, connect, reset, timeout, statuses, budget, budget_min } = &pool.retries;
    let words = [("connect", connect), ("reset", reset), ("timeout", timeout)];
    let words = words.into_iter().filter(|(_, is_on)| **is_on).map(|(word, _)| text(word));
    line(out, "retries", &most.to_string());
    line(out, "retry_on", &list(words.chain(statuses.iter().map(ToString::to_string))));
    line(out, "retry_budget", &show_thousandths(u64::from(*budget)));
    line(out, "retry_budget_min", &budget_min.to_string());
    match pool.resolve {
        Some(interval) => line(out, "resolve", &time(interval)),
        None => line(out, "resolve", "false"),
    }
    if !pool.resolver.is_empty() {
        line(out, "resolver", &list(pool.resolver.iter().map(|server| text(&server.to_string()))));
    }
    line(out, "health", &print_health(&pool.health));
    if let Some(check) = &pool.check {
        line(out, "check", &print_check(check));
    }
    if let Some(tls) = &pool.tls {
        line(out, "tls", &print_origination(tls.rules()));
    }
    out.push_str("backends = [\n");
    let given = if pool.sources.is_empty() { pool.backends.as_slice() } else { &[] };
    let items = given.iter().map(print_backend).chain(pool.sources.iter().map(|source| match source {
        Source::Given(backend) => print_backend(backend),
        Source::Asked { question, like } => print_asked(question, like),
    }));
    for item in items {
        let _ = writeln!(out, "    {item},");
    }
    out.push_str("]\n\n");
}

fn announced_fields(announce: Announce) -> String {
    let Announce { version: _, authority, alpn, unique_id, ssl } = announce;
    let words = [("authority", authority), ("alpn", alpn), ("unique-id", unique_id), ("ssl", ssl)];
    list(words.into_iter().filter(|(_, is_said)| *is_said).map(|(word, _)| text(word)))
}

fn print_backend(backend: &Backend) -> String {
    let Backend { name, address, weight, tier, max_requests, max_connections, duty, tls_name } = backend;
    let bounds = (*max_requests, *max_connections);
    print_item(Some(name), &address.to_string(), (*weight, *tier), bounds, tls_name.as_deref(), *duty)
}

fn print_asked(question: &Question, like: &Like) -> String {
    let Like { name, weight, tier, max_requests, max_connections, duty, tls_name } = like;
    let bounds = (*max_requests, *max_connections);
    print_item(name.as_ref(), &question.to_string(), (*weight, *tier), bounds, tls_name.as_deref(), *duty)
}

fn print_item(
    name: Option<&String>,
    address: &str,
    (weight, tier): (u32, u8),
    (max_requests, max_connections): (Option<u32>, Option<u32>),
    tls_name: Option<&str>,
    duty: Duty,
) -> String {
    let pairs = [
        ("name", name.map(|name| text(name))),
        ("address", Some(text(address))),
        ("weight", Some(weight.to_string())),
        ("tier", Some(tier.to_string())),
        ("max_requests", max_requests.map(|most| most.to_string())),
        ("max_connections", max_connections.map(|most| most.to_string())),
        ("tls_name", tls_name.map(text)),
        ("state", (duty != Duty::Ready).then(|| text(duty.word()))),
    ];
    table(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))))
}

fn print_health(health: &Passive) -> String {
    let Passive { failures, failure_rate, window, window_min, errors, eject, eject_max, max_ejected, .. } =
        health;
    let words = [("connect", errors.connect), ("reset", errors.reset), ("timeout", errors.timeout)];
    let words = words.into_iter().filter(|(_, is_on)| *is_on).map(|(word, _)| text(word));
    let panic = health.panic.map_or_else(|| text("off"), |share| show_thousandths(u64::from(share)));
    let pairs = [
        Some(("failures", failures.to_string())),
        failure_rate.map(|rate| ("failure_rate", show_thousandths(u64::from(rate)))),
        Some(("window", time(*window))),
        Some(("window_min", window_min.to_string())),
        Some(("errors", list(words.chain(ranges(&errors.statuses))))),
        Some(("eject", time(*eject))),
        Some(("eject_max", time(*eject_max))),
        Some(("max_ejected", show_thousandths(u64::from(*max_ejected)))),
        Some(("panic", panic)),
        health.slow_start.map(|span| ("slow_start", time(span))),
    ];
    table(pairs.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)))
}

fn ranges(statuses: &[(u16, u16)]) -> impl Iterator<Item = String> {
    statuses.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => text(&format!("{first}-{last}")),
    })
}

fn print_check(check: &Check) -> String {
    let mut pairs = match &check.kind {
        Probing::Tcp => vec![("type", text("tcp"))],
        Probing::Http(http) => [
            Some(("type", text("http"))),
            Some(("method", text(&http.method))),
            Some(("path", text(&http.path))),
            http.host.as_ref().map(|host| ("host", text(host))),
            Some(("status", list(ranges(&http.statuses)))),
            http.text.as_ref().map(|wanted| ("text", text(wanted))),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    pairs.extend(check.port.map(|port| ("port", port.to_string())));
    let start = match check.start {
        Start::Up => "up",
        Start::Down => "down",
        Start::CheckFirst => "check-first",
    };
    pairs.extend([
        ("interval", time(check.interval)),
        ("fast_interval", time(check.fast_interval)),
        ("jitter", show_thousandths(u64::from(check.jitter))),
        ("timeout", time(check.timeout)),
        ("rise", check.rise.to_string()),
        ("fall", check.fall.to_string()),
        ("start", text(start)),
    ]);
    table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)))
}

fn print_sticky(sticky: &Sticky) -> String {
    let same_site = match sticky.same_site {
        SameSite::Lax => "lax",
        SameSite::Strict => "strict",
        SameSite::None => "none",
    };
    let pairs = [
        Some(("cookie", text(&sticky.cookie))),
        sticky.secret.as_ref().map(|secret| ("secret", text(&secret.0))),
        Some(("path", text(&sticky.path))),
        sticky.domain.as_ref().map(|domain| ("domain", text(domain))),
        sticky.max_age.map(|age| ("max_age", time(age))),
        Some(("secure", sticky.is_secure.to_string())),
        Some(("http_only", sticky.is_http_only.to_string())),
        Some(("same_site", text(same_site))),
        Some(("hide", sticky.is_hidden.to_string())),
    ];
    table(pairs.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)))
}

fn print_timeouts(out: &mut String, timeouts: &Timeouts) {
    let Timeouts {
        handshake,
        connect,
        preface,
        client_head,
        client_idle,
        backend_response,
        idle,
        tunnel,
        queue,
        linger,
        backend_idle,
        drain,
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
        ("tunnel", tunnel),
        ("queue", queue),
        ("linger", linger),
        ("backend_idle", backend_idle),
        ("drain", drain),
    ] {
        line(out, key, &time(*span));
    }
    out.push('\n');
}

fn print_limits(out: &mut String, limits: &Limits) {
    let Limits {
        head,
        request_line,
        field,
        fields,
        body: most,
        buffer,
        buffers,
        sessions,
        handshakes,
        accept_budget,
        idle_per_backend,
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
        ("idle", idle.to_string()),
    ] {
        line(out, key, &value);
    }
    out.push_str("\n[recorder]\n");
    line(out, "slow", &time(*slow));
    line(out, "keep", &keep.to_string());
}
