//! The surroundings of the checks: the world that they may ask, and the texts that they are about.

use std::path::{Path, PathBuf};

use super::fields::Of;
use crate::config::excerpt::Place;
use crate::config::report::Text;
use crate::config::world::World;
use crate::discovery::Answers;
use crate::snapshot::Timeouts;
use crate::tls::Handles;

/// See the module.
pub(in crate::config) struct Site<'a> {
    pub(super) world: &'a mut dyn World,
    texts: &'a [Text],
    /// The answers to its questions for backends.
    pub(super) answers: Answers,
    /// The TLS objects that were made of the rules.
    pub(super) tls: Handles,
    /// The names of the pools, in their order.
    pub(super) pools: Vec<String>,
    /// The times of the whole file, which those of a route stand in for.
    pub(super) timeouts: Timeouts,
    /// The parts of the path that templates of the route that is being read may name; `None` if its
    /// conditions have an error.
    pub(super) parts: Option<Vec<String>>,
    /// The messages whose header fields are being read.
    pub(super) fields_of: Of,
    /// The number of expressions that were read; at most `conditions::PATTERNS_MAX`.
    pub(super) patterns: usize,
}

impl<'a> Site<'a> {
    pub(super) fn new(world: &'a mut dyn World, texts: &'a [Text]) -> Site<'a> {
        Site {
            world,
            texts,
            answers: Answers::default(),
            tls: Handles::default(),
            pools: Vec::new(),
            timeouts: Timeouts::default(),
            parts: Some(Vec::new()),
            fields_of: Of::Request,
            patterns: 0,
        }
    }

    /// `path`, relative to the file that names it at `place`.
    pub(super) fn path(&self, path: impl AsRef<Path>, place: Place) -> PathBuf {
        let origin = self.texts.get(usize::from(place.file)).map_or("", |text| text.origin.as_str());
        Path::new(origin).parent().unwrap_or(Path::new("")).join(path)
    }

    /// The file in which `place` is.
    pub(super) fn origin(&self, place: Place) -> Option<&Path> {
        self.texts.get(usize::from(place.file)).map(|text| Path::new(&text.origin))
    }

    /// The place of the bytes `from..to` of `value`, which is written at `place`. Where the file has escapes
    /// it is the whole.
    pub(super) fn inside(&self, place: Place, value: &str, from: usize, to: usize) -> Place {
        let text = self.texts.get(usize::from(place.file)).map_or("", |text| text.text.as_str());
        let written = text.get(place.start as usize..place.end as usize).unwrap_or_default();
        match written.find(value) {
            Some(at) if !value.is_empty() => {
                let start = place.start as usize + at;
                Place::new(place.file, start + from..start + to.max(from + 1))
            }
            Some(_) | None => place,
        }
    }
}
