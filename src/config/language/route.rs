//! Routes: their actions, and the changes that they make to a message.

use super::bounds::{BACKEND_RESPONSE, CONNECT, IDLE, QUEUE, STREAM, TUNNEL};
use super::condition::{MATCH, TEXTS};
use super::listener::{HSTS, INTERIMS, SHARES, show_shares, split, sticky};
use super::{Field, Kind, NONE, REQUIRED, Table, key};
use crate::config::check::fields::{self, Of};
use crate::config::check::{actions, back, conditions, hsts, names, pools, routes, timeouts};
use crate::config::forms::RouteForm;
use crate::config::print::{route as print, words};
use crate::config::settings::{Show, field, print_inline, read, shown};
use crate::route::{Destinations, Domains, FieldEdits, Options, PrefixEdit, Redirect, Respond, RewriteBack};
use crate::snapshot::{Mode, Timeouts};

/// `[[listener.route]]`.
pub(in crate::config) static ROUTE: Table<RouteForm> = Table {
    title: "[[listener.route]]",
    about: "A route of the listener above it. It has one action: `pool`, `split`, `redirect` or `respond`.",
    keys: &[
        key(
            "name",
            Kind::Text,
            r#"("route-1", … by place)"#,
            r#""api""#,
            "For logs and the command line; unique in its listener.",
        )
        .at(field!(name, |table, _, findings| names::plain(table, "route", findings))),
        key(
            "match",
            Kind::Table(&MATCH),
            "(everything matches)",
            r#"{ host = "api.example.com", path = "/v1/*" }"#,
            "What a request must be like: all of it holds, and of each list one.",
        )
        .at(Field {
            // The templates of the keys below may name parts of the path that this key names.
            read: |form, _, table, site, findings| {
                form.when = conditions::check(table, site, findings)?;
                Ok(())
            },
            show: |form, _| Some(print::conditions(&form.when, form.mode)),
            differs: |a, b| a.when != b.when,
        }),
        key("pool", Kind::Text, NONE, r#""app""#, "Action: a backend of that pool answers.")
            .at(field!(action.pool, |table, site, findings| pools::named(table, site, findings).map(Some))),
        split!(),
        sticky!(),
        key(
            "redirect",
            Kind::Table(&REDIRECT),
            NONE,
            r#"{ status = 308, location = "https://{host}{uri}" }"#,
            "Action: the client is sent elsewhere.",
        )
        .only(Mode::Http)
        .at(field!(
            action.redirect,
            |table, site, findings| actions::redirect(table, site, findings),
            |redirect| redirect.as_ref().map(|redirect| print_inline(&REDIRECT, redirect))
        )),
        key(
            "respond",
            Kind::Table(&RESPOND),
            NONE,
            r#"{ status = 503, body = "back soon\n" }"#,
            "Action: Pollux answers by itself.",
        )
        .only(Mode::Http)
        .at(field!(
            action.respond,
            |table, site, findings| actions::respond(table, site, findings),
            |respond| respond.as_ref().map(|respond| print_inline(&RESPOND, respond))
        )),
        key(
            "strip_prefix",
            Kind::Text,
            NONE,
            r#""/api""#,
            "Takes these segments off the beginning of the path.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(Field {
            read: |form, _, table, _, findings| {
                form.options.prefix = actions::strip_prefix(table, findings)?;
                Ok(())
            },
            show: |form, _| print::strip_prefix(form.options.prefix.as_ref()?),
            differs: |a, b| {
                let shown = |of: &RouteForm| print::strip_prefix(of.options.prefix.as_ref()?);
                shown(a) != shown(b)
            },
        }),
        key(
            "replace_prefix",
            Kind::Table(&PREFIX),
            NONE,
            r#"{ from = "/api", to = "/v2" }"#,
            "Puts others in their place.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(Field {
            read: |form, _, table, site, findings| {
                form.options.prefix = actions::replace_prefix(table, site, findings)?;
                Ok(())
            },
            show: |form, _| print::replace_prefix(form.options.prefix.as_ref()?),
            differs: |a, b| {
                let shown = |of: &RouteForm| print::replace_prefix(of.options.prefix.as_ref()?);
                shown(a) != shown(b)
            },
        }),
        key(
            "destination",
            Kind::Word(&["own", "always", "pass"]),
            r#""own""#,
            r#""always""#,
            "Which URIs in WebDAV's `Destination` and `If` are rewritten as the target is, to the scheme, the Host and the path that the backend \
             gets: those with the request's own authority, all, or none.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(Field {
            show: |form, key| {
                let is_said = form.options.destinations != Destinations::Own;
                is_said.then(|| form.options.destinations.show(key)).flatten()
            },
            ..field!(options.destinations)
        }),
        key(
            "rewrite_back",
            Kind::Either(&[Kind::Flag, Kind::Table(&REWRITE_BACK)]),
            "false",
            "true",
            "Puts what comes back into the paths, and the names, that clients know: Location, Content-Location, Refresh, and Path and \
             Domain of cookies. `true` is about paths alone.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(field!(
            options.back,
            |table, site, findings| back::of_route(table, site, findings),
            |back| print::rewrite_back(back)
        )),
        key(
            "request_headers",
            Kind::Table(&FIELDS),
            NONE,
            r#"{ set = { X-Client = "{client}" }, remove = ["X-Debug"] }"#,
            "Changes to what the backend gets.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(field!(
            options.request,
            |table, site, findings| fields::edits(table, "request_headers", Of::Request, site, findings),
            |edits| (!edits.is_empty()).then(|| print_inline(&FIELDS, edits))
        )),
        key(
            "response_headers",
            Kind::Table(&FIELDS),
            NONE,
            r#"{ set = { X-Frame-Options = "DENY" } }"#,
            "Changes to what the client gets from the backend, a redirect or a fixed response.",
        )
        .only(Mode::Http)
        .at(field!(
            options.response,
            |table, site, findings| fields::edits(table, "response_headers", Of::Response, site, findings),
            |edits| (!edits.is_empty()).then(|| print_inline(&FIELDS, edits))
        )),
        key(
            "hsts",
            Kind::Either(&[Kind::Flag, Kind::Table(&HSTS)]),
            "(that of the listener)",
            r#"{ max_age = "1h" }"#,
            "Strict-Transport-Security of its own, in place of the listener's; `false` for none, `true` for one with all defaults.",
        )
        .only(Mode::Http)
        .at(field!(
            options.hsts,
            |table, site, findings| hsts::of_route(table, site, findings),
            |hsts| hsts.as_ref().map(|hsts| print::hsts_of_route(hsts.as_ref()))
        )),
        key(
            "interim_responses",
            INTERIMS,
            "(that of the listener)",
            r#""all""#,
            "Which interim responses HTTP/1.1 clients get.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(field!(options.interims)),
        key(
            "timeouts",
            Kind::Table(&ROUTE_TIMEOUTS),
            "(those of `[timeouts]`)",
            r#"{ backend_response = "5s" }"#,
            "Times of its own.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(field!(
            options.timeouts,
            |table, site, findings| timeouts::of_route(table, site, findings),
            |own| own.as_ref().map(|own| print_inline(&ROUTE_TIMEOUTS, own))
        )),
        key(
            "limits",
            Kind::Table(&ROUTE_LIMITS),
            "(those of `[limits]`)",
            r#"{ body = "10MB" }"#,
            "Bounds of its own.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(Field {
            read: |form, key, table, site, findings| {
                match table.table(key.name, &ROUTE_LIMITS, findings)? {
                    Some(table) => read(&ROUTE_LIMITS, table, &mut form.options, site, findings),
                    None => Ok(()),
                }
            },
            show: |form, _| form.options.body.map(|_| print_inline(&ROUTE_LIMITS, &form.options)),
            differs: |a, b| a.options.body != b.options.body,
        }),
        key(
            "retry",
            Kind::Word(&["safe", "unsent", "off"]),
            r#""safe""#,
            r#""off""#,
            "When a request may be sent again. `safe`: on proof that it is safe; `unsent`: only if nothing of it was handed on; \
             `off`: never.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(Field {
            show: |form, key| {
                let is_said = form.options != Options::default();
                is_said.then(|| form.options.retry.show(key)).flatten()
            },
            ..field!(options.retry)
        }),
        key(
            "streams",
            TEXTS,
            "[]",
            r#"["application/json"]"#,
            "Types of responses that are streams here, besides those that are everywhere: `timeouts.stream` holds for them in place of `idle`.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(field!(
            options.streams,
            |table, _, findings| routes::streams(table, findings),
            |kinds| (!kinds.is_empty()).then(|| words::texts(kinds))
        )),
        key(
            "on_client_close",
            Kind::Word(&["abort", "finish"]),
            "(that of the pool)",
            r#""finish""#,
            "What becomes of a request under way when its client has ended its direction, in place of what the pool says.",
        )
        .only(Mode::Http)
        .for_backends()
        .at(field!(options.on_client_close)),
    ],
};

