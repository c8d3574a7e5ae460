//! SIGTERM and SIGINT, turned into requests that the main thread can wait for.

use std::io;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{SignalsInfo, exfiltrator::SignalOnly};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM: stop, and take the time that it needs.
    Stop,
    /// SIGINT: the same, from a person at a terminal, who may lose patience.
    Interrupt,
}

/// The signals of this process.
pub struct Signals(SignalsInfo<SignalOnly>);

impl Signals {
    /// Takes them over from the default handlers.
    ///
    /// # Errors
    /// As sigaction(2) gives them.
    pub fn take_over() -> io::Result<Signals> {
        SignalsInfo::new([SIGTERM, SIGINT]).map(Signals)
    }

    /// Waits for the next one.
    pub fn wait(&mut self) -> Asked {
        loop {
            if let Some(asked) = self.0.wait().find_map(asked) {
                return asked;
            }
        }
    }

    /// Waits until `is_over` says so, asking every few milliseconds, or until a signal comes that `counts`.
    fn wait_until(
        &mut self,
        mut is_over: impl FnMut() -> bool,
        counts: impl Fn(Asked) -> bool,
    ) -> Option<Asked> {
        const STEP: Duration = Duration::from_millis(5);
        loop {
            if let Some(asked) = self.0.pending().filter_map(asked).find(|asked| counts(*asked)) {
                return Some(asked);
            }
            if is_over() {
                return None;
            }
            std::thread::sleep(STEP);
        }
    }

    /// Waits until `is_over` says so; false if an interrupt comes first. A supervisor may well send SIGTERM twice, which
    /// means no more than once; a person who presses Ctrl-C again means it.
    pub fn is_left_in_peace(&mut self, is_over: impl FnMut() -> bool) -> bool {
        self.wait_until(is_over, |asked| asked == Asked::Interrupt).is_none()
    }

    /// Waits for the next one for at most `span`.
    pub fn wait_for(&mut self, span: Duration) -> Option<Asked> {
        let start = Instant::now();
        self.wait_until(|| start.elapsed() >= span, |_| true)
    }
}

fn asked(signal: i32) -> Option<Asked> {
    match signal {
        SIGTERM => Some(Asked::Stop),
        SIGINT => Some(Asked::Interrupt),
        _ => None,
    }
}
