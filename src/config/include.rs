//! The files of a configuration: the one that is named, and those that it includes.

use std::path::{Path, PathBuf};

use super::FILE_LEN_MAX;
use super::code::Code;
use super::doc::{self, Node, Table};
use super::excerpt::Place;
use super::language;
use super::quote::quote;
use super::read::Reader;
use super::report::{Diagnostic, Findings, Text};
use super::world::World;

/// The most files that a configuration may have.
const FILES_MAX: usize = 1000;

/// Reads the file at `path`, number `file`; `from` is the place that names it. One that cannot be read
/// becomes a finding.
pub(super) fn read(
    path: &Path,
    from: Option<Place>,
    file: u16,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Text {
    let origin = path.display().to_string();
    let mut text = Text { origin, text: String::new() };
    match world.read(path, FILE_LEN_MAX).map(String::from_utf8) {
        Ok(Ok(read)) => text.text = read,
        Ok(Err(error)) => {
            let start = error.utf8_error().valid_up_to();
            // Every byte before `start` is kept as it is, so the offset holds in the lossy text too.
            text.text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            findings.push(
                Diagnostic::new(Code::Unreadable, "the file is not UTF-8 text")
                    .mark(Place::new(file, start..start + 1), "this byte belongs to no character")
                    .help("save the file as UTF-8"),
            );
        }
        Err(error) => {
            let named = if from.is_some() { quote(&text.origin) } else { String::from("the configuration") };
            let found = Diagnostic::new(Code::Unreadable, format!("cannot read {named}: {error}"))
                .help("name an existing file that this user may read");
            findings.push(match from {
                Some(place) => found.mark(place, "included here"),
                None => found,
            });
        }
    }
    text
}

/// The tree of the first text and of the files that it includes, whose texts are appended.
pub(super) fn all(
    texts: &mut Vec<Text>,
    folder: &Path,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Table {
    let mut root = doc::parse(&texts[0].text, 0, world, findings);
    let patterns: Vec<Node> = Reader::new(&root, &language::FILE).list("include").to_vec();
    for pattern in patterns {
        let Some(written) = pattern.text() else { continue };
        for path in paths(written, pattern.place, folder, world, findings) {
            if texts.len() >= FILES_MAX || findings.is_full() {
                let message = format!("more than {FILES_MAX} files are included");
                findings.push(
                    Diagnostic::new(Code::TooMany, message)
                        .mark(pattern.place, "by this")
                        .help("include fewer"),
                );
                return root;
            }
            let file = u16::try_from(texts.len()).unwrap_or(u16::MAX);
            texts.push(read(&path, Some(pattern.place), file, world, findings));
            let mut more = doc::parse(&texts[texts.len() - 1].text, file, world, findings);
            if let Some(entry) = more.get("include") {
                let found = Diagnostic::new(Code::BadInclude, "an included file includes another")
                    .mark(entry.key_place, "here")
                    .help("list all files in the `include` of the first one");
                findings.push(found);
            }
            more.entries.retain(|entry| entry.key != "include");
            doc::merge(&mut root, more, findings);
        }
    }
    root
}

/// Endings of the names of files that editors and package managers leave beside the original.
const LEFTOVERS: [&str; 19] = [
    "~",
    "#",
    ".bak",
    ".bk",
    ".old",
    ".orig",
    ".rej",
    ".save",
    ".swo",
    ".swp",
    ".swx",
    ".tmp",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
    ".rpmnew",
    ".rpmorig",
    ".rpmsave",
    ".ucf-dist",
];

/// Whether a file that `pattern` stands for is one of the configuration. A dot file and a leftover are so
/// only if the pattern asks for such names: by a dot at the beginning, by that end.
fn is_meant(pattern: &Path, path: &Path) -> bool {
    let [pattern, name] = [pattern, path].map(|path| path.file_name().unwrap_or_default().to_string_lossy());
    let is_hidden = name.starts_with('.') && !pattern.starts_with('.');
    let is_leftover = LEFTOVERS.iter().any(|end| name.ends_with(end) && !pattern.ends_with(end));
    !is_hidden && !is_leftover
}

/// The files that `pattern` stands for.
fn paths(
    pattern: &str,
    place: Place,
    folder: &Path,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Vec<PathBuf> {
    let whole = folder.join(pattern);
    if !pattern.contains(['*', '?', '[']) {
        return vec![whole];
    }
    match world.files(&whole.to_string_lossy()) {
        Ok(paths) => paths.into_iter().filter(|path| is_meant(&whole, path)).collect(),
        Err(error) => {
            let found =
                Diagnostic::new(Code::BadInclude, format!("cannot follow {}: {error}", quote(pattern)))
                    .mark(place, "included here")
                    .help("write a path such as `conf.d/*.toml`");
            findings.push(found);
            Vec::new()
        }
    }
}
