//! The routes of a listener, indexed.
//!
//! Hosts are found by hash, the name itself and then what stands behind each of its dots; under each host
//! paths are found in a tree of segments. Every leaf has the numbers of its routes in ascending order. The
//! first route that matches is the least of the first ones that match in each leaf that is reached, so leaves
//! are looked at in any order, and each only as far as its numbers are less than the best so far.
//!
//! Nothing is allocated for a request, but for the normal form of a path with `%` or `;` in it.

use std::collections::HashMap;

use super::hash;
use super::host::{self, Host};
use super::miss::miss_of_rest;
use super::path::{self, Path, Segment};
use super::rule::{Action, AmbiguousPaths, Conditions, Route, Split};
use super::template::Context;
use super::view::RequestView;
use crate::core::identity::RequestId;
use crate::core::ids::PoolId;

/// The routes of a listener, ready to decide. Two of the same routes are equal.
#[derive(Clone, Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    ambiguous: AmbiguousPaths,
    index: Index,
}

impl PartialEq for RouteTable {
    fn eq(&self, other: &RouteTable) -> bool {
        (&self.routes, self.ambiguous) == (&other.routes, other.ambiguous)
    }
}

impl Eq for RouteTable {}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The route at that place is taken.
    Route(usize),
    /// No route matches.
    NoRoute,
    /// Two readers would take its path for two different ones, and routes look at it.
    AmbiguousPath,
}

impl RouteTable {
    /// The table of `routes`, of which the first that matches wins.
    #[must_use]
    pub fn new(routes: Vec<Route>, ambiguous: AmbiguousPaths) -> RouteTable {
        let index = Index::new(&routes);
        RouteTable { routes, ambiguous, index }
    }

    /// A table with one route, which sends everything to `pool`.
    #[must_use]
    pub fn to_pool(pool: PoolId) -> RouteTable {
        let (name, when) = (String::from(Route::DEFAULT), Conditions::default());
        let route = Route { name, when, action: Action::Pool(pool), options: None };
        RouteTable::new(vec![route], AmbiguousPaths::default())
    }

    /// The routes, in their order.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The treatment of paths that two readers would read differently.
    #[must_use]
    pub fn ambiguous(&self) -> AmbiguousPaths {
        self.ambiguous
    }

    /// Whether any route looks at the path.
    #[must_use]
    pub fn is_about_path(&self) -> bool {
        self.index.is_about_path
    }

    /// Whether any route looks at what a ClientHello says, where nothing else says it.
    #[must_use]
    pub fn is_about_hello(&self) -> bool {
        self.index.is_about_hello
    }

    /// Finds the route for a request.
    #[must_use]
    pub fn decide(&self, view: &RequestView<'_>) -> Decision {
        if self.index.first_takes_all {
            return Decision::Route(0);
        }
        let normal = if self.index.is_about_path { path::normal(view.path) } else { view.path.into() };
        if self.refuses(&normal) {
            return Decision::AmbiguousPath;
        }
        self.index.find(&self.routes, view, &normal).map_or(Decision::NoRoute, Decision::Route)
    }

    /// The reference for `decide`: it looks at one route after the other.
    #[must_use]
    pub fn decide_by_scan(&self, view: &RequestView<'_>) -> Decision {
        if !self.index.first_takes_all && self.refuses(&path::normal(view.path)) {
            return Decision::AmbiguousPath;
        }
        let found = self.routes.iter().position(|route| super::miss::miss(&route.when, view).is_none());
        found.map_or(Decision::NoRoute, Decision::Route)
    }

    fn refuses(&self, normal: &str) -> bool {
        self.index.is_about_path && self.ambiguous == AmbiguousPaths::Refuse && path::is_ambiguous(normal)
    }

