//! Where the executable is, and with what it was started: what an upgrade starts anew.
//!
//! The kernel gives the path of a running executable without links, to the very version that runs.
//! An operator who installs versions beside each other and moves a link means the path that was typed, so that
//! path counts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The version of this process.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Read at the start, before the file may be replaced or this process changes its folder.
#[derive(Clone, Debug)]
pub struct Origin {
    pub(super) executable: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Origin {
    /// The origin of this process: the path that was typed, if it leads to the running executable.
    ///
    /// # Errors
    /// If /proc does not tell.
    pub fn of_this_process() -> io::Result<Origin> {
        let mut arguments = std::env::args_os();
        let (own, path) = (std::env::current_exe()?, std::env::var_os("PATH").unwrap_or_default());
        let typed = arguments
            .next()
            .and_then(|name| typed(&name, &path, &std::env::current_dir().ok()?))
            // The first argument can be anything (execve(2)). If its own file has gone already, nothing else
            // is known.
            .filter(|typed| is_same(typed, Path::new("/proc/self/exe")) || !own.exists());
        Ok(Origin { executable: typed.unwrap_or(own), arguments: arguments.collect() })
    }
}

/// The file that `name` means to a shell in `folder`: a path, or what is found first in the folders of
/// `path`.
fn typed(name: &OsStr, path: &OsStr, folder: &Path) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if name.as_bytes().contains(&b'/') {
        return Some(folder.join(name));
    }
    // An empty folder is the one that the shell is in.
    std::env::split_paths(path).map(|place| folder.join(place).join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|file: fs::Metadata| (file.dev(), file.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_found_as_a_shell_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (home, bin) = (folder.path(), folder.path().join("bin"));
        fs::create_dir(&bin).unwrap();
        for (file, mode) in [("bin/a", 0o755), ("b", 0o644), ("bin/b", 0o755), ("c", 0o755)] {
            fs::write(home.join(file), "").unwrap();
            fs::set_permissions(home.join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        let absolute = bin.display().to_string();
        for (name, path, expected) in [
            ("./cur/a", "", Some(home.join("./cur/a"))),
            ("/opt/a", absolute.as_str(), Some(PathBuf::from("/opt/a"))),
            ("a", absolute.as_str(), Some(bin.join("a"))),
            ("a", "nowhere:bin", Some(home.join("bin/a"))),
            // A file without permission to execute is skipped.
            ("b", ":bin", Some(home.join("bin/b"))),
            ("c", ":bin", Some(home.join("c"))),
            ("bin", "", None),
            ("a", "", None),
            ("", "bin", None),
        ] {
            assert_eq!(typed(name.as_ref(), path.as_ref(), home), expected, "{name} in {path}");
        }
    }

    #[test]
    fn the_executable_of_a_test_is_found() {
        let origin = Origin::of_this_process().unwrap();
        assert!(is_same(&origin.executable, &std::env::current_exe().unwrap()));
    }
}
