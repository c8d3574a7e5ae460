//! The file as a whole, and the process: the first keys, the admin address, the access log, the recorder.

use super::bounds::{LIMITS, TIMEOUTS};
use super::listener::{LISTENER, SOCKET};
use super::pool::POOL;
use super::test::TEST;
use super::{DAY, Field, Kind, NONE, REQUIRED, Table, key};
use crate::access::{AccessLogRules, Redaction};
use crate::admin::Admin;
use crate::config::check::{access, admin, binds, process, sockets};
use crate::config::print::words;
use crate::config::settings::{Show, field, print_inline};
use crate::config::{ProcessSettings, THREADS_MAX};
use crate::snapshot::{Permissions, Recording};

/// Where the lines go, if the file says nothing else of them.
pub(in crate::config) fn destination_alone(rules: &AccessLogRules) -> Option<String> {
    let to = rules.to.as_ref()?;
    let alone = AccessLogRules { to: Some(to.clone()), ..AccessLogRules::default() };
    (*rules == alone).then(|| words::text(&to.to_string()))
}

fn show_redaction(Redaction { query, headers }: &Redaction) -> String {
    let query = query.then(|| words::text("query"));
    let headers = headers.iter().map(|name| words::text(&format!("header:{name}")));
    words::list(query.into_iter().chain(headers))
}

