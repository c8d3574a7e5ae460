//! Listeners, their sockets, and how requests are split over pools.

use std::net::SocketAddr;

use super::route::ROUTE;
use super::tls::TLS;
use super::{Field, HSTS_AGE_MAX, Kind, NONE, REQUIRED, Table, key};
use crate::config::check::{actions, binds, hsts, listeners, names, pools, sockets};
use crate::config::forms::{ListenerForm, ShareForm};
use crate::config::print::words;
use crate::config::settings::{Show, Value, elsewhere, field, print_inline};
use crate::route::{AmbiguousPaths, RouteTable};
use crate::snapshot::{Announcing, Backend, Hsts, Mode, Permissions};

/// `[[listener]]`.
pub(in crate::config) static LISTENER: Table<ListenerForm> = Table {
    title: "[[listener]]",
    about: "Where clients connect. There may be several, each under a header of its own.",
    keys: &[
        key(
            "name",
            Kind::Text,
            r#"("listener-1", … by place)"#,
            r#""web""#,
            "For logs and the command line; unique.",
        )
        .at(field!(listener.name, |table, _, findings| names::plain(table, "listener", findings))),
        key(
            "bind",
            Kind::Text,
            REQUIRED,
            r#""127.0.0.1:8080""#,
            "`host:port`; `[::1]:8080` is IPv6, `0.0.0.0:8080` every IPv4 address, port 0 a free port. Or `unix:/path`, or `unix:@name` for an \
             abstract Unix socket.",
        )
        .at(field!(
            listener.bind,
            |table, site, findings| binds::address(table, site, findings),
            |bind| Some(words::text(&bind.to_string()))
        )),
        key(
            "v6only",
            Kind::Flag,
            "true",
            "false",
            "Whether an IPv6 socket takes no IPv4 clients; `[::]:8080` with `false` is every address of both.",
        )
        .at(Field {
            show: |form, key| {
                let ip = form.listener.bind.ip().filter(SocketAddr::is_ipv6);
                ip.and_then(|_| form.listener.socket.v6only.show(key))
            },
            ..field!(listener.socket.v6only)
        }),
        key("interface", Kind::Text, NONE, r#""eth0""#, "The network device by which clients must come.")
        .at(field!(listener.socket.interface, |table, _, findings| sockets::interface(table, findings).map(Some))),
        key(
            "freebind",
            Kind::Flag,
            "false",
            "true",
            "Whether an IP address is bound that this machine does not have yet, such as one that keepalived moves.",
        )
        .at(Field {
            show: |form, _| form.listener.socket.freebind.then(|| String::from("true")),
            ..field!(listener.socket.freebind)
        }),
        key(
            "socket",
            Kind::Table(&SOCKET),
            "(as the umask has it)",
            r#"{ mode = "0660", group = "www-data" }"#,
            "Mode, owner and group of the Unix socket.",
        )
        .at(field!(
            listener.socket.permissions,
            |table, site, findings| sockets::permissions(table, site, findings),
            |owner| (*owner != Permissions::default()).then(|| print_inline(&SOCKET, owner))
        )),
        key(
            "mode",
            Kind::Word(&["http", "tcp"]),
            r#""http""#,
            r#""http""#,
            "`http`: HTTP/1.1 and 1.0, message by message; `tcp`: raw bytes both ways.",
        )
        .at(field!(listener.mode)),
        key(
            "tls",
            Kind::Table(&TLS),
            "(without TLS)",
            r#"{ certificates = [{ cert = "cert.pem", key = "key.pem" }] }"#,
            "That clients come through TLS, and with which certificates. See docs/tls.md.",
        )
        .at(Field {
            // The reader of the listener reads it: its certificates have to be for the hosts of routes.
            read: elsewhere,
            show: |form, _| Some(print_inline(&TLS, form.listener.tls.as_ref()?)),
            differs: |a, b| a.listener.tls != b.listener.tls,
        }),
        key(
            "pool",
            Kind::Text,
            "(the only pool)",
            r#""app""#,
            "Where clients are sent; behind routes, where those are sent that no route takes. Needed only when there are several \
             pools, or to have a default behind routes.",
        )
        .at(field!(action.pool, |table, site, findings| pools::named(table, site, findings).map(Some))),
        split!(),
        sticky!(),
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
        )
        .at(Field {
            show: |form, key| {
                let listener = &form.listener;
                let is_said = listener.mode == Mode::Http || listener.announcing != Announcing::Never;
                is_said.then(|| listener.trusted_proxies.show(key)).flatten()
            },
            ..field!(listener.trusted_proxies, |table, _, findings| listeners::trusted_proxies(table, findings))
        }),
        key(
            "proxy_protocol",
            Kind::Word(&["off", "optional", "required"]),
            r#""off""#,
            r#""required""#,
            "Whether connections begin with a header of the PROXY protocol, version 1 or 2, that names the client. `required`: all \
             do, and come from `trusted_proxies`, or are closed; `optional`: those of `trusted_proxies` may.",
        )
        .at(field!(listener.announcing)),
        key(
            "forwarding",
            Kind::Word(&["x-forwarded", "forwarded"]),
            r#""x-forwarded""#,
            r#""forwarded""#,
            "The fields that tell backends of the client: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, or `Forwarded` (RFC 7239). HTTP only.",
        )
        .only(Mode::Http)
        .at(field!(listener.forwarding)),
        key(
            "request_id",
            Kind::Word(&["backend", "both", "off"]),
            r#""backend""#,
            r#""both""#,
            "The sides that get the number of the request as `X-Request-ID`: the backend, the client too, or neither (then the field passes as it \
             came). It is kept if a trusted proxy has said it, and made anew else; the access line has it in any case. HTTP only.",
        )
        .only(Mode::Http)
        .at(field!(listener.disclosure.request_id)),
        key(
            "traces",
            Kind::Word(&["pass", "start"]),
            r#""pass""#,
            r#""start""#,
            "W3C traces (`traceparent`, `tracestate`): passed on as they came; with `start`, one is begun where there is none that can be \
             read. HTTP only.",
        )
        .only(Mode::Http)
        .at(field!(listener.disclosure.traces)),
        key(
            "proxy_status",
            Kind::Word(&["own", "all", "off"]),
            r#""own""#,
            r#""all""#,
            "Which responses have `Proxy-Status` (RFC 9209): Pollux's own answers, with the cause; all, with the name of the backend; or \
             none. HTTP only.",
        )
        .only(Mode::Http)
        .at(field!(listener.disclosure.proxy_status)),
        key(
            "interim_responses",
            INTERIMS,
            r#""continue""#,
            r#""all""#,
            "Which interim responses HTTP/1.1 clients get: `continue` is the first 100 alone, because many clients take any other for the \
             final response; `all` is 102, 103 and so on too. HTTP only.",
        )
        .only(Mode::Http)
        .at(field!(listener.disclosure.interims)),
        key(
            "hsts",
            Kind::Table(&HSTS),
            "(not said)",
            r#"{ max_age = "365d", include_subdomains = true }"#,
            "That browsers are to come by TLS alone from now on (`Strict-Transport-Security`). Said where the client has come by TLS, unless \
             the backend says it. HTTP only.",
        )
        .only(Mode::Http)
        .at(field!(
            listener.disclosure.hsts,
            |table, site, findings| hsts::of_listener(table, site, findings),
            |hsts| hsts.as_ref().map(|hsts| print_inline(&HSTS, hsts))
        )),
        key(
            "ambiguous_paths",
            Kind::Word(&["refuse", "pass"]),
            r#""refuse""#,
            r#""pass""#,
            "What becomes of paths that readers disagree about (`/a/../b`, `//a`, `/a%2Fb`) where routes look at paths. HTTP only.",
        )
        .only(Mode::Http)
        .at(Field {
            read: |form, key, table, _, _| {
                if let Some(ambiguous) = AmbiguousPaths::take(key, table) {
                    // The reader of the listener puts its routes there.
                    form.listener.routes = RouteTable::new(Vec::new(), ambiguous);
                }
                Ok(())
            },
            show: |form, key| form.listener.routes.ambiguous().show(key),
            differs: |a, b| a.listener.routes.ambiguous() != b.listener.routes.ambiguous(),
        }),
        key(
            "targets",
            Kind::Word(&["strict", "lenient"]),
            r#""strict""#,
            r#""lenient""#,
            "What becomes of targets in which a client has left bare what has to be percent-encoded (`\" < > { }`, backticks, UTF-8): \
             they are refused, or encoded on the way. HTTP only.",
        )
        .only(Mode::Http)
        .at(field!(listener.targets)),
    ],
};

