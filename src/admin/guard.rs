//! The rules by which requests are allowed: pure, so that tests check them against a table.
//!
//! A browser sends requests for whatever page it shows, also to addresses that only this machine can reach.
//! So a request that another site has caused is refused: by what browsers say of it (Origin, Sec-Fetch-Site
//! of Fetch Metadata); by the media type of what changes something, which no page may send elsewhere unasked;
//! and by Host, because a name in the DNS can be made to point to the loopback (DNS rebinding). A token is
//! never sent by a browser of its own accord, so with one Host may be anything.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::reply::Reply;
use super::request::Request;
use crate::snapshot::Secret;

/// Everything that a caller without the token may see: that the address exists, and a page that shows nothing
/// without the token.
const OPEN: [&str; 3] = ["/", "/healthz", "/ready"];

/// Says why the request is not to be answered, if it is not.
pub(super) fn check(request: &Request, token: Option<&Secret>, is_writable: bool) -> Result<(), Reply> {
    check_host(request, token.is_some())?;
    check_site(request)?;
    check_type(request)?;
    match token {
        Some(token) if !OPEN.contains(&request.path.as_str()) => check_token(request, token)?,
        Some(_) | None => {}
    }
    check_change(request, is_writable)
}

/// Without a token every user of this machine may ask, so nothing is changed for them unless the
/// configuration says so.
fn check_change(request: &Request, is_writable: bool) -> Result<(), Reply> {
    if is_writable || request.method != "POST" {
        return Ok(());
    }
    let why = "nothing is changed here without a token; give `[admin]` a `token_file`, or set `writable = true`, or use the control socket";
    Err(Reply::error(403, why))
}

fn check_host(request: &Request, has_token: bool) -> Result<(), Reply> {
    let Some(host) = request.field("host") else {
        return Err(Reply::error(400, "the request does not say its Host, or says it twice"));
    };
    if has_token || is_of_nobody_else(host) {
        return Ok(());
    }
    let why = format!(
        "the Host {} is a name that anybody could have pointed here; ask by the address or as localhost, or give the admin address a token",
        host.escape_debug()
    );
    Err(Reply::error(403, &why))
}

