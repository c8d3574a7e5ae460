//! ARCHITECTURE.md points at the code: its files exist, its constants have their values, and no bound is left
//! out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::root;

static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`([^`]+)`").expect("an expression"));
static CONST: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"(?m)^[ \t]*(?:pub(?:\([a-z: ]+\))? )?const ([A-Z][A-Z0-9_]*): [^=]+? =\s+([^;]+);";
    Regex::new(text).expect("an expression")
});

/// A constant: its file, relative to the `src/` of its package, and its name.
type Constant = (String, String);

/// The `src/` folders of the packages that make up Pollux.
fn sources() -> Vec<PathBuf> {
    let mut found = vec![root().join("src")];
    if let Ok(crates) = fs::read_dir(root().join("crates")) {
        found.extend(crates.map(|entry| entry.expect("an entry").path().join("src")));
    }
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// All constants, with the text of their values.
fn constants() -> BTreeMap<Constant, String> {
    let mut found = BTreeMap::new();
    for source in sources() {
        let mut files = Vec::new();
        walk(&source, &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file");
            let name = file.strip_prefix(&source).expect("a file below").to_string_lossy().into_owned();
            let code = text.split("\n#[cfg(test)]\nmod tests {").next().expect("the code");
            for constant in CONST.captures_iter(code) {
                found.insert((name.clone(), constant[1].to_owned()), constant[2].to_owned());
            }
        }
    }
    found
}

/// The cells of each row of the table below `heading` in a document.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(document)).expect("a document");
    let (_, below) = text.split_once(heading).expect("the heading");
    let rows = below.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn code(cell: &str) -> Vec<String> {
    CODE.captures_iter(cell).map(|found| found[1].to_owned()).collect()
}

/// The bounds that the two tables list, with their values.
fn listed() -> BTreeMap<Constant, String> {
    let rows =
        [table("ARCHITECTURE.md", "\n## Bounds\n"), table("docs/internals/bounds.md", "# All bounds\n")];
    let mut found = BTreeMap::new();
    for row in rows.concat() {
        let [_, constant, file] = &row[..] else { panic!("a row has three cells: {row:?}") };
        let (constant, file) = (code(constant).join(""), code(file).join(""));
        let (name, value) = constant.split_once(" = ").expect("a constant with its value");
        assert!(found.insert((file, name.to_owned()), value.to_owned()).is_none(), "{name} is listed twice");
    }
    found
}

#[test]
fn every_listed_bound_has_its_value() {
    let (constants, listed) = (constants(), listed());
    assert!(listed.len() >= 100, "{} bounds: some are gone", listed.len());
    for (constant, value) in &listed {
        let (file, name) = constant;
        let places: BTreeSet<_> =
            constants.keys().filter(|(_, other)| other == name).map(|(file, _)| file).collect();
        let found =
            constants.get(constant).unwrap_or_else(|| panic!("{name} is not in {file}, but in {places:?}"));
        assert_eq!(found, value, "the value of {name} in {file}");
    }
}

#[test]
fn no_bound_is_left_out() {
    let listed = listed();
    let is_bound = |name: &str| name.ends_with("_MAX") || name.ends_with("_MOST") || name == "MOST";
    let missing: Vec<_> = constants()
        .into_keys()
        .filter(|(file, name)| is_bound(name) && !listed.contains_key(&(file.clone(), name.clone())))
        .collect();
    assert!(missing.is_empty(), "docs/internals/bounds.md lacks {missing:#?}");
}

#[test]
fn the_files_to_open_exist() {
    let rows = table("ARCHITECTURE.md", "\n## To change X, open Y\n");
    assert!(rows.len() >= 20, "{} rows: some are gone", rows.len());
    for row in rows {
        let [_, places] = &row[..] else { panic!("a row has two cells: {row:?}") };
        let (files, names): (Vec<_>, Vec<_>) =
            code(places).into_iter().partition(|place| place.contains('/'));
        let paths: Vec<_> = files
            .iter()
            .flat_map(|file| sources().into_iter().map(move |source| source.join(file)))
            .collect();
        for file in &files {
            assert!(
                paths.iter().any(|path| path.ends_with(file) && path.exists()),
                "{file} is not there: {row:?}"
            );
        }
        let texts: Vec<_> = paths
            .iter()
            .filter(|path| path.is_file())
            .map(|path| fs::read_to_string(path).expect("a file"))
            .collect();
        for name in names {
            assert!(texts.iter().any(|text| text.contains(&name)), "{name} is in none of its files: {row:?}");
        }
    }
}

#[test]
fn the_page_stays_short() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(text.lines().count() <= 200, "{} lines, 200 at most", text.lines().count());
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 110).collect();
    assert!(wide.is_empty(), "wider than 110: {wide:#?}");
}
