//! `[admin]`: where the admin address is, and who may use it.

use super::exposed;
use super::site::Site;
use crate::admin::{Admin, TOKEN_MIN, Token, TokenSource};
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::snapshot::{Address, NO_ADDRESS, Secret};

/// The longest file of a token, in bytes.
const TOKEN_FILE_MAX: usize = 4096;

pub(in crate::config) fn check(
    root: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Admin>, Reported> {
    let Some(table) = root.table("admin", &language::ADMIN, findings)? else { return Ok(None) };
    let mut admin = Admin::at(Address::Ip(NO_ADDRESS));
    let read = settings::read(&language::ADMIN, table, &mut admin, site, findings);
    let Some((_, place)) = table.text("bind") else {
        if !table.has("bind") && !findings.is_meant(table.place(), "bind") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the admin address is not said")
                    .mark(table.place(), "`bind` is missing")
                    .help("write for example `bind = \"127.0.0.1:9900\"`"),
            );
        }
        return Err(findings.given_up(table.place()));
    };
    read?;
    warn_of_no_file(table, &admin.bind, findings);
    if admin.token.is_some() {
        admin.writable = false;
        warn_of_writable(table, findings);
    }
    if !admin.is_safe() {
        return Err(findings.refuse(unsafe_without_token(&admin.bind, place)));
    }
    Ok(Some(admin))
}

fn warn_of_writable(table: Reader<'_>, findings: &mut Findings) {
    if let Some(entry) = table.entry("writable") {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`writable` changes nothing here")
                .mark(entry.key_place, "callers that know the token may change something anyway")
                .help("remove it"),
        );
    }
}

/// Warns of permissions where `bind` is not the file of a Unix socket.
fn warn_of_no_file(table: Reader<'_>, bind: &Address, findings: &mut Findings) {
    if let Some(entry) = table.entry("socket").filter(|_| !bind.is_file()) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`socket` changes nothing here")
                .mark(entry.key_place, "only the file of a Unix socket has an owner and a mode")
                .help(format!("remove it; the admin address is {}", quote(&bind.to_string()))),
        );
    }
}

fn unsafe_without_token(bind: &Address, place: Place) -> Diagnostic {
    Diagnostic::new(Code::BadValue, "the admin address is open to everybody who can reach this machine")
        .mark(place, format!("{bind} is not of the loopback, and there is no token"))
        .help("bind 127.0.0.1, [::1] or `unix:/run/pollux/admin`, or have callers know a token: `token_file = \"admin.token\"`")
}

/// `token_file`.
pub(in crate::config) fn token_file(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Token, Reported> {
    let Some((path, place)) = table.text("token_file") else {
        return Err(findings.given_up(table.place()));
    };
    let whole = site.path(path, place);
    let read = site.world.read(&whole, TOKEN_FILE_MAX).map_err(|error| error.to_string());
    exposed::warn(&whole, "the token", place, site, findings);
    let read = read.and_then(|bytes| String::from_utf8(bytes).map_err(|_| String::from("it is not UTF-8")));
    let shown = table.shown("token_file").map_or_else(
        || String::from("the file that `token_file` names"),
        |_| quote(&whole.display().to_string()),
    );
    let read = read.map_err(|why| (Code::Unreadable, format!("cannot read the token from {shown}: {why}")));
    token(TokenSource::File(whole), read, place, findings)
}

/// `token_env`; `None` if `token_file` names another place.
pub(in crate::config) fn token_env(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Token>, Reported> {
    let Some((name, place)) = table.text("token_env") else { return Err(findings.given_up(table.place())) };
    if let Some((_, first)) = table.text("token_file") {
        findings.push(
            Diagnostic::new(Code::NoEffect, "there are two places for one token")
                .mark(place, "this one would not be looked at")
                .mark(first, "this one is")
                .help("remove one of the two"),
        );
        return Ok(None);
    }
    // A name that has other characters may be the token itself, which no message may show.
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let shown =
        table.shown("token_env").filter(is_name).map_or_else(String::new, |name| format!(" {}", quote(name)));
    let unset =
        || (Code::NoVariable, format!("the environment variable{shown} that `token_env` names is not set"));
    let read = site.world.variable(name).ok_or_else(unset);
    token(TokenSource::Variable(name.to_owned()), read, place, findings).map(Some)
}

/// The token that was read from `source`.
fn token(
    source: TokenSource,
    read: Result<String, (Code, String)>,
    place: Place,
    findings: &mut Findings,
) -> Result<Token, Reported> {
    match read {
        Ok(text) => {
            let token = text.trim();
            check_token(token, place, findings)?;
            Ok(Token { source, secret: Secret(token.to_owned()) })
        }
        Err((code, why)) => {
            Err(findings.refuse(Diagnostic::new(code, why).mark(place, "a token is expected there").help(
                "make one: `head -c 24 /dev/urandom | base64 > admin.token`, and let only this user read it",
            )))
        }
    }
}

/// A token stands in a header field as it is (RFC 6750 §2.1).
fn check_token(token: &str, place: Place, findings: &mut Findings) -> Result<(), Reported> {
    if token.len() < TOKEN_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(findings.refuse(
            Diagnostic::new(Code::BadValue, "the token cannot be one")
                .mark(
                    place,
                    format!("expected at least {TOKEN_MIN} letters, digits and signs there, and no blanks"),
                )
                .help("make a long one: `head -c 24 /dev/urandom | base64`"),
        ));
    }
    Ok(())
}
