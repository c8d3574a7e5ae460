//! Routes over real sockets, from a configuration as it is written.

use std::io::Write;

use pollux::config;
use pollux::core::outcome::Cause;
use toy_backends::{Behaviour, Toy};

use crate::house::{Pollux, response};

fn toy(name: &str) -> Toy {
    Toy::start(([127, 0, 0, 1], 0).into(), name, Behaviour::Echo).unwrap()
}

fn pollux(routes: &str, toys: &[&Toy]) -> Pollux {
    let pool = |toy: &&Toy| format!("[pool.{}]\nbackends = [\"{}\"]\n", toy.name(), toy.address());
    let pools: String = toys.iter().map(pool).collect();
    let text = format!("[[listener]]\nbind = \"127.0.0.1:0\"\n{routes}\n{pools}");
    let loaded = config::parse(&text, "test").unwrap_or_else(|report| panic!("{report}"));
    Pollux::start(loaded.snapshot)
}

#[test]
fn one_connection_is_routed_request_by_request() {
    let (a, b) = (toy("a"), toy("b"));
    let routes = r#"
        pool = "a"
        [[listener.route]]
        match.path = "/b/*"
        strip_prefix = "/b"
        pool = "b"
        [[listener.route]]
        match.host = "old.example"
        redirect = { status = 301, location = "http://new.example{uri}" }
        [[listener.route]]
        match = { path = "/gone" }
        respond = { status = 410, body = "gone" }
    "#;
    let pollux = pollux(routes, &[&a, &b]);
    let mut client = pollux.client();
    let mut ask = |host: &str, path: &str| {
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        response(&mut client)
    };
    assert!(ask("h", "/x").starts_with("HTTP/1.1 200 "));
    let echoed = ask("h", "/b/y");
    assert!(echoed.contains("\"target\":\"/y\""), "{echoed}");
    assert!(ask("old.example", "/z?q").contains("\r\nLocation: http://new.example/z?q\r\n"));
    assert!(ask("h", "/gone").ends_with("\r\n\r\ngone"));
    assert!(ask("h", "/x").starts_with("HTTP/1.1 200 "));
    assert_eq!((a.accepted(), b.accepted()), (1, 1));
}

#[test]
fn without_a_route_there_is_a_404_and_its_cause() {
    let a = toy("a");
    let pollux = pollux("[[listener.route]]\nmatch.method = \"PUT\"\npool = \"a\"\n", &[&a]);
    assert!(pollux.get().starts_with("HTTP/1.1 404 "));
    assert_eq!(pollux.told().cause, Some(Cause::NoRoute));
    assert_eq!(a.accepted(), 0);
}

#[test]
fn a_sticky_split_of_connections() {
    let (a, b) = (toy("a"), toy("b"));
    let routes = "mode = \"tcp\"\nsplit = [{ pool = \"a\" }, { pool = \"b\" }]\nsticky = \"{client}\"\n";
    let pollux = pollux(routes, &[&a, &b]);
    for _ in 0..6 {
        assert!(pollux.get().starts_with("HTTP/1.1 200 "));
    }
    // All of them come from one address.
    assert_eq!(a.accepted().max(b.accepted()), 6);
    assert_eq!(a.accepted().min(b.accepted()), 0);
}
