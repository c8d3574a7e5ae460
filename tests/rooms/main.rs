//! The walls of the house: which room names which, and what the pure half may name.
//!
//! A room is a module at the root of `pollux-core` or of `pollux`. The two crates show one set of rooms.
//! `pollux-bench` and `toy-backends` are crates of one room each, and cargo allows no cycle of crates.

mod codecs;
mod graph;
mod paths;
mod wall;

use std::fs;
use std::path::{Path, PathBuf};

use paths::Named;

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources of the pure half.
fn core_sources() -> PathBuf {
    root().join("crates/pollux-core/src")
}

/// The files with code below `folder`, without those that only tests have.
fn sources(folder: &Path) -> Vec<(PathBuf, Vec<Named>)> {
    let (mut files, mut tests) = (Vec::new(), Vec::new());
    files_below(folder, &mut files);
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a source file");
        let found = paths::read(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        (file, found)
    };
    let files: Vec<_> = files.into_iter().map(read).collect();
    for (file, found) in &files {
        let home = module_folder(file);
        for name in &found.test_modules {
            tests.extend([home.join(name), home.join(format!("{name}.rs"))]);
        }
    }
    let is_code = |file: &Path| !tests.iter().any(|test| file.starts_with(test));
    files.into_iter().filter(|(file, _)| is_code(file)).map(|(file, found)| (file, found.named)).collect()
}

/// The folder with the files of the modules that `file` declares.
fn module_folder(file: &Path) -> PathBuf {
    let folder = file.parent().expect("a folder");
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => folder.to_owned(),
        Some(stem) => folder.join(stem),
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
}
