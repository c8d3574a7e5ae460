//! The places of listeners and routes in their files, for messages.

/// Where a configuration says what, as `file:line`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourcePlaces {
    /// For each listener its place, and those of its routes.
    pub listeners: Vec<(String, Vec<String>)>,
}

impl SourcePlaces {
    /// The place of the route at `route` of the listener at `listener`; empty if no file has it.
    #[must_use]
    pub fn route(&self, listener: usize, route: usize) -> &str {
        self.listeners.get(listener).and_then(|(_, routes)| routes.get(route)).map_or("", String::as_str)
    }
}
