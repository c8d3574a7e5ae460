//! The signals of this process, turned into values.

use std::fmt;
use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{SignalsInfo, exfiltrator::SignalOnly};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM, SIGINT or SIGQUIT: stop, and take the time that it needs. A second one means at once.
    Stop(&'static str),
    /// SIGHUP: read the configuration again.
    Reload,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Asked::Stop(name) => name,
            Asked::Reload => "SIGHUP",
        })
    }
}

/// The signals of this process.
pub(super) struct Signals(SignalsInfo<SignalOnly>);

impl Signals {
    /// Takes them over from the default handlers; SIGHUP only if it `reloads`, or it ends the process as it always did.
    pub(super) fn take_over(reloads: bool) -> io::Result<Signals> {
        let mut signals = vec![SIGTERM, SIGINT, SIGQUIT];
        signals.extend(reloads.then_some(SIGHUP));
        SignalsInfo::new(signals).map(Signals)
    }

    /// Waits for the next one.
    pub(super) fn wait(&mut self) -> Asked {
        loop {
            if let Some(asked) = self.0.wait().find_map(asked) {
                return asked;
            }
        }
    }
}

fn asked(signal: i32) -> Option<Asked> {
    match signal {
        SIGTERM => Some(Asked::Stop("SIGTERM")),
        SIGINT => Some(Asked::Stop("SIGINT")),
        SIGQUIT => Some(Asked::Stop("SIGQUIT")),
        SIGHUP => Some(Asked::Reload),
        _ => None,
    }
}
