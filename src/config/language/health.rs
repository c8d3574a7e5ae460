//! `health` and `check` of a pool.

use super::{COUNT_MAX, DAY, HOUR, Kind, NONE, Table, key};
use crate::balance::health::{Check, CheckKind, Passive};
use crate::config::check::health;
use crate::config::print::words;
use crate::config::settings::{field, field_in};
use crate::config::value::show_thousandths;

/// The words of `errors`, besides statuses.
pub(in crate::config) const ERROR_WORDS: [&str; 3] = ["connect", "reset", "timeout"];

const STATUS: Kind = Kind::Number(100, 599);

/// `[pool.NAME.health]`.
pub(in crate::config) static HEALTH: Table<Passive> = Table {
    title: "[pool.NAME.health]",
    about: "When failures of real requests eject a backend, and how it comes back.",
    keys: &[
        key("failures", Kind::Number(0, 1000), "5", "3", "So many failures in a row eject; 0 is never.")
            .at(field!(failures)),
        key(
            "failure_rate",
            Kind::Fraction(1, 1000),
            NONE,
            "0.5",
            "That share of the requests in `window` failing ejects as well.",
        )
        .at(field!(failure_rate)),
        key("window", Kind::Time(DAY), r#""10s""#, r#""30s""#, "What `failure_rate` looks at.")
            .at(field!(window)),
        key(
            "window_min",
            Kind::Number(1, COUNT_MAX),
            "20",
            "100",
            "With fewer requests in the window nothing is said of a rate.",
        )
        .at(field!(window_min)),
        key(
            "errors",
            Kind::List(&Kind::Either(&[Kind::Text, STATUS])),
            r#"["connect", "reset", "timeout"]"#,
            r#"["connect", "reset", "timeout", "500-599"]"#,
            "What counts as a failure: a connect that failed, a connection that was lost or carried no response, one that did not come \
             in time, a status or a range of them.",
        )
        .at(field!(errors, |table, _, findings| health::errors(table, findings), |errors| Some(health::show_errors(errors)))),
        key(
            "eject",
            Kind::Time(DAY),
            r#""10s""#,
            r#""5s""#,
            "How long the first ejection lasts. Each that follows soon lasts twice as long as the one before.",
        )
        .at(field!(eject)),
        key("eject_max", Kind::Time(DAY), r#""5m""#, r#""1m""#, "The longest ejection.")
            .at(field!(eject_max)),
        key(
            "max_ejected",
            Kind::Fraction(0, 1000),
            "0.5",
            "0.3",
            "At most that share of the backends is ejected.",
        )
        .at(field!(max_ejected)),
        key(
            "panic",
            Kind::Either(&[Kind::Word(&["off"]), Kind::Fraction(1, 1000)]),
            "0.1",
            r#""off""#,
            "When fewer than that share of the backends can be used, requests go to all of them; `off` is never.",
        )
        .at(field!(
            panic,
            |table, _, findings| health::panic(table, findings),
            |panic| Some(panic.map_or_else(|| words::text("off"), |share| show_thousandths(share.into())))
        )),
        key(
            "slow_start",
            Kind::Time(DAY),
            "(at once)",
            r#""30s""#,
            "How long a backend that comes back takes to its full weight.",
        )
        .at(field!(slow_start)),
    ],
};

/// `[pool.NAME.check]`.
pub(in crate::config) static CHECK: Table<Check> = Table {
    title: "[pool.NAME.check]",
    about: "How the backends of a pool are checked.",
    keys: &[
        key(
            "type",
            Kind::Word(&["tcp", "http", "grpc"]),
            r#""tcp""#,
            r#""http""#,
            "`tcp`: a connect; `http`: a request; `grpc`: a call of `grpc.health.v1.Health/Check`, by HTTP/2, to which SERVING is good. The keys \
             from `method` to `text` are for `http`, and `service` is for `grpc`.",
        )
        .at(field!(kind, |table, _, findings| health::kind(table, findings), |kind| Some(words::text(kind.as_str())))),
        key("method", Kind::Text, r#""GET""#, r#""HEAD""#, "The method.")
            .at(field_in!(kind as CheckKind::Http, method, health::warn_of_no_request, health::method)),
        key("path", Kind::Text, r#""/""#, r#""/healthz""#, "The path, with a query if need be.")
            .at(field_in!(kind as CheckKind::Http, path, health::warn_of_no_request, health::path)),
        key("host", Kind::Text, "(the address)", r#""app.example.com""#, "The Host.")
            .at(field_in!(kind as CheckKind::Http, host, health::warn_of_no_request, health::host)),
        key(
            "status",
            Kind::List(&Kind::Either(&[Kind::Text, STATUS])),
            r#"["200-399"]"#,
            r#"[200, "300-399"]"#,
            "The statuses that are good, one by one or as ranges.",
        )
        .at(field_in!(kind as CheckKind::Http, statuses, health::warn_of_no_request, health::good)),
        key("text", Kind::Text, NONE, r#""ready""#, "What must stand in the first 64 KiB of the body.")
            .at(field_in!(kind as CheckKind::Http, text, health::warn_of_no_request, health::text)),
        key("service", Kind::Text, "(the whole server)", r#""shop.Cart""#, "The service that the server is asked about.")
            .at(field_in!(kind as CheckKind::Grpc, service, health::warn_of_no_call, health::service)),
        key("port", Kind::Number(1, 65_535), "(that of the backend)", "9100", "Where to connect instead.")
            .at(field!(port)),
        key("interval", Kind::Time(DAY), r#""2s""#, r#""5s""#, "From one check to the next.")
            .at(field!(interval)),
        key(
            "fast_interval",
            Kind::Time(DAY),
            r#""1s""#,
            r#""500ms""#,
            "The pause while the last checks contradict the state of the backend.",
        )
        .at(field!(fast_interval)),
        key(
            "jitter",
            Kind::Fraction(0, 500),
            "0.1",
            "0.2",
            "By that share an interval may be longer or shorter, so that checks do not come in step.",
        )
        .at(field!(jitter)),
        key(
            "timeout",
            Kind::Time(HOUR),
            r#""1s""#,
            r#""500ms""#,
            "For one check, from the connect to the end.",
        )
        .at(field!(timeout)),
        key("rise", Kind::Number(1, 100), "2", "1", "So many in a row must pass to bring a backend up.")
            .at(field!(rise)),
        key("fall", Kind::Number(1, 100), "3", "5", "So many in a row must fail to take it down.")
            .at(field!(fall)),
        key(
            "start",
            Kind::Word(&["up", "down", "check-first"]),
            r#""up""#,
            r#""check-first""#,
            "What holds before the checks have decided. `up`: it gets requests; `down`: none until `rise` have passed; `check-first`: none \
             until the first, which decides alone.",
        )
        .at(field!(start)),
    ],
};
