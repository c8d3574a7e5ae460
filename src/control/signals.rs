//! The signals of this process, turned into values.

use std::collections::VecDeque;
use std::fmt;
use std::io;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{SignalsInfo, exfiltrator::SignalOnly};

/// The action that a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// SIGTERM, SIGINT or SIGQUIT: stop, and take the time that it needs. A second one means at once.
    Stop(&'static str),
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: open the files of the log anew.
    Reopen,
    /// SIGUSR2: let a new process of the executable, as it is now, take over.
    Upgrade,
}

impl fmt::Display for SignalAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SignalAction::Stop(name) => name,
            SignalAction::Reload => "SIGHUP",
            SignalAction::Reopen => "SIGUSR1",
            SignalAction::Upgrade => "SIGUSR2",
        })
    }
}

/// The signals that become values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Signals that end the process.
    End,
    /// All but SIGHUP, where there is nothing to be read again.
    AllButReload,
    /// All.
    All,
}

/// The signals of this process.
pub(super) struct Signals {
    info: SignalsInfo<SignalOnly>,
    /// Signals that came together and were not returned yet.
    come: VecDeque<i32>,
}

impl Signals {
    /// Takes those over from the default handlers that `taken` says; the others do what they always did.
    pub(super) fn take_over(taken: Taken) -> io::Result<Signals> {
        let signals: &[i32] = match taken {
            Taken::End => &[SIGTERM, SIGINT, SIGQUIT],
            Taken::AllButReload => &[SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2],
            Taken::All => &[SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGHUP],
        };
        let signals = Signals { info: SignalsInfo::new(signals)?, come: VecDeque::new() };
        if std::process::id() == 1 {
            signals.info.add_signal(SIGCHLD)?;
            // Some may have ended before, as children of what has become this process.
            reap();
        }
        Ok(signals)
    }

    /// Waits for the next one.
    pub(super) fn wait(&mut self) -> SignalAction {
        loop {
            match self.come.pop_front() {
                None => self.come.extend(self.info.wait()),
                Some(SIGCHLD) => reap(),
                Some(signal) => {
                    if let Some(asked) = asked(signal) {
                        return asked;
                    }
                }
            }
        }
    }
}

/// Takes in what has ended. The first process of a container is given every process there that loses its
/// parent, and has none of its own: it starts nothing.
fn reap() {
    let any = Pid::from_raw(-1);
    while waitpid(any, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

fn asked(signal: i32) -> Option<SignalAction> {
    match signal {
        SIGTERM => Some(SignalAction::Stop("SIGTERM")),
        SIGINT => Some(SignalAction::Stop("SIGINT")),
        SIGQUIT => Some(SignalAction::Stop("SIGQUIT")),
        SIGHUP => Some(SignalAction::Reload),
        SIGUSR1 => Some(SignalAction::Reopen),
        SIGUSR2 => Some(SignalAction::Upgrade),
        _ => None,
    }
}
