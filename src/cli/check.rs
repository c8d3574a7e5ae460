//! `pollux check`: is this configuration good?

use std::path::Path;
use std::process::ExitCode;

use super::args::CheckArgs;
use super::{Failure, say, settings};

pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let file = args.file.as_deref().or(args.config.as_deref()).unwrap_or(Path::new(settings::DEFAULT_FILE));
    let loaded = settings::load(file)?;
    let count =
        |number: usize, thing: &str| format!("{number} {thing}{}", if number == 1 { "" } else { "s" });
    let backends = loaded.snapshot.pools.iter().map(|pool| pool.backends.len()).sum();
    say(&format!(
        "{}: good ({}, {}, {})",
        file.display(),
        count(loaded.snapshot.listeners.len(), "listener"),
        count(loaded.snapshot.pools.len(), "pool"),
        count(backends, "backend"),
    ));
    Ok(ExitCode::SUCCESS)
}
