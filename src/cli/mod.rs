//! The command line: arguments, commands and their exit codes.
//!
//! Exit codes: 0 all went well, 1 something could not be done, 2 what was typed or configured is wrong, 3
//! Pollux was stopped before its work was finished.

mod answer;
mod args;
mod call;
mod changes;
mod check;
mod crowd;
mod demo;
mod explain;
mod explain_code;
mod generate;
mod logging;
mod named;
mod operate;
mod plan;
mod progress;
mod recorder;
mod reloading;
mod run;
mod running;
mod settings;
mod stop;
mod terminal;
mod test;
mod tls_info;
mod top;
mod upgrade;
mod watchdog;
mod why;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Something could not be done.
const FAILED: u8 = 1;
/// A flag or a setting is wrong.
const USAGE: u8 = 2;
/// Stopped before the end.
const FORCED: u8 = 3;

/// Why a command did not do what it was asked to.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    #[allow(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
    fn failed(error: impl ToString) -> Failure {
        Failure { code: FAILED, text: error.to_string() }
    }

    fn usage(text: impl Into<String>) -> Failure {
        Failure { code: USAGE, text: text.into() }
    }
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run::run(cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Check(args)) => check::check(&args),
        Some(Command::Reload(args)) => call::reload(&args),
        Some(Command::Status(args)) => call::status(&args),
        Some(Command::Metrics(args)) => call::metrics(&args),
        Some(Command::Recorder(args)) => call::recorder(&args),
        Some(Command::Upgrade(args)) => call::upgrade(&args),
        Some(Command::Backend(args)) => operate::backend(&args),
        Some(Command::Changes(args)) => changes::changes(&args),
        Some(Command::Session(args)) => operate::session(&args),
        Some(Command::LogLevel(args)) => operate::log_level(&args),
        Some(Command::Schema) => {
            say(&format!("{:#}", pollux::config::schema()));
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Top(args)) => top::top(&args),
        Some(Command::Test(args)) => test::test(&args),
        Some(Command::Plan(args)) => plan::plan(&args),
        Some(Command::Explain(args)) => explain::explain(&args),
        Some(Command::ExplainCode(args)) => explain_code::explain_code(&args),
        Some(Command::Why(args)) => why::why(&args),
        Some(Command::Completions(args)) => generate::completions(&args),
        Some(Command::Man(args)) => generate::man(&args),
        Some(Command::Demo(args)) => demo::demo(&args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn complain(text: &str) {
    use std::io::Write;
    // A report says by itself what it is, in colours or without.
    let is_report = text.starts_with(['\u{1b}']) || text.starts_with("error") || text.starts_with("warning");
    let prefix = if is_report { "" } else { "error: " };
    // Where an error cannot even be written, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "{prefix}{}", text.trim_end());
}

fn say(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // The reader of the output may have gone; that is no reason to stop serving.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
