//! Pools and backends.

use super::health::{CHECK, HEALTH};
use super::tls::BACKEND_TLS;
use super::{COOKIE_AGE_MAX, COUNT_MAX, DAY, Field, HOUR, Kind, NONE, REQUIRED, Table, key};
use crate::config::check::{
    announce, backends, balance, collect, health, names, pools, resolver, retries, sticky,
};
use crate::config::forms::BackendForm;
use crate::config::print::words;
use crate::config::settings::{Show, elsewhere, field, field_in, print_inline};
use crate::prelude::LENGTH_MAX;
use crate::prelude::proxy::ADDRESSES_MAX;
use crate::snapshot::{AdminState, Backend, Balance, Pool, RESOLVE, Retries, Sticky};

/// The words of `retry_on`, besides statuses.
pub(in crate::config) const RETRY_WORDS: [&str; 3] = ["connect", "reset", "timeout"];

/// `[pool.NAME]`.
pub(in crate::config) static POOL: Table<Pool> = Table {
    title: "[pool.NAME]",
    about: "A set of backends. Its name has letters, digits, `_` and `-`.",
    keys: &[
        key(
            "balance",
            Kind::Word(&[
                "round-robin",
                "least-connections",
                "random",
                "two-choices",
                "latency",
                "hash",
                "first",
            ]),
            r#""round-robin""#,
            r#""least-connections""#,
            "How a backend is chosen; docs/balancing.md says when to take which. `round-robin`: each in turn, as often as its \
             weight says. `least-connections`: the fewest requests in flight for its weight. `random`: drawn by weight. \
             `two-choices`: the lighter of two that are drawn. `latency`: the one that answers soonest. `hash`: the same key, the \
             same backend. `first`: the first with room.",
        )
        .at(Field {
            differs: |a, b| a.balance.as_str() != b.balance.as_str(),
            ..field!(balance, |table, _, findings| balance::policy(table, findings))
        }),
        key(
            "hash_key",
            Kind::Text,
            r#""{client}""#,
            r#""{cookie.session}""#,
            "For `balance = \"hash\"`: requests for which this template gives the same text go to the same backend; where it \
             gives none, one is drawn.",
        )
        .at(field_in!(balance as Balance::Hash, key, balance::warn_of_no_hash, balance::hash_key)),
        key(
            "max_load",
            Kind::Fraction(1000, 100_000),
            "(no bound)",
            "1.25",
            "For `balance = \"hash\"`: a backend that has more than so many times its share of the requests in flight is passed \
             over.",
        )
        .at(field_in!(balance as Balance::Hash, max_load, balance::warn_of_no_hash)),
        key(
            "sticky",
            Kind::Table(&STICKY_COOKIE),
            NONE,
            r#"{ cookie = "srv" }"#,
            "Binds each client to the backend that served it first, by a cookie. HTTP only.",
        )
        .at(field!(
            sticky,
            |table, site, findings| sticky::sticky(table, site, findings),
            |sticky| sticky.as_ref().map(|sticky| print_inline(&STICKY_COOKIE, sticky))
        )),
        key(
            "proxy_protocol",
            Kind::Word(&["off", "v1", "v2"]),
            r#""off""#,
            r#""v2""#,
            "Whether backends are told of the client by a header of the PROXY protocol, version 1 or 2. Then each request has a \
             connection of its own; checks say that they are Pollux's.",
        )
        .at(Field {
            differs: |a, b| a.announce.map(|it| it.version) != b.announce.map(|it| it.version),
            ..field!(
                announce,
                |table, _, findings| announce::version(table, findings),
                |announce| announce.map(|announce| words::text(announce.version.as_str()))
            )
        }),
        key(
            "proxy_protocol_fields",
            Kind::List(&Kind::Word(&["authority", "alpn", "unique-id", "ssl"])),
            "[]",
            r#"["authority", "unique-id"]"#,
            "What is said besides addresses, in version 2: the name that the client has asked for, the protocol that was agreed upon, a \
             name for the connection, whether the client came by TLS.",
        )
        .at(Field {
            read: |pool, _, table, _, findings| announce::fields(&mut pool.announce, table, findings),
            show: |pool, _| announce::show_fields(pool.announce),
            differs: |a, b| {
                let both = announce::show_fields(a.announce).zip(announce::show_fields(b.announce));
                both.is_some_and(|(a, b)| a != b)
            },
        }),
        key(
            "proxy_protocol_max",
            Kind::Size(ADDRESSES_MAX as u64, LENGTH_MAX as u64),
            "107",
            "1024",
            "The longest header of version 2. Fields with which it would be longer are left out, the name that the client has asked for \
             first. The default passes at every receiver that is known; docs/edge.md says what each takes.",
        )
        .at(Field {
            read: |pool, _, table, _, findings| announce::length_max(&mut pool.announce, table, findings),
            show: |pool, _| announce::show_length_max(pool.announce),
            differs: |a, b| {
                let both = announce::show_length_max(a.announce).zip(announce::show_length_max(b.announce));
                both.is_some_and(|(a, b)| a != b)
            },
        }),
        key(
            "max_requests",
            Kind::Number(1, COUNT_MAX),
            "(no bound)",
            "100",
            "Requests in flight to each backend, over all workers; in TCP mode, connections. More wait.",
        ),
        key(
            "max_connections",
            Kind::Number(1, COUNT_MAX),
            "(no bound)",
            "100",
            "Connections to each backend, over all workers, idle ones included.",
        ),
        key(
            "max_pending",
            Kind::Number(0, COUNT_MAX),
            "1024",
            "100",
            "Requests that wait until a backend is free, over all workers; more are answered with 503 `queue-full`.",
        )
        .at(field!(max_pending)),
        key(
            "queue",
            Kind::Time(HOUR),
            "(as long as `timeouts.queue`)",
            r#""2s""#,
            "How long they wait; then they are answered with 503 `queue-timeout`.",
        )
        .at(field!(queue)),
        key(
            "max_reuse",
            Kind::Number(1, COUNT_MAX),
            "(no bound)",
            "1000",
            "Requests that a connection to a backend serves, one after the other, before it is closed.",
        )
        .at(field!(max_reuse)),
        key(
            "max_age",
            Kind::Time(DAY),
            "(no bound)",
            r#""10m""#,
            "The age at which a connection to a backend is closed, once it serves no request; a HTTP/2 one takes no new ones. Each ends up to a \
             tenth of that earlier, so that those of a burst do not end together.",
        )
        .at(field!(max_age)),
        key(
            "request_trailers",
            Kind::Word(&["drop", "pass"]),
            r#""drop""#,
            r#""pass""#,
            "Whether trailer fields behind a chunked request body are passed on. Several servers refuse such a request; docs/http.md says \
             which. Fields that say who the client is, or that concern framing, routing or authentication, never pass. HTTP only.",
        )
        .at(field!(
            passes_trailers,
            |table, _, findings| pools::passes_trailers(table, findings),
            |passes| Some(words::text(if *passes { "pass" } else { "drop" }))
        )),
        key(
            "reach_wait",
            Kind::Either(&[Kind::Time(HOUR), Kind::Flag]),
            r#""1s""#,
            r#""5s""#,
            "How long a request of which nothing was sent waits until a backend can be reached again, whatever `retries` says; `false` is \
             not at all. Within `timeouts.queue`.",
        )
        .at(field!(
            reach_wait,
            |table, _, findings| pools::time_or_off(table, "reach_wait", Pool::REACH_WAIT, findings),
            |wait| Some(wait.map_or_else(|| String::from("false"), words::time))
        )),
        key(
            "on_client_close",
            Kind::Word(&["abort", "finish"]),
            r#""abort""#,
            r#""finish""#,
            "What becomes of a request under way when its client has ended its direction (FIN). `abort`: a second later the exchange \
             ends as `client-aborted`, unless bytes of it move. `finish`: it goes on, for clients that half-close and wait for the \
             answer. A request that still waits for a backend is given up at once either way. HTTP only.",
        )
        .at(field!(on_client_close)),
        key(
            "request_body",
            Kind::Word(&["stream", "buffer"]),
            r#""stream""#,
            r#""buffer""#,
            "How bodies go on that come in chunks. `stream`: as they come; `buffer`: they are collected in memory and sent with \
             Content-Length, for servers that do not know chunks (thin, wsgiref). Bodies with a length go on as they come. HTTP only.",
        )
        .at(Field {
            read: |pool, _, table, _, findings| {
                pool.collect = collect::is_on(table, findings)?.then_some(Pool::COLLECT);
                Ok(())
            },
            show: |pool, _| pool.collect.map(|_| words::text("buffer")),
            differs: |a, b| a.collect.is_some() != b.collect.is_some(),
        }),
        key(
            "request_buffer",
            Kind::Size(1, Pool::COLLECT_MAX),
            r#""1MiB""#,
            r#""4MiB""#,
            "For `request_body = \"buffer\"`: the longest body that is collected; a longer one is answered with 413 `body-too-long`.",
        )
        .at(Field {
            read: |pool, _, table, _, findings| collect::most(&mut pool.collect, table, findings),
            show: |pool, _| pool.collect.map(|most| most.to_string()),
            differs: |a, b| a.collect.zip(b.collect).is_some_and(|(a, b)| a != b),
        }),
        key(
            "protocol",
            Kind::Word(&["auto", "h1", "h2"]),
            r#""h1""#,
            r#""h2""#,
            "The version of HTTP that backends are spoken to. `auto`: what each connection agrees on by ALPN, HTTP/1.1 without TLS. `h2`: \
             HTTP/2, over TLS by ALPN, else by prior knowledge (h2c); a few connections carry all requests. `h2c://` before the addresses \
             says the same without TLS. docs/http2.md says more. HTTP only.",
        )
        .at(field!(protocol)),
        key(
            "expect",
            Kind::Word(&["pass", "answer"]),
            r#""pass""#,
            r#""answer""#,
            "The side that says 100 to a client that sends `Expect: 100-continue` and waits. `pass`: the backend alone; `answer`: Pollux too, after \
             500 ms without one, or at once if the backend has not said it before (WEBrick, thin, unicorn, wsgiref, `php -S`). HTTP only.",
        )
        .at(field!(expect)),
        key(
            "retries",
            Kind::Number(0, Retries::MOST),
            "2",
            "1",
            "How often a request is sent again, if that is proven to be safe; to another backend as long as there is one.",
        )
        .at(field!(retries.most)),
        key(
            "retry_on",
            Kind::List(&Kind::Either(&[Kind::Text, Kind::Number(400, 599)])),
            r#"["connect", "reset"]"#,
            r#"["connect", "reset", "timeout", 503]"#,
            "After what: a connect that failed, a connection that was lost before it answered, `timeouts.backend_response`, or one of \
             these statuses.",
        )
        .at(Field {
            read: |pool, _, table, _, findings| retries::retry_on(&mut pool.retries, table, findings),
            show: |pool, _| Some(retries::show(&pool.retries)),
            differs: |a, b| retries::show(&a.retries) != retries::show(&b.retries),
        }),
        key(
            "retry_budget",
            Kind::Fraction(0, 1000),
            "0.2",
            "0.1",
            "Of the requests in flight in the pool so many may be retries.",
        )
        .at(field!(retries.budget)),
        key(
            "retry_budget_min",
            Kind::Number(0, 1000),
            "3",
            "10",
            "So many retries at once are allowed, however few requests are in flight.",
        )
        .at(field!(retries.budget_min)),
        key(
            "resolve",
            Kind::Either(&[Kind::Time(DAY), Kind::Flag]),
            r#""30s""#,
            r#""5s""#,
            "How often the names in `backends` are asked for their addresses; `false` is once, when the file is loaded, and \
             then a name that is not known is an error.",
        )
        .at(field!(
            resolve,
            |table, _, findings| pools::time_or_off(table, "resolve", RESOLVE, findings),
            |interval| Some(interval.map_or_else(|| String::from("false"), words::time))
        )),
        key(
            "resolve_family",
            Kind::Word(&["any", "ipv4", "ipv6"]),
            r#""any""#,
            r#""ipv4""#,
            "Which addresses of the names in `backends` are taken and, with `resolver` and for `srv:`, asked for.",
        )
        .at(field!(family)),
        key(
            "resolver",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "(that of the file)",
            r#""127.0.0.1:5353""#,
            "The DNS servers that are asked for the backends of this pool; `[]` is the way of the system.",
        )
        .at(field!(resolver, |table, _, findings| resolver::resolver(table, findings))),
        key(
            "health",
            Kind::Table(&HEALTH),
            "(see there)",
            "{ failures = 3, eject = \"5s\" }",
            "When failures of real requests take a backend out, and how it comes back.",
        )
        .at(field!(
            health,
            |table, site, findings| health::passive(table, site, findings),
            |health| Some(print_inline(&HEALTH, health))
        )),
        key(
            "tls",
            Kind::Table(&BACKEND_TLS),
            "(without TLS)",
            r#"{ verify = "off" }"#,
            "Speaks TLS to the backends. `https://` before their addresses does the same with the defaults. \
             See docs/tls.md.",
        )
        .at(Field {
            // The reader of the pool reads it: backends can say `https://` instead.
            read: elsewhere,
            show: |pool, _| Some(print_inline(&BACKEND_TLS, pool.tls.as_ref()?)),
            differs: |a, b| a.tls != b.tls,
        }),
        key(
            "check",
            Kind::Table(&CHECK),
            NONE,
            r#"{ type = "http", path = "/healthz" }"#,
            "Looks at each backend now and then.",
        )
        .at(field!(
            check,
            |table, site, findings| health::check(table, site, findings),
            |check| check.as_ref().map(|check| print_inline(&CHECK, check))
        )),
        key(
            "backends",
            Kind::List(&Kind::Either(&[Kind::Text, Kind::Table(&BACKEND)])),
            REQUIRED,
            r#"["127.0.0.1:9001", { address = "127.0.0.1:9002", weight = 3 }]"#,
            "`host:port`, `unix:/path`, `srv:name` or `file:list.json`, or a table. A host name stands for all of its addresses, a service \
             (SRV) for all of its targets, a file for what it lists, each as it changes. docs/balancing.md says how.",
        ),
    ],
};

