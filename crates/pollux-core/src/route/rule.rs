//! A route: what it asks of a request, and what it does with one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::back::RewriteBack;
use super::credential::CredentialRule;
use super::hash;
use super::host::Host;
use super::path::{self, Path};
use super::pattern::Pattern;
use super::template::Template;
use crate::core::bounds::Timeouts;
use crate::core::ids::PoolId;
use crate::core::options::{ClientClose, Hsts, Interims};
use crate::core::outcome::Cause;
use crate::syntax::grammar::alike;

/// One route of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name in logs and on the command line; unique in its listener.
    pub name: String,
    /// The conditions that a request must meet.
    pub when: Conditions,
    /// The action.
    pub action: Action,
    /// Its options; `None` where there are none, so that a plain route costs nothing.
    pub options: Option<Box<Options>>,
}

/// The conditions that a request must meet: all of these hold, and of each list one. An empty list asks for
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Its host.
    pub hosts: Vec<Host>,
    /// Its path.
    pub paths: Vec<Path>,
    /// An expression for the normal form of its path.
    pub path_regex: Option<Pattern>,
    /// Its method.
    pub methods: Vec<String>,
    /// Header fields, by name.
    pub headers: Vec<(String, Want)>,
    /// Query parameters, by name.
    pub query: Vec<(String, Want)>,
    /// Cookies, by name.
    pub cookies: Vec<(String, Want)>,
    /// The client's network.
    pub clients: Vec<IpNet>,
    /// A protocol that the client offers by ALPN. In TCP mode, where the name that it asks for by SNI is the
    /// host.
    pub alpn: Vec<String>,
    /// The client's certificate.
    pub client_cert: Option<CredentialRule>,
}

impl Conditions {
    /// Whether every request meets them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }

    /// Whether they look at the path.
    #[must_use]
    pub fn is_about_path(&self) -> bool {
        !self.paths.is_empty() || self.path_regex.is_some()
    }
}

/// A demand on a value that a request can have several times, once or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// One of them is one of these.
    Is(Vec<String>),
    /// The expression is found in one of them.
    Like(Pattern),
    /// There is one.
    Present,
    /// There is none.
    Absent,
}

/// The action of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A backend of that pool answers.
    Pool(PoolId),
    /// A backend of one of several pools does.
    Split(Split),
    /// Pollux answers that it is to be found elsewhere.
    Redirect(Redirect),
    /// Pollux answers from memory.
    Respond(Respond),
}

impl Action {
    /// The pools that it can send to.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> {
        let (one, several) = match self {
            Action::Pool(pool) => (Some(*pool), &[][..]),
            Action::Split(split) => (None, split.shares.as_slice()),
            Action::Redirect(_) | Action::Respond(_) => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().map(|share| share.pool))
    }
}

/// Several pools, each with its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The shares; their weights add up to more than 0.
    pub shares: Vec<SplitShare>,
    /// The key: equal texts go to the same pool. Without it, or where it is empty, every request is
    /// drawn anew.
    pub sticky: Option<Template>,
}

/// One share of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitShare {
    /// Its pool.
    pub pool: PoolId,
    /// Its weight.
    pub weight: u32,
}

impl Split {
    /// The place of the share for a point out of all that there are.
    #[must_use]
    pub fn pick(&self, point: u64) -> usize {
        let total: u64 = self.shares.iter().map(|share| u64::from(share.weight)).sum();
        let mut left = ((u128::from(point) * u128::from(total)) >> 64) as u64;
        for (index, share) in self.shares.iter().enumerate() {
            match left.checked_sub(u64::from(share.weight)) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }

    /// The point of a key.
    #[must_use]
    pub fn point(key: &[u8]) -> u64 {
        hash::stable(key)
    }
}

/// An answer that points elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The target.
    pub location: Template,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// Header fields of its own.
    pub headers: Vec<(String, Template)>,
    /// The body.
    pub body: Body,
}

/// The body of a fixed answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// The file that they were read from, at load.
    pub file: Option<PathBuf>,
}

