//! The answers that routes have by themselves, without a backend.

use super::rule::{Redirect, Respond};

/// The answer of a route that asks no backend.
#[derive(Clone, Copy, Debug)]
pub enum RouteAnswer<'a> {
    /// A redirect.
    Redirect(&'a Redirect),
    /// The response of the configuration.
    Respond(&'a Respond),
}

impl RouteAnswer<'_> {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            RouteAnswer::Redirect(redirect) => redirect.status,
            RouteAnswer::Respond(respond) => respond.status,
        }
    }
}
