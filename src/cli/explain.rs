//! `pollux explain`: what would become of a request, and why.

use std::path::Path;
use std::process::ExitCode;

use pollux::balance::RoundRobin;
use pollux::explain::{self, Ask, Shown};

use super::args::ExplainArgs;
use super::{Failure, call, say, settings};

pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let ask = Ask {
        request: args.request.clone().unwrap_or_default(),
        headers: args.header.clone(),
        from: args.from,
        listener: args.listener.clone(),
        down: args.down.clone(),
        full: args.full.clone(),
        sni: args.sni.clone(),
        alpn: args.alpn.clone(),
        client_cert: Shown {
            state: args.client_cert.clone(),
            subject: args.client_cert_subject.clone(),
            fingerprint: args.client_cert_fingerprint.clone(),
        },
    };
    if args.live {
        return call::explain(args, ask);
    }
    let file = args.config.as_deref().unwrap_or(Path::new(settings::DEFAULT_FILE));
    let loaded = settings::load(file)?;
    let question = ask.understand(&loaded.snapshot).map_err(|error| Failure::usage(error.to_string()))?;
    let told = explain::explain(&loaded.snapshot, &loaded.places, &question, |_| RoundRobin::default());
    if args.json {
        let json = serde_json::to_string(&told).map_err(Failure::failed)?;
        say(&json);
    } else {
        say(told.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
