//! The search for a route that takes all requests of a later one.
//!
//! Each route would have to be held against all before it. But one that takes everything another takes, takes
//! its first host and its first path too: so routes are filed by host, and there in a tree of segments, and
//! only those are looked at that the first path of a route leads to.

use std::collections::HashMap;

use crate::route::miss::shadows;
use crate::route::path::Path;
use crate::route::{Conditions, Host};

/// Routes that were filed.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    /// By host; under `None` are those for any host, or for all below one.
    hosts: HashMap<Option<String>, Node>,
}

/// A segment, and what comes behind it.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Node>,
    any: Option<Box<Node>>,
    /// Routes whose path ends here.
    exact: Vec<usize>,
    /// Routes for everything from here on.
    below: Vec<usize>,
}

impl Shadows {
    /// Files the route of that number, whose conditions are `when`.
    pub(super) fn file(&mut self, when: &Conditions, number: usize) {
        let host = |host: &Host| match host {
            Host::Exact(name) => Some(name.clone()),
            Host::Below(_) => None,
        };
        let mut hosts: Vec<_> = when.hosts.iter().map(host).collect();
        if hosts.is_empty() {
            hosts.push(None);
        }
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            let root = self.hosts.entry(host).or_default();
            if when.paths.is_empty() {
                root.below.push(number);
            }
            when.paths.iter().for_each(|path| root.file(path, number));
        }
    }

    /// The first of the routes so far that takes all that a route with the conditions `when` would;
    /// `conditions` gives those of a number.
    pub(super) fn first<'a>(
        &self,
        when: &Conditions,
        conditions: impl Fn(usize) -> &'a Conditions,
    ) -> Option<usize> {
        let mut found = Vec::new();
        let host = when.hosts.first().and_then(|host| match host {
            Host::Exact(name) => Some(name.clone()),
            Host::Below(_) => None,
        });
        let keys = if host.is_some() { vec![host, None] } else { vec![None] };
        for root in keys.iter().filter_map(|key| self.hosts.get(key)) {
            match when.paths.first() {
                Some(path) => root.search(path, &mut found),
                None => found.extend(&root.below),
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().find(|other| shadows(conditions(*other), when))
    }
}

impl Node {
    fn file(&mut self, path: &Path, number: usize) {
        let mut node = self;
        for segment in path.segments() {
            node = match segment {
                Some(text) => node.literals.entry(text.to_owned()).or_default(),
                None => node.any.get_or_insert_default(),
            };
        }
        if path.is_prefix() { &mut node.below } else { &mut node.exact }.push(number);
    }

    /// The nodes that a segment leads to: its own text, and any.
    fn behind(&self, segment: Option<&str>) -> impl Iterator<Item = &Node> {
        let literal = segment.and_then(|text| self.literals.get(text));
        [literal, self.any.as_deref()].into_iter().flatten()
    }

    /// Appends the routes with a path that may contain `path`: those for everything from one of its segments
    /// on, and, if it is none of these itself, those that end where it does.
    fn search(&self, path: &Path, found: &mut Vec<usize>) {
        let mut reached = vec![self];
        found.extend(&self.below);
        for segment in path.segments() {
            reached = reached.into_iter().flat_map(|node| node.behind(segment)).collect();
            reached.iter().for_each(|node| found.extend(&node.below));
        }
        if !path.is_prefix() {
            reached.iter().for_each(|node| found.extend(&node.exact));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn conditions() -> impl Strategy<Value = Conditions> {
        let hosts = prop::sample::subsequence(vec!["a.x", "b.x", "*.x", "*.a.x", "c.a.x"], 0..3);
        let all = vec![
            "/*",
            "/a",
            "/a/*",
            "/a/b",
            "/{n}",
            "/{n}/*",
            "/a/{n}",
            "/{m}/b",
            "/a/b/c",
            "/a/{n}/c/*",
            "/",
        ];
        let paths = prop::sample::subsequence(all, 0..3);
        let methods = prop::sample::subsequence(vec!["GET", "PUT"], 0..3);
        (hosts, paths, methods).prop_map(|(hosts, paths, methods)| Conditions {
            hosts: hosts.into_iter().map(|text| Host::parse(text).unwrap()).collect(),
            paths: paths.into_iter().map(|text| Path::parse(text).unwrap()).collect(),
            methods: methods.into_iter().map(str::to_owned).collect(),
            ..Conditions::default()
        })
    }

    proptest! {
        /// The result equals comparing each route with all before it.
        #[test]
        fn no_shadow_is_missed(routes in prop::collection::vec(conditions(), 1..20)) {
            let mut before = Shadows::default();
            for (index, when) in routes.iter().enumerate() {
                let plain = (0..index).find(|other| shadows(&routes[*other], when));
                prop_assert_eq!(before.first(when, |other| &routes[other]), plain);
                before.file(when, index);
            }
        }
    }
}
