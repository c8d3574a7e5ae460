//! The language of `proxy.toml`: every table, every key, its type, its default and an example.
//!
//! This is the one description. The shape check holds a file to it, the readers can ask for no key that is not in it, and
//! the JSON Schema and the tables of `docs/configuration.md` are written from it.

use super::THREADS_MAX;
use crate::snapshot::{Backend, Limits, Retries};

/// A table of the language.
#[derive(Debug)]
pub(super) struct Table {
    /// How it is written, such as `[[listener]]`.
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What holds without it, as the file would say it, or in words in parentheses.
    pub(super) default: &'static str,
    /// A value that it can have.
    pub(super) example: &'static str,
    pub(super) about: &'static str,
}

/// The type of a value.
#[derive(Debug)]
pub(super) enum Kind {
    /// Text, held to a form by the checks.
    Text,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A whole number between two bounds, both included.
    Number(u64, u64),
    /// A number of bytes, or text such as `"64KiB"`, between two bounds.
    Size(u64, u64),
    /// The same, or `"none"`.
    SizeOrNone,
    /// A number with up to three decimals, between two bounds in thousandths.
    Fraction(u64, u64),
    /// A time such as `"2s"`, above zero.
    Time,
    /// `true` or `false`.
    Flag,
    /// A list.
    List(&'static Kind),
    /// A table.
    Table(&'static Table),
    /// A list of tables, each under a header of its own or in braces.
    Tables(&'static Table),
    /// A table whose keys are names that the file chooses, each with a table.
    NamedTables(&'static Table),
    /// A table whose keys are names that the file chooses, each with a value.
    Names(&'static Kind),
    /// One of these; told apart by the type that TOML gives the value.
    Either(&'static [Kind]),
}

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    about: &'static str,
) -> Key {
    Key { name, kind, default, example, about }
}

/// Every table, in the order in which they are told.
pub(super) fn tables() -> [&'static Table; 29] {
    [
        &FILE,
        &ADMIN,
        &ACCESS_LOG,
        &LISTENER,
        &TLS,
        &CERTIFICATE,
        &SOCKET,
        &HSTS,
        &SHARE,
        &ROUTE,
        &MATCH,
        &REGEX,
        &REDIRECT,
        &RESPOND,
        &PREFIX,
        &FIELDS,
        &ROUTE_TIMEOUTS,
        &ROUTE_LIMITS,
        &POOL,
        &BACKEND,
        &BACKEND_TLS,
        &STICKY_COOKIE,
        &HEALTH,
        &CHECK,
        &TIMEOUTS,
        &LIMITS,
        &RECORDER,
        &TEST,
        &EXPECT,
    ]
}

/// The bounds of `limits.head`, in bytes.
const HEAD: (u64, u64) = (1024, 1024 * 1024);

/// The greatest `limits.buffer`, in bytes. A session holds up to two.
const BUFFER_MAX: u64 = 4 * 1024 * 1024;

/// The most of anything that is counted: about as many descriptors as Linux lets a process have (`fs.nr_open`).
const COUNT_MAX: u64 = 1_000_000;

/// The most exchanges that the recorder keeps aside; each takes about a kilobyte.
const RECORDED_MAX: u64 = 100_000;

const NONE: &str = "(none)";
const REQUIRED: &str = "(required)";

/// `[admin]`.
pub(super) static ADMIN: Table = Table {
    title: "[admin]",
    about: "The admin address, over HTTP; docs/operations.md says what there is. Another one takes effect at the next start.",
    keys: &[
        key(
            "bind",
            Kind::Text,
            REQUIRED,
            r#""127.0.0.1:9900""#,
            "Its address; one that is not of the loopback needs a token.",
        ),
        key(
            "token_file",
            Kind::Text,
            NONE,
            r#""admin.token""#,
            "A file, relative to this one, with the token that callers have to send: at least 16 characters.",
        ),
        key(
            "token_env",
            Kind::Text,
            NONE,
            r#""POLLUX_ADMIN_TOKEN""#,
            "The same, from an environment variable.",
        ),
    ],
};

/// The whole file.
pub(super) static FILE: Table = Table {
    title: "proxy.toml",
    about: "The top of the file.",
    keys: &[
        key("threads", Kind::Number(1, THREADS_MAX as u64), "(one per core)", "2", "Worker threads."),
        key(
            "control",
            Kind::Text,
            NONE,
            r#""/run/pollux/control""#,
            "Where the control socket is opened, relative to this file: for `pollux status`, `reload`, `upgrade` and `explain --live`.",
        ),
        key(
            "access_log",
            Kind::Either(&[Kind::Text, Kind::Table(&ACCESS_LOG)]),
            r#""on""#,
            r#""/var/log/pollux/access.log""#,
            "Where the line for each exchange goes: `on` is standard error, beside the log; `stdout`; `off` nowhere; `syslog:udp://IP:PORT` or \
             `syslog:unix:PATH`; anything else is a file, relative to this one, that SIGUSR1 opens anew. Or a table that says more.",
        ),
        key(
            "include",
            Kind::List(&Kind::Text),
            "[]",
            r#"["conf.d/*.toml"]"#,
            "Further files, relative to this one; `*` and `?` stand for any characters. What they say is added in the order of \
             their names.",
        ),
        key(
            "admin",
            Kind::Table(&ADMIN),
            NONE,
            "[admin]",
            "The admin address: status, metrics, a dashboard.",
        ),
        key(
            "resolver",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "(the system's)",
            r#"["10.0.0.53", "10.0.1.53:5353"]"#,
            "The DNS servers that are asked for backends, one after the other, each as `address` or `address:port`; a pool can have its own. \
             Without it host names go the way of the system, and services to the servers of `/etc/resolv.conf`.",
        ),
        key("listener", Kind::Tables(&LISTENER), REQUIRED, "[[listener]]", "Where clients connect."),
        key("pool", Kind::NamedTables(&POOL), "(none)", "[pool.app]", "Named sets of backends."),
        key(
            "test",
            Kind::Tables(&TEST),
            "[]",
            "[[test]]",
            "Requests, and what is expected to become of them: `pollux test` and `pollux check`.",
        ),
        key("timeouts", Kind::Table(&TIMEOUTS), "(see there)", "[timeouts]", "How long each phase may take."),
        key(
            "limits",
            Kind::Table(&LIMITS),
            "(see there)",
            "[limits]",
            "What clients and backends can make Pollux hold.",
        ),
        key(
            "recorder",
            Kind::Table(&RECORDER),
            "(see there)",
            "[recorder]",
            "What the flight recorder keeps aside.",
        ),
    ],
};

/// `[access_log]`.
pub(super) static ACCESS_LOG: Table = Table {
    title: "[access_log]",
    about: "The line for each exchange; docs/logging.md has examples. Changes take effect at the next start.",
    keys: &[
        key(
            "to",
            Kind::Text,
            r#""on""#,
            r#""syslog:unix:/dev/log""#,
            "Where they go: as `access_log = \"...\"` above.",
        ),
        key(
            "format",
            Kind::Text,
            "(that of the log)",
            r#""json""#,
            "`text`, `json`, Apache's `common` or `combined`, or a template such as `{client} {status} \"{header.user-agent}\"`.",
        ),
        key(
            "status",
            Kind::List(&Kind::Text),
            "[]",
            r#"["5xx", "499"]"#,
            "Only exchanges with these statuses have a line, and those that are `slower_than`. 499 is a client that left before it was \
             answered, 0 no status.",
        ),
        key(
            "slower_than",
            Kind::Time,
            NONE,
            r#""1s""#,
            "Only exchanges that took longer have a line, and those with a `status`.",
        ),
        key(
            "sample",
            Kind::Fraction(0, 1000),
            "(all; beside `status` and `slower_than` none)",
            "0.01",
            "The share of all other exchanges that have one too. Failures always have: those with a cause, and from status 500 on.",
        ),
        key(
            "except",
            Kind::List(&Kind::Text),
            "[]",
            r#"["no-request"]"#,
            "Causes that have no line in any case.",
        ),
        key(
            "redact",
            Kind::List(&Kind::Text),
            "[]",
            r#"["query", "header:authorization"]"#,
            "What is not shown: the query of targets (and of Referer), the values of header fields.",
        ),
        key(
            "request_headers",
            Kind::List(&Kind::Text),
            "[]",
            r#"["User-Agent"]"#,
            "Header fields of requests that lines have.",
        ),
        key("response_headers", Kind::List(&Kind::Text), "[]", r#"["Content-Type"]"#, "And of responses."),
    ],
};

/// `[[listener]]`.
pub(super) static LISTENER: Table = Table {
    title: "[[listener]]",
    about: "Where clients connect. There may be several, each under a header of its own.",
    keys: &[
        key(
            "name",
            Kind::Text,
            r#"("listener-1", … by place)"#,
            r#""web""#,
            "For logs and the command line; unique.",
        ),
        key(
            "bind",
            Kind::Text,
            REQUIRED,
            r#""127.0.0.1:8080""#,
            "`host:port`; `[::1]:8080` is IPv6, `0.0.0.0:8080` every IPv4 address, port 0 a free port. Or `unix:/path`, or `unix:@name` for an \
             abstract Unix socket.",
        ),
        key(
            "v6only",
            Kind::Flag,
            "true",
            "false",
            "Whether an IPv6 socket takes no IPv4 clients; `[::]:8080` with `false` is every address of both.",
        ),
        key("interface", Kind::Text, NONE, r#""eth0""#, "The network device by which clients must come."),
        key(
            "socket",
            Kind::Table(&SOCKET),
            "(as the umask has it)",
            r#"{ mode = "0660", group = "www-data" }"#,
            "Who may connect to a Unix socket.",
        ),
        key(
            "mode",
            Kind::Word(&["http", "tcp"]),
            r#""http""#,
            r#""http""#,
            "`http`: HTTP/1.1 and 1.0, message by message; `tcp`: raw bytes both ways.",
        ),
        key(
            "tls",
            Kind::Table(&TLS),
            "(without TLS)",
            r#"{ certificates = [{ cert = "cert.pem", key = "key.pem" }] }"#,
            "That clients come through TLS, and with which certificates. See docs/tls.md.",
        ),
        key(
            "pool",
            Kind::Text,
            "(the only pool)",
            r#""app""#,
            "Where clients are sent; behind routes, where those are sent that no route takes. Needed only when there are several \
             pools, or to have a default behind routes.",
        ),
        SPLIT,
        STICKY,
        key(
            "route",
            Kind::Tables(&ROUTE),
            "[]",
            "[[listener.route]]",
            "What becomes of requests; the first route that matches wins. In TCP mode, of connections: by `sni`, `alpn` and `client`, to a \
             `pool` or a `split`.",
        ),
        key(
            "trusted_proxies",
            Kind::List(&Kind::Text),
            "[]",
            r#"["10.0.0.0/8", "::1"]"#,
            "Networks of proxies that are believed when they say for whom they ask: in header fields, and by `proxy_protocol`. `unix` is \
             everybody who comes by a Unix socket.",
        ),
        key(
            "proxy_protocol",
            Kind::Word(&["off", "optional", "required"]),
            r#""off""#,
            r#""required""#,
            "Whether connections begin with a header of the PROXY protocol, version 1 or 2, that names the client. `required`: all \
             do, and come from `trusted_proxies`, or are closed; `optional`: those of `trusted_proxies` may.",
        ),
        key(
            "forwarding",
            Kind::Word(&["x-forwarded", "forwarded"]),
            r#""x-forwarded""#,
            r#""forwarded""#,
            "The fields that tell backends of the client: `X-Forwarded-For`, `-Proto` and `-Host`, or `Forwarded` (RFC 7239). HTTP only.",
        ),
        key(
            "request_id",
            Kind::Word(&["backend", "both", "off"]),
            r#""backend""#,
            r#""both""#,
            "Who is told by `X-Request-ID` what the request is called: the backend, or the client too, or nobody (then the field passes as it \
             came). It is kept if a trusted proxy has said it, and made anew else; the access line has it in any case. HTTP only.",
        ),
        key(
            "traces",
            Kind::Word(&["pass", "start"]),
            r#""pass""#,
            r#""start""#,
            "W3C traces (`traceparent`, `tracestate`): passed on as they came; with `start`, one is begun where there is none that can be \
             read. HTTP only.",
        ),
        key(
            "proxy_status",
            Kind::Word(&["own", "all", "off"]),
            r#""own""#,
            r#""all""#,
            "Which responses have `Proxy-Status` (RFC 9209): Pollux's own answers, with the cause; all, with the name of the backend; or \
             none. HTTP only.",
        ),
        key(
            "hsts",
            Kind::Table(&HSTS),
            "(not said)",
            r#"{ max_age = "1y", include_subdomains = true }"#,
            "That browsers are to come by TLS alone from now on (`Strict-Transport-Security`). Said where the client has come by TLS, unless \
             the backend says it. HTTP only.",
        ),
        key(
            "ambiguous_paths",
            Kind::Word(&["refuse", "pass"]),
            r#""refuse""#,
            r#""pass""#,
            "What becomes of paths that readers disagree about (`/a/../b`, `//a`, `/a%2Fb`) where routes look at paths. HTTP only.",
        ),
    ],
};

/// `hsts` of a listener.
pub(super) static HSTS: Table = Table {
    title: "hsts = { … }",
    about: "What browsers remember of a host (RFC 6797). They cannot be made to forget it but by a response over TLS.",
    keys: &[
        key(
            "max_age",
            Kind::Time,
            r#""1y""#,
            r#""1y""#,
            "For how long, in whole seconds; less than a second (`1ms`) has them forget it.",
        ),
        key(
            "include_subdomains",
            Kind::Flag,
            "false",
            "true",
            "Whether the same holds for every name below that of the host.",
        ),
        key(
            "preload",
            Kind::Flag,
            "false",
            "true",
            "Whether browsers may know it before the first visit. Their lists want `include_subdomains` and at least a year.",
        ),
    ],
};

/// `socket` of a listener.
pub(super) static SOCKET: Table = Table {
    title: "socket = { … }",
    about: "The owner and the mode of a Unix socket's file. Who may write to it may connect.",
    keys: &[
        key(
            "mode",
            Kind::Text,
            "(0600 if an owner is named, else as the umask has it)",
            r#""0660""#,
            "The mode, in octal digits.",
        ),
        key("user", Kind::Text, NONE, r#""app""#, "The name of the user who owns it."),
        key("group", Kind::Text, NONE, r#""www-data""#, "The name of the group that owns it."),
    ],
};

static SHARES: Kind = Kind::Table(&SHARE);

const SPLIT: Key = key(
    "split",
    Kind::List(&SHARES),
    NONE,
    r#"[{ pool = "app", weight = 9 }, { pool = "next", weight = 1 }]"#,
    "Several pools, each with its share of the requests (of the clients, in TCP mode).",
);
const STICKY: Key = key(
    "sticky",
    Kind::Text,
    "(drawn for each request)",
    r#""{client}""#,
    "For a split: requests for which this template gives the same text go to the same pool.",
);

/// One of `split`.
pub(super) static SHARE: Table = Table {
    title: "split = [{ … }]",
    about: "A share of a split.",
    keys: &[
        key("pool", Kind::Text, REQUIRED, r#""app""#, "Where it is sent."),
        key(
            "weight",
            Kind::Number(0, Backend::WEIGHT_MAX as u64),
            "1",
            "9",
            "How large it is; 0 is nothing.",
        ),
    ],
};

/// `[[listener.route]]`.
pub(super) static ROUTE: Table = Table {
    title: "[[listener.route]]",
    about: "A route of the listener above it. It has one action: `pool`, `split`, `redirect` or `respond`.",
    keys: &[
        key(
            "name",
            Kind::Text,
            r#"("route-1", … by place)"#,
            r#""api""#,
            "For logs and the command line; unique in its listener.",
        ),
        key(
            "match",
            Kind::Table(&MATCH),
            "(everything matches)",
            r#"{ host = "api.example.com", path = "/v1/*" }"#,
            "What a request must be like: all of it holds, and of each list one.",
        ),
        key("pool", Kind::Text, NONE, r#""app""#, "Action: a backend of that pool answers."),
        SPLIT,
        STICKY,
        key(
            "redirect",
            Kind::Table(&REDIRECT),
            NONE,
            r#"{ status = 308, location = "https://{host}{uri}" }"#,
            "Action: the client is sent elsewhere.",
        ),
        key(
            "respond",
            Kind::Table(&RESPOND),
            NONE,
            r#"{ status = 503, body = "back soon\n" }"#,
            "Action: Pollux answers by itself.",
        ),
        key(
            "strip_prefix",
            Kind::Text,
            NONE,
            r#""/api""#,
            "Takes these segments off the beginning of the path.",
        ),
        key(
            "replace_prefix",
            Kind::Table(&PREFIX),
            NONE,
            r#"{ from = "/api", to = "/v2" }"#,
            "Puts others in their place.",
        ),
        key(
            "request_headers",
            Kind::Table(&FIELDS),
            NONE,
            r#"{ set = { X-Client = "{client}" }, remove = ["X-Debug"] }"#,
            "Changes to what the backend gets.",
        ),
        key(
            "response_headers",
            Kind::Table(&FIELDS),
            NONE,
            r#"{ set = { X-Frame-Options = "DENY" } }"#,
            "Changes to what the client gets from the backend, a redirect or a fixed response.",
        ),
        key(
            "timeouts",
            Kind::Table(&ROUTE_TIMEOUTS),
            "(those of `[timeouts]`)",
            r#"{ backend_response = "5s" }"#,
            "Times of its own.",
        ),
        key(
            "limits",
            Kind::Table(&ROUTE_LIMITS),
            "(those of `[limits]`)",
            r#"{ body = "10MB" }"#,
            "Bounds of its own.",
        ),
        key(
            "retry",
            Kind::Word(&["safe", "unsent", "off"]),
            r#""safe""#,
            r#""off""#,
            "When a request may be sent again. `safe`: on proof that it is safe; `unsent`: only if nothing of it was handed on; \
             `off`: never.",
        ),
    ],
};

const TEXTS: Kind = Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]);
const WANTS: Kind =
    Kind::Names(&Kind::Either(&[Kind::Text, Kind::Flag, Kind::List(&Kind::Text), Kind::Table(&REGEX)]));

/// `match` of a route.
pub(super) static MATCH: Table = Table {
    title: "match = { … }",
    about: "What a request must be like.",
    keys: &[
        key(
            "host",
            TEXTS,
            NONE,
            r#"["example.com", "*.example.com"]"#,
            "A host, or `*.name` for every name below it.",
        ),
        key(
            "path",
            TEXTS,
            NONE,
            r#"["/users/{id}", "/api/*"]"#,
            "A path, `/api/*` for `/api` and everything below it, `{name}` for any one segment.",
        ),
        key(
            "path_regex",
            Kind::Text,
            NONE,
            r#""^/v(?<version>[0-9]+)/""#,
            "An expression that is found in the path.",
        ),
        key("method", TEXTS, NONE, r#"["GET", "HEAD"]"#, "A method."),
        key(
            "header",
            WANTS,
            NONE,
            r#"{ X-Beta = "1", X-Debug = false, Accept = { regex = "json" } }"#,
            "Header fields: a value, a list of values, `true` for any and `false` for none, or an expression.",
        ),
        key(
            "query",
            WANTS,
            NONE,
            r#"{ beta = true }"#,
            "Query parameters, in the same way; compared decoded.",
        ),
        key("cookie", WANTS, NONE, r#"{ tenant = ["a", "b"] }"#, "Cookies, in the same way."),
        key("client", TEXTS, NONE, r#"["10.0.0.0/8", "2001:db8::/32"]"#, "The network of the client."),
        key(
            "sni",
            TEXTS,
            NONE,
            r#"["example.com", "*.example.com"]"#,
            "The name that a TLS client asks for, or `*.name` for every name below it. TCP only.",
        ),
        key("alpn", TEXTS, NONE, r#"["h2", "http/1.1"]"#, "A protocol that a TLS client offers. TCP only."),
    ],
};

/// An expression for a value.
pub(super) static REGEX: Table = Table {
    title: "{ regex = … }",
    about: "An expression.",
    keys: &[key("regex", Kind::Text, REQUIRED, r#""^v[12]$""#, "It is found in the value.")],
};

/// `redirect` of a route.
pub(super) static REDIRECT: Table = Table {
    title: "redirect = { … }",
    about: "An answer that points elsewhere.",
    keys: &[
        key("status", Kind::Number(301, 308), "302", "308", "301, 302, 303, 307 or 308."),
        key("location", Kind::Text, REQUIRED, r#""https://{host}{uri}""#, "Where to; a template."),
    ],
};

/// `respond` of a route.
pub(super) static RESPOND: Table = Table {
    title: "respond = { … }",
    about: "A fixed answer.",
    keys: &[
        key("status", Kind::Number(200, 599), "200", "404", "The status."),
        key(
            "headers",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ Retry-After = "60" }"#,
            "Header fields; templates.",
        ),
        key(
            "body",
            Kind::Text,
            r#""""#,
            r#""back soon\n""#,
            "The body; text/plain if `headers` has no Content-Type.",
        ),
        key(
            "body_file",
            Kind::Text,
            NONE,
            r#""maintenance.html""#,
            "The body is in that file, relative to this one; read once, at load, at most 1 MiB.",
        ),
    ],
};

/// `replace_prefix` of a route.
pub(super) static PREFIX: Table = Table {
    title: "replace_prefix = { … }",
    about: "A prefix and what takes its place.",
    keys: &[
        key("from", Kind::Text, REQUIRED, r#""/api""#, "Whole segments of the path."),
        key("to", Kind::Text, REQUIRED, r#""/v2""#, "What takes their place."),
    ],
};

/// `request_headers` and `response_headers` of a route.
pub(super) static FIELDS: Table = Table {
    title: "request_headers = { … }, response_headers = { … }",
    about: "Changes to header fields; the values are templates.",
    keys: &[
        key(
            "set",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ X-Client = "{client}" }"#,
            "Fields of which there is one afterwards.",
        ),
        key(
            "add",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ X-Seen-By = "pollux" }"#,
            "Fields of which there is one more.",
        ),
        key("remove", TEXTS, NONE, r#"["X-Debug"]"#, "Fields that are taken out."),
    ],
};

/// `timeouts` of a route.
pub(super) static ROUTE_TIMEOUTS: Table = Table {
    title: "timeouts = { … }",
    about: "Times of a route; what each means stands under `[timeouts]`.",
    keys: &[CONNECT, BACKEND_RESPONSE, IDLE, TUNNEL, QUEUE],
};

/// `limits` of a route.
pub(super) static ROUTE_LIMITS: Table = Table {
    title: "limits = { … }",
    about: "Bounds of a route.",
    keys: &[key("body", Kind::SizeOrNone, r#"(that of `[limits]`)"#, r#""10MB""#, "A request body.")],
};

/// What `retry_on` knows besides statuses.
pub(super) const RETRY_WORDS: [&str; 3] = ["connect", "reset", "timeout"];

/// `[pool.NAME]`.
pub(super) static POOL: Table = Table {
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
        ),
        key(
            "hash_key",
            Kind::Text,
            r#""{client}""#,
            r#""{cookie.session}""#,
            "For `balance = \"hash\"`: requests for which this template gives the same text go to the same backend; where it \
             gives none, one is drawn.",
        ),
        key(
            "max_load",
            Kind::Fraction(1000, 100_000),
            "(no bound)",
            "1.25",
            "For `balance = \"hash\"`: a backend that has more than so many times its share of the requests in flight is passed \
             over.",
        ),
        key(
            "sticky",
            Kind::Table(&STICKY_COOKIE),
            NONE,
            r#"{ cookie = "srv" }"#,
            "Binds each client to the backend that served it first, by a cookie. HTTP only.",
        ),
        key(
            "proxy_protocol",
            Kind::Word(&["off", "v1", "v2"]),
            r#""off""#,
            r#""v2""#,
            "Whether backends are told of the client by a header of the PROXY protocol, version 1 or 2. Then each request has a \
             connection of its own; checks say that they are Pollux's.",
        ),
        key(
            "proxy_protocol_fields",
            Kind::List(&Kind::Word(&["authority", "alpn", "unique-id", "ssl"])),
            "[]",
            r#"["authority", "unique-id"]"#,
            "What is said besides addresses, in version 2: the name that the client has asked for, the protocol that was agreed upon, a \
             name for the connection, whether the client came by TLS.",
        ),
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
        ),
        key(
            "queue",
            Kind::Time,
            "(as long as `timeouts.queue`)",
            r#""2s""#,
            "How long they wait; then they are answered with 503 `queue-timeout`.",
        ),
        key(
            "max_reuse",
            Kind::Number(1, COUNT_MAX),
            "(no bound)",
            "1000",
            "Requests that a connection to a backend serves, one after the other, before it is closed.",
        ),
        key(
            "retries",
            Kind::Number(0, Retries::MOST),
            "2",
            "1",
            "How often a request is sent again, if that is proven to be safe; to another backend as long as there is one.",
        ),
        key(
            "retry_on",
            Kind::List(&Kind::Either(&[Kind::Text, Kind::Number(400, 599)])),
            r#"["connect", "reset"]"#,
            r#"["connect", "reset", "timeout", 503]"#,
            "After what: a connect that failed, a connection that was lost before it answered, `timeouts.backend_response`, or one of \
             these statuses.",
        ),
        key(
            "retry_budget",
            Kind::Fraction(0, 1000),
            "0.2",
            "0.1",
            "Of the requests in flight in the pool so many may be retries.",
        ),
        key(
            "retry_budget_min",
            Kind::Number(0, 1000),
            "3",
            "10",
            "So many retries at once are allowed, however few requests are in flight.",
        ),
        key(
            "resolve",
            Kind::Either(&[Kind::Time, Kind::Flag]),
            r#""30s""#,
            r#""5s""#,
            "How often the names in `backends` are asked for their addresses; `false` is once, when the file is loaded, and \
             then a name that is not known is an error.",
        ),
        key(
            "resolver",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "(that of the file)",
            r#""127.0.0.1:5353""#,
            "The DNS servers that are asked for the backends of this pool; `[]` is the way of the system.",
        ),
        key(
            "health",
            Kind::Table(&HEALTH),
            "(see there)",
            "{ failures = 3, eject = \"5s\" }",
            "When failures of real requests take a backend out, and how it comes back.",
        ),
        key(
            "tls",
            Kind::Table(&BACKEND_TLS),
            "(without TLS)",
            r#"{ verify = "off" }"#,
            "That the backends are spoken to through TLS. The same, with what holds if nothing is said, is `https://` before their addresses. \
             See docs/tls.md.",
        ),
        key(
            "check",
            Kind::Table(&CHECK),
            NONE,
            r#"{ type = "http", path = "/healthz" }"#,
            "Looks at each backend now and then.",
        ),
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
pub(super) static BACKEND: Table = Table {
    title: "backends = [{ … }]",
    about: "A backend of which more is said than its address.",
    keys: &[
        key(
            "address",
            Kind::Text,
            REQUIRED,
            r#""127.0.0.1:9001""#,
            "`host:port`, `unix:/path` or `file:list.json`.",
        ),
        key(
            "name",
            Kind::Text,
            "(the address)",
            r#""b1""#,
            "For logs and the command line; unique in the pool. Of several addresses each gets its own in parentheses.",
        ),
        key(
            "weight",
            Kind::Number(0, Backend::WEIGHT_MAX as u64),
            "1",
            "3",
            "Its share of the traffic; 0 sends it only those who are bound to it.",
        ),
        key(
            "tier",
            Kind::Number(1, Backend::TIER_MAX as u64),
            "1",
            "2",
            "A backend of a higher tier is used while every backend of the lower ones is down.",
        ),
        key(
            "max_requests",
            Kind::Number(1, COUNT_MAX),
            "(that of the pool)",
            "50",
            "Requests in flight to it.",
        ),
        key("max_connections", Kind::Number(1, COUNT_MAX), "(that of the pool)", "50", "Connections to it."),
        key(
            "tls_name",
            Kind::Text,
            "(the host of its address)",
            r#""app.internal""#,
            "The name that its certificate has to be for, where the pool speaks TLS and has no `name` for all.",
        ),
        key("backup", Kind::Flag, "false", "true", "The same as `tier = 2`."),
        key(
            "state",
            Kind::Word(&["ready", "drain", "down"]),
            r#""ready""#,
            r#""drain""#,
            "What the operator wants of it. `drain`: only those who are bound to it by a cookie get it. `down`: nobody does. `pollux \
             backend` changes it while Pollux runs.",
        ),
    ],
};

/// `tls` of a listener.
pub(super) static TLS: Table = Table {
    title: "tls = { … } of a listener",
    about: "TLS 1.2 and 1.3 for clients. Paths are relative to the file that names them.",
    keys: &[
        key(
            "certificates",
            Kind::List(&Kind::Table(&CERTIFICATE)),
            REQUIRED,
            r#"[{ cert = "cert.pem", key = "key.pem" }]"#,
            "The certificates. A client gets the one for the name that it asks for (SNI), by name or by wildcard; the first is the default. \
             Two for the same name, of different key types, serve clients of either.",
        ),
        key(
            "unknown_names",
            Kind::Word(&["default", "refuse"]),
            r#""default""#,
            r#""refuse""#,
            "What becomes of clients that ask for a name that no certificate is for, or for none: they get the first one, or are refused.",
        ),
        key(
            "client_ca",
            Kind::Text,
            NONE,
            r#""cert.pem""#,
            "File with the certificates of those who may have issued clients' certificates.",
        ),
        key(
            "client_auth",
            Kind::Word(&["off", "request", "require"]),
            r#"("require" with client_ca)"#,
            r#""request""#,
            "Whether clients have to show a certificate. With `request` those without one come in too; one that cannot be verified never does.",
        ),
        key(
            "min_version",
            Kind::Word(&["1.2", "1.3"]),
            r#""1.2""#,
            r#""1.3""#,
            "The oldest version of TLS that is spoken.",
        ),
        key(
            "alpn",
            Kind::List(&Kind::Text),
            r#"(["http/1.1", "http/1.0"]; for TCP [])"#,
            r#"["http/1.1"]"#,
            "The protocols that may be agreed on, the best first. With `[]` none is, whatever clients offer.",
        ),
    ],
};

/// An item of `certificates`.
pub(super) static CERTIFICATE: Table = Table {
    title: "certificates = [{ … }]",
    about: "A certificate with its key, both PEM.",
    keys: &[
        key(
            "cert",
            Kind::Text,
            REQUIRED,
            r#""cert.pem""#,
            "File with the certificate, and behind it those that it was issued by, without the root.",
        ),
        key(
            "key",
            Kind::Text,
            REQUIRED,
            r#""key.pem""#,
            "File with its key: PKCS #8, PKCS #1 or SEC1, without a passphrase.",
        ),
    ],
};

/// `tls` of a pool.
pub(super) static BACKEND_TLS: Table = Table {
    title: "tls = { … } of a pool",
    about: "TLS to the backends. `backends = [\"https://…\"]` alone is TLS with what holds if nothing is said.",
    keys: &[
        key(
            "ca",
            Kind::Text,
            "(whom the system believes)",
            r#""cert.pem""#,
            "File with the certificates of those who may have issued backends' certificates.",
        ),
        key(
            "name",
            Kind::Text,
            "(of the address)",
            r#""app.internal""#,
            "The name that is asked for (SNI) and that certificates have to be for.",
        ),
        key(
            "cert",
            Kind::Text,
            NONE,
            r#""cert.pem""#,
            "File with the certificate that Pollux shows to backends which ask; with `key`.",
        ),
        key("key", Kind::Text, NONE, r#""key.pem""#, "File with its key."),
        key(
            "verify",
            Kind::Word(&["full", "off"]),
            r#""full""#,
            r#""off""#,
            "Whether certificates are verified. `off` believes anybody who has the address.",
        ),
        key(
            "min_version",
            Kind::Word(&["1.2", "1.3"]),
            r#""1.2""#,
            r#""1.3""#,
            "The oldest version of TLS that is spoken.",
        ),
    ],
};

/// `sticky` of a pool.
pub(super) static STICKY_COOKIE: Table = Table {
    title: "sticky = { … }",
    about: "A cookie that binds a client to a backend.",
    keys: &[
        key("cookie", Kind::Text, REQUIRED, r#""srv""#, "Its name."),
        key(
            "secret",
            Kind::Text,
            NONE,
            r#""${STICKY_SECRET:-a long one that nobody guesses}""#,
            "Signs the value (HMAC-SHA-256), so that no client chooses its backend; at least 16 characters.",
        ),
        key("path", Kind::Text, r#""/""#, r#""/app""#, "Its Path."),
        key("domain", Kind::Text, "(the host alone)", r#""example.com""#, "Its Domain."),
        key("max_age", Kind::Time, "(until the browser closes)", r#""8h""#, "Its Max-Age."),
        key("secure", Kind::Flag, "false", "true", "Whether browsers send it over TLS only."),
        key("http_only", Kind::Flag, "true", "false", "Whether it is kept from scripts."),
        key(
            "same_site",
            Kind::Word(&["lax", "strict", "none"]),
            r#""lax""#,
            r#""strict""#,
            "Whether requests that other sites cause have it.",
        ),
        key("hide", Kind::Flag, "false", "true", "Whether it is kept from the backends."),
    ],
};

/// What `errors` knows besides statuses.
pub(super) const ERROR_WORDS: [&str; 3] = ["connect", "reset", "timeout"];

const STATUS: Kind = Kind::Number(100, 599);

/// `[pool.NAME.health]`.
pub(super) static HEALTH: Table = Table {
    title: "[pool.NAME.health]",
    about: "When failures of real requests eject a backend, and how it comes back.",
    keys: &[
        key("failures", Kind::Number(0, 1000), "5", "3", "So many failures in a row eject; 0 is never."),
        key(
            "failure_rate",
            Kind::Fraction(1, 1000),
            NONE,
            "0.5",
            "That share of the requests in `window` failing ejects as well.",
        ),
        key("window", Kind::Time, r#""10s""#, r#""30s""#, "What `failure_rate` looks at."),
        key(
            "window_min",
            Kind::Number(1, COUNT_MAX),
            "20",
            "100",
            "With fewer requests in the window nothing is said of a rate.",
        ),
        key(
            "errors",
            Kind::List(&Kind::Either(&[Kind::Text, STATUS])),
            r#"["connect", "reset", "timeout"]"#,
            r#"["connect", "reset", "timeout", "500-599"]"#,
            "What counts as a failure: a connect that failed, a connection that was lost or carried no response, one that did not come \
             in time, a status or a range of them.",
        ),
        key(
            "eject",
            Kind::Time,
            r#""10s""#,
            r#""5s""#,
            "How long the first ejection lasts. Each that follows soon lasts twice as long as the one before.",
        ),
        key("eject_max", Kind::Time, r#""5m""#, r#""1m""#, "The longest ejection."),
        key(
            "max_ejected",
            Kind::Fraction(0, 1000),
            "0.5",
            "0.3",
            "At most that share of the backends is ejected.",
        ),
        key(
            "panic",
            Kind::Either(&[Kind::Word(&["off"]), Kind::Fraction(1, 1000)]),
            "0.1",
            r#""off""#,
            "When fewer than that share of the backends can be used, requests go to all of them; `off` is never.",
        ),
        key(
            "slow_start",
            Kind::Time,
            "(at once)",
            r#""30s""#,
            "How long a backend that comes back takes to its full weight.",
        ),
    ],
};

/// `[pool.NAME.check]`.
pub(super) static CHECK: Table = Table {
    title: "[pool.NAME.check]",
    about: "How the backends of a pool are checked.",
    keys: &[
        key(
            "type",
            Kind::Word(&["tcp", "http"]),
            r#""tcp""#,
            r#""http""#,
            "`tcp`: a connect; `http`: a request. The keys from `method` to `text` are for `http`.",
        ),
        key("method", Kind::Text, r#""GET""#, r#""HEAD""#, "The method."),
        key("path", Kind::Text, r#""/""#, r#""/healthz""#, "The path, with a query if need be."),
        key("host", Kind::Text, "(the address)", r#""app.example.com""#, "The Host."),
        key(
            "status",
            Kind::List(&Kind::Either(&[Kind::Text, STATUS])),
            r#"["200-399"]"#,
            r#"[200, "300-399"]"#,
            "The statuses that are good, one by one or as ranges.",
        ),
        key("text", Kind::Text, NONE, r#""ready""#, "What must stand in the first 64 KiB of the body."),
        key("port", Kind::Number(1, 65_535), "(that of the backend)", "9100", "Where to connect instead."),
        key("interval", Kind::Time, r#""2s""#, r#""5s""#, "From one check to the next."),
        key(
            "fast_interval",
            Kind::Time,
            r#""1s""#,
            r#""500ms""#,
            "The same while the last checks speak against what is thought of the backend.",
        ),
        key(
            "jitter",
            Kind::Fraction(0, 500),
            "0.1",
            "0.2",
            "By that share an interval may be longer or shorter, so that checks do not come in step.",
        ),
        key("timeout", Kind::Time, r#""1s""#, r#""500ms""#, "For one check, from the connect to the end."),
        key("rise", Kind::Number(1, 100), "2", "1", "So many in a row must pass to bring a backend up."),
        key("fall", Kind::Number(1, 100), "3", "5", "So many in a row must fail to take it down."),
        key(
            "start",
            Kind::Word(&["up", "down", "check-first"]),
            r#""up""#,
            r#""check-first""#,
            "What holds before the checks have decided. `up`: it gets requests; `down`: none until `rise` have passed; `check-first`: none \
             until the first, which decides alone.",
        ),
    ],
};

/// `[timeouts]`.
pub(super) static TIMEOUTS: Table = Table {
    title: "[timeouts]",
    about: "How long each phase may take: text such as `500ms`, `2s`, `1h 30m`; above zero.",
    keys: &[
        key(
            "handshake",
            Kind::Time,
            r#""10s""#,
            r#""5s""#,
            "For a client's TLS handshake, from its connect on.",
        ),
        CONNECT,
        key(
            "preface",
            Kind::Time,
            r#""5s""#,
            r#""5s""#,
            "For a client to send what comes before the conversation: a PROXY header, a ClientHello by which it is routed.",
        ),
        key("client_head", Kind::Time, r#""10s""#, r#""10s""#, "For a client to send a whole request head."),
        key(
            "client_idle",
            Kind::Time,
            r#""60s""#,
            r#""60s""#,
            "Between two requests on a kept-alive connection.",
        ),
        BACKEND_RESPONSE,
        IDLE,
        TUNNEL,
        QUEUE,
        key("linger", Kind::Time, r#""2s""#, r#""2s""#, "For a client to close after Pollux has."),
        key(
            "backend_idle",
            Kind::Time,
            r#""30s""#,
            r#""30s""#,
            "For a kept-alive backend connection to wait for its next use.",
        ),
        key("drain", Kind::Time, r#""30s""#, r#""30s""#, "From SIGTERM to the end."),
    ],
};

const CONNECT: Key =
    key("connect", Kind::Time, r#""2s""#, r#""2s""#, "To connect to a backend, for each one tried.");
const BACKEND_RESPONSE: Key = key(
    "backend_response",
    Kind::Time,
    r#""60s""#,
    r#""60s""#,
    "From the end of the request to the head of the response.",
);
const IDLE: Key =
    key("idle", Kind::Time, r#""60s""#, r#""60s""#, "Without a byte moving while a message is under way.");
const TUNNEL: Key = key(
    "tunnel",
    Kind::Time,
    r#""1h""#,
    r#""1h""#,
    "The same in TCP mode, and after an upgrade such as WebSocket.",
);
const QUEUE: Key =
    key("queue", Kind::Time, r#""10s""#, r#""10s""#, "For a free backend connection, all attempts together.");

/// `[limits]`.
pub(super) static LIMITS: Table = Table {
    title: "[limits]",
    about: "What clients and backends can make Pollux hold. Sizes are bytes, or text: `32KiB`, `1MiB`, `10MB`, `1GiB`.",
    keys: &[
        key("head", Kind::Size(HEAD.0, HEAD.1), r#""32KiB""#, r#""32KiB""#, "A request or response head."),
        // `GET / HTTP/1.1` with its line ending fits the least.
        key(
            "request_line",
            Kind::Size(16, HEAD.1),
            r#""16KiB""#,
            r#""16KiB""#,
            "Its first line; at most `head`.",
        ),
        // A Host and what a browser says of itself fit the least.
        key(
            "field",
            Kind::Size(256, HEAD.1),
            r#""16KiB""#,
            r#""16KiB""#,
            "One header field, its name and value together.",
        ),
        key(
            "fields",
            Kind::Number(1, Limits::FIELDS_MAX as u64),
            "100",
            "100",
            "Header fields of a message.",
        ),
        key("body", Kind::SizeOrNone, r#""none""#, r#""10MB""#, "A request body; `none` is no bound."),
        key(
            "buffer",
            Kind::Size(HEAD.0, BUFFER_MAX),
            r#""64KiB""#,
            r#""64KiB""#,
            "The buffer of one direction; at least `head`.",
        ),
        key(
            "buffers",
            Kind::Number(1, COUNT_MAX),
            "8192",
            "8192",
            "Buffers in use at once, over all workers; when all are, nobody reads. A worker has 4 at least.",
        ),
        key(
            "sessions",
            Kind::Number(1, COUNT_MAX),
            "10000",
            "10000",
            "Client connections at once, over all workers.",
        ),
        key(
            "handshakes",
            Kind::Number(1, COUNT_MAX),
            "1000",
            "200",
            "Clients whose TLS handshakes are under way at once, over all workers. At the bound, listeners with TLS let nobody in.",
        ),
        key(
            "accept_budget",
            Kind::Number(1, COUNT_MAX),
            "64",
            "64",
            "Clients that a listener takes in one turn of the loop.",
        ),
        key(
            "idle_per_backend",
            Kind::Number(0, COUNT_MAX),
            "256",
            "256",
            "Idle connections kept to each backend, over all workers.",
        ),
        key(
            "idle",
            Kind::Number(0, COUNT_MAX),
            "4096",
            "4096",
            "Idle connections kept to all backends together, over all workers.",
        ),
    ],
};

/// `[recorder]`.
pub(super) static RECORDER: Table = Table {
    title: "[recorder]",
    about: "What the flight recorder keeps aside, for `pollux recorder`. The last exchanges of each worker are remembered in any case.",
    keys: &[
        key(
            "slow",
            Kind::Time,
            r#""1s""#,
            r#""500ms""#,
            "An exchange that took longer is kept; in TCP mode, and after an upgrade, one whose backend took longer to answer.",
        ),
        key(
            "keep",
            Kind::Number(0, RECORDED_MAX),
            "128",
            "1000",
            "So many of those that were slow or failed, over all workers; and as many again of those that failed by the client's fault.",
        ),
    ],
};

/// `[[test]]`.
pub(super) static TEST: Table = Table {
    title: "[[test]]",
    about: "A request, and what is expected to become of it.",
    keys: &[
        key("name", Kind::Text, r#"("test-1", … by place)"#, r#""the api""#, "What it is called; unique."),
        key(
            "request",
            Kind::Text,
            REQUIRED,
            r#""GET https://api.example.com/v1/x""#,
            "A method and a URL, or a path.",
        ),
        key("headers", Kind::Names(&Kind::Text), NONE, r#"{ Cookie = "a=b" }"#, "Header fields."),
        key("from", Kind::Text, r#""127.0.0.1""#, r#""10.1.2.3""#, "Who connects."),
        key(
            "listener",
            Kind::Text,
            "(the one with the port of the URL, else the first)",
            r#""web""#,
            "To which listener.",
        ),
        key(
            "down",
            Kind::List(&Kind::Text),
            "[]",
            r#"["app/b2"]"#,
            "Backends that are down, as `pool/backend`.",
        ),
        key("full", Kind::List(&Kind::Text), "[]", r#"["app/b1"]"#, "Backends that take no more."),
        key(
            "expect",
            Kind::Table(&EXPECT),
            REQUIRED,
            r#"{ route = "api", pool = "app" }"#,
            "What is expected.",
        ),
    ],
};

/// `expect` of a test.
pub(super) static EXPECT: Table = Table {
    title: "expect = { … }",
    about: "What is expected; what is left out may be anything.",
    keys: &[
        key("route", Kind::Text, NONE, r#""api""#, "The route that is taken."),
        key("pool", Kind::Text, NONE, r#""app""#, "The pool that is asked."),
        key(
            "backend",
            Kind::Text,
            NONE,
            r#""b1""#,
            "The backend that is picked, by a round that begins anew.",
        ),
        key("status", Kind::Number(100, 599), NONE, "404", "The status that Pollux itself answers with."),
        key("cause", Kind::Text, NONE, r#""no-route""#, "The cause that it answers for."),
        key("location", Kind::Text, NONE, r#""https://example.com/""#, "The Location of its answer."),
        key(
            "header",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ X-Client = "10.1.2.3" }"#,
            "Fields of the request as the backend gets it, or of the answer; an empty text stands for none.",
        ),
    ],
};
