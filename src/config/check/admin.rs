//! `[admin]`: where the admin address is, and who may use it.

use super::exposed;
use super::site::Site;
use super::sockets;
use crate::admin::{Admin, TOKEN_MIN, Token, TokenSource};
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::shape;
use crate::config::value::bind_address;
use crate::snapshot::{Address, Permissions, Secret};

/// The longest file of a token, in bytes.
const TOKEN_FILE_MAX: usize = 4096;

pub(in crate::config) fn check(
    root: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Admin>, Reported> {
    let Some(table) = root.table("admin", &language::ADMIN, findings)? else { return Ok(None) };
    let token = token(table, site, findings);
    let Some((text, place)) = table.text("bind") else {
        if !table.has("bind") && !findings.is_meant(table.place(), "bind") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the admin address is not said")
                    .mark(table.place(), "`bind` is missing")
                    .help("write for example `bind = \"127.0.0.1:9900\"`"),
            );
        }
        return Err(findings.given_up(table.place()));
    };
    let bind = match bind_address(text, &mut |host, port| site.world.resolve(host, port)) {
        Ok(bind) => bind,
        Err(error) => {
            let node = crate::config::doc::Node { place, value: crate::config::doc::Value::Flag(false) };
            return Err(findings.refuse(shape::refused("bind", &node, &error)));
        }
    };
    let (token, permissions) = (token?, permissions(table, &bind, site, findings)?);
    let writable = writable(table, token.is_some(), findings);
    let admin = Admin { socket: permissions, bind, token, writable };
    if !admin.is_safe() {
        return Err(findings.refuse(unsafe_without_token(&admin.bind, place)));
    }
    Ok(Some(admin))
}

fn writable(table: Reader<'_>, has_token: bool, findings: &mut Findings) -> bool {
    let writable = table.flag("writable").unwrap_or(false);
    if let Some(entry) = table.entry("writable").filter(|_| has_token) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`writable` changes nothing here")
                .mark(entry.key_place, "callers that know the token may change something anyway")
                .help("remove it"),
        );
    }
    writable && !has_token
}

/// The users that may connect to a Unix socket at `bind`.
fn permissions(
    table: Reader<'_>,
    bind: &Address,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Permissions, Reported> {
    if let Some(entry) = table.entry("socket").filter(|_| !bind.is_file()) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`socket` changes nothing here")
                .mark(entry.key_place, "only the file of a Unix socket has an owner and a mode")
                .help(format!("remove it; the admin address is {}", quote(&bind.to_string()))),
        );
    }
    sockets::permissions(table, site, findings)
}

fn unsafe_without_token(bind: &Address, place: Place) -> Diagnostic {
    Diagnostic::new(Code::BadValue, "the admin address is open to everybody who can reach this machine")
        .mark(place, format!("{bind} is not of the loopback, and there is no token"))
        .help("bind 127.0.0.1, [::1] or `unix:/run/pollux/admin`, or have callers know a token: `token_file = \"admin.token\"`")
}

fn token(table: Reader<'_>, site: &mut Site<'_>, findings: &mut Findings) -> Result<Option<Token>, Reported> {
    let (file, variable) = (table.text("token_file"), table.text("token_env"));
    if let (Some((_, first)), Some((_, second))) = (file, variable) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "there are two places for one token")
                .mark(second, "this one would not be looked at")
                .mark(first, "this one is")
                .help("remove one of the two"),
        );
    }
    let (source, read, place) = match (file, variable) {
        (Some((path, place)), _) => {
            let whole = site.path(path, place);
            let read = site.world.read(&whole, TOKEN_FILE_MAX).map_err(|error| error.to_string());
            exposed::warn(&whole, "the token", place, site, findings);
            let read =
                read.and_then(|bytes| String::from_utf8(bytes).map_err(|_| String::from("it is not UTF-8")));
            let shown = table.shown("token_file").map_or_else(
                || String::from("the file that `token_file` names"),
                |_| quote(&whole.display().to_string()),
            );
            let read =
                read.map_err(|why| (Code::Unreadable, format!("cannot read the token from {shown}: {why}")));
            (TokenSource::File(whole), read, place)
        }
        (None, Some((name, place))) => {
            // A token that stands here itself is not told.
            let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            let shown = table
                .shown("token_env")
                .filter(is_name)
                .map_or_else(String::new, |name| format!(" {}", quote(name)));
            let unset = || {
                (
                    Code::NoVariable,
                    format!("the environment variable{shown} that `token_env` names is not set"),
                )
            };
            (TokenSource::Variable(name.to_owned()), site.world.variable(name).ok_or_else(unset), place)
        }
        (None, None) => return Ok(None),
    };
    match read {
        Ok(text) => {
            let token = text.trim();
            check_token(token, place, findings)?;
            Ok(Some(Token { source, secret: Secret(token.to_owned()) }))
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
