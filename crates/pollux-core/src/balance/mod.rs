//! The choice of the backend that serves an exchange: pure functions of a view of the backends.
//!
//! [`pick`] is shown the backends ([`PoolView`]) and what is asked ([`PickRequest`]), and names one with the
//! [`Rule`] that picked it, or says why there is [`NoBackend`]. The same code serves traffic, `explain` and
//! the simulator. Nothing in here allocates.
//!
//! The steps are the same for all policies. A client that is bound to a backend gets it if it can be used.
//! Otherwise the candidates are the backends of one tier: the lowest with a backend that is neither down nor
//! tried. A full backend does not open the next tier: the request waits. Among the candidates the policy of
//! the pool decides.

mod dice;
mod draw;
mod field;
mod first;
mod habits;
mod hashed;
pub mod health;
mod health_state;
mod idle_timeout;
mod least;
mod peak;
mod round_robin;
#[cfg(test)]
mod tests;
mod two_choices;

use std::fmt;

use crate::snapshot::{Balance, Pool};

pub use crate::core::admin_state::AdminState;
pub use crate::snapshot::{Derived, Maglev, Tokens};
pub use habits::{Habit, Habits};
pub use health_state::HealthState;
pub use idle_timeout::{IdleTimeoutEstimate, safely};
pub use peak::{Peak, stamp};
pub use round_robin::RoundRobin;

use dice::Dice;
use field::Field;

/// A full share of a backend's weight, in thousandths.
pub const FULL_SHARE: u32 = 1000;

/// The state of a backend, besides its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendView {
    /// Its weight, 0 to 1000.
    pub weight: u32,
    /// The thousandths of its weight that it gets while it warms up; [`FULL_SHARE`] otherwise.
    pub share: u32,
    /// Its tier: a higher one is used when no backend of the lower ones can be.
    pub tier: u8,
    /// The state that the operator wants.
    pub admin_state: AdminState,
    /// Why no request can use it: [`Exclusion::Down`], [`Exclusion::Ejected`] or [`Exclusion::Full`].
    pub exclusion: Option<Exclusion>,
}

impl BackendView {
    /// Whether an unbound client may get it, by the configuration and the operator.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        self.weight > 0 && self.admin_state == AdminState::Ready
    }
}

/// The backends of a pool as they are now, by their places.
pub trait PoolView {
    /// The state of the backend at `place`.
    fn backend(&self, place: usize) -> BackendView;

    /// The number of requests that it has in flight, over all workers.
    fn in_flight(&self, place: usize) -> u32;

    /// Its latency as of now, in nanoseconds; `None` if nothing was measured yet.
    fn latency(&self, place: usize) -> Option<u64>;
}

/// The request for a pick.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickRequest<'a> {
    /// Backends that this exchange has tried, by place.
    pub tried: &'a [usize],
    /// The hash of the request's key, if it has one.
    pub key: Option<u64>,
    /// The backend that the client is bound to, if it is.
    pub bound: Option<usize>,
    /// A random number.
    pub random: u64,
}

/// Why a backend is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It was tried in this exchange.
    Tried,
    /// It was taken out by the operator.
    OperatorDown,
    /// It is drained by the operator: it only gets those that are bound to it.
    OperatorDrain,
    /// It failed its checks.
    Down,
    /// It has failed real requests.
    Ejected,
    /// It has as many requests or connections as it may.
    Full,
    /// Its weight is 0: it only gets those that are bound to it.
    WeightZero,
    /// A lower tier has a backend that can be used.
    HigherTier,
}

