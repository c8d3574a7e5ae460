//! The pure half reaches no socket, file, clock, thread or system: neither by a library nor by the standard
//! library.
//!
//! The compiler holds the first for what its manifest does not name, and clippy much of the second
//! (`clippy.toml` of the crate). Here the manifest itself and every name of the standard library are held to
//! a list.

use std::collections::BTreeSet;
use std::fs;

use super::paths::Named;
use super::{core_sources, root, sources};

/// Libraries that reach the world. None of the pure half may lead to one. `libc` is not among them: the
/// probing of the processor that hashes do leads there.
const WORLD: [&str; 14] = [
    "nix",
    "socket2",
    "rustls",
    "rustix",
    "mio",
    "polling",
    "tokio",
    "signal-hook",
    "getrandom",
    "rand",
    "tracing",
    "tempfile",
    "aws-lc-rs",
    "pollux",
];

/// The parts of the standard library that the pure half may name: a module, or a single name in one that also
/// has parts of the world.
const ALLOWED: [&[&str]; 30] = [
    &["array"],
    &["borrow"],
    &["cell"],
    &["char"],
    &["cmp"],
    &["collections"],
    &["error"],
    &["fmt"],
    &["hash"],
    &["io", "Cursor"],
    &["io", "Write"],
    &["iter"],
    &["mem"],
    &["net", "IpAddr"],
    &["net", "Ipv4Addr"],
    &["net", "Ipv6Addr"],
    &["net", "SocketAddr"],
    &["num"],
    &["ops"],
    &["path"],
    &["rc"],
    &["slice"],
    &["str"],
    &["string"],
    &["sync", "Arc"],
    &["sync", "LazyLock"],
    &["sync", "OnceLock"],
    &["sync", "atomic"],
    &["time", "Duration"],
    // A constant, which the calendar is reckoned from.
    &["time", "UNIX_EPOCH"],
];

/// Whether a path is one of the standard library that the pure half must not name.
fn is_forbidden(named: &Named) -> bool {
    let [first, rest @ ..] = named.segments.as_slice() else { return false };
    // `core` is a room too, which is named by `crate::core`; `::core::net` has addresses alone.
    let is_std =
        first == "std" || first == "alloc" || (first == "core" && rest.first().is_some_and(|it| it == "net"));
    let is_allowed = |allowed: &[&str]| {
        let is_same = |(one, other): (&&str, &String)| *one == other;
        // A module alone, as in `use std::fmt;`, leads only to what is named behind it.
        rest.len() >= allowed.len() && allowed.iter().zip(rest).all(is_same)
    };
    is_std && !ALLOWED.into_iter().any(is_allowed)
}

#[test]
fn the_pure_half_names_nothing_of_the_world() {
    let files = sources(&core_sources());
    assert!(files.len() > 60, "only {} files were looked at", files.len());
    for (file, named) in files {
        let found = named.iter().find(|named| is_forbidden(named));
        let shown =
            found.map(|it| format!("{}:{} names {}", file.display(), it.line, it.segments.join("::")));
        assert!(shown.is_none(), "{}", shown.unwrap_or_default());
    }
}

#[test]
fn what_is_forbidden_is_seen() {
    let is_seen = |code: &str| super::paths::read(code).unwrap().named.iter().any(is_forbidden);
    for code in [
        "fn f() { std::fs::read(\"x\"); }",
        "use std::{fmt, fs::File};",
        "use ::std::net::TcpStream;",
        "use core::net::*;",
        "use std::time::{Duration, Instant};",
        "use std::time;",
        "use std::io::{self, Write};",
        "use std::*;",
        "fn f() -> std::thread::JoinHandle<()> { g(std::env::var(\"x\")) }",
        "fn f() { assert!(std::process::id() > 0); }",
        "use std::sync::Mutex;",
        "use std::os::fd::OwnedFd;",
        "use std as other;",
    ] {
        assert!(is_seen(code), "{code}");
    }
    for code in
        ["use std::fmt;", "use std::time::Duration;", "use ::core::net::IpAddr;", "use crate::core::time;"]
    {
        assert!(!is_seen(code), "{code}");
    }
}

#[test]
fn no_library_of_the_pure_half_reaches_the_world() {
    let read = |name: &str| -> toml::Table {
        fs::read_to_string(root().join(name)).expect("a file").parse().expect("TOML")
    };
    let manifest = read("crates/pollux-core/Cargo.toml");
    assert!(manifest.get("target").is_none() && manifest.get("build-dependencies").is_none());
    let named = manifest["dependencies"].as_table().expect("a table").keys().cloned();
    let lock = read("Cargo.lock");
    let packages = lock["package"].as_array().expect("packages");
    let needs = |name: &str| -> Vec<String> {
        let all = packages.iter().filter(|package| package["name"].as_str() == Some(name));
        let needs = all.filter_map(|package| package.get("dependencies")?.as_array()).flatten();
        needs.filter_map(|it| it.as_str()?.split(' ').next().map(str::to_owned)).collect()
    };
    let (mut seen, mut next): (BTreeSet<String>, Vec<String>) = (BTreeSet::new(), named.collect());
    while let Some(name) = next.pop() {
        if seen.insert(name.clone()) {
            next.extend(needs(&name));
        }
    }
    assert!(seen.len() > 10, "only {} libraries were looked at", seen.len());
    let found: Vec<_> = WORLD.into_iter().filter(|name| seen.contains(*name)).collect();
    assert!(found.is_empty(), "pollux-core leads to {found:?}");
}
