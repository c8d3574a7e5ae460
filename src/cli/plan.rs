//! `pollux plan`: what a reload would do.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use pollux::plan::{self, Replay};

use super::args::PlanArgs;
use super::progress::Progress;
use super::{Failure, say, settings};

/// The most of an access log that is read, in bytes: its end is what counts, so cut longer ones before.
const LOG_LEN_MAX: u64 = 1 << 30;

pub(super) fn plan(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let old = settings::load(args.config.as_deref().unwrap_or(Path::new(settings::DEFAULT_FILE)))?;
    let new = settings::load(&args.new)?;
    let mut plan = plan::plan(&old.snapshot, &new.snapshot);
    plan.tell_process(&old.process, &new.process);
    if let Some(file) = &args.replay {
        let bytes = read(file)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
        let text = String::from_utf8_lossy(&bytes);
        let progress = Progress::start(format!("replaying {}", file.display()), Some(text.len() as u64));
        let lines = text.lines().inspect(|line| progress.advance(line.len() as u64 + 1));
        plan.replay = Some(Replay::of(lines, &old.snapshot, &new.snapshot));
    }
    if args.json {
        say(&serde_json::to_string(&plan).map_err(Failure::failed)?);
    } else {
        say(plan.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    let whole = about.is_file().then(|| about.len().min(LOG_LEN_MAX));
    let progress = Progress::start(format!("reading {}", path.display()), whole);
    let mut bytes = Vec::new();
    progress.of(file.take(LOG_LEN_MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
