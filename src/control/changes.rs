//! Changes by an operator while Pollux runs, on top of the configuration.
//!
//! A change is about one thing, the state or the weight of one backend, which is found by its name. It is laid over the pools
//! whenever they are made anew: by a reload, or because other backends were found. It goes when the configuration says something else
//! of that very thing than it did when the change was made, or when it is taken back. At an upgrade the new process gets it.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::balance::AdminState;
use crate::operator::WantedState;
use crate::snapshot::{Backend, Pool};
use crate::status::Changed;

/// Why something cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// There is no such backend.
    Unknown {
        /// Its name.
        name: String,
        /// The names that exist.
        names: Vec<String>,
    },
    /// A weight is larger than [`Backend::WEIGHT_MAX`].
    Weight(u32),
    /// No backend of the pool would have a weight.
    Weightless {
        /// The pool.
        pool: String,
    },
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Unknown { name, names } => {
                write!(f, "no backend is called {}; there are {}", name.escape_debug(), names.join(", "))
            }
            ChangeError::Weight(weight) => {
                write!(f, "a weight goes from 0 to {}, and {weight} is more", Backend::WEIGHT_MAX)
            }
            ChangeError::Weightless { pool } => write!(
                f,
                "then no backend of the pool {pool} would have a weight; to take one out whatever becomes of the others, drain it"
            ),
        }
    }
}

impl std::error::Error for ChangeError {}

/// A value of one thing that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Value {
    State(AdminState),
    Weight(u32),
}

impl Value {
    /// The value that `backend` has of the same thing.
    fn of(self, backend: &Backend) -> Value {
        match self {
            Value::State(_) => Value::State(backend.admin_state),
            Value::Weight(_) => Value::Weight(backend.weight),
        }
    }

    fn is_about_the_same(self, other: Value) -> bool {
        match (self, other) {
            (Value::State(_), Value::State(_)) | (Value::Weight(_), Value::Weight(_)) => true,
            (Value::State(_), Value::Weight(_)) | (Value::Weight(_), Value::State(_)) => false,
        }
    }

    fn put(self, backend: &mut Backend) {
        match self {
            Value::State(admin_state) => backend.admin_state = admin_state,
            Value::Weight(weight) => backend.weight = weight,
        }
    }

