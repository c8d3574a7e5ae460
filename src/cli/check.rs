//! `pollux check`: is this configuration good?

use std::path::Path;
use std::process::ExitCode;

use pollux::config::{self, ConfigReport, Loaded};

use super::args::CheckArgs;
use super::progress::Progress;
use super::{FAILED, Failure, complain, say, settings, test};

/// Exits with 0 if the configuration can be run, else with 1; with `--strict` warnings count too.
pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let file = args.file.as_deref().or(args.config.as_deref()).unwrap_or(Path::new(settings::DEFAULT_FILE));
    let progress = Progress::start(format!("checking {}", file.display()), None);
    let outcome = config::load(file);
    let trials = outcome.as_ref().map_or_else(|_| Vec::new(), test::run);
    drop(progress);
    let tests_pass = trials.iter().all(|trial| trial.failures.is_empty());
    let is_good = match &outcome {
        Ok(loaded) => tests_pass && !(args.strict && loaded.warnings.is_some()),
        Err(_) => false,
    };
    let report = match &outcome {
        Ok(loaded) => loaded.warnings.as_ref(),
        Err(report) => Some(report),
    };
    if args.json {
        let found = report.map_or_else(|| serde_json::json!([]), ConfigReport::to_json);
        say(&serde_json::json!({ "good": is_good, "found": found, "tests": trials }).to_string());
    } else {
        if let Some(report) = report {
            complain(&settings::show(report));
        }
        if !tests_pass {
            complain(&format!("error: {}", test::tell(&trials, false)));
        }
        if let (Ok(loaded), true) = (&outcome, is_good) {
            if args.print {
                say(config::print_as_written(&loaded.snapshot, &loaded.process, &loaded.written, false)
                    .trim_end());
            } else {
                say(&format!("{}: good ({})", file.display(), contents(loaded)));
            }
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The contents of a configuration, in numbers.
fn contents(loaded: &Loaded) -> String {
    let count =
        |number: usize, thing: &str| format!("{number} {thing}{}", if number == 1 { "" } else { "s" });
    let snapshot = &loaded.snapshot;
    let backends = snapshot.pools.iter().map(|pool| pool.backends.len()).sum();
    format!(
        "{}, {}, {}",
        count(snapshot.listeners.len(), "listener"),
        count(snapshot.pools.len(), "pool"),
        count(backends, "backend")
    )
}