/// One of `backends`, as a table.
pub(in crate::config) static BACKEND: Table<BackendForm> = Table {
    title: "backends = [{ … }]",
    about: "A backend of which more is said than its address.",
    keys: &[
        key(
            "address",
            Kind::Text,
            REQUIRED,
            r#""127.0.0.1:9001""#,
            "`host:port`, `unix:/path` or `file:list.json`.",
        )
        .at(field!(address)),
        key(
            "name",
            Kind::Text,
            "(the address)",
            r#""b1""#,
            "For logs and the command line; unique in the pool. Of several addresses each gets its own in parentheses.",
        )
        .at(field!(like.name, |table, _, findings| names::plain(table, "backend", findings).map(Some))),
        key(
            "weight",
            Kind::Number(0, Backend::WEIGHT_MAX as u64),
            "1",
            "3",
            "Its share of the traffic; 0 sends it only those who are bound to it.",
        )
        .at(field!(like.weight)),
        key(
            "tier",
            Kind::Number(1, Backend::TIER_MAX as u64),
            "1",
            "2",
            "A backend of a higher tier is used while every backend of the lower ones is down.",
        )
        .at(field!(like.tier)),
        key(
            "max_requests",
            Kind::Number(1, COUNT_MAX),
            "(that of the pool)",
            "50",
            "Requests in flight to it.",
        )
        .at(field!(like.max_requests)),
        key("max_connections", Kind::Number(1, COUNT_MAX), "(that of the pool)", "50", "Connections to it.")
        .at(field!(like.max_connections)),
        key(
            "tls_name",
            Kind::Text,
            "(the host of its address)",
            r#""app.internal""#,
            "The name that its certificate has to be for, where the pool speaks TLS and has no `name` for all.",
        )
        .at(field!(like.tls_name)),
        key("backup", Kind::Flag, "false", "true", "The same as `tier = 2`.")
        .at(Field {
            read: |form, _, table, _, findings| backends::backup(&mut form.like.tier, table, findings),
            show: |_, _| None,
            differs: |_, _| false,
        }),
        key(
            "state",
            Kind::Word(&["ready", "drain", "down"]),
            r#""ready""#,
            r#""drain""#,
            "What the operator wants of it. `drain`: only clients that a cookie binds to it are served. `down`: none is. `pollux \
             backend` changes it while Pollux runs.",
        )
        .at(Field {
            show: |form, key| {
                let state = form.like.admin_state;
                (state != AdminState::Ready).then(|| state.show(key)).flatten()
            },
            ..field!(like.admin_state)
        }),
    ],
};

