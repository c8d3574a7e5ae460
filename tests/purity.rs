//! The pure rooms reach for nothing outside of themselves: no socket, file, clock, thread or operating system crate.
//!
//! That is what lets the simulator, the fuzzers and `explain` run the very code that serves traffic.

use std::fs;
use std::path::{Path, PathBuf};

/// What a pure room must not name. Types such as `core::net::IpAddr` and `std::time::Duration` are fine.
const FORBIDDEN: [&str; 20] = [
    "std::net",
    "std::fs",
    "std::os",
    "std::env",
    "std::thread",
    "std::process",
    "thread_local!",
    "Instant",
    "SystemTime",
    "stdin",
    "stdout",
    "stderr",
    "nix::",
    "socket2::",
    "libc::",
    "tracing::",
    "crate::os",
    "crate::wire",
    "crate::worker",
    "crate::control",
];

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The lines of code before the tests of a file, with their numbers, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn pure_rooms_import_nothing_of_the_world() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/pollux-core/src");
    let mut files = Vec::new();
    files_below(&source, &mut files);
    assert!(files.len() > 20, "only {} files were looked at", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            let named = FORBIDDEN.iter().find(|name| line.contains(**name));
            assert!(named.is_none(), "{}:{number} reaches for {}", file.display(), named.unwrap());
        }
    }
}

#[test]
fn the_check_sees_what_it_forbids() {
    let text = "use std::fs;\n// std::net in a comment\n#[cfg(test)]\nuse std::thread;\n";
    let named: Vec<_> =
        code(text).filter(|(_, line)| FORBIDDEN.iter().any(|name| line.contains(name))).collect();
    assert_eq!(named, [(1, "use std::fs;")]);
}
