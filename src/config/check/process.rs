//! What the top of the file says of the process.

use std::path::Path;

use super::admin;
use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::config::{AccessLog, Process};

/// The longest path that a socket can have (unix(7)): the kernel's field without its last zero byte.
const SOCKET_PATH_MAX: usize = 107;

pub(super) fn check(root: Reader<'_>, site: &mut Site<'_>, findings: &mut Findings) -> Process {
    let control = root.text("control").and_then(|(path, place)| {
        let whole = site.path(path, place);
        is_fit(path, &whole, place, findings).then_some(whole)
    });
    let access_log = root.text("access_log").and_then(|(path, place)| {
        let log = AccessLog::parse(path, |path| site.path(path, place));
        is_path(path, place, findings).then_some(log)
    });
    let admin = admin::check(root, site, findings);
    Process { threads: root.count("threads"), control, access_log, admin }
}

fn is_path(path: &str, place: Place, findings: &mut Findings) -> bool {
    let is_fit = !path.is_empty() && !path.contains('\0') && !path.ends_with('/');
    if !is_fit {
        findings.push(
            Diagnostic::new(Code::BadValue, "the access log is not the path of a file")
                .mark(place, "expected `on`, `off` or a path")
                .help("write for example `access_log = \"/var/log/pollux/access.log\"`"),
        );
    }
    is_fit
}

fn is_fit(path: &str, whole: &Path, place: Place, findings: &mut Findings) -> bool {
    let length = whole.as_os_str().len();
    let problem = if path.is_empty() {
        "the path of the control socket is empty"
    } else if path.contains('\0') {
        "the path of the control socket has a zero byte"
    } else if length > SOCKET_PATH_MAX {
        "the path of the control socket is too long"
    } else {
        return true;
    };
    findings.push(
        Diagnostic::new(Code::BadValue, problem)
            .mark(place, format!("expected 1 to {SOCKET_PATH_MAX} bytes, the folder of this file included"))
            .help("write a short path, such as `control = \"/run/pollux/control\"`"),
    );
    false
}
