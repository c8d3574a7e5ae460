//! Clients that are bound to a backend by a cookie: over a restart and a reload, and to one that takes nobody
//! else any more.

use pollux::config;
use pollux::explain::{self, Ask};
use pollux::snapshot::Snapshot;
use toy_backends::{Behaviour, Toy};

use crate::house::Pollux;

fn configuration(sticky: &str, toys: &[(&Toy, u32)]) -> config::Loaded {
    let backend = |(toy, weight): &(&Toy, u32)| {
        format!("{{ name = \"{}\", address = \"{}\", weight = {weight} }}", toy.name(), toy.address())
    };
    let backends = toys.iter().map(backend).collect::<Vec<_>>().join(", ");
    let text = format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[pool.app]\nsticky = {{ {sticky} }}\nbackends = [{backends}]\n"
    );
    config::parse(&text, "test").unwrap_or_else(|report| panic!("{report}"))
}

fn snapshot(sticky: &str, toys: &[(&Toy, u32)]) -> Snapshot {
    configuration(sticky, toys).snapshot
}

fn ask(pollux: &Pollux, cookies: &str) -> String {
    pollux.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"))
}

/// The cookie that a response sets, with its value.
fn cookie(response: &str) -> Option<&str> {
    response.split("\r\n").find_map(|line| line.strip_prefix("Set-Cookie: "))?.split(';').next()
}

/// Which of the toys was asked since it was last looked.
fn served(toys: &[Toy], seen: &mut Vec<u64>) -> usize {
    let now: Vec<u64> = toys.iter().map(Toy::requests).collect();
    let place = (0..toys.len()).find(|place| now[*place] != seen[*place]).expect("somebody was asked");
    *seen = now;
    place
}

#[test]
fn a_client_stays_with_its_backend() {
    let toys =
        ["a", "b", "c"].map(|name| Toy::start(([127, 0, 0, 1], 0).into(), name, Behaviour::Echo).unwrap());
    let all = |weight| [(&toys[0], weight), (&toys[1], weight), (&toys[2], weight)];
    let signed =
        "cookie = \"srv\", secret = \"0123456789abcdef\", max_age = \"1h\", secure = true, hide = true";
    let mut pollux = Pollux::start(snapshot(signed, &all(1)));
    let mut seen = vec![0; toys.len()];

    let first = ask(&pollux, "x=1");
    let own = served(&toys, &mut seen);
    let bound = cookie(&first).expect("a cookie").to_owned();
    assert!(bound.starts_with("srv=") && bound.len() == 36, "{bound}");
    let line = format!("\r\nSet-Cookie: {bound}; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax\r\n");
    assert!(first.contains(&line), "{first}");

    for _ in 0..4 {
        let next = ask(&pollux, &format!("x=1; {bound}; y=2"));
        assert_eq!(served(&toys, &mut seen), own);
        // It is not told again what it knows, and the backend does not see it.
        assert_eq!(cookie(&next), None);
        assert!(next.contains("x=1; y=2") && !next.contains("srv="), "{next}");
    }
    // A cookie that was never given out binds its client to no backend.
    let forged = ask(&pollux, "srv=00000000000000000000000000000000");
    assert!(cookie(&forged).is_some());
    served(&toys, &mut seen);

    // It gets no new clients any more, but keeps its own; so it does after a restart.
    let mut emptied = all(1);
    emptied[own].1 = 0;
    emptied.reverse();
    pollux.reload(snapshot(signed, &emptied)).unwrap();
    for _ in 0..2 {
        ask(&pollux, &bound);
        assert_eq!(served(&toys, &mut seen), own);
        assert_ne!(cookie(&ask(&pollux, "x=1")), Some(bound.as_str()));
        assert_ne!(served(&toys, &mut seen), own);
        drop(pollux);
        pollux = Pollux::start(snapshot(signed, &emptied));
    }

    // When it is gone, another one takes its clients over.
    let others: Vec<_> = all(1).into_iter().filter(|(toy, _)| toy.name() != toys[own].name()).collect();
    pollux.reload(snapshot(signed, &others)).unwrap();
    let moved = ask(&pollux, &bound);
    assert!(cookie(&moved).is_some_and(|cookie| cookie != bound));

    // Explaining knows of it, too.
    let loaded = configuration(signed, &emptied);
    let asked =
        Ask { request: "/".to_owned(), headers: vec![("Cookie".to_owned(), bound)], ..Ask::default() };
    let question = asked.understand(&loaded.snapshot).unwrap();
    let told =
        explain::explain(&loaded.snapshot, &loaded.places, &question, |_| Default::default()).to_string();
    assert!(told.contains("weight 0  picked") && told.contains("bound: "), "{told}");
}

#[test]
fn a_backend_that_refuses_loses_its_clients() {
    let toys = ["a", "b"].map(|name| Toy::start(([127, 0, 0, 1], 0).into(), name, Behaviour::Echo).unwrap());
    let pollux = Pollux::start(snapshot("cookie = \"srv\"", &[(&toys[0], 1), (&toys[1], 1)]));
    let mut seen = vec![0; 2];
    let bound = cookie(&ask(&pollux, "x=1")).expect("a cookie").to_owned();
    let own = served(&toys, &mut seen);
    let [a, b] = toys;
    let left = if own == 0 {
        drop(a);
        b
    } else {
        drop(b);
        a
    };
    let moved = ask(&pollux, &bound);
    assert!(moved.starts_with("HTTP/1.1 200 "), "{moved}");
    assert!(cookie(&moved).is_some_and(|cookie| cookie != bound));
    assert_eq!(left.name(), if own == 0 { "b" } else { "a" });
}
