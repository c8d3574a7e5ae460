//! Tests that a file brings along.

use super::{Kind, NONE, REQUIRED, Table, key};
use crate::config::check::{names, trials};
use crate::config::print::words;
use crate::config::settings::{field, print_inline};
use crate::explain::{Shown, TestExpectation, Trial};

/// `[[test]]`.
pub(in crate::config) static TEST: Table<Trial> = Table {
    title: "[[test]]",
    about: "A request, and what is expected to become of it.",
    keys: &[
        key("name", Kind::Text, r#"("test-1", … by place)"#, r#""the api""#, "Its name; unique.")
            .at(field!(name, |table, _, findings| names::plain(table, "test", findings))),
        key(
            "request",
            Kind::Text,
            "(a connection to a TCP listener, with `sni` or `alpn`)",
            r#""GET https://api.example.com/v1/x""#,
            "A method and a URL, or a path.",
        )
        .at(field!(ask.request)),
        key("headers", Kind::Names(&Kind::Text), NONE, r#"{ Cookie = "a=b" }"#, "Header fields.")
            .at(field!(ask.headers)),
        key("from", Kind::Text, r#""127.0.0.1""#, r#""10.1.2.3""#, "The address of the client.").at(field!(
            ask.from,
            |table, _, findings| trials::from(table, findings).map(Some),
            |from| from.map(|from| words::text(&from.to_string()))
        )),
        key(
            "listener",
            Kind::Text,
            "(the one with the port of the URL, else the first)",
            r#""web""#,
            "To which listener.",
        )
        .at(field!(ask.listener)),
        key(
            "sni",
            Kind::Text,
            "(the host of the URL)",
            r#""api.example.com""#,
            "The name that the client asks for by TLS.",
        )
        .at(field!(ask.sni)),
        key(
            "alpn",
            Kind::List(&Kind::Text),
            "[]",
            r#"["h2", "http/1.1"]"#,
            "The protocols that the client of a TCP listener offers by TLS.",
        )
        .at(field!(ask.alpn)),
        key(
            "client_cert",
            Kind::Either(&[Kind::Text, Kind::Table(&TEST_CERT)]),
            "(none, if that is let in)",
            r#"{ subject = "CN=alice, O=Example" }"#,
            "The certificate that the client shows. A word stands for `{ state = … }`.",
        )
        .at(field!(
            ask.client_cert,
            |table, site, findings| trials::client_cert(table, site, findings),
            |shown| (*shown != Shown::default()).then(|| print_inline(&TEST_CERT, shown))
        )),
        key(
            "down",
            Kind::List(&Kind::Text),
            "[]",
            r#"["app/b2"]"#,
            "Backends that are down, as `pool/backend`.",
        )
        .at(field!(ask.down)),
        key("full", Kind::List(&Kind::Text), "[]", r#"["app/b1"]"#, "Backends that take no more.")
            .at(field!(ask.full)),
        key(
            "expect",
            Kind::Table(&EXPECT),
            REQUIRED,
            r#"{ route = "api", pool = "app" }"#,
            "What is expected.",
        )
        .at(field!(
            expect,
            |table, site, findings| trials::expect(table, site, findings),
            |expect| Some(print_inline(&EXPECT, expect))
        )),
    ],
};

/// `client_cert` of a test.
pub(in crate::config) static TEST_CERT: Table<Shown> = Table {
    title: "client_cert = { … } of a test",
    about: "A certificate that a client shows.",
    keys: &[
        key(
            "state",
            Kind::Text,
            r#""verified""#,
            r#""expired""#,
            "How it is found: `none`, `verified`, `failed`, or why it fails, such as `expired` or `unknown-issuer`.",
        ).at(field!(state)),
        key("subject", Kind::Text, NONE, r#""CN=alice, O=Example""#, "Its subject.").at(field!(subject)),
        key(
            "fingerprint",
            Kind::Text,
            NONE,
            r#""0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#,
            "Its SHA-256.",
        ).at(field!(fingerprint)),
    ],
};

/// `expect` of a test.
pub(in crate::config) static EXPECT: Table<TestExpectation> = Table {
    title: "expect = { … }",
    about: "What is expected; what is left out may be anything.",
    keys: &[
        key("route", Kind::Text, NONE, r#""api""#, "The route that is taken.").at(field!(route)),
        key("pool", Kind::Text, NONE, r#""app""#, "The pool that is asked.").at(field!(pool)),
        key(
            "backend",
            Kind::Text,
            NONE,
            r#""b1""#,
            "The backend that is picked, by a round that begins anew.",
        )
        .at(field!(backend)),
        key("status", Kind::Number(100, 599), NONE, "404", "The status that Pollux itself answers with.")
            .at(field!(status)),
        key("cause", Kind::Text, NONE, r#""no-route""#, "The cause that it answers for.").at(field!(cause)),
        key("location", Kind::Text, NONE, r#""https://example.com/""#, "The Location of its answer.")
            .at(field!(location)),
        key(
            "header",
            Kind::Names(&Kind::Text),
            NONE,
            r#"{ X-Client = "10.1.2.3" }"#,
            "Fields of the request as the backend gets it, or of the answer; an empty text stands for none.",
        )
        .at(field!(header)),
    ],
};