impl Body {
    /// The longest body, in bytes.
    pub const LEN_MAX: usize = 1024 * 1024;
}

/// Settings of a route besides its action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The change of the path for the backend.
    pub prefix: Option<PrefixEdit>,
    /// Which URIs in WebDAV's fields are rewritten with it.
    pub destinations: Destinations,
    /// The parts of responses that are put back into the paths and names that clients know.
    pub back: RewriteBack,
    /// Header fields of the request.
    pub request: FieldEdits,
    /// Header fields of the response.
    pub response: FieldEdits,
    /// Times of its own; those that it does not name are those of the whole.
    pub timeouts: Option<Timeouts>,
    /// A bound of its own for request bodies.
    pub body: Option<Option<u64>>,
    /// When a request may be sent again.
    pub retry: Retry,
    /// Types of responses, such as `application/json`, that are streams besides [`Timeouts::STREAMS`].
    pub streams: Vec<String>,
    /// The treatment of a request whose client has ended its direction; `None` is that of the pool.
    pub on_client_close: Option<ClientClose>,
    /// The policy for later connections that clients get, in place of the listener's: `Some(None)` for
    /// nothing.
    pub hsts: Option<Option<Hsts>>,
    /// Which interim responses HTTP/1.1 clients get, in place of what the listener says.
    pub interims: Option<Interims>,
    /// The authorities that are asked before a backend is, in order.
    pub inquiries: Vec<Inquiry>,
}

/// An authority outside of the workers, which is asked about each request of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Its name, for people.
    pub name: String,
    /// Its number.
    pub authority: u32,
    /// The time that its reply may take.
    pub wait: Duration,
    /// Whether a request goes on of which nothing was said in that time. Otherwise it is refused.
    pub is_lenient: bool,
    /// The cause of a refusal.
    pub refusal: Cause,
}

/// A prefix of the path, and the segments that take its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixEdit {
    /// The prefix: whole segments, such as `/api`.
    pub from: Path,
    /// The text in its place: nothing, or segments such as `/v2`.
    pub to: String,
}

impl PrefixEdit {
    /// The new path for `path`, in two pieces; `None` if it does not begin with the prefix.
    ///
    /// The normal form has the same segments as the path itself, so that as many are taken off as the prefix
    /// has.
    #[must_use]
    pub fn apply<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str)> {
        if !self.from.matches(&path::normal(path)) {
            return None;
        }
        let mut rest = path;
        for _ in &self.from.segments {
            let inner = rest.strip_prefix('/')?;
            rest = inner.find('/').map_or("", |at| &inner[at..]);
        }
        // Two slashes would begin an authority for some readers.
        let extra = rest.bytes().take_while(|&byte| byte == b'/').count().saturating_sub(1);
        let rest = &rest[extra..];
        let to = if self.to.is_empty() && rest.is_empty() { "/" } else { &self.to };
        Some((to, rest))
    }
}

/// Changes to header fields, carried out in this order. Names are compared in any case, and with `_` for `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// Fields that are taken out.
    pub remove: Vec<String>,
    /// Fields of which there is one afterwards, with that value.
    pub set: Vec<(String, Template)>,
    /// Fields of which there is one more afterwards.
    pub add: Vec<(String, Template)>,
}

impl FieldEdits {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether a field called `name` does not pass as it came.
    #[must_use]
    pub fn takes_out(&self, name: &[u8]) -> bool {
        let is_same = |edited: &str| {
            edited.len() == name.len() && edited.bytes().zip(name).all(|(a, &b)| alike(a) == alike(b))
        };
        self.remove.iter().any(|edited| is_same(edited)) || self.set.iter().any(|(edited, _)| is_same(edited))
    }

    /// The names of the fields that do not pass as they came.
    pub fn taken_out(&self) -> impl Iterator<Item = &[u8]> {
        self.remove.iter().chain(self.set.iter().map(|(name, _)| name)).map(String::as_bytes)
    }

    /// The fields that are written, with their values.
    pub fn written(&self) -> impl Iterator<Item = &(String, Template)> {
        self.set.iter().chain(&self.add)
    }
}

