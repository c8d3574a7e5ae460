//! The world outside of a configuration's text: host names, environment variables and other files.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::value::Resolve;
use crate::discovery::{self, DiscoveryQuestion, Entry};
use crate::snapshot::Address;

/// The world, as a configuration sees it.
pub trait World {
    /// Every address that `host` stands for, with `port`.
    ///
    /// # Errors
    /// When the name is not known or the resolver does not answer.
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// The backends that `question` stands for.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    fn ask(&mut self, question: &DiscoveryQuestion) -> Result<Vec<Entry>, String> {
        match question {
            DiscoveryQuestion::Host { host, port, .. } => {
                let found = self.resolve(host, *port).map_err(|error| error.to_string())?;
                Ok(found.into_iter().map(|address| Entry::at(Address::Ip(address))).collect())
            }
            DiscoveryQuestion::Service { .. } => Err(String::from("there is no DNS here")),
            DiscoveryQuestion::File(path) => {
                let bytes = self.read(path, super::FILE_LEN_MAX).map_err(|error| error.to_string())?;
                discovery::parse_file(&bytes)
            }
        }
    }

    /// The calendar, now: seconds since 1970 in UTC. The findings about the dates of certificates follow it.
    fn unix_time(&mut self) -> i64 {
        crate::os::unix_time()
    }

    /// The environment variable `name`; `None` if it is not set or not UTF-8.
    fn variable(&mut self, name: &str) -> Option<String>;

    /// The bytes of the file at `path`, but no more than `len_max`.
    ///
    /// # Errors
    /// When it cannot be read or is longer.
    fn read(&mut self, path: &Path, len_max: usize) -> io::Result<Vec<u8>>;

    /// The permissions of the file at `path`, as chmod(2) has them; `None` if they cannot be found out.
    fn mode(&mut self, _path: &Path) -> Option<u32> {
        None
    }

    /// The files that match `pattern`, in the order of their names.
    ///
    /// # Errors
    /// When the pattern cannot be read, as text that says why.
    fn files(&mut self, pattern: &str) -> Result<Vec<PathBuf>, String>;
}

/// The machine that Pollux runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl World for Machine {
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        super::value::resolve(host, port)
    }

    fn ask(&mut self, question: &DiscoveryQuestion) -> Result<Vec<Entry>, String> {
        discovery::ask(question).map(|answer| answer.entries)
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn mode(&mut self, path: &Path) -> Option<u32> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).ok().map(|file| file.permissions().mode() & 0o7777)
    }

    fn read(&mut self, path: &Path, len_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than allowed is enough to know that the file is too long.
        File::open(path)?.take(len_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > len_max {
            return Err(io::Error::other(format!("it is longer than {len_max} bytes")));
        }
        Ok(bytes)
    }

    fn files(&mut self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        // As in a shell, no wildcard stands for a dot at the beginning of a name.
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let paths = glob::glob_with(pattern, options).map_err(|error| error.to_string())?;
        paths.map(|path| path.map_err(|error| error.to_string())).collect()
    }
}

/// A world in which there are host names, and nothing else.
pub(super) struct Names<'a, 'b>(pub(super) &'a mut Resolve<'b>);

impl World for Names<'_, '_> {
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.0)(host, port)
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }

    fn read(&mut self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn files(&mut self, _: &str) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn a_wildcard_enters_no_hidden_folder() {
        let folder = std::env::temp_dir().join(format!("pollux-files-{}", std::process::id()));
        // A ConfigMap of Kubernetes has its files in a folder `..data`, and links to them beside it.
        for name in ["..data/a.toml", "shop/a.toml"] {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let found = Machine.files(&folder.join("*/*.toml").to_string_lossy());
        let meant = folder.join("shop/a.toml");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, Ok(vec![meant]));
    }

    /// A world of environment variables.
    pub(in crate::config) struct Variables<'a>(pub(in crate::config) &'a [(&'a str, &'a str)]);

    impl World for Variables<'_> {
        fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn variable(&mut self, name: &str) -> Option<String> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        }

        fn read(&mut self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn files(&mut self, _: &str) -> Result<Vec<PathBuf>, String> {
            Ok(Vec::new())
        }
    }
}
