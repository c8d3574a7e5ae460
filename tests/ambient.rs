//! The data plane has its clocks and its random numbers from `Os`, so that a simulated run is a function of
//! its seed.
//!
//! Only `src/os/` asks the system for the wall clock or for random numbers. Threads of the control side may
//! read the monotonic clock themselves; the rooms of the data plane are handed it. The hash tables of std
//! draw keys of their own: nothing that is sent follows from their order.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of the control side, and the one file of the access log that is a thread of its own. Any other room
/// is one of the data plane.
const CONTROL: [&str; 7] = ["access/post.rs", "admin/", "cli/", "config/", "control/", "discovery/", "plan/"];

/// The names that only `src/os/` may use.
const OUTSIDE: [&str; 9] = [
    "SystemTime::now",
    "getrandom",
    "rand::fill",
    "SystemRandom",
    "UnixTime::now",
    "DefaultTimeProvider",
    "ClientConfig::builder_with_provider",
    "ServerConfig::builder_with_provider",
    "clock_gettime(ClockId::CLOCK_REALTIME",
];

/// The names that the control side may use besides.
const MONOTONIC: [&str; 2] = ["Instant::now", "clock_gettime"];

/// Every source file of the program, by its path below the `src` that it lies in.
fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    if let Ok(crates) = fs::read_dir(root.join("crates")) {
        folders.extend(crates.map(|one| one.unwrap().path().join("src")));
    }
    let mut found = Vec::new();
    for folder in folders {
        let mut open = vec![folder.clone()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    found.push((path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned(), path));
                }
            }
        }
    }
    found
}

/// The lines of code in `text` that name one of `words`: the lines before its tests, without their comments.
fn named<'a>(text: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]") {
        let code = line.split("//").next().unwrap_or_default();
        found.extend(words.iter().filter(|word| code.contains(**word)).map(|word| (number + 1, *word)));
    }
    found
}

/// Files that are tests as a whole.
fn is_test(place: &str) -> bool {
    place.ends_with("tests.rs") || place == "tls/resumption.rs"
}

#[test]
fn clocks_and_random_numbers_come_through_os() {
    let mut count = 0;
    for (place, path) in sources() {
        if place.starts_with("os/") || is_test(&place) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(named(&text, &OUTSIDE), [], "{}", path.display());
        if !CONTROL.iter().any(|room| place.starts_with(room)) {
            assert_eq!(named(&text, &MONOTONIC), [], "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 150, "only {count} files of the data plane were looked at");
}

#[test]
fn the_check_sees_what_it_forbids() {
    let text =
        "let a = SystemTime::now();\n// getrandom in a comment\n#[cfg(test)]\nlet b = getrandom::u32();\n";
    assert_eq!(named(text, &OUTSIDE), [(1, "SystemTime::now")]);
}