/// The whole file.
pub(in crate::config) static FILE: Table<ProcessSettings> = Table {
    title: "proxy.toml",
    about: "The top of the file.",
    keys: &[
        key("threads", Kind::Number(1, THREADS_MAX as u64), "(one per core)", "2", "Worker threads.")
        .at(field!(threads)),
        key(
            "control",
            Kind::Text,
            NONE,
            r#""/run/pollux/control""#,
            "Where the control socket is opened, relative to this file: for `pollux status`, `reload`, `upgrade` and `explain --live`.",
        )
        .at(field!(control, |table, site, findings| process::control(table, site, findings).map(Some))),
        key(
            "access_log",
            Kind::Either(&[Kind::Text, Kind::Table(&ACCESS_LOG)]),
            r#""on""#,
            r#""/var/log/pollux/access.log""#,
            "Where the line for each exchange goes: `on` is standard error, beside the log; `stdout`; `off` nowhere; `syslog:udp://IP:PORT` or \
             `syslog:unix:PATH`; anything else is a file, relative to this one, that SIGUSR1 opens anew. Or a table that says more.",
        )
        .at(field!(
            access_log,
            |table, site, findings| access::access_log(table, site, findings).map(Some),
            |rules| rules.as_ref().and_then(destination_alone)
        )),
        key(
            "include",
            Kind::List(&Kind::Text),
            "[]",
            r#"["conf.d/*.toml"]"#,
            "Further files, relative to this one; `*` and `?` stand for any characters, but for no dot file and no leftover of an editor or a package manager (`a.toml~`, `a.toml.bak`, \
             `a.toml.dpkg-old`). What they say is added in the order of \
             their names.",
        ),
        key(
            "admin",
            Kind::Table(&ADMIN),
            NONE,
            "[admin]",
            "The admin address: status, metrics, a dashboard.",
        )
        .at(field!(
            admin,
            |table, site, findings| admin::check(table, site, findings),
            // It has a header of its own.
            |_| None
        )),
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

/// `[admin]`.
pub(in crate::config) static ADMIN: Table<Admin> = Table {
    title: "[admin]",
    about: "The admin address, over HTTP; docs/operations.md says what there is. Another one takes effect at the next start.",
    keys: &[
        key(
            "bind",
            Kind::Text,
            REQUIRED,
            r#""127.0.0.1:9900""#,
            "Its address, or `unix:/path`. One that is neither of the loopback nor a Unix socket needs a token.",
        )
        .at(field!(
            bind,
            |table, site, findings| binds::address(table, site, findings),
            |bind| Some(words::text(&bind.to_string()))
        )),
        key(
            "socket",
            Kind::Table(&SOCKET),
            r#"{ mode = "0600" }"#,
            r#"{ mode = "0660", group = "ops" }"#,
            "Mode, owner and group of the Unix socket.",
        )
        .at(field!(
            socket,
            |table, site, findings| sockets::permissions(table, site, findings),
            |owner| (*owner != Permissions::default()).then(|| print_inline(&SOCKET, owner))
        )),
        key(
            "token_file",
            Kind::Text,
            NONE,
            r#""admin.token""#,
            "A file, relative to this one, with the token that callers have to send: at least 16 characters.",
        )
        .at(Field {
            read: |admin, _, table, site, findings| {
                admin.token = Some(admin::token_file(table, site, findings)?);
                Ok(())
            },
            show: |admin, key| admin.token_file()?.show(key),
            differs: |a, b| a.token_file() != b.token_file(),
        }),
        key(
            "token_env",
            Kind::Text,
            NONE,
            r#""POLLUX_ADMIN_TOKEN""#,
            "The same, from an environment variable.",
        )
        .at(Field {
            read: |admin, _, table, site, findings| {
                if let Some(token) = admin::token_env(table, site, findings)? {
                    admin.token = Some(token);
                }
                Ok(())
            },
            show: |admin, _| admin.token_variable().map(words::text),
            differs: |a, b| a.token_variable() != b.token_variable(),
        }),
        key(
            "writable",
            Kind::Flag,
            "false",
            "true",
            "Whether callers may change something without a token: drain backends, end sessions, set what is logged. With a token they may.",
        )
        .at(Field {
            show: |admin, key| if admin.token.is_none() { admin.writable.show(key) } else { None },
            ..field!(writable)
        }),
    ],
};

/// `[access_log]`.
pub(in crate::config) static ACCESS_LOG: Table<AccessLogRules> = Table {
    title: "[access_log]",
    about: "The line for each exchange; docs/logging.md has examples. Changes take effect at the next start.",
    keys: &[
        key(
            "to",
            Kind::Text,
            r#""on""#,
            r#""syslog:unix:/dev/log""#,
            "Where they go: as `access_log = \"...\"` above.",
        )
        .at(field!(
            to,
            |table, site, findings| access::to(table, site, findings).map(Some),
            |to| to.as_ref().map(|to| words::text(&to.to_string()))
        )),
        key(
            "format",
            Kind::Text,
            "(that of the log)",
            r#""json""#,
            "`text`, `json`, Apache's `common` or `combined`, or a template such as `{client} {status} \"{header.user-agent}\"`.",
        )
        .at(field!(
            format,
            |table, _, findings| access::format(table, findings).map(Some),
            |format| format.as_ref().map(|format| words::text(format.text()))
        )),
        key(
            "status",
            Kind::List(&Kind::Text),
            "[]",
            r#"["5xx", "499"]"#,
            "Only exchanges with these statuses have a line, and those that are `slower_than`. 499 is a client that left before it was \
             answered, 0 no status.",
        )
        .at(field!(
            choice.statuses,
            |table, _, findings| access::statuses(table, findings),
            |statuses| Some(words::list(statuses.iter().map(|range| words::text(&range.to_string()))))
        )),
        key(
            "slower_than",
            Kind::Time(DAY),
            NONE,
            r#""1s""#,
            "Only exchanges that took longer have a line, and those with a `status`.",
        )
        .at(field!(choice.slower_than)),
        key(
            "sample",
            Kind::Fraction(0, 1000),
            "(all; beside `status` and `slower_than` none)",
            "0.01",
            "The share of all other exchanges that have one too. Failures always have: those with a cause, and from status 500 on.",
        )
        .at(field!(choice.sample)),
        key(
            "except",
            Kind::List(&Kind::Text),
            "[]",
            r#"["no-request"]"#,
            "Causes that have no line in any case.",
        )
        .at(field!(
            choice.except,
            |table, _, findings| access::except(table, findings),
            |causes| Some(words::list(causes.iter().map(|cause| words::text(cause.as_str()))))
        )),
        key(
            "redact",
            Kind::List(&Kind::Text),
            "[]",
            r#"["query", "header:authorization"]"#,
            "What is not shown: the query of targets (and of fields that are URIs), the values of header fields.",
        )
        .at(field!(
            redaction,
            |table, _, findings| access::redaction(table, findings),
            |redaction| Some(show_redaction(redaction))
        )),
        key(
            "request_headers",
            Kind::List(&Kind::Text),
            "[]",
            r#"["User-Agent"]"#,
            "Header fields of requests that lines have.",
        )
        .at(field!(headers.request, |table, _, findings| access::headers(
            table,
            "request_headers",
            findings
        ))),
        key("response_headers", Kind::List(&Kind::Text), "[]", r#"["Content-Type"]"#, "And of responses.")
        .at(field!(headers.response, |table, _, findings| access::headers(
            table,
            "response_headers",
            findings
        ))),
    ],
};

/// The most exchanges that the recorder keeps aside; each takes about a kilobyte.
const RECORDED_MAX: u64 = 100_000;

/// `[recorder]`.
pub(in crate::config) static RECORDER: Table<Recording> = Table {
    title: "[recorder]",
    about: "What the flight recorder keeps aside, for `pollux recorder`. The last exchanges of each worker are remembered in any case.",
    keys: &[
        key(
            "slow",
            Kind::Time(DAY),
            r#""1s""#,
            r#""500ms""#,
            "An exchange that took longer is kept; in TCP mode, and after an upgrade, one whose backend took longer to answer.",
        )
        .at(field!(slow)),
        key(
            "keep",
            Kind::Number(0, RECORDED_MAX),
            "128",
            "1000",
            "So many of those that were slow or failed, over all workers; and as many again of those that failed by the client's fault.",
        )
        .at(field!(keep)),
    ],
};
