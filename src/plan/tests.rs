//! Two configurations, told apart.

use super::{Replay, plan};
use crate::config;
use crate::core::outcome::Cause;
use crate::route::{Inquiry, RouteTable};
use crate::snapshot::Snapshot;

fn snapshot(text: &str) -> Snapshot {
    config::parse(text, "test").unwrap_or_else(|report| panic!("{report}")).snapshot
}

const OLD: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:8080"
pool = "app"
[[listener.route]]
name = "a"
match.path = "/a/*"
pool = "app"
[[listener.route]]
name = "b"
match.path = "/b/*"
split = [{ pool = "app", weight = 9 }, { pool = "next", weight = 1 }]
[[listener.route]]
name = "c"
match.path = "/c/*"
respond = { status = 403 }
[[listener]]
name = "old"
bind = "127.0.0.1:8081"
pool = "app"
[pool.app]
backends = ["127.0.0.1:1", { address = "127.0.0.1:2", weight = 2 }]
[pool.next]
backends = ["127.0.0.1:3"]
"#;

const NEW: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:8080"
pool = "app"
forwarding = "forwarded"
[[listener.route]]
name = "b"
match.path = "/b/*"
split = [{ pool = "app", weight = 4 }, { pool = "next", weight = 1 }]
[[listener.route]]
name = "d"
match.path = "/a/x"
pool = "next"
[[listener.route]]
name = "a"
match.path = "/a/*"
pool = "app"
retry = "off"
[[listener]]
name = "new"
bind = "127.0.0.1:8082"
pool = "app"
[pool.app]
backends = [{ address = "127.0.0.1:2", weight = 3 }, "127.0.0.1:4"]
[pool.next]
backends = ["127.0.0.1:3"]
[timeouts]
connect = "1s"
[limits]
body = "1MB"
"#;

#[test]
fn it_reads_like_this() {
    let expected = "\
closes   listener old on 127.0.0.1:8081
changes  listener web: forwarding
removes  route web/c
adds     route web/d: behind b
moves    route web/a: from place 1 to place 3
changes  route web/a: retry
changes  route web/b: split app 4, next 1, was split app 9, next 1
changes  route web/b: 10.0 % of the keys move to another pool
opens    listener new on 127.0.0.1:8082: http with 1 routes
drains   backend app/127.0.0.1:1
changes  backend app/127.0.0.1:2: weight 3, was 2
adds     backend app/127.0.0.1:4: weight 1
changes  timeouts.connect: 1s, was 2s
changes  limits.body: 1000000, was none
";
    let told = plan(&snapshot(OLD), &snapshot(NEW)).to_string();
    let mut lines: [Vec<&str>; 2] = [told.lines().collect(), expected.lines().collect()];
    lines.iter_mut().for_each(|lines| lines.sort_unstable());
    assert_eq!(lines[0], lines[1], "{told}");
    assert_eq!(plan(&snapshot(OLD), &snapshot(OLD)).to_string(), "nothing changes\n");
}

/// The conditions that differ are named, those of the listener's mode alone.
#[test]
fn conditions_are_told_by_their_keys() {
    for (mode, was, is, told) in [
        ("http", "path = \"/a\"", "path = \"/b\", method = \"GET\"", "path, method"),
        ("http", "host = \"a.example\"", "host = \"b.example\"", "host"),
        ("tcp", "sni = \"a.example\"", "sni = \"b.example\"", "sni"),
    ] {
        let with = |when: &str| {
            snapshot(&format!(
                "[pool.app]\nbackends = [\"127.0.0.1:1\"]\n[[listener]]\nname = \"web\"\nmode = \"{mode}\"\n\
                 bind = \"127.0.0.1:8080\"\n[[listener.route]]\nname = \"a\"\nmatch = {{ {when} }}\npool = \"app\"\n"
            ))
        };
        let told = format!("changes  route web/a: takes other requests: {told}\n");
        assert_eq!(plan(&with(was), &with(is)).to_string(), told);
    }
}

