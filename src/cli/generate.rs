//! `pollux completions` and `pollux man`: what shells and readers are given, written from the command line's
//! own description.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use super::Failure;
use super::args::{Cli, CompletionsArgs, ManArgs};

/// `pollux completions`.
pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let (mut command, mut text) = (Cli::command(), Vec::new());
    clap_complete::generate(args.shell, &mut command, "pollux", &mut text);
    write(&text)
}

/// `pollux man`.
pub(super) fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    match &args.dir {
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(Failure::failed)?;
            write(&text)
        }
        Some(dir) => {
            let cannot =
                |error: io::Error| Failure::failed(format!("cannot write to {}: {error}", dir.display()));
            std::fs::create_dir_all(dir).map_err(cannot)?;
            clap_mangen::generate_to(Cli::command(), Path::new(dir)).map_err(cannot)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn write(text: &[u8]) -> Result<ExitCode, Failure> {
    match io::stdout().lock().write_all(text) {
        // The reader, such as `head`, may close the pipe early.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