/// The URIs in WebDAV's fields that are rewritten as the target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destinations {
    /// URIs with the request's own authority.
    #[default]
    Own,
    /// All.
    Always,
    /// None.
    Pass,
}

impl Destinations {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Destinations::Own => "own",
            Destinations::Always => "always",
            Destinations::Pass => "pass",
        }
    }
}

/// When a request may be sent to a backend again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// On proof that it is safe: nothing of it was handed on, or it may be repeated and is still in hand.
    #[default]
    Safe,
    /// Only if nothing of it was handed on.
    Unsent,
    /// Never: there is one attempt, on a new connection.
    Off,
}

/// The treatment of paths that two readers would read differently, on a listener whose routes look at paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousPaths {
    /// They are answered with 400.
    #[default]
    Refuse,
    /// They are matched as they are.
    Pass,
}

impl Retry {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Retry::Safe => "safe",
            Retry::Unsent => "unsent",
            Retry::Off => "off",
        }
    }
}

impl AmbiguousPaths {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AmbiguousPaths::Refuse => "refuse",
            AmbiguousPaths::Pass => "pass",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A route that takes everything.
    pub(crate) fn route() -> Route {
        let when = Conditions::default();
        Route { name: "all".to_owned(), when, action: Action::Pool(PoolId(0)), options: None }
    }

    #[test]
    fn a_prefix_is_whole_segments_however_they_are_written() {
        for (from, to, path, new) in [
            ("/api/*", "", "/api/v1/x", Some("/v1/x")),
            ("/api/*", "", "/api", Some("/")),
            ("/api/*", "", "/api/", Some("/")),
            ("/api/*", "", "/apix", None),
            ("/api/*", "", "/%61pi;v=2/x;y", Some("/x;y")),
            ("/api/*", "/v2", "/api/x", Some("/v2/x")),
            ("/api/*", "/v2", "/api", Some("/v2")),
            ("/api/*", "", "/api//evil.example/", Some("/evil.example/")),
            ("/a/b/*", "", "/a/b/c", Some("/c")),
            ("/u/{id}/*", "/me", "/u/7/c", Some("/me/c")),
            ("/*", "/base", "/x", Some("/base/x")),
            ("/*", "/base", "/", Some("/base/")),
        ] {
            let edit = PrefixEdit { from: Path::parse(from).unwrap(), to: to.to_owned() };
            let new_path = edit.apply(path).map(|(to, rest)| format!("{to}{rest}"));
            assert_eq!(new_path.as_deref(), new, "{from} {to} {path}");
        }
    }

    #[test]
    fn names_that_an_application_cannot_tell_apart_go_together() {
        let edits = FieldEdits { remove: vec!["X-User".to_owned()], ..FieldEdits::default() };
        assert!(edits.takes_out(b"x-user") && edits.takes_out(b"X_USER") && !edits.takes_out(b"X-User2"));
        let edits = FieldEdits { remove: vec!["X_My-User".to_owned()], ..FieldEdits::default() };
        assert!(edits.takes_out(b"x-my-user") && edits.takes_out(b"x_my_user"));
    }

    proptest! {
        /// Every share gets its part of all points, and none that has no weight is picked.
        #[test]
        fn shares_are_in_proportion(weights in prop::collection::vec(0_u32..5, 1..6)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let shares = weights.iter().enumerate().map(|(pool, &weight)| SplitShare { pool: PoolId(pool), weight }).collect();
            let split = Split { shares, sticky: None };
            let total: u32 = weights.iter().sum();
            let mut counts = vec![0; weights.len()];
            for step in 0..total * 100 {
                let point = u64::MAX / u64::from(total * 100) * u64::from(step) + 1;
                counts[split.pick(point)] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert!(i64::from(*count).abs_diff(i64::from(weight * 100)) <= 2, "{:?} {:?}", counts, weights);
            }
            prop_assert!(weights[split.pick(u64::MAX)] > 0);
        }
    }
}
