//! `pollux`: serve until told to stop, perhaps in the place of another process.

use std::process::ExitCode;
use std::sync::Arc;

use pollux::control::{Inherited, Predecessor};

use super::Failure;
use super::args::RunArgs;
use super::running::Running;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    // Before anything is opened that could be taken for something that was passed.
    let passed = Inherited::from_manager();
    let args = Arc::new(args);
    match Predecessor::find().map_err(|error| Failure::failed(format!("cannot take over: {error}")))? {
        None => Ok(Running::start(&args, passed)?.serve()),
        Some((predecessor, inherited)) => succeed(&args, predecessor, inherited),
    }
}

/// Takes the place of another process, or tells it why not.
fn succeed(args: &Arc<RunArgs>, predecessor: Predecessor, inherited: Inherited) -> Result<ExitCode, Failure> {
    let running = match Running::take_over(args, inherited) {
        Ok(running) => running,
        Err(failure) => {
            predecessor.give_back(&failure.text);
            return Err(failure);
        }
    };
    match predecessor.succeed(running.left().to_vec()) {
        Ok(()) => Ok(running.serve()),
        Err(error) => {
            running.withdraw();
            let text = format!("the process whose place this one was to take has gone: {error}");
            Err(Failure::failed(text))
        }
    }
}
