//! One name is one idea: no two public types of the workspace share a name. Types with a narrower visibility
//! (`pub(crate)`, `pub(super)`, private) are not counted: their room alone uses them.
//!
//! A sentence of a comment has a subject with a name: the crudest forms without one are refused here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the workspace's public types.
const ROOTS: [&str; 2] = ["src", "crates/pollux-core/src"];

/// The folders of the comments.
const COMMENTED: [&str; 7] = ["src", "crates", "backends", "bench", "tests", "fuzz/src", "fuzz/targets"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The name that a line declares as a public type.
fn declared(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| rest.strip_prefix(word))?;
    let end = rest.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Words that begin a sentence without saying which client, worker, process or value it is about.
const WITHOUT_SUBJECT: [&str; 11] = [
    "Who ",
    "Whom ",
    "Whose ",
    "Whoever ",
    "Nobody ",
    "Somebody ",
    "Anybody ",
    "Everybody ",
    "Those who ",
    "The same, ",
    "What it comes to",
];

/// Whether a line of a comment has such a sentence.
fn lacks_a_subject(line: &str) -> bool {
    let Some(comment) = line.trim_start().strip_prefix("//") else { return false };
    let comment = comment.trim_start_matches(['/', '!']).trim_start();
    WITHOUT_SUBJECT.iter().any(|words| {
        comment.starts_with(words)
            || [". ", ": ", "; "].iter().any(|end| comment.contains(&format!("{end}{words}")))
    })
}

#[test]
fn sentences_of_comments_have_a_subject() {
    assert!(lacks_a_subject("    /// Closes it. Nobody is served any more."));
    assert!(!lacks_a_subject("    /// Closes the connection of a client."));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in COMMENTED {
        sources(&root.join(folder), &mut files);
    }
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        let lines = text.lines().enumerate().filter(|(_, line)| lacks_a_subject(line));
        found.extend(
            lines.map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim())),
        );
    }
    assert!(found.is_empty(), "name the subject:\n{}", found.join("\n"));
}

#[test]
fn no_two_public_types_share_a_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ROOTS {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 100, "the sources are not where they were");
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        // A type that a macro declares stands in its own braces, with a name that the macro is given.
        for name in text.lines().filter_map(declared).filter(|name| !name.is_empty()) {
            let place = file.strip_prefix(root).expect("below the root").display().to_string();
            places.entry(name.to_owned()).or_default().push(place);
        }
    }
    for (name, places) in &places {
        assert!(places.len() == 1, "{name} is declared in {}", places.join(" and "));
    }
}
