//! Reports of a running server: status, metrics, sessions.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::mailbox::{Mailbox, Order};
use super::server::Server;
use crate::access::Post;
use crate::explain::WorkerState;
use crate::metrics::{self, Around, MetricsFormat, Totals};
use crate::os::ProcessUsage;
use crate::recorder::Story;
use crate::status::{Configuration, Crowd, Drain, Listening, Status, Traffic};

/// A question to every worker whether it still turns.
#[derive(Debug)]
pub struct Pulse {
    /// The workers that have not answered yet.
    awaited: Vec<(usize, Receiver<()>)>,
}

impl Server {
    /// The state of each worker that its next decisions depend on; they all run on [`Server::snapshot`].
    #[must_use]
    pub fn live(&self) -> Vec<WorkerState> {
        let mut live = self.ask(|to| Order::Live { to });
        live.sort_by_key(|live| live.worker);
        live
    }

    /// The exchanges that the workers remember, the last one first.
    #[must_use]
    pub fn stories(&self) -> Vec<Story> {
        let mut stories: Vec<Story> = self.ask(|to| Order::Stories { to }).into_iter().flatten().collect();
        stories.sort_by_key(|story| story.ago_ms);
        stories
    }

    /// Asks every worker whether it still turns, and does not wait; see [`Server::is_back`].
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let ask = |(worker, mailbox): (usize, &Arc<Mailbox>)| {
            let (to, answer) = channel();
            mailbox.post(Order::Ping { to });
            (worker, answer)
        };
        Pulse { awaited: self.mailboxes.iter().enumerate().map(ask).collect() }
    }

    /// Whether every worker has answered to `pulse` by now. In a drain one that has ended needs not.
    #[must_use]
    pub fn is_back(&self, pulse: &mut Pulse) -> bool {
        let has_ended = |worker: usize| self.draining_since.is_some() && self.threads[worker].is_finished();
        pulse.awaited.retain(|(worker, answer)| answer.try_recv().is_err() && !has_ended(*worker));
        pulse.awaited.is_empty()
    }

    /// Since when it runs on its configuration. Which file that was is for the caller to say.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        Configuration { file: None, loaded_ms: ms(self.loaded.elapsed()), reloads: self.reloads }
    }

    /// The status: asks every worker that still runs, and waits for the answers, which come between two
    /// turns.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut reports = self.ask(|to| Order::Report { to });
        reports.sort_by_key(|report| report.worker.number);
        let mut crowd = Crowd::default();
        let workers = reports.into_iter().map(|report| {
            crowd.join(report.crowd);
            report.worker
        });
        let workers: Vec<_> = workers.collect();
        let listeners = self.snapshot.listeners.iter().zip(&self.addresses);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_ms: ms(self.started.elapsed()),
            configuration: self.configuration(),
            listeners: listeners
                .map(|(listener, address)| Listening {
                    name: listener.name.clone(),
                    address: address.to_string(),
                    mode: listener.mode.to_string(),
                })
                .collect(),
            certificates: super::certificates::certificates(&self.snapshot, &self.tls),
            workers_silent: self.threads.len() - workers.len(),
            workers,
            crowd,
            pools: super::health::pools(
                &self.snapshot,
                &self.registry.open(&self.snapshot),
                crate::os::now(),
            ),
            traffic: Traffic::of(&self.totals()),
            changes: self.changes.tell(),
            log: None,
            // The requests for backends are not known here.
            sources: Vec::new(),
            drain: self.draining_since.map(|since| Drain {
                since_ms: ms(since.elapsed()),
                left_ms: ms(self.snapshot.timeouts.drain.saturating_sub(since.elapsed())),
            }),
        }
    }

    /// Its metrics, as Prometheus reads them. No worker is asked: they show what they count.
    #[must_use]
    pub fn metrics(&self, format: MetricsFormat) -> String {
        metrics::page(&self.totals(), &self.around(), format)
    }

    /// The counts of all workers since they began.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.registry.metrics().totals()
    }

    /// Has the page tell what becomes of the lines that go that way.
    pub fn tell_of_lines(&mut self, post: Post) {
        self.access_lines = Some(post);
    }

    fn around(&self) -> Around {
        let limits = &self.snapshot.limits;
        let pools = self.registry.open(&self.snapshot);
        Around {
            version: env!("CARGO_PKG_VERSION"),
            workers: self.threads.iter().filter(|thread| !thread.is_finished()).count(),
            is_draining: self.draining_since.is_some(),
            loaded: self.loaded.since_1970(),
            reloads: self.reloads,
            access_lines: self.access_lines.as_ref().map(Post::counts).unwrap_or_default(),
            sessions_max: limits.sessions,
            buffers_max: limits.buffers,
            pools: super::scrape::pools(&self.snapshot, &pools),
            backends: super::scrape::backends(&self.snapshot, &pools, crate::os::now()),
            certificates: super::certificates::expiries(&self.snapshot, &self.tls),
            process: ProcessUsage::now()
                .map(|process| ProcessUsage { started: self.started.since_1970(), ..process }),
        }
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
