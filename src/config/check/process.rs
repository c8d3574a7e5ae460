//! The keys of the process at the top of the file.

use std::path::{Path, PathBuf};

use super::site::Site;
use crate::config::ProcessSettings;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;

/// The longest path that a socket can have (unix(7)): the kernel's field without its last zero byte.
const SOCKET_PATH_MAX: usize = 107;

pub(super) fn check(
    root: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<ProcessSettings, Reported> {
    let before = findings.errors();
    let mut process = ProcessSettings::default();
    let settings = settings::read(&language::FILE, root, &mut process, site, findings);
    findings.since(before)?;
    settings.map(|()| process)
}

/// `control`.
pub(in crate::config) fn control(
    root: Reader<'_>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<PathBuf, Reported> {
    let Some((path, place)) = root.text("control") else { return Err(findings.given_up(root.place())) };
    let whole = site.path(path, place);
    if is_fit(path, &whole, place, findings) { Ok(whole) } else { Err(findings.given_up(place)) }
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
