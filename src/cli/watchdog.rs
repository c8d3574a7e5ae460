//! Messages to the service manager: the state of the process, and, at the interval that it asks for, that all
//! workers still turn.

use std::time::{Duration, Instant};

use pollux::control::{Manager, Pulse, Server};

/// See the module.
pub(super) struct Watchdog {
    manager: Manager,
    due: Instant,
    pulse: Option<Pulse>,
}

impl Watchdog {
    pub(super) fn new(manager: Manager) -> Watchdog {
        Watchdog { manager, due: Instant::now(), pulse: None }
    }

    pub(super) fn manager(&self) -> &Manager {
        &self.manager
    }

    /// The time until something has to be done, if ever.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.manager.watchdog().map(|_| self.due.saturating_duration_since(Instant::now()))
    }

    /// Tells the manager that all is well, if it is due and all workers have answered since the last time. A
    /// worker that does not is what a watchdog is for.
    pub(super) fn beat(&mut self, server: &Server) {
        let Some(span) = self.manager.watchdog() else { return };
        if Instant::now() < self.due {
            return;
        }
        // A late worker is looked at again soon: an answer comes between two turns.
        let is_well = self.pulse.as_mut().is_none_or(|pulse| server.is_back(pulse));
        if is_well {
            self.manager.alive();
            self.pulse = Some(server.pulse());
        }
        self.due = Instant::now() + if is_well { span } else { span / 4 };
    }

    /// Tells the manager that another process is to be watched; of this one it hears no more.
    pub(super) fn hand_over(&mut self, pid: u32) {
        self.manager.main_is(pid, "a new process has taken over");
        self.manager = Manager::default();
    }
}
