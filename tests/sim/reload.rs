//! Reloads at random turns: backends come, go and change places, the listener gets another pool, timeouts and
//! bounds change, and in some runs the listener's socket is taken away.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use pollux::os::Fd;
use pollux::snapshot::{Address, Backend, Listener, Pool, PoolId, Snapshot};
use pollux::worker::{GenerationChange, Inlet};

use crate::faults::log_uniform;

/// The most turns between two reloads.
const TURNS_MAX: usize = 100;

/// When there are reloads in a run, and what they bring.
#[derive(Debug)]
pub(crate) struct Reloads {
    rng: Rng,
    /// Whether the listener may be taken away.
    moves_door: bool,
    /// In how many turns the next one is due.
    countdown: usize,
    /// All backends that there may be, once [`Reloads::prepare`] was called.
    hosts: Vec<Backend>,
    /// The pool of the first configuration, as a model.
    model: Option<Pool>,
}

impl Reloads {
    pub(crate) fn new(mut rng: Rng, moves_door: bool) -> Reloads {
        let countdown = rng.usize(..TURNS_MAX);
        Reloads { rng, moves_door, countdown, hosts: Vec::new(), model: None }
    }

    /// Whether a client may find that nobody listens any more.
    pub(crate) fn moves_door(&self) -> bool {
        self.moves_door
    }

    /// Takes note of the first configuration, and gives the backends that may come besides those it has.
    pub(crate) fn prepare(&mut self, first: &Snapshot) -> &[Backend] {
        let pool = &first.pools[0];
        self.hosts.clone_from(&pool.backends);
        let known = self.hosts.len();
        for number in 0..2_u16 {
            let address = Address::Ip(([10, 1, 0, 2], 8000 + number).into());
            self.hosts.push(Backend::new(format!("late{number}"), address, 1));
        }
        self.model = Some(pool.clone());
        &self.hosts[known..]
    }

    /// Whether a reload is due in this turn.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.countdown == 0 {
            self.countdown = self.rng.usize(..TURNS_MAX);
            return true;
        }
        self.countdown -= 1;
        false
    }

    /// The change from `old` to something else; `listen` opens a new listening socket.
    pub(crate) fn change(&mut self, old: &Snapshot, listen: impl FnOnce() -> Fd) -> GenerationChange {
        let mut snapshot = old.clone();
        let rng = &mut self.rng;
        let mut pools: Vec<Pool> =
            ["pool", "other"].map(|name| draw(name, &self.hosts, self.model.as_ref(), rng)).into();
        if rng.bool() {
            pools.reverse();
        }
        let pool = PoolId(rng.usize(..pools.len()));
        snapshot.pools = pools;
        let listener = &mut snapshot.listeners[0];
        *listener = Listener::to_pool("main", listener.bind.ip().unwrap(), listener.mode, pool);
        let timeouts = &mut snapshot.timeouts;
        timeouts.backend_idle = Duration::from_millis(log_uniform(rng, &(1..=60_000)) as u64);
        timeouts.client_idle = Duration::from_secs(rng.u64(60..=120));
        timeouts.tunnel = Duration::from_secs(rng.u64(120..=240));
        snapshot.limits.idle_per_backend = rng.usize(..4);
        let moves = self.moves_door && rng.u8(..3) == 0;
        let inlet = if moves { Inlet::New(listen()) } else { Inlet::Kept(0) };
        GenerationChange { snapshot: Arc::new(snapshot), tls: Arc::default(), inlets: vec![inlet] }
    }
}

/// A pool of some of the hosts, in any order.
fn draw(name: &str, hosts: &[Backend], model: Option<&Pool>, rng: &mut Rng) -> Pool {
    let mut backends = hosts.to_vec();
    rng.shuffle(&mut backends);
    backends.truncate(rng.usize(1..=hosts.len()));
    for backend in &mut backends {
        backend.weight = rng.u32(1..=3);
    }
    let model = model.expect("reloads that were prepared");
    Pool { name: name.to_owned(), backends, ..model.clone() }
}
