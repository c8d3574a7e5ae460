//! The status of a running Pollux as one value: for `pollux status`, and for the log of a drain.
//!
//! Each worker makes a [`Crowd`] of its sessions when it is asked, between two turns; nothing is counted
//! meanwhile. This room adds them up and puts them into words. It knows no clock: times are spans that the
//! caller has measured.

mod certificates;
mod pools;
mod render;
mod sessions;
mod sources;
mod traffic;

use serde::{Serialize, Serializer};

use crate::session::SessionActivity;

pub use certificates::CertificateStatus;
pub use pools::{BackendStatus, Changed, ObservationStatus, PoolStatus};
pub use sessions::{LISTED_MAX, Order, SessionId, SessionsAsk, tell_sessions};
pub use sources::{NotFound, SourceAnswer, SourceStatus};
pub use traffic::{Passed, PoolTraffic, Traffic, Way};

/// The number of sessions that are shown one by one.
pub const HOLDERS_MAX: usize = 10;

/// The upper ends of the classes of age but the last one, in seconds.
pub const AGES_S: [u64; 4] = [1, 10, 60, 600];

/// A running Pollux.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its version.
    pub version: &'static str,
    /// Its process.
    pub pid: u32,
    /// Since it was started.
    pub uptime_ms: u64,
    /// The configuration.
    pub configuration: Configuration,
    /// The addresses for clients.
    pub listeners: Vec<Listening>,
    /// The certificates that clients may get there.
    pub certificates: Vec<CertificateStatus>,
    /// The workers that have answered.
    pub workers: Vec<WorkerStatus>,
    /// Workers that have not answered in time, or have ended.
    pub workers_silent: usize,
    /// All of their sessions.
    pub crowd: Crowd,
    /// The pools of the configuration.
    pub pools: Vec<PoolStatus>,
    /// The traffic since the beginning.
    pub traffic: Traffic,
    /// The changes of an operator while it runs.
    pub changes: Vec<Changed>,
    /// The sources of backends that may change.
    pub sources: Vec<SourceStatus>,
    /// The drain, if it has begun.
    pub drain: Option<Drain>,
    /// The level of the log; only the process knows.
    pub log: Option<LogLevel>,
}

/// The level of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLevel {
    /// The directives of the filter, as RUST_LOG would have them.
    pub filter: String,
    /// The values at the start of the process, if they have changed since.
    pub changed_from: Option<String>,
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.filter)?;
        match &self.changed_from {
            Some(before) => write!(f, " (changed while running; it was {before})"),
            None => Ok(()),
        }
    }
}

/// The configuration that is in force.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Configuration {
    /// The file, if there is one.
    pub file: Option<String>,
    /// Since it was loaded.
    pub loaded_ms: u64,
    /// The number of reloads.
    pub reloads: u64,
}

/// A listener.
#[derive(Clone, Debug, Serialize)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// The bound address.
    pub address: String,
    /// Its protocol.
    pub mode: String,
}

/// The resources of one worker.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkerStatus {
    /// The number of the worker, counted from 0.
    pub number: usize,
    /// Its clients.
    pub sessions: usize,
    /// Its connections to backends that are in use, or being made.
    pub backends_in_use: usize,
    /// Its connections to backends that wait to be used again.
    pub backends_idle: usize,
    /// The number of these that belong to single clients, by a login.
    pub backends_own: usize,
    /// Buffers that are lent.
    pub buffers_out: usize,
    /// Pipes that are lent.
    pub pipes_out: usize,
}

/// A drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// Since it began.
    pub since_ms: u64,
    /// Until it is over at the latest.
    pub left_ms: u64,
}

/// Sessions, counted by what they are at, and the oldest of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Crowd {
    /// Of each kind that there is any of, in the order of [`SessionActivity::ALL`].
    pub groups: Vec<Group>,
    /// The oldest, those that are busy first; [`HOLDERS_MAX`] at most.
    pub holders: Vec<Holder>,
}

/// The sessions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The kind.
    #[serde(serialize_with = "word")]
    pub kind: SessionActivity,
    /// The number of sessions.
    pub count: usize,
    /// The number of sessions that are younger than each of [`AGES_S`] (and not than the one before), and the
    /// rest.
    pub ages: [usize; AGES_S.len() + 1],
    /// The age of the oldest.
    pub oldest_ms: u64,
    /// Until the last of them ends by itself; `None` if they are busy.
    pub ends_ms: Option<u64>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its name, see [`SessionId`].
    pub id: String,
    /// Its activity.
    #[serde(serialize_with = "word")]
    pub kind: SessionActivity,
    /// For how long.
    pub age_ms: u64,
    /// The client's address.
    pub client: String,
    /// The listener by which it came.
    pub listener: String,
    /// The route, if one was taken.
    pub route: Option<String>,
    /// The backend as `pool/backend`, if there is one.
    pub backend: Option<String>,
    /// Method and target, or nothing.
    pub request: String,
    /// The bytes that it has sent.
    pub bytes_up: u64,
    /// The bytes that it was sent.
    pub bytes_down: u64,
    /// The bytes of its response that are still to come, if that is known.
    pub bytes_left: Option<u64>,
}

