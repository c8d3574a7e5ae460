//! `pollux plan`: what a reload would do.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use pollux::plan::{self, Replay};

use super::args::PlanArgs;
use super::{Failure, say, settings};

/// The most of an access log that is read, in bytes: its end is what counts, so cut longer ones before.
const LOG_LEN_MAX: u64 = 1 << 30;

pub(super) fn plan(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let old = settings::load(args.config.as_deref().unwrap_or(Path::new(settings::DEFAULT_FILE)))?;
    let new = settings::load(&args.new)?;
    let mut plan = plan::plan(&old.snapshot, &new.snapshot);
    plan.tell_process(&old.process, &new.process);
    if let Some(file) = &args.replay {
        let fail = |error| Failure::failed(format!("cannot read {}: {error}", file.display()));
        let mut bytes = Vec::new();
        std::fs::File::open(file)
            .and_then(|file| file.take(LOG_LEN_MAX).read_to_end(&mut bytes))
            .map_err(fail)?;
        let text = String::from_utf8_lossy(&bytes);
        plan.replay = Some(Replay::of(text.lines(), &old.snapshot, &new.snapshot));
    }
    if args.json {
        say(&serde_json::to_string(&plan).map_err(Failure::failed)?);
    } else {
        say(plan.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