    /// The pool to which the route at `place` sends a request, if it sends it to any. `ticket` is a number
    /// that no other request has; it decides where a split has no key.
    #[must_use]
    pub fn pool(&self, place: usize, view: &RequestView<'_>, id: RequestId<'_>) -> Option<PoolId> {
        let route = self.routes.get(place)?;
        match &route.action {
            Action::Pool(pool) => Some(*pool),
            Action::Split(split) => Some(split.shares[pick_share(split, route, view, id)].pool),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }
}

impl Route {
    /// The name of the route that a listener's own `pool` or `split` makes.
    pub const DEFAULT: &'static str = "default";
}

/// The place of the share that a request belongs to.
fn pick_share(split: &Split, route: &Route, view: &RequestView<'_>, id: RequestId<'_>) -> usize {
    let mut key = Vec::new();
    if let Some(sticky) = &split.sticky {
        sticky.render(&Context { view, route, request_id: id, trace_id: "" }, &mut key);
    }
    let drawn = match id {
        RequestId::Own(number) => hash::mix((number >> 64) as u64 ^ (number as u64)),
        RequestId::Kept(text) => hash::stable(text.as_bytes()),
    };
    split.pick(if key.is_empty() { drawn } else { Split::point(&key) })
}

/// The index of routes.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Whether nothing has to be looked at: the first route takes every request.
    first_takes_all: bool,
    is_about_path: bool,
    is_about_hello: bool,
    exact: HashMap<Box<[u8]>, Paths>,
    below: HashMap<Box<[u8]>, Paths>,
    /// Routes that ask for no host.
    any: Paths,
}

/// Routes by their paths.
#[derive(Clone, Debug, Default)]
struct Paths {
    /// The tree; the first node is its root.
    nodes: Vec<Node>,
    /// Routes that ask for no path, or by an expression alone.
    any: Vec<u32>,
}

/// A place in the tree: the segments that lead to it have been seen.
#[derive(Clone, Debug, Default)]
struct Node {
    literal: HashMap<Box<str>, usize>,
    /// Any one segment.
    one: Option<usize>,
    /// Routes whose path ends here.
    exact: Vec<u32>,
    /// Routes that take everything from here on.
    prefix: Vec<u32>,
}

impl Index {
    fn new(routes: &[Route]) -> Index {
        let mut index = Index {
            first_takes_all: routes.first().is_some_and(|route| route.when.is_empty()),
            is_about_path: routes.iter().any(|route| route.when.is_about_path()),
            is_about_hello: routes
                .iter()
                .any(|route| !(route.when.hosts.is_empty() && route.when.alpn.is_empty())),
            ..Index::default()
        };
        for (number, route) in routes.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if route.when.hosts.is_empty() {
                index.any.insert(&route.when.paths, number);
            }
            for host in &route.when.hosts {
                let (map, name) = match host {
                    Host::Exact(name) => (&mut index.exact, name),
                    Host::Below(name) => (&mut index.below, name),
                };
                map.entry(name.as_bytes().into()).or_default().insert(&route.when.paths, number);
            }
        }
        index
    }

    fn find(&self, routes: &[Route], view: &RequestView<'_>, normal: &str) -> Option<usize> {
        let mut search = Search { routes, view, normal, best: u32::MAX };
        search.look_in(&self.any);
        if !(self.exact.is_empty() && self.below.is_empty()) {
            let mut room = [0; host::LEN_MAX];
            let host = host::key(view.authority, &mut room).unwrap_or_default();
            if let Some(paths) = self.exact.get(host) {
                search.look_in(paths);
            }
            for (dot, _) in host.iter().enumerate().filter(|(at, byte)| **byte == b'.' && *at > 0) {
                if let Some(paths) = self.below.get(&host[dot + 1..]) {
                    search.look_in(paths);
                }
            }
        }
        (search.best != u32::MAX).then_some(search.best as usize)
    }
}

impl Paths {
    fn insert(&mut self, rules: &[Path], number: u32) {
        if rules.is_empty() {
            return push(&mut self.any, number);
        }
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        for rule in rules {
            let mut at = 0;
            for segment in &rule.segments {
                at = self.child(at, segment);
            }
            let node = &mut self.nodes[at];
            push(if rule.is_prefix { &mut node.prefix } else { &mut node.exact }, number);
        }
    }

