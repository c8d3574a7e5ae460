//! `pollux why`: what a cause means, and what to do about it.

use std::process::ExitCode;

use pollux::why::Why;

use super::args::WhyArgs;
use super::{Failure, say};

pub(super) fn why(args: &WhyArgs) -> Result<ExitCode, Failure> {
    let Some(word) = &args.word else {
        let all: Vec<Why> = Why::all().collect();
        let line = |why: &Why| format!("{:<26}{}", why.cause, why.meaning);
        tell(args.json, &all, || all.iter().map(line).collect::<Vec<_>>().join("\n"));
        return Ok(ExitCode::SUCCESS);
    };
    let why = word
        .parse::<Why>()
        .map_err(|error| Failure::usage(format!("{error}\n  = help: `pollux why` lists all of them")))?;
    tell(args.json, &why, || why.to_string().trim_end().to_owned());
    Ok(ExitCode::SUCCESS)
}

fn tell(json: bool, what: &impl serde::Serialize, text: impl FnOnce() -> String) {
    if json {
        say(&format!("{:#}", serde_json::to_value(what).unwrap_or_default()));
    } else {
        say(&text());
    }
}
