//! Commands of an operator about single sessions, between two turns: list them, and end one.

use super::Worker;
use super::driver::Readable;
use crate::core::slab::Key;
use crate::os::Os;
use crate::status::{Holder, SessionsAsk};

impl<O: Os> Worker<O> {
    /// The sessions that are asked for, in the order that is asked for. Looks at every session.
    #[must_use]
    pub fn list(&mut self, ask: &SessionsAsk) -> Vec<Holder> {
        self.now = self.os.now();
        let mut found: Vec<Holder> = Vec::new();
        for (key, client) in self.conns.iter() {
            let Some(summary) = client.summary(self.world()) else { continue };
            if ask.kind.is_some_and(|kind| kind != summary.kind) {
                continue;
            }
            found.push(self.holder(key, client, &summary));
            // The memory is bounded, and each session is sorted a few times at most.
            if found.len() >= 8 * ask.count.max(1) {
                ask.arrange(&mut found);
            }
        }
        ask.arrange(&mut found);
        found
    }

    /// Ends the session with that key; false if there is none.
    pub fn kill(&mut self, key: Key) -> bool {
        if self.conns.look(key).is_none() {
            return false;
        }
        self.now = self.os.now();
        self.with(key, |driver, conn| {
            driver.tell(conn, |session, env, effects| session.kill(env, effects));
            driver.drive(conn, Readable::default())
        });
        true
    }
}
