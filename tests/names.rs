//! One name is one idea: no two public types of the workspace share a name. Types with a narrower visibility
//! (`pub(crate)`, `pub(super)`, private) are not counted: their room alone uses them.
//!
//! A sentence of a comment has a subject with a name: the crudest forms without one are refused here, and so
//! are comments that are no sentence, such as `What a client may send.`

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

/// Words that begin a clause in the place of a sentence: `What a client may send.`
const CLAUSES: [&str; 5] = ["What ", "Who ", "How ", "Whatever ", "Where "];

/// The text of a comment, if `line` is one.
fn comment_of(line: &str) -> Option<&str> {
    let comment = line.trim_start().strip_prefix("//")?;
    Some(comment.trim_start_matches(['/', '!']).trim_start())
}

/// Whether the comment that begins in `line` is a clause without a subject. `before` is the line before it.
/// A sentence may begin with a clause of place, which a comma ends: `Where no path matches, it is 404.`
fn is_a_clause(before: &str, line: &str) -> bool {
    let Some(comment) = comment_of(line) else { return false };
    if comment_of(before).is_some_and(|text| !text.is_empty()) {
        return false;
    }
    let is_one = CLAUSES.iter().any(|word| comment.starts_with(word));
    is_one && !(comment.starts_with("Where ") && (comment.contains(',') || !comment.contains('.')))
}

/// Whether a line of a comment has such a sentence.
fn lacks_a_subject(line: &str) -> bool {
    let Some(comment) = comment_of(line) else { return false };
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
fn comments_are_no_clauses() {
    assert!(is_a_clause("", "    /// What a client may send."));
    assert!(is_a_clause("#[derive(Debug)]", "/// Where bytes go."));
    assert!(!is_a_clause("", "    /// Where no path matches, it is 404."));
    assert!(!is_a_clause("/// The bytes say", "/// What they say."));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in COMMENTED {
        sources(&root.join(folder), &mut files);
    }
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a source file");
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let before = number.checked_sub(1).map_or("", |before| lines[before]);
            if is_a_clause(before, line) {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
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
