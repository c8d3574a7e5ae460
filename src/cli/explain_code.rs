//! `pollux explain-code`: what the code of a diagnostic means.

use std::process::ExitCode;

use pollux::config::Code;

use super::args::ExplainCodeArgs;
use super::{Failure, say};

pub(super) fn explain_code(args: &ExplainCodeArgs) -> Result<ExitCode, Failure> {
    let Some(text) = &args.code else {
        let line = |code: &Code| format!("{code} ({}): {}", code.severity(), code.title());
        say(&Code::ALL.iter().map(line).collect::<Vec<_>>().join("\n"));
        return Ok(ExitCode::SUCCESS);
    };
    let Ok(code) = text.parse::<Code>() else {
        let last = Code::ALL.last().map_or("", |code| code.text());
        return Err(Failure::usage(format!("there is no code `{text}`; they go from P0001 to {last}")));
    };
    say(&format!("{code} ({}): {}\n\n{}", code.severity(), code.title(), code.paragraph()));
    Ok(ExitCode::SUCCESS)
}
