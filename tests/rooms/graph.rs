//! No room names, over any number of others, a room that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::paths::Named;
use super::{core_sources, root, sources};

/// Names between rooms that close a cycle and are not opened yet: the room, the one that it names, and why.
/// The list only shrinks: a name that is gone, or closes no cycle, fails the test.
const ALLOWED: &[(&str, &str, &str)] = &[];

/// For each room the rooms that it names, each with a place where it does.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The room of the code in `file`, below `folder`.
fn room_of(file: &Path, folder: &Path) -> Option<String> {
    let first = file.strip_prefix(folder).ok()?.components().next()?;
    let name = first.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    (name != "lib" && name != "main").then_some(name)
}

/// The depth of the module of `file`: 0 for the root of the crate.
fn depth_of(file: &Path, folder: &Path) -> usize {
    let parts = file.strip_prefix(folder).map_or(0, |rest| rest.components().count());
    parts - usize::from(file.ends_with("mod.rs"))
}

/// The room that a path leads to; `depth` is that of the module in which it stands.
fn room_named(named: &Named, depth: usize, rooms: &BTreeSet<String>) -> Option<String> {
    let ups = named.segments.iter().take_while(|it| *it == "super").count();
    let first = match named.segments[0].as_str() {
        "crate" | "pollux" | "pollux_core" => named.segments.get(1),
        // The root of the crate has the rooms.
        "super" if ups == depth + named.depth => named.segments.get(ups),
        _ => None,
    }?;
    assert!(first != "*", "line {}: a path that names every room", named.line);
    rooms.contains(first).then(|| first.clone())
}

fn read() -> Graph {
    let folders = [core_sources(), root().join("src")];
    let files: Vec<_> =
        folders.iter().flat_map(|folder| sources(folder).into_iter().map(move |it| (folder, it))).collect();
    let rooms: BTreeSet<String> =
        files.iter().filter_map(|(folder, (file, _))| room_of(file, folder)).collect();
    let mut graph = Graph::new();
    for (folder, (file, named)) in &files {
        let Some(room) = room_of(file, folder) else { continue };
        for named in named {
            let Some(other) = room_named(named, depth_of(file, folder), &rooms) else { continue };
            let shown = file.strip_prefix(root()).unwrap_or(file).display();
            let place = format!("{shown}:{} names {}", named.line, named.segments.join("::"));
            if other != room {
                graph.entry(room.clone()).or_default().entry(other).or_insert(place);
            }
        }
    }
    graph
}

/// The shortest way from `from` to `to`, as places.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways: Vec<(&str, Vec<String>)> = vec![(from, Vec::new())];
    let mut seen = BTreeSet::from([from]);
    let mut at = 0;
    while at < ways.len() {
        let (room, so_far) = ways[at].clone();
        for (next, place) in graph.get(room).into_iter().flatten() {
            let mut longer = so_far.clone();
            longer.push(format!("{room} -> {next}: {place}"));
            if next == to {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push((next, longer));
            }
        }
        at += 1;
    }
    None
}

/// The shortest of all cycles, as places.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    graph.keys().filter_map(|room| way(graph, room, room)).min_by_key(Vec::len)
}

#[test]
fn the_rooms_have_no_cycle() {
    let mut graph = read();
    assert!(graph.len() > 20, "only {} rooms were looked at", graph.len());
    for (room, other, why) in ALLOWED {
        let place = graph.get_mut(*room).and_then(|named| named.remove(*other));
        assert!(place.is_some(), "{room} does not name {other} any more ({why}): remove it from the list");
    }
    for (room, other, why) in ALLOWED {
        let is_needed = way(&graph, other, room).is_some();
        assert!(is_needed, "{room} may name {other} ({why}): remove it from the list");
    }
    let found = cycle(&graph);
    assert!(
        found.is_none(),
        "rooms name each other in a circle:\n  {}",
        found.unwrap_or_default().join("\n  ")
    );
}

#[test]
fn no_two_rooms_share_a_name() {
    let rooms = |folder: &Path| -> BTreeSet<String> {
        sources(folder).iter().filter_map(|(file, _)| room_of(file, folder)).collect()
    };
    let (pure, world) = (rooms(&core_sources()), rooms(&root().join("src")));
    let both: Vec<_> = pure.intersection(&world).collect();
    assert!(both.is_empty(), "rooms of both crates: {both:?}");
}

#[test]
fn a_cycle_is_found_and_shown_with_its_places() {
    let edge = |to: &str, place: &str| BTreeMap::from([(to.to_owned(), place.to_owned())]);
    let mut graph = Graph::from([
        ("a".to_owned(), edge("b", "a.rs:1 names crate::b::X")),
        ("b".to_owned(), edge("c", "b.rs:2 names crate::c::X")),
    ]);
    assert_eq!(cycle(&graph), None);
    graph.insert("c".to_owned(), edge("a", "c.rs:3 names crate::a::X"));
    let shown = cycle(&graph).unwrap_or_default();
    assert_eq!(
        shown,
        [
            "a -> b: a.rs:1 names crate::b::X",
            "b -> c: b.rs:2 names crate::c::X",
            "c -> a: c.rs:3 names crate::a::X"
        ]
    );
}
