//! Every ```toml block of the pages in `docs/` is a whole configuration: it loads without a warning, and its
//! tests hold.

use std::fs;
use std::path::{Path, PathBuf};

use super::documentation::{check_print, load};

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The blocks of a page, without their fences.
fn blocks(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(language), None) => {
                fence = Some(language == "toml");
                if language == "toml" {
                    found.push(String::new());
                }
            }
            (Some(_), Some(_)) => fence = None,
            (None, Some(true)) => found.last_mut().expect("a block").push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    assert!(fence.is_none(), "a fence is left open");
    found
}

#[test]
fn every_block_is_a_good_configuration_and_its_tests_hold() {
    let mut found = Vec::new();
    pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"), &mut found);
    let (mut count, mut tests) = (0, 0);
    for page in &found {
        for block in blocks(&fs::read_to_string(page).expect("a page")) {
            let loaded = load(&block);
            if let Some(warnings) = &loaded.warnings {
                panic!("{}: {warnings}\n{block}", page.display());
            }
            check_print(&loaded);
            for trial in &loaded.tests {
                let outcome = trial.run(&loaded.snapshot, &loaded.places);
                assert!(
                    outcome.failures.is_empty(),
                    "{}: {}: {:?}",
                    page.display(),
                    outcome.name,
                    outcome.failures
                );
                tests += 1;
            }
            count += 1;
        }
    }
    assert!(count >= 12 && tests >= 9, "{count} blocks with {tests} tests: some are gone");
}