    /// The key of the configuration.
    fn key(self) -> &'static str {
        match self {
            Value::State(_) => "state",
            Value::Weight(_) => "weight",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::State(admin_state) => admin_state.fmt(f),
            Value::Weight(weight) => weight.fmt(f),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Change {
    pool: String,
    backend: String,
    value: Value,
    /// The value in the configuration.
    filed: Value,
    #[serde(rename = "age_ms", serialize_with = "to_age", deserialize_with = "from_age")]
    since: Instant,
    by: String,
}

/// A moment means nothing to another process; how long ago it was does.
fn to_age<S: Serializer>(since: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(age_ms(*since))
}

fn from_age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
    let age = Duration::from_millis(u64::deserialize(deserializer)?);
    let now = Instant::now();
    Ok(now.checked_sub(age).unwrap_or(now))
}

fn age_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Change {
    fn is_for(&self, pool: &str, backend: &str) -> bool {
        self.pool == pool && self.backend == backend
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {} {}", self.pool, self.backend, self.value.key(), self.value)
    }
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    /// The changes in pieces of at most `most`, none of them empty.
    pub(super) fn pieces(&self, most: usize) -> impl Iterator<Item = Changes> {
        self.0.chunks(most).map(|some| Changes(some.to_vec()))
    }

    /// Puts `others` behind these.
    pub(super) fn join(&mut self, others: Changes) {
        self.0.extend(others.0);
    }

    /// Records the state that an operator asks for of the backend called `name`, as `pool/backend`, whose
    /// state in the configuration is `filed`. A request for the configured state is no change. Returns the
    /// text of the answer.
    pub(super) fn note(
        &mut self,
        filed: &[Pool],
        name: &str,
        wanted: WantedState,
        by: &str,
    ) -> Result<String, ChangeError> {
        let (pool, backend) = find(filed, name)?;
        let value = match wanted {
            WantedState::State(admin_state) => Value::State(admin_state),
            WantedState::Weight(Some(weight)) if weight > Backend::WEIGHT_MAX => {
                return Err(ChangeError::Weight(weight));
            }
            WantedState::Weight(weight) => Value::Weight(weight.unwrap_or(backend.weight)),
        };
        let is_same = |change: &Change| {
            change.is_for(&pool.name, &backend.name) && change.value.is_about_the_same(value)
        };
        let before = self.0.iter().find(|change| is_same(change)).map_or(value.of(backend), |it| it.value);
        self.0.retain(|change| !is_same(change));
        let change = Change {
            pool: pool.name.clone(),
            backend: backend.name.clone(),
            value,
            filed: value.of(backend),
            since: Instant::now(),
            by: by.to_owned(),
        };
        let told = format!("{change} (it was {before})");
        if change.value != change.filed {
            self.0.push(change);
            let mut changed = pool.clone();
            self.lay_over(std::slice::from_mut(&mut changed));
            if changed.backends.iter().all(|backend| backend.weight == 0) {
                return Err(ChangeError::Weightless { pool: pool.name.clone() });
            }
        }
        Ok(told)
    }

    /// Puts the changes in the place of what the configuration says.
    pub(super) fn lay_over(&self, pools: &mut [Pool]) {
        for change in &self.0 {
            let pool = pools.iter_mut().find(|pool| pool.name == change.pool);
            let backend =
                pool.and_then(|pool| pool.backends.iter_mut().find(|backend| backend.name == change.backend));
            if let Some(backend) = backend {
                change.value.put(backend);
            }
        }
    }

    /// Forgets the changes of which the configuration that becomes `filed` says something else than before, and those of backends
    /// that it has not any more; gives what is told of each. Of backends that come and go by themselves nothing is forgotten
    /// because they are not there now.
    pub(super) fn yield_to(&mut self, filed: &[Pool]) -> Vec<String> {
        let mut told = Vec::new();
        self.0.retain(|change| {
            let pool = filed.iter().find(|pool| pool.name == change.pool);
            let backend = pool.and_then(|pool| pool.backends.iter().find(|it| it.name == change.backend));
            let why = match backend {
                Some(backend) if change.filed == change.value.of(backend) => return true,
                Some(backend) => format!("the configuration says {} now", change.value.of(backend)),
                None if pool.is_some_and(|pool| !pool.sources.is_empty()) => return true,
                None => String::from("there is no such backend any more"),
            };
            told.push(format!("{change} by {}: {why}", change.by));
            false
        });
        told
    }

    /// The changes that hold, one a line.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(|change| format!("{change} by {}", change.by)).collect()
    }

    /// The changes as values.
    pub(super) fn tell(&self) -> Vec<Changed> {
        let told = |change: &Change| Changed {
            backend: format!("{}/{}", change.pool, change.backend),
            what: change.value.key(),
            value: change.value.to_string(),
            filed: change.filed.to_string(),
            by: change.by.clone(),
            age_ms: age_ms(change.since),
        };
        self.0.iter().map(told).collect()
    }
}