/// The field of a table of header fields, whose names the file chooses and whose values are templates.
macro_rules! names {
    ($part:ident, |$value:pat_param| $show:expr) => {
        Field {
            read: |of, key, table, site, findings| {
                of.$part = fields::written(table, key.name, site, findings);
                Ok(())
            },
            ..shown!($part, |$value| $show)
        }
    };
}

/// `redirect` of a route.
pub(in crate::config) static REDIRECT: Table<Redirect> = Table {
    title: "redirect = { … }",
    about: "An answer that points elsewhere.",
    keys: &[
        key("status", Kind::Number(301, 308), "302", "308", "301, 302, 303, 307 or 308.")
            .at(field!(status, |table, _, findings| actions::redirect_status(table, findings))),
        key("location", Kind::Text, REQUIRED, r#""https://{host}{uri}""#, "Where to; a template.")
            .at(field!(location, |table, site, findings| actions::location(table, site, findings))),
    ],
};

/// `respond` of a route.
pub(in crate::config) static RESPOND: Table<Respond> = Table {
    title: "respond = { … }",
    about: "A fixed answer.",
    keys: &[
        key("status", Kind::Number(200, 599), "200", "404", "The status.").at(field!(status)),
        key(
            "headers",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ Retry-After = "60" }"#,
            "Header fields; templates.",
        )
        .at(names!(headers, |fields| (!fields.is_empty()).then(|| print::fields(fields)))),
        key(
            "body",
            Kind::Text,
            r#""""#,
            r#""back soon\n""#,
            "The body; text/plain if `headers` has no Content-Type.",
        )
        .at(field!(body, |table, _, findings| actions::body(table, findings), |body| body
            .file
            .is_none()
            .then(|| words::text(&String::from_utf8_lossy(&body.bytes))))),
        key(
            "body_file",
            Kind::Text,
            NONE,
            r#""maintenance.html""#,
            "The body is in that file, relative to this one; read once, at load, at most 1 MiB.",
        )
        .at(field!(
            body,
            |table, site, findings| actions::body_file(table, site, findings),
            |body| body.file.as_ref().map(|file| words::text(&file.display().to_string()))
        )),
    ],
};

