//! The options of a listener's socket: `v6only`, `interface` and `socket`.

use std::net::IpAddr;

use super::site::Site;
use crate::config::code::Code;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::snapshot::{Address, Permissions, SocketOptions};

/// The longest name of a network device, in bytes (IFNAMSIZ less its final zero, netdevice(7)).
const INTERFACE_LEN_MAX: usize = 15;

/// Complains about keys that change nothing at `bind`.
pub(super) fn check_effect(table: Reader<'_>, bind: &Address, findings: &mut Findings) {
    let is_six = bind.ip().is_some_and(|address| address.is_ipv6());
    let cases = [
        ("v6only", is_six, "only an IPv6 address has the choice"),
        ("interface", bind.ip().is_some(), "a Unix socket has no network device"),
        ("freebind", bind.ip().is_some(), "a Unix socket has no IP address"),
        ("socket", bind.is_file(), "only the file of a Unix socket has an owner and a mode"),
    ];
    for (key, has_effect, label) in cases {
        if let Some(entry) = table.entry(key).filter(|_| !has_effect) {
            findings.push(
                Diagnostic::new(Code::NoEffect, format!("`{key}` changes nothing here"))
                    .mark(entry.key_place, label)
                    .help(format!("remove it; the listener binds {}", quote(&bind.to_string()))),
            );
        }
    }
}

/// Whether a socket at `bind` takes clients of the other family too.
pub(super) fn is_dual(bind: &Address, options: &SocketOptions) -> bool {
    !options.v6only
        && bind.ip().is_some_and(|address| matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified()))
}

/// `interface`.
pub(in crate::config) fn interface(table: Reader<'_>, findings: &mut Findings) -> Result<String, Reported> {
    let Some((name, place)) = table.text("interface") else { return Err(findings.given_up(table.place())) };
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
    if name.is_empty() || name.len() > INTERFACE_LEN_MAX || !name.bytes().all(is_name) {
        return Err(findings.refuse(
            Diagnostic::new(Code::BadValue, format!("{} is not a network device", quote(name)))
                .mark(place, format!("expected a name of at most {INTERFACE_LEN_MAX} characters"))
                .help("write a name that `ip link` shows, such as `eth0`"),
        ));
    }
    Ok(name.to_owned())
}

/// `socket` of `table`: the owner and the mode of a Unix socket's file.
pub(in crate::config) fn permissions(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Permissions, Reported> {
    let mut permissions = Permissions::default();
    if let Some(table) = table.table("socket", &language::SOCKET, findings)? {
        settings::read(&language::SOCKET, table, &mut permissions, site, findings)?;
    }
    Ok(permissions)
}

/// `mode`, in octal digits.
pub(in crate::config) fn mode(table: Reader<'_>, findings: &mut Findings) -> Result<u32, Reported> {
    let Some((text, place)) = table.text("mode") else { return Err(findings.given_up(table.place())) };
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && text.len() >= 3);
    mode.ok_or_else(|| {
        findings.refuse(
            Diagnostic::new(Code::BadValue, format!("{} is not the mode of a file", quote(text)))
                .mark(place, "expected octal digits, up to `0777`")
                .help("write for example `0660`: the owner and the group may connect"),
        )
    })
}
