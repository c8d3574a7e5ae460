//! Warns of files with secrets that every user of the machine may read or write.

use std::path::Path;

use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::quote::quote;
use crate::config::report::{Diagnostic, Findings};

/// Permissions that make a file no secret (inode(7)): others may read or write it.
const OF_OTHERS: u32 = 0o006;

/// Warns if the file at `path`, which holds `what` and is named at `place`, is others' too.
pub(super) fn warn(path: &Path, what: &str, place: Place, site: &mut Site<'_>, findings: &mut Findings) {
    let Some(mode) = site.world.mode(path).filter(|mode| mode & OF_OTHERS != 0) else { return };
    let may = match mode & OF_OTHERS {
        0o004 => "read",
        0o002 => "write",
        _ => "read and write",
    };
    let shown = quote(&path.to_string_lossy());
    findings.push(
        Diagnostic::new(Code::Exposed, format!("every user of this machine may {may} the file with {what}"))
            .mark(place, format!("its mode is {mode:04o}"))
            .help(format!("take that from them: `chmod o-rwx {}`", shown.trim_matches('`'))),
    );
}

/// Warns if other users may read the file of the configuration in which a secret is written at `place`.
pub(super) fn warn_of_own(what: &str, place: Place, site: &mut Site<'_>, findings: &mut Findings) {
    if let Some(path) = site.origin(place).map(Path::to_owned) {
        warn(&path, what, place, site, findings);
    }
}
