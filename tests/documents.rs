//! The documents hold together: every relative link leads to a file and to a heading of it, and
//! `docs/README.md` leads to every page.

#[path = "documents/architecture.rs"]
mod architecture;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// Folders that hold what others have written or what was built.
const SKIPPED: [&str; 5] = ["target", ".git", ".venv", "node_modules", "corpus"];

static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(<?([^()\s>]+)>?\)").expect("an expression"));
static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"``.+?``|`[^`]*`").expect("an expression"));
static MARKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[^\p{L}\p{N}_ -]").expect("an expression"));

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&name.as_str()) {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The lines of a document that are no code.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence && !line.starts_with("    ")
    });
    lines.collect()
}

/// The links of a document, as they are written.
fn links(text: &str) -> Vec<String> {
    let without_code = prose(text).into_iter().map(|line| CODE.replace_all(line, "").into_owned());
    without_code
        .flat_map(|line| LINK.captures_iter(&line).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect()
}

/// The names by which a forge lets links lead to the headings of a document.
fn anchors(text: &str) -> HashSet<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        MARKS.replace_all(line.trim_start_matches('#').trim(), "").to_lowercase().replace(' ', "-")
    };
    headings.map(name).collect()
}

/// `a/../b` is `b`.
fn normal(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            found.pop();
        } else if part != Component::CurDir {
            found.push(part);
        }
    }
    found
}

/// The mistake in a link of `document`; its target otherwise.
fn follow(document: &Path, link: &str) -> Result<PathBuf, String> {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() {
        document.to_owned()
    } else {
        normal(&document.parent().expect("a folder").join(file))
    };
    if !target.starts_with(root()) || !target.exists() {
        return Err(format!("{} leads to {link}, which is not there", document.display()));
    }
    if let Some(anchor) = anchor {
        let text = fs::read_to_string(&target).map_err(|error| error.to_string())?;
        if !anchors(&text).contains(anchor) {
            return Err(format!("{} leads to {link}, and there is no such heading", document.display()));
        }
    }
    Ok(target)
}

/// Where the relative links of every document lead, and what is wrong with some.
fn all_links() -> (HashMap<PathBuf, Vec<PathBuf>>, Vec<String>) {
    let mut found = Vec::new();
    documents(root(), &mut found);
    let (mut led, mut wrong) = (HashMap::new(), Vec::new());
    for document in found {
        let text = fs::read_to_string(&document).expect("a document");
        let relative =
            links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
        let targets =
            relative.filter_map(|link| follow(&document, &link).map_err(|error| wrong.push(error)).ok());
        led.insert(document.clone(), targets.collect());
    }
    (led, wrong)
}

#[test]
fn every_relative_link_leads_somewhere() {
    let (led, wrong) = all_links();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let count: usize = led.values().map(Vec::len).sum();
    assert!(
        led.len() >= 25 && count >= 80,
        "{} documents with {count} links: some are not looked at",
        led.len()
    );
}

#[test]
fn every_page_is_reached_from_the_index() {
    let (led, _) = all_links();
    let mut waiting = vec![root().join("docs/README.md")];
    let mut reached = HashSet::new();
    while let Some(document) = waiting.pop() {
        if reached.insert(document.clone()) {
            waiting.extend(led.get(&document).into_iter().flatten().cloned());
        }
    }
    let mut pages: Vec<_> = led.keys().filter(|page| page.starts_with(root().join("docs"))).collect();
    pages.retain(|page| !reached.contains(*page));
    assert!(pages.is_empty(), "docs/README.md does not lead to {pages:?}");
    assert!(reached.contains(&root().join("ARCHITECTURE.md")));
}

#[test]
fn a_broken_link_is_found() {
    let document = root().join("docs/README.md");
    assert!(follow(&document, "tutorial.md").is_ok() && follow(&document, "#tasks").is_ok());
    assert!(follow(&document, "no-such-page.md").is_err());
    assert!(follow(&document, "tutorial.md#no-such-heading").is_err());
    assert_eq!(links("a [b](c.md) `[d](e.md)`\n```\n[f](g.md)\n```\n    [h](i.md)\n"), ["c.md"]);
}
