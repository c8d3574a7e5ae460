//! `sticky` of a pool: the cookie that binds clients to backends.

use super::exposed;
use super::site::Site;
use crate::config::code::Code;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::snapshot::{SameSite, Secret, Sticky};
use crate::syntax::grammar::is_token;

/// A secret is at least so long, in bytes: a shorter one could be found by trying.
const SECRET_MIN: usize = 16;

/// The cookie of a pool, if it has one that can be used.
pub(in crate::config) fn sticky(
    pool: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Sticky>, Reported> {
    let before = findings.errors();
    let Some(table) = pool.table("sticky", &language::STICKY_COOKIE, findings)? else { return Ok(None) };
    let Some((name, place)) = table.text("cookie") else {
        if !table.has("cookie") && !findings.is_meant(table.place(), "cookie") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the cookie has no name")
                    .mark(table.place(), "`cookie` is missing")
                    .help("write `sticky = { cookie = \"srv\" }`"),
            );
        }
        return Err(findings.given_up(table.place()));
    };
    if !is_token(name.as_bytes()) {
        findings.push(
            Diagnostic::new(Code::BadName, format!("{} cannot be the name of a cookie", quote(name)))
                .mark(place, "expected letters, digits and `-`, `_`, `.`")
                .help("choose a plain name, such as `srv`"),
        );
    }
    let mut sticky = Sticky::named(name);
    let read = settings::read(&language::STICKY_COOKIE, table, &mut sticky, site, findings);
    check_same_site(table, &sticky, findings);
    read?;
    findings.since(before)?;
    Ok(Some(sticky))
}

fn check_same_site(table: Reader<'_>, sticky: &Sticky, findings: &mut Findings) {
    if let (SameSite::None, false, Some((_, place))) =
        (sticky.same_site, sticky.is_secure, table.text("same_site"))
    {
        findings.push(
            Diagnostic::new(Code::BadValue, "browsers refuse such a cookie")
                .mark(place, "`none` holds for secure cookies only")
                .help("add `secure = true`, or write `same_site = \"lax\"`"),
        );
    }
}

/// The secret that signs the values of the cookie.
pub(in crate::config) fn secret(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Secret>, Reported> {
    let Some((secret, place)) = table.text("secret") else { return Err(findings.given_up(table.place())) };
    if secret.len() < SECRET_MIN {
        return Err(findings.refuse(
            Diagnostic::new(Code::BadValue, "the secret is too short to be one")
                .mark(place, format!("expected at least {SECRET_MIN} characters"))
                .help("write random ones, such as `openssl rand -hex 32` gives, or `${NAME}` for an environment variable"),
        ));
    }
    // One from the environment does not stand in the file.
    if table.shown("secret").is_some() {
        exposed::warn_of_own("the secret", place, site, findings);
    }
    Ok(Some(Secret(secret.to_owned())))
}

/// An attribute of the cookie (RFC 6265 §4.1.1).
pub(in crate::config) fn attribute(
    table: Reader<'_>,
    key: &str,
    findings: &mut Findings,
) -> Result<String, Reported> {
    let Some((text, place)) = table.text(key) else { return Err(findings.given_up(table.place())) };
    let is_good = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b';';
    let is_path_good = key != "path" || text.starts_with('/');
    if text.is_empty() || !text.bytes().all(is_good) || !is_path_good {
        let (expected, help) = if key == "path" {
            ("expected a path that begins with `/`, without `;`", "write for example `path = \"/app\"`")
        } else {
            ("expected a host name", "write for example `domain = \"example.com\"`")
        };
        return Err(findings.refuse(
            Diagnostic::new(Code::BadValue, format!("{} cannot be the {key} of a cookie", quote(text)))
                .mark(place, expected)
                .help(help),
        ));
    }
    Ok(text.to_owned())
}
