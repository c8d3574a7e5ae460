//! `pollux test`: the tests that a configuration brings along.

use std::path::Path;
use std::process::ExitCode;

use pollux::config::Loaded;
use pollux::explain::TestOutcome;

use super::args::TestArgs;
use super::{FAILED, Failure, say, settings};

/// Exits with 1 if a test fails.
pub(super) fn test(args: &TestArgs) -> Result<ExitCode, Failure> {
    let file = args.file.as_deref().or(args.config.as_deref()).unwrap_or(Path::new(settings::DEFAULT_FILE));
    let loaded = settings::load(file)?;
    let outcomes = run(&loaded);
    if args.json {
        say(&serde_json::to_string(&outcomes).map_err(Failure::failed)?);
    } else {
        say(&tell(&outcomes, true));
    }
    let has_failed = outcomes.iter().any(|outcome| !outcome.failures.is_empty());
    Ok(if has_failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Runs every test of a configuration.
pub(super) fn run(loaded: &Loaded) -> Vec<TestOutcome> {
    loaded.tests.iter().map(|trial| trial.run(&loaded.snapshot, &loaded.places)).collect()
}

/// The results, a line for each that is of interest, and the sum.
pub(super) fn tell(outcomes: &[TestOutcome], all: bool) -> String {
    let mut lines = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| all || !outcome.failures.is_empty()) {
        let verdict = if outcome.failures.is_empty() { "ok" } else { "FAILED" };
        lines.push(format!("test {} ... {verdict}", outcome.name));
        lines.extend(outcome.failures.iter().map(|failure| format!("    {}: {failure}", outcome.place)));
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    lines.push(format!("{} passed, {failed} failed", outcomes.len() - failed));
    lines.join("\n")
}