/// `sticky` of a pool.
pub(in crate::config) static STICKY_COOKIE: Table<Sticky> = Table {
    title: "sticky = { … }",
    about: "A cookie that binds a client to a backend.",
    keys: &[
        key("cookie", Kind::Text, REQUIRED, r#""srv""#, "Its name.").at(field!(cookie)),
        key(
            "secret",
            Kind::Text,
            NONE,
            r#""${STICKY_SECRET:-a long one that nobody guesses}""#,
            "Signs the value (HMAC-SHA-256), so that no client chooses its backend; at least 16 characters.",
        )
        .at(field!(secret, |table, site, findings| sticky::secret(table, site, findings))),
        key("path", Kind::Text, r#""/""#, r#""/app""#, "Its Path.")
            .at(field!(path, |table, _, findings| sticky::attribute(table, "path", findings))),
        key("domain", Kind::Text, "(the host alone)", r#""example.com""#, "Its Domain.")
            .at(field!(domain, |table, _, findings| sticky::attribute(table, "domain", findings).map(Some))),
        key("max_age", Kind::Time(COOKIE_AGE_MAX), "(until the browser closes)", r#""8h""#, "Its Max-Age.")
            .at(field!(max_age)),
        key("secure", Kind::Flag, "false", "true", "Whether browsers send it over TLS only.")
            .at(field!(is_secure)),
        key("http_only", Kind::Flag, "true", "false", "Whether it is kept from scripts.")
            .at(field!(is_http_only)),
        key(
            "same_site",
            Kind::Word(&["lax", "strict", "none"]),
            r#""lax""#,
            r#""strict""#,
            "Whether requests that other sites cause have it.",
        )
        .at(field!(same_site)),
        key("hide", Kind::Flag, "false", "true", "Whether it is kept from the backends.")
            .at(field!(is_hidden)),
    ],
};