    /// The node behind `segment` of the node `at`, made if there is none.
    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::Literal(text) => *node.literal.entry(text.as_str().into()).or_insert(new),
            Segment::Any(_) => *node.one.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }
}

/// Adds `number` behind the smaller ones, once.
fn push(numbers: &mut Vec<u32>, number: u32) {
    if numbers.last() != Some(&number) {
        numbers.push(number);
    }
}

/// A search under way.
struct Search<'a> {
    routes: &'a [Route],
    view: &'a RequestView<'a>,
    normal: &'a str,
    /// The least number of a route that matches, so far.
    best: u32,
}

impl Search<'_> {
    fn look_in(&mut self, paths: &Paths) {
        self.consider(&paths.any);
        if let (Some(root), Some(rest)) = (paths.nodes.first(), self.normal.strip_prefix('/')) {
            self.walk(&paths.nodes, root, Some(rest));
        }
    }

    /// Looks at `node` and what lies below it; `rest` is what is left of the path, `None` if it has ended. No
    /// deeper than the longest rule, which is bounded.
    fn walk(&mut self, nodes: &[Node], node: &Node, rest: Option<&str>) {
        self.consider(&node.prefix);
        let Some(rest) = rest else { return self.consider(&node.exact) };
        let (segment, behind) =
            rest.split_once('/').map_or((rest, None), |(segment, behind)| (segment, Some(behind)));
        if let Some(&child) = node.literal.get(segment) {
            self.walk(nodes, &nodes[child], behind);
        }
        if let Some(child) = node.one.filter(|_| !segment.is_empty()) {
            self.walk(nodes, &nodes[child], behind);
        }
    }

    /// Looks at routes whose host and path are right.
    fn consider(&mut self, numbers: &[u32]) {
        for &number in numbers.iter().take_while(|number| **number < self.best) {
            let route = &self.routes[number as usize];
            if miss_of_rest(&route.when, self.view, self.normal).is_none() {
                self.best = number;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::subject::Subject;
    use crate::core::tls_info::{CertError, CertificateInfo, ClientCertStatus, Credential, TlsInfo};
    use crate::message::FieldLine;
    use crate::route::credential::{CredentialRule, SubjectPattern, TextPattern};
    use crate::route::miss::{miss, shadows};
    use crate::route::rule::{SplitShare, Want};
    use crate::route::{Pattern, Template};
    use proptest::prelude::*;

    fn hosts() -> impl Strategy<Value = Vec<Host>> {
        let texts = ["a.example", "b.example", "*.example", "*.a.example", "x.a.example", "[::1]"];
        prop::collection::vec(prop::sample::select(texts.to_vec()), 0..3)
            .prop_map(|texts| texts.into_iter().map(|text| Host::parse(text).unwrap()).collect())
    }

    fn paths() -> impl Strategy<Value = Vec<Path>> {
        let texts = [
            "/", "/*", "/a", "/a/", "/a/*", "/a/b", "/{x}", "/{x}/b", "/a/{x}/*", "/{x}/{y}", "/a/b/c",
            "/{x}/*",
        ];
        prop::collection::vec(prop::sample::select(texts.to_vec()), 0..3)
            .prop_map(|texts| texts.into_iter().map(|text| Path::parse(text).unwrap()).collect())
    }

    fn want() -> impl Strategy<Value = Vec<(String, Want)>> {
        let want = prop_oneof![
            prop::sample::subsequence(vec!["1", "2"], 1..=2)
                .prop_map(|values| Want::Is(values.into_iter().map(str::to_owned).collect())),
            Just(Want::Like(Pattern::new("^[0-9]$").unwrap())),
            Just(Want::Present),
            Just(Want::Absent),
        ];
        prop::collection::vec((prop::sample::select(vec!["p".to_owned(), "q".to_owned()]), want), 0..2)
    }

    fn credential_rule() -> impl Strategy<Value = Option<CredentialRule>> {
        let rule = (
            prop::sample::subsequence(ClientCertStatus::ALL.to_vec(), 1..=3),
            prop::sample::subsequence(vec!["CN=*", "CN=a, *"], 0..2),
            prop::sample::subsequence(vec!["*", "a"], 0..2),
            prop::sample::subsequence(vec!["00", "11"], 0..2),
        );
        let rule = rule.prop_map(|(statuses, subjects, names, prints)| CredentialRule {
            statuses,
            subjects: subjects.into_iter().filter_map(SubjectPattern::parse).collect(),
            common_names: names.into_iter().filter_map(TextPattern::parse).collect(),
            fingerprints: prints.into_iter().map(str::to_owned).collect(),
        });
        prop::option::weighted(0.3, rule)
    }

    fn credential() -> impl Strategy<Value = Option<Credential>> {
        let identity = |(subject, print): (&str, &str)| CertificateInfo {
            subject: Subject::parse(subject).unwrap(),
            fingerprint: print.to_owned(),
            ..CertificateInfo::default()
        };
        let identity = (
            prop::sample::select(vec!["CN=a", "CN=b", "CN=a, O=b", ""]),
            prop::sample::select(vec!["00", "22"]),
        )
            .prop_map(identity);
        prop::option::of(prop_oneof![
            Just(Credential::None),
            identity.clone().prop_map(Credential::Verified),
            identity.prop_map(|identity| Credential::Failed(identity, CertError::Expired)),
        ])
    }

    fn conditions() -> impl Strategy<Value = Conditions> {
        let regex = prop::option::weighted(0.2, Just(Pattern::new("^/a").unwrap()));
        let methods =
            prop::collection::vec(prop::sample::select(vec!["GET".to_owned(), "PUT".to_owned()]), 0..2);
        let clients =
            prop::sample::subsequence(vec!["10.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()], 0..2);
        (hosts(), paths(), regex, methods, want(), want(), want(), clients, credential_rule()).prop_map(
            |(hosts, paths, path_regex, methods, headers, query, cookies, clients, client_cert)| Conditions {
                hosts,
                paths,
                path_regex,
                methods,
                headers,
                query,
                cookies,
                clients,
                alpn: Vec::new(),
                client_cert,
            },
        )
    }

    fn table() -> impl Strategy<Value = RouteTable> {
        (prop::collection::vec(conditions(), 0..12), any::<bool>()).prop_map(|(all, passes)| {
            let route = |(number, when)| Route {
                name: format!("r{number}"),
                when,
                ..crate::route::rule::tests::route()
            };
            let ambiguous = if passes { AmbiguousPaths::Pass } else { AmbiguousPaths::Refuse };
            RouteTable::new(all.into_iter().enumerate().map(route).collect(), ambiguous)
        })
    }

    #[derive(Clone, Debug)]
    struct Asked {
        host: &'static str,
        path: String,
        query: Option<&'static str>,
        method: &'static str,
        headers: Vec<(&'static str, &'static str)>,
        client: &'static str,
        /// `None` without TLS.
        credential: Option<Credential>,
    }

    fn asked() -> impl Strategy<Value = Asked> {
        let host = prop::sample::select(vec![
            "a.example",
            "A.Example.:80",
            "x.a.example",
            "y.x.a.example",
            "b.example",
            "example",
            "",
            "[::1]:80",
            "[0::1]",
            ".example",
        ]);
        let segment =
            prop::sample::select(vec!["", "a", "b", "c", "%61", "a;v=1", "..", "%2e%2e", "x%2Fy", "%zz"]);
        let path =
            prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")));
        let path = prop_oneof![9 => path, 1 => Just("*".to_owned())];
        let query = prop::sample::select(vec![None, Some(""), Some("p=1"), Some("q=2&p=%31"), Some("p&q=x")]);
        let headers = vec![("p", "1"), ("Q", " 2 "), ("cookie", "p=1; q=x"), ("cookie", "p=9")];
        let headers = prop::sample::subsequence(headers, 0..4);
        let client = prop::sample::select(vec!["10.1.1.1", "192.0.2.1", "::1"]);
        (host, path, query, prop::sample::select(vec!["GET", "PUT", "put"]), headers, client, credential())
            .prop_map(|(host, path, query, method, headers, client, credential)| Asked {
                host,
                path,
                query,
                method,
                headers,
                client,
                credential,
            })
    }

    fn with_view<T>(asked: &Asked, act: impl FnOnce(&RequestView<'_>) -> T) -> T {
        let fields: Vec<_> =
            asked.headers.iter().map(|(name, value)| FieldLine::new(name, value.as_bytes())).collect();
        let tls_info = asked.credential.clone().map(|client| TlsInfo { client, ..TlsInfo::default() });
        act(&RequestView {
            tls_info: tls_info.as_ref(),
            alpn: &[],
            client: asked.client.parse().unwrap(),
            method: asked.method,
            authority: asked.host.as_bytes(),
            path: &asked.path,
            query: asked.query,
            fields: &fields,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

        /// The index finds what a scan from the beginning finds.
        #[test]
        fn the_index_decides_as_the_list_does(table in table(), asked in asked()) {
            with_view(&asked, |view| {
                prop_assert_eq!(table.decide(view), table.decide_by_scan(view));
                Ok(())
            })?;
        }

        /// A route that is called unreachable is never reached.
        #[test]
        fn a_shadowed_route_is_never_taken(wide in conditions(), narrow in conditions(), asked in asked()) {
            if shadows(&wide, &narrow) {
                with_view(&asked, |view| {
                    prop_assert!(miss(&narrow, view).is_some() || miss(&wide, view).is_none(), "{:?}", view);
                    Ok(())
                })?;
            }
        }
    }

    /// Ten thousand routes by host and path: the last is found, without looking at the others.
    #[test]
    fn many_routes_are_no_more_work() {
        let when = |number: usize| Conditions {
            hosts: vec![Host::parse(&format!("h{}.example", number % 100)).unwrap()],
            paths: vec![Path::parse(&format!("/p{number}/*")).unwrap()],
            ..Conditions::default()
        };
        let route = |number| Route {
            name: format!("r{number}"),
            when: when(number),
            ..crate::route::rule::tests::route()
        };
        let table = RouteTable::new((0..10_000).map(route).collect(), AmbiguousPaths::Refuse);
        let asked = |host: &'static str, path: &str| Asked {
            host,
            path: path.to_owned(),
            query: None,
            method: "GET",
            headers: Vec::new(),
            client: "10.0.0.1",
            credential: None,
        };
        let decide = |asked: &Asked| with_view(asked, |view| table.decide(view));
        assert_eq!(decide(&asked("h99.example", "/p9999/x")), Decision::Route(9999));
        assert_eq!(decide(&asked("h98.example", "/p9999/x")), Decision::NoRoute);
        assert_eq!(decide(&asked("h99.example", "/p1/../p9999")), Decision::AmbiguousPath);
        let leaf = &table.index.exact[&b"h99.example"[..]];
        assert!(leaf.any.is_empty() && leaf.nodes[0].literal.len() == 100);
    }

    #[test]
    fn a_sticky_split_keeps_its_keys_and_draws_where_there_is_none() {
        let share = |pool, weight| SplitShare { pool: PoolId(pool), weight };
        let split = Split {
            shares: vec![share(0, 1), share(1, 1)],
            sticky: Some(Template::parse("{cookie.sid}", &[]).unwrap()),
        };
        let route = Route { action: Action::Split(split), ..crate::route::rule::tests::route() };
        let table = RouteTable::new(vec![route], AmbiguousPaths::Refuse);
        let pools = |cookie: &[u8]| -> Vec<PoolId> {
            let fields = [FieldLine::new("Cookie", cookie)];
            let view = RequestView { fields: &fields, ..RequestView::connection([10, 0, 0, 1].into()) };
            (0..32).map(|ticket| table.pool(0, &view, RequestId::Own(ticket << 64 | 1)).unwrap()).collect()
        };
        let of_alice = pools(b"sid=alice");
        assert!(of_alice.iter().all(|pool| *pool == of_alice[0]));
        let drawn = pools(b"other=1");
        assert!(drawn.contains(&PoolId(0)) && drawn.contains(&PoolId(1)));
    }
}