/// The backend that is called `name`, as `pool/backend`, or by its address in the place of its name.
fn find<'a>(pools: &'a [Pool], name: &str) -> Result<(&'a Pool, &'a Backend), ChangeError> {
    let all = || pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
    let rest = |pool: &Pool| name.strip_prefix(pool.name.as_str())?.strip_prefix('/').map(str::to_owned);
    all()
        .find(|(pool, backend)| {
            rest(pool).is_some_and(|rest| rest == backend.name || rest == backend.address.to_string())
        })
        .ok_or_else(|| ChangeError::Unknown {
            name: name.to_owned(),
            names: all().map(|(pool, backend)| format!("{}/{}", pool.name, backend.name)).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Address;

    fn pools(weights: &[u32]) -> Vec<Pool> {
        let backend = |(place, weight): (usize, &u32)| {
            Backend::new(format!("b{place}"), Address::Ip(([127, 0, 0, 1], 1 + place as u16).into()), *weight)
        };
        vec![Pool::new("app", weights.iter().enumerate().map(backend).collect())]
    }

    fn laid_over(changes: &Changes, mut pools: Vec<Pool>) -> Vec<(u32, AdminState)> {
        changes.lay_over(&mut pools);
        pools[0].backends.iter().map(|backend| (backend.weight, backend.admin_state)).collect()
    }

    #[test]
    fn a_change_lies_over_the_file_until_that_says_something_else() {
        let (filed, mut changes) = (pools(&[1, 2]), Changes::default());
        changes.note(&filed, "app/b1", WantedState::State(AdminState::Drain), "root").unwrap();
        changes.note(&filed, "app/127.0.0.1:1", WantedState::Weight(Some(7)), "root").unwrap();
        assert_eq!(laid_over(&changes, pools(&[1, 2])), [(7, AdminState::Ready), (2, AdminState::Drain)]);
        // Another thing has changed in the file: the weight of the one that is drained.
        assert!(changes.yield_to(&pools(&[1, 3])).is_empty());
        assert_eq!(laid_over(&changes, pools(&[1, 3])), [(7, AdminState::Ready), (3, AdminState::Drain)]);
        // And now the very thing.
        assert_eq!(
            changes.yield_to(&pools(&[4, 3])),
            ["app/b0: weight 7 by root: the configuration says 4 now"]
        );
        assert_eq!(laid_over(&changes, pools(&[4, 3])), [(4, AdminState::Ready), (3, AdminState::Drain)]);
        assert_eq!(
            changes.yield_to(&pools(&[4])),
            ["app/b1: state drain by root: there is no such backend any more"]
        );
        assert!(changes.tell().is_empty());
    }

    #[test]
    fn what_the_file_says_anyway_is_no_change() {
        let (filed, mut changes) = (pools(&[1, 2]), Changes::default());
        let told = changes.note(&filed, "app/b0", WantedState::State(AdminState::Down), "root").unwrap();
        assert_eq!(told, "app/b0: state down (it was ready)");
        changes.note(&filed, "app/b0", WantedState::Weight(Some(5)), "root").unwrap();
        assert_eq!(changes.tell().len(), 2);
        let told = changes.note(&filed, "app/b0", WantedState::State(AdminState::Ready), "root").unwrap();
        assert_eq!(told, "app/b0: state ready (it was down)");
        changes.note(&filed, "app/b0", WantedState::Weight(None), "root").unwrap();
        assert!(changes.tell().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (filed, changes) = (pools(&[1, 2]), Changes::default());
        let refused = |name: &str, wanted| changes.clone().note(&filed, name, wanted, "root").unwrap_err();
        let told = refused("app/b7", WantedState::State(AdminState::Down)).to_string();
        assert_eq!(told, "no backend is called app/b7; there are app/b0, app/b1");
        assert_eq!(refused("app/b0", WantedState::Weight(Some(1001))), ChangeError::Weight(1001));
        let mut changes = changes.clone();
        changes.note(&filed, "app/b0", WantedState::Weight(Some(0)), "root").unwrap();
        let error = changes.note(&filed, "app/b1", WantedState::Weight(Some(0)), "root").unwrap_err();
        assert_eq!(error, ChangeError::Weightless { pool: "app".into() });
    }

    /// A backend that the DNS has not now may be there again in a minute, and is still drained then.
    #[test]
    fn a_backend_that_comes_and_goes_stays_as_it_was_put() {
        let (mut filed, mut changes) = (pools(&[1, 2]), Changes::default());
        changes.note(&filed, "app/b1", WantedState::State(AdminState::Drain), "root").unwrap();
        let given = filed[0].backends[0].clone();
        filed[0].sources = vec![crate::discovery::BackendSource::Given(given)];
        filed[0].backends.pop();
        assert!(changes.yield_to(&filed).is_empty());
        assert_eq!(laid_over(&changes, pools(&[1, 2]))[1].1, AdminState::Drain);
    }
}
