//! The report of a worker, collected on request between two turns. Nothing is counted in advance.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use super::Worker;
use super::look::Look;
use crate::core::outcome::without_query;
use crate::core::slab::Key;
use crate::explain::WorkerState;
use crate::metrics::Holdings;
use crate::os::Os;
use crate::session::Summary;
use crate::snapshot::NO_ADDRESS;
use crate::status::{self, Crowd, HOLDERS_MAX, Holder, SessionId};

/// The report of a worker about itself.
#[derive(Debug, Default)]
pub struct WorkerReport {
    /// Its resources, in numbers.
    pub worker: status::WorkerStatus,
    /// Its sessions.
    pub crowd: Crowd,
}

impl<O: Os> Worker<O> {
    /// The report of the worker now. Looks at every session.
    pub fn report(&mut self) -> WorkerReport {
        self.now = self.os.now();
        let census = self.census();
        let worker = status::WorkerStatus {
            number: self.share.worker,
            sessions: census.sessions,
            backends_in_use: census.in_flight,
            backends_idle: census.idle,
            backends_own: census.own,
            buffers_out: census.buffers_out,
            pipes_out: census.pipes_out,
        };
        WorkerReport { worker, crowd: self.crowd() }
    }

    /// Publishes for scrapes what the worker holds now, before its next poll, when all quiet sessions are
    /// parked.
    pub(super) fn show_holdings(&self) {
        self.meters.show(&Holdings {
            worker: self.share.worker,
            turns: self.turn,
            sessions: self.conns.sessions(),
            parked: self.conns.sessions().saturating_sub(self.hot.len()),
            idle: self.idle.len(),
            buffers: self.storage.out(),
            pipes: self.pipes.out(),
            made_room: self.made_room(),
            refused: self.refused(),
            short: self.short(),
        });
    }

    /// The state on which its next decisions depend, under its latest configuration.
    #[must_use]
    pub fn live(&self) -> WorkerState {
        WorkerState {
            worker: self.share.worker,
            robins: self.generation.robins(),
            random: self.generation.random(),
            idle: self.generation.idle(&self.idle),
            readings: self.generation.readings(&self.idle, &self.conns, self.now),
        }
    }

    fn crowd(&self) -> Crowd {
        let world = self.world();
        let mut crowd = Crowd::default();
        let mut seen: Vec<Seen> = Vec::new();
        for (key, client) in self.conns.iter() {
            let Some(summary) = client.summary(world) else { continue };
            let age_ms = ms(self.now.since(summary.since));
            crowd.count(summary.kind, age_ms, summary.ends.map(|ends| ms(ends.since(self.now))));
            seen.push(Seen { rank: status::rank(summary.kind, age_ms), key, summary });
            // The memory is bounded, and each session is sorted a few times at most.
            if seen.len() == 8 * HOLDERS_MAX {
                keep_oldest(&mut seen);
            }
        }
        keep_oldest(&mut seen);
        let holder = |seen: &Seen| Some(self.holder(seen.key, self.conns.look(seen.key)?, &seen.summary));
        crowd.holders = seen.iter().filter_map(holder).collect();
        crowd
    }

    pub(super) fn holder(&self, key: Key, client: Look<'_>, summary: &Summary) -> Holder {
        let record = client.record(self.world());
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let request = match (record.method, record.target) {
            ([], []) => String::new(),
            (method, target) if self.journal.hides_query() => {
                format!("{} {}", text(method), text(without_query(target)))
            }
            (method, target) => format!("{} {}", text(method), text(target)),
        };
        Holder {
            id: SessionId { worker: self.share.worker, key }.to_string(),
            kind: summary.kind,
            age_ms: ms(self.now.since(summary.since)),
            client: match record.proxy {
                Some(proxy) => format!("{} by {}", record.client.ip(), shown(proxy)),
                None => shown(record.client),
            },
            listener: record.listener.to_owned(),
            route: record.route.map(str::to_owned),
            backend: record.backend.map(|backend| format!("{}/{backend}", record.pool)),
            request,
            bytes_up: record.bytes_up,
            bytes_down: record.bytes_down,
            bytes_left: summary.left,
        }
    }
}

/// An address, if there is one.
fn shown(client: SocketAddr) -> String {
    if client == NO_ADDRESS { String::from("unix") } else { client.to_string() }
}

/// A session that may be one of the oldest.
struct Seen {
    rank: (bool, u64),
    key: Key,
    summary: Summary,
}

fn keep_oldest(seen: &mut Vec<Seen>) {
    seen.sort_unstable_by_key(|seen| Reverse(seen.rank));
    seen.truncate(HOLDERS_MAX);
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
