//! Health observations from the outcomes of requests, and the log of their effects.

use super::conn::Conn;
use super::driver::Driver;
use crate::balance::AdminState;
use crate::balance::health::{BackendFault, Errors};
use crate::core::outcome::Cause;
use crate::core::time::Time;
use crate::os::Os;
use crate::shared::health::News;
use crate::snapshot::{BackendId, Pool};

impl<O: Os> Driver<'_, O> {
    /// Records that the backend has answered with `status`, if that is what it does, whether the answer is
    /// passed on or not.
    pub(super) fn note_answered(&self, conn: &Conn, status: Option<u16>) {
        let Some(id) = conn.session.backend() else { return };
        let pool = self.generation.snapshot.pool(id.pool);
        match status.filter(|status| pool.health.errors.has_status(*status)) {
            Some(status) => self.note(id, BackendFault::Status(status), self.attempted_at(conn)),
            None => {
                let state = self.generation.pools.pool(id.pool);
                if let Some(news) = state.note_served(pool, id.index, status, self.env.now) {
                    tell(pool, id.index, news);
                }
            }
        }
    }

    /// Records that the backend has served a response to its end.
    pub(super) fn note_whole(&self, id: BackendId) {
        let pool = self.generation.snapshot.pool(id.pool);
        if let Some(news) = self.generation.pools.pool(id.pool).note_whole(pool, id.index, self.env.now) {
            tell(pool, id.index, news);
        }
    }

    /// Records that the backend has failed a request for that cause. What becomes of a tunnel once it stands
    /// is between those at its ends.
    pub(super) fn note_failure(&self, conn: &Conn, cause: Cause) {
        let session = &conn.session;
        let Some(id) = session.backend() else { return };
        if is_unreached(cause) {
            self.generation.pools.backend(id).note_connect(false);
        }
        if session.is_tunnelled() || !counts(&self.generation.snapshot.pool(id.pool).health.errors, cause) {
            return;
        }
        let fault =
            if session.is_answered() { BackendFault::Broken(cause) } else { BackendFault::Cause(cause) };
        self.note(id, fault, self.attempted_at(conn));
    }

    /// When the request went out, or else the attempt began that is under way.
    fn attempted_at(&self, conn: &Conn) -> Time {
        let begun = || conn.backend.as_ref().map(|backend| backend.lease.since);
        conn.session.asked_at().or_else(begun).unwrap_or(self.env.now)
    }

    /// Whether the backend at `place` of the session's pool is known to be down or ejected, and that counts,
    /// or was taken out by the operator.
    pub(super) fn is_out(&self, conn: &Conn, place: usize) -> bool {
        let state = conn.generation.pools.pool(conn.session.pool());
        let backend = &state.backends()[place];
        let is_unwell = backend.health_state().exclusion().is_some() && !state.health_registry().panics();
        is_unwell || backend.admin_state() == AdminState::Down
    }

    fn note(&self, id: BackendId, fault: BackendFault, since: Time) {
        let pool = self.generation.snapshot.pool(id.pool);
        let state = self.generation.pools.pool(id.pool);
        let Some(news) = state.note_failure(pool, id.index, fault, (since, self.env.now)) else { return };
        tell(pool, id.index, news);
        if news.change.is_some() {
            // Requests that wait for a backend look again.
            state.queue().release();
            // The worker that checks has to know when the ejection is over.
            self.generation.pools.waker().ring();
        }
    }
}

/// Whether a pool counts that cause as a failure.
fn counts(errors: &Errors, cause: Cause) -> bool {
    let connect = [
        Cause::BackendRefused,
        Cause::BackendUnreachable,
        Cause::BackendConnectTimeout,
        Cause::BackendTlsExpired,
        Cause::BackendTlsWrongName,
        Cause::BackendTlsUnknownIssuer,
        Cause::BackendTlsBadCertificate,
        Cause::BackendTlsRefused,
        Cause::BackendTlsFailed,
        Cause::BackendTlsTimeout,
    ];
    let timeout = [Cause::BackendResponseTimeout, Cause::BackendStalled];
    if connect.contains(&cause) {
        errors.connect
    } else if timeout.contains(&cause) {
        errors.timeout
    } else {
        // The rest of what backends are blamed for: a connection that was lost, and a response that was none.
        errors.reset
    }
}

/// Whether `cause` is that nothing at the address of a backend accepts connections.
pub(super) fn is_unreached(cause: Cause) -> bool {
    matches!(cause, Cause::BackendRefused | Cause::BackendUnreachable | Cause::BackendConnectTimeout)
}

/// Writes into the log what an observation has come to.
pub(super) fn tell(pool: &Pool, place: usize, news: News) {
    if let Some(change) = news.change {
        tracing::warn!(
            pool = pool.name,
            backend = pool.backends[place].name,
            from = change.from.as_str(),
            to = change.to.as_str(),
            by = change.by.by.as_str(),
            found = %change.by.found,
            "the standing of a backend has changed"
        );
    }
    match news.panics {
        Some(true) => {
            tracing::error!(pool = pool.name, "too few backends are well: requests go to all of them");
        }
        Some(false) => {
            tracing::warn!(pool = pool.name, "enough backends are well again: requests go to these only");
        }
        None => {}
    }
}