/// `replace_prefix` of a route.
pub(in crate::config) static PREFIX: Table<PrefixEdit> = Table {
    title: "replace_prefix = { … }",
    about: "A prefix and what takes its place.",
    keys: &[
        key("from", Kind::Text, REQUIRED, r#""/api""#, "Whole segments of the path.").at(field!(
            from,
            |table, _, findings| actions::prefix(table, "from", findings),
            |from| Some(print::prefix(from))
        )),
        key("to", Kind::Text, REQUIRED, r#""/v2""#, "What takes their place.")
            .at(field!(to, |table, _, findings| actions::prefix_to(table, findings))),
    ],
};

/// `rewrite_back` of a route.
pub(in crate::config) static REWRITE_BACK: Table<RewriteBack> = Table {
    title: "rewrite_back = { … }",
    about: "What is put back in responses. The inverse of `strip_prefix` and `replace_prefix`, and another domain.",
    keys: &[
        key(
            "paths",
            Kind::Flag,
            "true",
            "false",
            "Paths of this site, where `strip_prefix` or `replace_prefix` has changed that of the request.",
        )
        .at(field!(paths)),
        key(
            "domain",
            Kind::Table(&DOMAIN),
            NONE,
            r#"{ from = "app.internal", to = "example.com" }"#,
            "The domain by which backends speak of this site, and that of clients; also of names below it.",
        )
        .at(field!(domains, |table, site, findings| back::domains(table, site, findings), |of| of
            .as_ref()
            .map(|of| print_inline(&DOMAIN, of)))),
    ],
};

/// `domain` of `rewrite_back`.
pub(in crate::config) static DOMAIN: Table<Domains> = Table {
    title: "domain = { … }",
    about: "A domain of the backends and that of the clients.",
    keys: &[
        key("from", Kind::Text, REQUIRED, r#""app.internal""#, "The backends'.")
            .at(field!(inner, |table, _, findings| back::domain(table, "from", findings))),
        key("to", Kind::Text, REQUIRED, r#""example.com""#, "The clients'.")
            .at(field!(outer, |table, _, findings| back::domain(table, "to", findings))),
    ],
};

/// `request_headers` and `response_headers` of a route.
pub(in crate::config) static FIELDS: Table<FieldEdits> = Table {
    title: "request_headers = { … }, response_headers = { … }",
    about: "Changes to header fields; the values are templates.",
    keys: &[
        key(
            "set",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ X-Client = "{client}" }"#,
            "Fields of which there is one afterwards.",
        )
        .at(names!(set, |fields| Some(print::fields(fields)))),
        key(
            "add",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ X-Seen-By = "pollux" }"#,
            "Fields of which there is one more.",
        )
        .at(names!(add, |fields| Some(print::fields(fields)))),
        key("remove", TEXTS, NONE, r#"["X-Debug"]"#, "Fields that are taken out.")
            .at(field!(remove, |table, site, findings| Ok(fields::removed(table, site, findings)))),
    ],
};

/// `timeouts` of a route.
pub(in crate::config) static ROUTE_TIMEOUTS: Table<Timeouts> = Table {
    title: "timeouts = { … }",
    about: "Times of a route; what each means stands under `[timeouts]`.",
    keys: &[CONNECT, BACKEND_RESPONSE, IDLE, STREAM, TUNNEL, QUEUE],
};

/// `limits` of a route.
pub(in crate::config) static ROUTE_LIMITS: Table<Options> = Table {
    title: "limits = { … }",
    about: "Bounds of a route.",
    keys: &[key("body", Kind::SizeOrNone, r#"(that of `[limits]`)"#, r#""10MB""#, "A request body.")
        .at(field!(body))],
};