/// Which interim responses pass.
pub(super) const INTERIMS: Kind = Kind::Word(&["continue", "all"]);

/// `hsts` of a listener.
pub(in crate::config) static HSTS: Table<Hsts> = Table {
    title: "hsts = { … }",
    about: "What browsers remember of a host (RFC 6797). They cannot be made to forget it but by a response over TLS.",
    keys: &[
        key(
            "max_age",
            Kind::Time(HSTS_AGE_MAX),
            r#""365d""#,
            r#""365d""#,
            "For how long, in whole seconds; less than a second (`1ms`) has them forget it.",
        )
        .at(field!(
            max_age_s,
            |table, _, findings| hsts::max_age(table, findings),
            |seconds| Some(hsts::show_max_age(*seconds))
        )),
        key(
            "include_subdomains",
            Kind::Flag,
            "false",
            "true",
            "Whether the same holds for every name below that of the host.",
        )
        .at(field!(include_subdomains)),
        key(
            "preload",
            Kind::Flag,
            "false",
            "true",
            "Whether browsers may know it before the first visit. Their lists want `include_subdomains` and at least a year.",
        )
        .at(field!(preload)),
    ],
};

/// `socket` of a listener.
pub(in crate::config) static SOCKET: Table<Permissions> = Table {
    title: "socket = { … }",
    about: "The owner and the mode of a Unix socket's file. A process that may write to it may connect.",
    keys: &[
        key(
            "mode",
            Kind::Text,
            "(0600 if an owner is named, else as the umask has it)",
            r#""0660""#,
            "The mode, in octal digits.",
        )
        .at(field!(mode, |table, _, findings| sockets::mode(table, findings).map(Some), |mode| mode
            .map(|mode| words::text(&format!("{mode:04o}"))))),
        key("user", Kind::Text, NONE, r#""app""#, "The user who owns it, by name or number.")
            .at(field!(user)),
        key("group", Kind::Text, NONE, r#""www-data""#, "The group that owns it, by name or number.")
            .at(field!(group)),
    ],
};

pub(super) static SHARES: Kind = Kind::Table(&SHARE);

/// `split` of a listener and of a route.
macro_rules! split {
    () => {
        key(
            "split",
            Kind::List(&SHARES),
            NONE,
            r#"[{ pool = "app", weight = 9 }, { pool = "next", weight = 1 }]"#,
            "Several pools, each with its share of the requests (of the clients, in TCP mode).",
        )
        .at(field!(
            action.split,
            |table, site, findings| actions::split(table, site, findings).map(Some),
            |shares| shares.as_deref().map(show_shares)
        ))
    };
}
pub(super) use split;

/// `sticky` of a split.
macro_rules! sticky {
    () => {
        key(
            "sticky",
            Kind::Text,
            "(drawn for each request)",
            r#""{client}""#,
            "For a split: requests for which this template gives the same text go to the same pool.",
        )
        .at(field!(action.sticky, |table, site, findings| actions::sticky(table, site, findings).map(Some)))
    };
}
pub(super) use sticky;

pub(super) fn show_shares(shares: &[ShareForm]) -> String {
    words::list(shares.iter().map(|share| print_inline(&SHARE, share)))
}

/// One of `split`.
pub(in crate::config) static SHARE: Table<ShareForm> = Table {
    title: "split = [{ … }]",
    about: "A share of a split.",
    keys: &[
        key("pool", Kind::Text, REQUIRED, r#""app""#, "Where it is sent.")
            .at(field!(pool, |table, site, findings| pools::named(table, site, findings))),
        key(
            "weight",
            Kind::Number(0, Backend::WEIGHT_MAX as u64),
            "1",
            "9",
            "How large it is; 0 is nothing.",
        )
        .at(field!(weight)),
    ],
};
