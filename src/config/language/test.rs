//! Tests that a file brings along.

use super::{Kind, NONE, REQUIRED, Table, key};

/// `[[test]]`.
pub(in crate::config) static TEST: Table = Table {
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
pub(in crate::config) static EXPECT: Table = Table {
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