impl Exclusion {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Exclusion::Tried => "tried",
            Exclusion::OperatorDown => "operator-down",
            Exclusion::OperatorDrain => "operator-drain",
            Exclusion::Down => "down",
            Exclusion::Ejected => "ejected",
            Exclusion::Full => "full",
            Exclusion::WeightZero => "weight-zero",
            Exclusion::HigherTier => "higher-tier",
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rule that made a backend the one that was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The client is bound to it.
    Bound,
    /// Its turn.
    Turn,
    /// The fewest requests in flight for its weight.
    FewestInFlight,
    /// Drawn in proportion to the weights.
    Drawn,
    /// Of two that were drawn the one with fewer requests in flight.
    LighterOfTwo,
    /// The lowest latency, multiplied by the requests in flight.
    LowestLatency,
    /// The hash of the key points to it.
    Hashed,
    /// The one that the hash points to cannot be used or has too much, and this one is next in the table.
    NextInTable,
    /// The request has no key, so it was drawn.
    DrawnWithoutKey,
    /// The first with room.
    FirstWithRoom,
    /// The client has a connection of its own to it, by a login.
    OwnConnection,
}

impl Rule {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::Bound => "bound",
            Rule::Turn => "turn",
            Rule::FewestInFlight => "fewest-in-flight",
            Rule::Drawn => "drawn",
            Rule::LighterOfTwo => "lighter-of-two",
            Rule::LowestLatency => "lowest-latency",
            Rule::Hashed => "hashed",
            Rule::NextInTable => "next-in-table",
            Rule::DrawnWithoutKey => "drawn-without-key",
            Rule::FirstWithRoom => "first-with-room",
            Rule::OwnConnection => "own-connection",
        }
    }
}

/// The backend that was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Its place.
    pub place: usize,
    /// The rule that made it the one.
    pub rule: Rule,
}

/// Why none was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBackend {
    /// All that could be used are full; it is worth waiting.
    Full,
    /// All that could be used have been tried.
    Tried,
    /// All are down, ejected, have weight 0, or were taken out by the operator.
    Down,
}

/// Picks a backend of `pool`. `round` is the state of its round robin, which only that policy touches.
///
/// # Errors
/// See [`NoBackend`].
pub fn pick(
    pool: &Pool,
    view: &impl PoolView,
    asked: &PickRequest<'_>,
    round: &mut RoundRobin,
) -> Result<Picked, NoBackend> {
    if let Some(place) = asked.bound {
        match field::unfit(&view.backend(place), place, asked) {
            None => return Ok(Picked { place, rule: Rule::Bound }),
            // The backend that a cookie names is worth waiting for.
            Some(Exclusion::Full) => return Err(NoBackend::Full),
            Some(
                Exclusion::Tried
                | Exclusion::OperatorDown
                | Exclusion::OperatorDrain
                | Exclusion::Down
                | Exclusion::Ejected
                | Exclusion::WeightZero
                | Exclusion::HigherTier,
            ) => {}
        }
    }
    let field = Field::open(pool, view, asked)?;
    let mut dice = Dice(asked.random);
    let picked = match &pool.balance {
        Balance::RoundRobin => {
            let weights = (0..pool.backends.len()).map(|place| field.weight(place));
            round.pick(weights).map(|place| (place, Rule::Turn))
        }
        Balance::LeastConnections => least::in_flight(&field, &mut dice),
        Balance::Random => draw::draw(&field, &mut dice).map(|place| (place, Rule::Drawn)),
        Balance::TwoChoices => two_choices::pick(&field, &mut dice),
        Balance::Latency => least::latency(&field, &mut dice),
        Balance::Hash(hashing) => hashed::pick(&field, hashing, &mut dice),
        Balance::First => first::pick(&field),
    };
    picked.map(|(place, rule)| Picked { place, rule }).ok_or(NoBackend::Full)
}

/// For each backend of `pool` why it is no candidate; `None` for those among which the policy decides.
pub fn exclusions<'a>(
    pool: &'a Pool,
    view: &'a impl PoolView,
    asked: &'a PickRequest<'a>,
) -> impl Iterator<Item = Option<Exclusion>> + 'a {
    let field = Field::open(pool, view, asked).ok();
    (0..pool.backends.len()).map(move |place| match &field {
        Some(field) => field.why_not(place),
        None => field::why_not(&view.backend(place), place, asked),
    })
}
