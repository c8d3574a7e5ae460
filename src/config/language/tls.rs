//! TLS, of listeners and of pools. Keys that name files are read in `check/tls.rs`, together with the files.

use super::{Field, Kind, NONE, REQUIRED, Table, key};
use crate::config::check::tls;
use crate::config::print::words;
use crate::config::settings::{Show, elsewhere, field, print_inline, shown};
use crate::snapshot::{OriginationRules, Pair, TerminationRules};

/// `tls` of a listener.
pub(in crate::config) static TLS: Table<TerminationRules> = Table {
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
        )
        .at(shown!(certificates, |pairs| {
            Some(words::list(pairs.iter().map(|pair| print_inline(&CERTIFICATE, pair))))
        })),
        key(
            "unknown_names",
            Kind::Word(&["default", "refuse"]),
            r#""default""#,
            r#""refuse""#,
            "What becomes of clients that ask for a name that no certificate is for, or for none: they get the first one, or are refused.",
        )
        .at(field!(unknown_names)),
        key(
            "client_ca",
            Kind::Text,
            NONE,
            r#""cert.pem""#,
            "File with the certificates of those who may have issued clients' certificates.",
        )
        .at(shown!(client_ca)),
        key(
            "client_crl",
            Kind::Text,
            NONE,
            r#""crl.pem""#,
            "File with the lists of certificates that they have revoked (CRL, PEM). One of each issuer is needed: a certificate of which \
             it cannot be known is not verified.",
        )
        .at(shown!(client_crl)),
        key(
            "client_crl_expired",
            Kind::Word(&["refuse", "accept"]),
            r#""refuse""#,
            r#""accept""#,
            "What a list does whose `nextUpdate` has passed: certificates of its issuer are not verified, or the list holds on as it is.",
        )
        .at(Field {
            show: |rules, key| rules.client_crl.as_ref().and_then(|_| rules.client_crl_expired.show(key)),
            ..field!(client_crl_expired)
        }),
        key(
            "client_auth",
            Kind::Word(&["off", "request", "require"]),
            r#"("require" with client_ca)"#,
            r#""request""#,
            "Whether clients have to show a certificate. With `require` a client without a verified one is refused. With `request` every client is let in, and \
             routes and backends are told which it was: `match.client_cert`, `{client_cert}`.",
        )
        .at(Field {
            show: |rules, key| rules.client_ca.as_ref().and_then(|_| rules.client_auth.show(key)),
            ..shown!(client_auth)
        }),
        key(
            "min_version",
            Kind::Word(&["1.2", "1.3"]),
            r#""1.2""#,
            r#""1.3""#,
            "The oldest version of TLS that is spoken.",
        )
        .at(field!(min_version)),
        key(
            "alpn",
            Kind::List(&Kind::Text),
            r#"(["h2", "http/1.1", "http/1.0"]; for TCP [])"#,
            r#"["http/1.1"]"#,
            "The protocols that may be agreed on, the best first. With `[]` none is, whatever clients offer.",
        )
        .at(shown!(alpn)),
    ],
};

/// An item of `certificates`.
pub(in crate::config) static CERTIFICATE: Table<Pair> = Table {
    title: "certificates = [{ … }]",
    about: "A certificate with its key, both PEM.",
    keys: &[
        key(
            "cert",
            Kind::Text,
            REQUIRED,
            r#""cert.pem""#,
            "File with the certificate, and behind it those that it was issued by, without the root.",
        )
        .at(shown!(cert)),
        key(
            "key",
            Kind::Text,
            REQUIRED,
            r#""key.pem""#,
            "File with its key: PKCS #8, PKCS #1 or SEC1, without a passphrase.",
        )
        .at(shown!(key)),
    ],
};

/// `tls` of a pool.
pub(in crate::config) static BACKEND_TLS: Table<OriginationRules> = Table {
    title: "tls = { … } of a pool",
    about: "TLS to the backends. `backends = [\"https://…\"]` alone is TLS with what holds if nothing is said.",
    keys: &[
        key(
            "ca",
            Kind::Text,
            "(whom the system believes)",
            r#""cert.pem""#,
            "File with the certificates of those who may have issued backends' certificates.",
        )
        .at(shown!(ca)),
        key(
            "name",
            Kind::Text,
            "(of the address)",
            r#""app.internal""#,
            "The name that is asked for (SNI) and that certificates have to be for.",
        )
        .at(field!(name, |table, _, findings| tls::server_name(table, findings).map(Some))),
        key(
            "cert",
            Kind::Text,
            NONE,
            r#""cert.pem""#,
            "File with the certificate that Pollux shows to backends which ask; with `key`.",
        )
        .at(Field {
            read: elsewhere,
            show: |rules, key| rules.client.as_ref()?.cert.show(key),
            differs: |a, b| a.client.as_ref().map(|it| &it.cert) != b.client.as_ref().map(|it| &it.cert),
        }),
        key("key", Kind::Text, NONE, r#""key.pem""#, "File with its key.").at(Field {
            read: elsewhere,
            show: |rules, key| rules.client.as_ref()?.key.show(key),
            differs: |a, b| a.client.as_ref().map(|it| &it.key) != b.client.as_ref().map(|it| &it.key),
        }),
        key(
            "verify",
            Kind::Word(&["full", "off"]),
            r#""full""#,
            r#""off""#,
            "Whether certificates are verified. `off` trusts any server at the address.",
        )
        .at(field!(verify)),
        key(
            "min_version",
            Kind::Word(&["1.2", "1.3"]),
            r#""1.2""#,
            r#""1.3""#,
            "The oldest version of TLS that is spoken.",
        )
        .at(field!(min_version)),
    ],
};
