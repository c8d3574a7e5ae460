//! Tables derived from the backends of a pool, because they take too long to compute for every pick.

mod maglev;
mod sticky;

use std::sync::OnceLock;

use super::{Balance, Pool};

pub use maglev::Maglev;
pub use sticky::Tokens;

/// Tables that are made when they are first asked for, or beforehand by [`Derived::prepare`]. They say
/// nothing that the pool does not: all are equal, and a clone begins empty, because the backends of the pool
/// that it is for may be changed.
#[derive(Debug, Default)]
pub struct Derived {
    sums: OnceLock<Box<[u64]>>,
    maglev: OnceLock<Maglev>,
    tokens: OnceLock<Tokens>,
}

impl Derived {
    /// Makes what picks in `pool`, which is the one that this is a part of, will ask for.
    pub fn prepare(&self, pool: &Pool) {
        if pool.sticky.is_some() {
            self.tokens(pool);
        }
        match &pool.balance {
            Balance::RoundRobin | Balance::LeastConnections | Balance::Latency | Balance::First => {}
            Balance::Random | Balance::TwoChoices => {
                self.sums(pool);
            }
            Balance::Hash(_) => {
                self.sums(pool);
                self.maglev(pool);
            }
        }
    }

    /// The sums of the weights up to and with each backend.
    pub(crate) fn sums(&self, pool: &Pool) -> &[u64] {
        self.sums.get_or_init(|| sums(pool.backends.iter().map(|backend| backend.weight)))
    }

    /// The table from hashes to backends.
    pub(crate) fn maglev(&self, pool: &Pool) -> &Maglev {
        self.maglev.get_or_init(|| Maglev::new(&pool.backends))
    }

    /// The values of the backends' cookies.
    pub fn tokens(&self, pool: &Pool) -> &Tokens {
        self.tokens.get_or_init(|| Tokens::new(pool))
    }
}

/// The sums of the weights up to and with each backend.
fn sums(weights: impl Iterator<Item = u32>) -> Box<[u64]> {
    let add = |sum: &mut u64, weight| {
        *sum += u64::from(weight);
        Some(*sum)
    };
    weights.scan(0, add).collect()
}

impl Clone for Derived {
    fn clone(&self) -> Derived {
        Derived::default()
    }
}

impl PartialEq for Derived {
    fn eq(&self, _: &Derived) -> bool {
        true
    }
}

impl Eq for Derived {}