fn word<S: Serializer>(kind: &SessionActivity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

impl Status {
    /// The backend that is called `name`, as `pool/backend`, with the name of its pool.
    ///
    /// # Errors
    /// What there is instead.
    pub fn backend(&self, name: &str) -> Result<(&str, &BackendStatus), String> {
        let all =
            || self.pools.iter().flat_map(|pool| pool.backends.iter().map(|one| (pool.name.as_str(), one)));
        all()
            .find(|(pool, backend)| {
                name.strip_prefix(*pool).and_then(|rest| rest.strip_prefix('/'))
                    == Some(backend.name.as_str())
            })
            .ok_or_else(|| {
                let names: Vec<_> = all().map(|(pool, backend)| format!("{pool}/{}", backend.name)).collect();
                format!("no backend is called {name}; there are {}", names.join(", "))
            })
    }
}

impl Holder {
    /// When the response is over, if it goes on as fast as until now.
    #[must_use]
    pub fn left_ms(&self) -> Option<u64> {
        let passed = u128::from(self.bytes_down).max(1);
        let left = u128::from(self.bytes_left?) * u128::from(self.age_ms) / passed;
        (self.bytes_down > 0).then_some(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

impl Crowd {
    /// Counts one session of that kind and age, which ends by itself after so long if nothing comes.
    pub fn count(&mut self, kind: SessionActivity, age_ms: u64, ends_ms: Option<u64>) {
        let mut ages = [0; AGES_S.len() + 1];
        ages[AGES_S.iter().take_while(|bound| age_ms >= *bound * 1000).count()] = 1;
        self.join_group(Group { kind, count: 1, ages, oldest_ms: age_ms, ends_ms });
    }

    fn join_group(&mut self, group: Group) {
        let place = self.groups.partition_point(|other| other.kind < group.kind);
        match self.groups.get_mut(place) {
            Some(same) if same.kind == group.kind => {
                same.count += group.count;
                same.ages.iter_mut().zip(group.ages).for_each(|(sum, count)| *sum += count);
                same.oldest_ms = same.oldest_ms.max(group.oldest_ms);
                same.ends_ms = same.ends_ms.max(group.ends_ms);
            }
            Some(_) | None => self.groups.insert(place, group),
        }
    }

    /// Takes in the sessions of another crowd.
    pub fn join(&mut self, other: Crowd) {
        other.groups.into_iter().for_each(|group| self.join_group(group));
        self.holders.extend(other.holders);
        self.holders.sort_by_key(|holder| std::cmp::Reverse(rank(holder.kind, holder.age_ms)));
        self.holders.truncate(HOLDERS_MAX);
    }

    /// The number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The number of [busy](SessionActivity::is_busy) sessions.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.groups.iter().filter(|group| group.kind.is_busy()).map(|group| group.count).sum()
    }
}

/// The order in which sessions that hold a drain are shown: busy ones first, then by age.
#[must_use]
pub fn rank(kind: SessionActivity, age_ms: u64) -> (bool, u64) {
    (kind.is_busy(), age_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(kind: SessionActivity, age_ms: u64) -> Holder {
        Holder {
            id: String::from("0.0.0"),
            kind,
            age_ms,
            client: "127.0.0.1:5".into(),
            listener: "web".into(),
            route: None,
            backend: None,
            request: String::new(),
            bytes_up: 0,
            bytes_down: 0,
            bytes_left: None,
        }
    }

    #[test]
    fn crowds_add_up() {
        let (mut one, mut other) = (Crowd::default(), Crowd::default());
        one.count(SessionActivity::Exchange, 999, None);
        one.count(SessionActivity::Idle, 1000, Some(5));
        other.count(SessionActivity::Exchange, 600_000, None);
        other.count(SessionActivity::Idle, 10, Some(7));
        other.count(SessionActivity::Head, 10, Some(1));
        one.join(other);
        assert_eq!((one.len(), one.busy()), (5, 2));
        let kinds: Vec<_> = one.groups.iter().map(|group| (group.kind, group.ages, group.ends_ms)).collect();
        assert_eq!(
            kinds,
            [
                (SessionActivity::Head, [1, 0, 0, 0, 0], Some(1)),
                (SessionActivity::Idle, [1, 1, 0, 0, 0], Some(7)),
                (SessionActivity::Exchange, [1, 0, 0, 0, 1], None),
            ]
        );
    }

    #[test]
    fn the_oldest_that_are_busy_are_kept() {
        let mut crowd = Crowd::default();
        let idle = (0..20).map(|age| holder(SessionActivity::Idle, 1000 + age));
        crowd.join(Crowd { groups: vec![], holders: idle.collect() });
        crowd.join(Crowd {
            groups: vec![],
            holders: vec![holder(SessionActivity::Tunnel, 5), holder(SessionActivity::Tcp, 7)],
        });
        assert_eq!(crowd.holders.len(), HOLDERS_MAX);
        let first: Vec<_> = crowd.holders.iter().take(3).map(|holder| (holder.kind, holder.age_ms)).collect();
        assert_eq!(
            first,
            [(SessionActivity::Tcp, 7), (SessionActivity::Tunnel, 5), (SessionActivity::Idle, 1019)]
        );
    }

    #[test]
    fn a_download_is_foretold_from_its_rate() {
        let mut download = holder(SessionActivity::Exchange, 2000);
        assert_eq!(download.left_ms(), None);
        download.bytes_left = Some(300);
        assert_eq!(download.left_ms(), None);
        download.bytes_down = 100;
        assert_eq!(download.left_ms(), Some(6000));
    }
}
