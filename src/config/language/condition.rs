//! Conditions of routes: `match` and its tables.

use super::{Field, Kind, NONE, REQUIRED, Table, key};
use crate::config::check::{conditions, credentials};
use crate::config::print::{route as print, words};
use crate::config::settings::print_inline;
use crate::route::credential::CredentialRule;
use crate::route::{Conditions, Pattern};
use crate::snapshot::Mode;

/// One text, or several.
pub(super) const TEXTS: Kind = Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]);

/// The field of a list of texts, each of which `$read` makes into a value.
macro_rules! values {
    ($part:ident, $read:path, |$value:pat_param| $text:expr) => {
        Field {
            read: |of, key, table, _, findings| {
                of.$part.extend(conditions::values(table, key.name, findings, $read));
                Ok(())
            },
            show: |of, _| {
                let texts = of.$part.iter().map(|$value| words::text($text));
                (!of.$part.is_empty()).then(|| words::list(texts))
            },
            differs: |a, b| a.$part != b.$part,
        }
    };
}

/// The field of a table of names, each with what is wanted of its value.
macro_rules! wants {
    ($part:ident) => {
        Field {
            read: |of, key, table, site, findings| {
                of.$part = conditions::wants(table, key.name, site, findings);
                Ok(())
            },
            show: |of, _| print::wants(&of.$part),
            differs: |a, b| a.$part != b.$part,
        }
    };
}

const WANTS: Kind =
    Kind::Names(&Kind::Either(&[Kind::Text, Kind::Flag, Kind::List(&Kind::Text), Kind::Table(&REGEX)]));

/// `match` of a route.
pub(in crate::config) static MATCH: Table<Conditions> = Table {
    title: "match = { … }",
    about: "What a request must be like.",
    keys: &[
        key(
            "host",
            TEXTS,
            NONE,
            r#"["example.com", "*.example.com"]"#,
            "A host, or `*.name` for every name below it.",
        )
        .only(Mode::Http)
        .at(values!(hosts, conditions::host, |host| &host.to_string())),
        key(
            "path",
            TEXTS,
            NONE,
            r#"["/users/{id}", "/api/*"]"#,
            "A path, `/api/*` for `/api` and everything below it, `{name}` for any one segment.",
        )
        .only(Mode::Http)
        .at(values!(paths, conditions::path, |path| &path.to_string())),
        key(
            "path_regex",
            Kind::Text,
            NONE,
            r#""^/v(?<version>[0-9]+)/""#,
            "An expression that is found in the path.",
        )
        .only(Mode::Http)
        .at(Field {
            read: |of, _, table, site, findings| {
                of.path_regex = conditions::regex(table, "path_regex", site, findings);
                Ok(())
            },
            show: |of, _| of.path_regex.as_ref().map(|regex| words::text(regex.text())),
            differs: |a, b| a.path_regex != b.path_regex,
        }),
        key("method", TEXTS, NONE, r#"["GET", "HEAD"]"#, "A method.")
        .only(Mode::Http)
        .at(values!(methods, conditions::method, |method| method)),
        key(
            "header",
            WANTS,
            NONE,
            r#"{ X-Beta = "1", X-Debug = false, Accept = { regex = "json" } }"#,
            "Header fields: a value, a list of values, `true` for any and `false` for none, or an expression.",
        )
        .only(Mode::Http)
        .at(wants!(headers)),
        key(
            "query",
            WANTS,
            NONE,
            r#"{ beta = true }"#,
            "Query parameters, in the same way; compared decoded.",
        )
        .only(Mode::Http)
        .at(wants!(query)),
        key("cookie", WANTS, NONE, r#"{ tenant = ["a", "b"] }"#, "Cookies, in the same way.")
        .only(Mode::Http)
        .at(wants!(cookies)),
        key("client", TEXTS, NONE, r#"["10.0.0.0/8", "2001:db8::/32"]"#, "The network of the client.")
        .at(values!(clients, conditions::network, |network| &network.to_string())),
        key(
            "sni",
            TEXTS,
            NONE,
            r#"["example.com", "*.example.com"]"#,
            "The name that a TLS client asks for, or `*.name` for every name below it. TCP only.",
        )
        .only(Mode::Tcp)
        .at(values!(hosts, conditions::host, |host| &host.to_string())),
        key("alpn", TEXTS, NONE, r#"["h2", "http/1.1"]"#, "A protocol that a TLS client offers. TCP only.")
        .only(Mode::Tcp)
        .at(values!(alpn, conditions::protocol, |protocol| protocol)),
        key(
            "client_cert",
            Kind::Either(&[STANDING, STANDINGS, Kind::Table(&CLIENT_CERT)]),
            NONE,
            r#"{ common_name = ["alice", "*.ops"] }"#,
            "The client's certificate. A word, or a list of words, stands for `{ state = … }`. HTTP only, on a listener with `client_ca`.",
        )
        .only(Mode::Http)
        .at(Field {
            read: |of, _, table, site, findings| {
                of.client_cert = credentials::check(table, site, findings);
                Ok(())
            },
            show: |of, _| of.client_cert.as_ref().map(|rule| print_inline(&CLIENT_CERT, rule)),
            differs: |a, b| a.client_cert != b.client_cert,
        }),
    ],
};

/// The status of a certificate.
const STANDING: Kind = Kind::Word(&["none", "verified", "failed"]);
const STANDINGS: Kind = Kind::List(&STANDING);

/// `client_cert` of `match`.
pub(in crate::config) static CLIENT_CERT: Table<CredentialRule> = Table {
    title: "client_cert = { … }",
    about: "What the client's certificate must be like. In texts `*` stands for any characters; case counts.",
    keys: &[
        key(
            "state",
            Kind::Either(&[STANDING, STANDINGS]),
            r#""verified""#,
            r#""failed""#,
            "How it was found: `none` if the client has shown none, `failed` if it could not be verified; with `client_auth = \"request\"`.",
        )
        .at(Field {
            read: |of, _, table, _, findings| {
                of.statuses = credentials::state(table, findings);
                Ok(())
            },
            show: |of, _| {
                let words = of.statuses.iter().map(|status| words::text(status.as_str()));
                (!of.statuses.is_empty()).then(|| words::list(words))
            },
            differs: |a, b| a.statuses != b.statuses,
        }),
        key(
            "subject",
            TEXTS,
            NONE,
            r#""CN=*, O=Example""#,
            "Its subject: all attributes in the order of the certificate. A `*` does not go over the end of a value; in the place of an \
             attribute it stands for any attributes.",
        )
        .at(values!(subjects, credentials::subject, |subject| subject.text())),
        key("common_name", TEXTS, NONE, r#"["alice", "*.ops"]"#, "The common name (CN) of its subject.")
            .at(values!(common_names, credentials::common_name, |name| name.text())),
        key(
            "fingerprint",
            TEXTS,
            NONE,
            r#""0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#,
            "The SHA-256 of the certificate in hexadecimal digits of any case, with colons or without.",
        )
        .at(values!(fingerprints, credentials::fingerprint, |digits| digits)),
    ],
};

/// An expression for a value.
pub(in crate::config) static REGEX: Table<Option<Pattern>> = Table {
    title: "{ regex = … }",
    about: "An expression.",
    keys: &[key("regex", Kind::Text, REQUIRED, r#""^v[12]$""#, "It is found in the value.").at(Field {
        read: |of, _, table, site, findings| {
            *of = conditions::regex(table, "regex", site, findings);
            Ok(())
        },
        show: |of, _| of.as_ref().map(|regex| words::text(regex.text())),
        differs: |a, b| a != b,
    })],
};