/// Whether a Host is an address, or a name that is always this machine (RFC 6761 §6.3).
fn is_of_nobody_else(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

fn check_site(request: &Request) -> Result<(), Reply> {
    let is_page = request.path == "/" && matches!(request.method.as_str(), "GET" | "HEAD");
    // A link on another page may lead to this one: it shows nothing to the page that it comes from.
    let is_visit = is_page && request.field("sec-fetch-mode") == Some("navigate");
    let is_same_site = match request.field("sec-fetch-site") {
        Some(site) => is_visit || matches!(site, "same-origin" | "none"),
        None => !request.has("sec-fetch-site"),
    };
    let is_same_origin = match (request.field("origin"), request.field("host")) {
        (Some(origin), Some(host)) => {
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
        (None, _) => !request.has("origin"),
    };
    if is_same_site && is_same_origin {
        return Ok(());
    }
    Err(Reply::error(403, "another site has caused this request"))
}

fn check_type(request: &Request) -> Result<(), Reply> {
    if request.method != "POST" {
        return Ok(());
    }
    let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match request.field("content-type").map(essence).as_deref() {
        Some("application/json") => Ok(()),
        Some(_) | None => {
            Err(Reply::error(415, "send what is to be changed as Content-Type: application/json"))
        }
    }
}

fn check_token(request: &Request, token: &Secret) -> Result<(), Reply> {
    let given = request.field("authorization").and_then(|value| {
        let (scheme, given) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| given.trim())
    });
    match given {
        Some(given) if is_same(given, &token.0) => Ok(()),
        Some(_) => Err(unauthorized("this is not the token", "Bearer error=\"invalid_token\"")),
        None => Err(unauthorized("send the token: Authorization: Bearer TOKEN", "Bearer")),
    }
}

/// RFC 6750 §3.
fn unauthorized(why: &str, challenge: &str) -> Reply {
    Reply::error(401, why).with("WWW-Authenticate", challenge)
}

/// The time that this takes depends neither on where the texts differ nor on the length of the second.
fn is_same(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| Sha256::digest(text.as_bytes()));
    one.iter().zip(&other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request { method: method.into(), path: path.into(), fields, ..Request::default() }
    }

    fn verdict(method: &str, path: &str, fields: &[(&str, &str)], token: Option<&str>) -> u16 {
        let token = token.map(|token| Secret(token.to_owned()));
        check(&request(method, path, fields), token.as_ref(), true)
            .map_or_else(|reply| reply.status, |()| 200)
    }

    #[test]
    fn without_a_token_nothing_is_changed_unless_that_is_said() {
        let fields =
            [("host", "localhost"), ("content-type", "application/json"), ("authorization", "Bearer sesame")];
        let secret = Secret(String::from("sesame"));
        for (method, token, is_writable, status) in [
            ("GET", None, false, 200),
            ("HEAD", None, false, 200),
            ("POST", None, false, 403),
            ("POST", None, true, 200),
            ("POST", Some(&secret), true, 200),
        ] {
            let given = check(&request(method, "/backends/app/b1", &fields), token, is_writable);
            assert_eq!(given.map_or_else(|reply| reply.status, |()| 200), status, "{method} {is_writable}");
        }
    }

    #[test]
    fn a_name_of_somebody_elses_is_refused() {
        for host in ["localhost", "LOCALHOST:9900", "a.localhost", "127.0.0.1:9900", "[::1]:9900", "10.0.0.1"]
        {
            assert_eq!(verdict("GET", "/status", &[("host", host)], None), 200, "{host}");
        }
        for host in
            ["evil.example", "evil.example:9900", "127.0.0.1.evil.example", "localhost.evil.example", ""]
        {
            assert_eq!(verdict("GET", "/status", &[("host", host)], None), 403, "{host}");
            assert_eq!(verdict("GET", "/", &[("host", host)], None), 403, "{host}");
        }
        assert_eq!(verdict("GET", "/status", &[], None), 400);
        assert_eq!(verdict("GET", "/status", &[("host", "localhost"), ("host", "localhost")], None), 400);
        assert_eq!(verdict("GET", "/", &[("host", "lb.example")], Some("t")), 200);
    }

    #[test]
    fn what_another_site_has_caused_is_refused() {
        let host = ("host", "127.0.0.1:9900");
        let json = ("content-type", "application/json");
        for (fields, status) in [
            (vec![("origin", "http://127.0.0.1:9900")], 200),
            (vec![("origin", "http://127.0.0.1:9900"), ("sec-fetch-site", "same-origin")], 200),
            (vec![("sec-fetch-site", "none")], 200),
            (vec![("origin", "http://evil.example")], 403),
            (vec![("origin", "http://127.0.0.1:8080")], 403),
            (vec![("origin", "null")], 403),
            (vec![("origin", "http://127.0.0.1:9900"), ("origin", "http://evil.example")], 403),
            (vec![("sec-fetch-site", "cross-site")], 403),
            (vec![("sec-fetch-site", "same-site")], 403),
            (vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
        ] {
            let fields: Vec<_> = fields.into_iter().chain([host, json]).collect();
            for method in ["GET", "POST"] {
                assert_eq!(verdict(method, "/status", &fields, None), status, "{method} {fields:?}");
            }
        }
        let link = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(verdict("GET", "/", &link, None), 200);
        assert_eq!(verdict("GET", "/", &[host, ("sec-fetch-site", "cross-site")], None), 403);
    }

    #[test]
    fn a_form_changes_nothing() {
        let host = ("host", "localhost");
        for (value, status) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("multipart/form-data; boundary=x", 415),
        ] {
            assert_eq!(
                verdict("POST", "/log-level", &[host, ("content-type", value)], None),
                status,
                "{value}"
            );
        }
        assert_eq!(verdict("POST", "/log-level", &[host], None), 415);
    }

    #[test]
    fn without_the_token_only_what_is_open_is_shown() {
        let host = ("host", "lb.example");
        for path in OPEN {
            assert_eq!(verdict("GET", path, &[host], Some("sesame")), 200);
        }
        for (value, status) in [
            ("Bearer sesame", 200),
            ("bearer  sesame", 200),
            ("Bearer sesam", 401),
            ("Bearer sesame2", 401),
            ("Bearer ", 401),
            ("Basic sesame", 401),
            ("sesame", 401),
        ] {
            let fields = [host, ("authorization", value)];
            assert_eq!(verdict("GET", "/status", &fields, Some("sesame")), status, "{value}");
        }
        for path in ["/status", "/metrics", "/config", "//", "/healthz/"] {
            assert_eq!(verdict("GET", path, &[host], Some("sesame")), 401, "{path}");
        }
    }
}