/// Each key of a pool alone, and what is told of it.
#[test]
fn every_key_of_a_pool_is_told() {
    let pool = |backend: &str, more: &str| {
        snapshot(&format!(
            "[[listener]]\nbind = \"127.0.0.1:8080\"\npool = \"app\"\n[pool.app]\n\
             backends = [{{ address = \"127.0.0.1:1\"{backend} }}, \"127.0.0.1:2\"]\n{more}\n"
        ))
    };
    let plain = pool("", "");
    let schema = config::schema();
    let keys = schema["properties"]["pool"]["additionalProperties"]["properties"].as_object().unwrap();
    for key in keys.keys() {
        let (line, told) = match key.as_str() {
            "backends"
            | "resolve"
            | "hash_key"
            | "max_load"
            | "proxy_protocol_fields"
            | "request_buffer"
            | "proxy_protocol_max"
            | "resolve_family" => continue,
            "proxy_protocol" => ("proxy_protocol = \"v2\"", "proxy_protocol"),
            "balance" => ("balance = \"random\"", "balance"),
            "sticky" => ("sticky = { cookie = \"a\" }", "sticky"),
            "retries" => ("retries = 7", "retries"),
            "retry_on" => ("retry_on = [\"connect\"]", "retry_on"),
            "retry_budget" => ("retry_budget = 0.9", "retry_budget"),
            "retry_budget_min" => ("retry_budget_min = 99", "retry_budget_min"),
            "health" => ("health = { failures = 77 }", "health"),
            "check" => ("check = { type = \"tcp\" }", "check"),
            "max_pending" => ("max_pending = 9", "max_pending"),
            "queue" => ("queue = \"1s\"", "queue"),
            "max_reuse" => ("max_reuse = 9", "max_reuse"),
            "max_age" => ("max_age = \"10m\"", "max_age"),
            "request_trailers" => ("request_trailers = \"pass\"", "request_trailers"),
            "reach_wait" => ("reach_wait = false", "reach_wait"),
            "on_client_close" => ("on_client_close = \"finish\"", "on_client_close"),
            "expect" => ("expect = \"answer\"", "expect"),
            "protocol" => ("protocol = \"h2\"", "protocol"),
            "request_body" => ("request_body = \"buffer\"", "request_body"),
            "tls" => ("tls = { verify = \"off\" }", "tls"),
            "resolver" => ("resolver = \"127.0.0.1:53\"", "resolver"),
            "max_requests" => ("max_requests = 9", "max_requests"),
            "max_connections" => ("max_connections = 9", "max_connections"),
            other => panic!("the plan is not tested for `{other}`"),
        };
        let changes = plan(&plain, &pool("", line)).changes;
        assert!(changes.iter().all(|change| change.how == told) && !changes.is_empty(), "{key}: {changes:?}");
    }
    let announced = pool("", "proxy_protocol = \"v2\"");
    let shorter = pool("", "proxy_protocol = \"v2\"\nproxy_protocol_max = 60");
    let changes = plan(&announced, &shorter).changes;
    assert!(matches!(&changes[..], [change] if change.how == "proxy_protocol_max"), "{changes:?}");
    for (line, told) in [
        (", weight = 9", "weight 9, was 1"),
        (", tier = 3", "tier 3, was 1"),
        (", backup = true", "tier 2, was 1"),
        (", name = \"b\"", "was called 127.0.0.1:1"),
        (", max_requests = 9", "max_requests"),
        (", max_connections = 9", "max_connections"),
    ] {
        let changes = plan(&plain, &pool(line, "")).changes;
        assert!(changes.iter().any(|change| change.how == told), "{line}: {changes:?}");
    }
}

/// Options of a listener that are no routes, each alone.
#[test]
fn options_of_a_listener_are_told() {
    for (bind, line, told) in [
        ("[::1]:8080", "v6only = false", "v6only"),
        ("127.0.0.1:8080", "interface = \"eth0\"", "interface"),
        ("127.0.0.1:8080", "freebind = true", "freebind"),
        ("unix:/run/a.sock", "socket = { mode = \"0660\" }", "socket"),
        ("127.0.0.1:8080", "hsts = { max_age = \"1h\" }", "hsts"),
        ("127.0.0.1:8080", "request_id = \"both\"", "request_id"),
        ("127.0.0.1:8080", "traces = \"start\"", "traces"),
        ("127.0.0.1:8080", "proxy_status = \"all\"", "proxy_status"),
        ("127.0.0.1:8080", "interim_responses = \"all\"", "interim_responses"),
    ] {
        let with = |line: &str| {
            let announced = "proxy_protocol = \"optional\"\ntrusted_proxies = [\"10.0.0.0/8\"]";
            snapshot(&format!(
                "[pool.app]\nbackends = [\"127.0.0.1:1\"]\n[[listener]]\nname = \"web\"\nbind = \"{bind}\"\n{announced}\n{line}\n"
            ))
        };
        assert_eq!(plan(&with(""), &with(line)).to_string(), format!("changes  listener web: {told}\n"));
    }
}

#[test]
fn a_request_about_which_an_authority_would_be_asked_is_told_as_one() {
    let (old, mut new) = (snapshot(OLD), snapshot(OLD));
    let mut routes = new.listeners[0].routes.routes().to_vec();
    let inquiry = Inquiry {
        name: "sso".to_owned(),
        authority: 1,
        wait: std::time::Duration::from_secs(2),
        is_lenient: false,
        refusal: Cause::NoRoute,
    };
    for route in &mut routes {
        route.options.get_or_insert_default().inquiries.push(inquiry.clone());
    }
    new.listeners[0].routes = RouteTable::new(routes, new.listeners[0].routes.ambiguous());
    let log = r#"{"client":"10.0.0.2:1","listener":"web","method":"GET","path":"/a/x","host":"h.example"}"#;
    let replay = Replay::of(log.lines(), &old, &new);
    assert_eq!((replay.requests, replay.moved), (1, 1));
    assert_eq!(replay.examples[0].is, format!("{}, if sso agrees", replay.examples[0].was));
}

#[test]
fn logged_requests_are_asked_of_both() {
    let log = r#"
2026-01-01T00:00:00Z  INFO access: client=10.0.0.1:4711 listener="web" mode=http method=GET path=/a/x host=h.example status=200 route="a" pool="app"
2026-01-01T00:00:00Z  INFO access: client=10.0.0.1:4711 listener="web" mode=http method=GET path=/a/y status=200 route="a" pool="app"
{"client":"10.0.0.2:1","listener":"web","method":"PUT","path":"/c/x","status":403}
{"client":"10.0.0.2","listener":"old","method":"GET","path":"/"}
something else
{"client":"10.0.0.2:1","listener":"web","method":"","path":""}
"#;
    let replay = Replay::of(log.lines(), &snapshot(OLD), &snapshot(NEW));
    assert_eq!((replay.requests, replay.skipped, replay.moved), (3, 3, 2));
    let shown = replay.to_string();
    assert!(
        shown.contains("GET http://h.example/a/x from 10.0.0.1: d, pool next, was a, pool app"),
        "{shown}"
    );
    assert!(shown.contains("PUT /c/x from 10.0.0.2: default, pool app, was c, 403"), "{shown}");
}
