//! An explanation and the worker agree.

use proptest::prelude::*;

use super::{Ask, End, ExplainQuestion, TestExpectation, Trial, What, explain};
use crate::balance::RoundRobin;
use crate::config::{self, Loaded};
use crate::core::budget::Budget;
use crate::core::identity::Ids;
use crate::core::outcome::Cause;
use crate::core::time::Time;
use crate::http::date::Date;
use crate::route::{AmbiguousPaths, Inquiry, Options, RouteTable};
use crate::session::{Effect, Env, Session, Side};
use crate::snapshot::{BackendId, PoolId};

const ROUTES: [&str; 10] = [
    "match.path = \"/api/*\"\nstrip_prefix = \"/api\"\npool = \"a\"",
    "match.host = \"*.example\"\npool = \"b\"",
    "match.header = { X-A = \"1\" }\nsplit = [{ pool = \"a\", weight = 1 }, { pool = \"b\", weight = 2 }]",
    "match.method = \"PUT\"\nsplit = [{ pool = \"a\" }, { pool = \"b\" }]\nsticky = \"{client}\"",
    "match.path = \"/u/{id}\"\nredirect = { location = \"/{id}\" }",
    "match.query = { q = true }\nrespond = { status = 418 }",
    "match.client = \"10.0.0.0/8\"\npool = \"b\"",
    "match.path_regex = \"x$\"\npool = \"a\"\nlimits = { body = 0 }",
    "match.cookie = { c = false }\nmatch.path = \"/c/*\"\npool = \"b\"\nrequest_headers = { set = { X-Id = \"{request_id}\" } }",
    "pool = \"a\"",
];

fn loaded(routes: &[&str], weights: &[Vec<u32>; 2], is_trusting: bool) -> Loaded {
    let mut text = String::from("[[listener]]\nbind = \"127.0.0.1:80\"\n");
    if is_trusting {
        text.push_str("trusted_proxies = [\"127.0.0.1\"]\n");
    }
    for route in routes {
        text.push_str(&format!("[[listener.route]]\n{route}\n"));
    }
    for (name, weights) in ["a", "b"].iter().zip(weights) {
        let backend = |(n, weight): (usize, &u32)| {
            format!("{{ name = \"{name}{n}\", address = \"127.0.0.1:{}\", weight = {weight} }}", 9000 + n)
        };
        let backends: Vec<_> = weights.iter().enumerate().map(backend).collect();
        text.push_str(&format!("[pool.{name}]\nbackends = [{}]\n", backends.join(", ")));
    }
    config::parse(&text, "test").unwrap_or_else(|report| panic!("{report}\n{text}"))
}

/// A status, and the cause if there is one.
type Answer = (u16, Option<Cause>);

/// Lets a session live through a request up to the moment when it asks for a backend, or answers.
fn live(loaded: &Loaded, peer: std::net::SocketAddr, head: &[u8]) -> (Option<usize>, Result<PoolId, Answer>) {
    let date = Date::new(0);
    let (ids, bodies) = (Ids::new(0), Budget::new(0));
    let env = Env::new(Time::ZERO, &date, &loaded.snapshot, &ids, &bodies);
    let mut session = Session::new(peer, 0, &env);
    let buffer = &mut session.lane_from(Side::Client).buffer;
    buffer.attach(vec![0; 4096].into());
    buffer.room()[..head.len()].copy_from_slice(head);
    buffer.fill(head.len());
    let mut effects = Vec::new();
    session.advance(&env, &mut effects);
    let asks = effects.iter().any(|effect| matches!(effect, Effect::Open { .. }));
    let record = session.record(&env);
    let end = if asks { Ok(session.pool()) } else { Err((record.status, record.outcome.cause)) };
    (session.route_taken(), end)
}

fn head_of(question: &ExplainQuestion) -> &[u8] {
    match &question.what {
        What::Request { head, tls_info: None } => head,
        What::Request { .. } | What::Connection(_) => panic!("no plain request: {question:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    /// For any routes, request and state, the backend that is named is the one that the live path picks.
    #[test]
    fn the_backend_that_is_named_is_the_one_that_is_picked(
        routes in prop::collection::vec(prop::sample::select(ROUTES.to_vec()), 1..6),
        weights in prop::array::uniform2(prop::collection::vec(0_u32..3, 1..4).prop_map(|mut weights| { weights[0] += 1; weights })),
        is_trusting in any::<bool>(),
        method in prop::sample::select(vec!["GET", "PUT", "OPTIONS", "TRACE"]),
        host in prop::sample::select(vec!["h", "a.example", "A.EXAMPLE.:80"]),
        target in prop::sample::select(vec!["/", "/api", "/api/x", "/u/7", "/c/d?q", "/a/../b", "//", "/x", "*"]),
        headers in prop::sample::subsequence(vec![("X-A", "1"), ("Cookie", "c=1"), ("Content-Length", "5"), ("X-Forwarded-For", "10.1.1.1"), ("Max-Forwards", "0")], 0..4),
        from in prop::sample::select(vec!["127.0.0.1", "10.2.2.2", "::1"]),
        down in prop::collection::vec((0_usize..2, 0_usize..3), 0..4),
        turns in 0_usize..5,
    ) {
        let loaded = loaded(&routes, &weights, is_trusting);
        let ask = Ask {
            request: format!("{method} {target}"),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .chain([("Host".to_owned(), host.to_owned())]).collect(),
            from: Some(from.parse().unwrap()),
            ..Ask::default()
        };
        let mut question = ask.understand(&loaded.snapshot).unwrap();
        question.down = down.iter().map(|&(pool, index)| BackendId { pool: PoolId(pool), index }).collect();
        let robin = |pool: PoolId| {
            let mut robin = RoundRobin::default();
            for _ in 0..turns {
                robin.pick(loaded.snapshot.pool(pool).backends.iter().map(|backend| u64::from(backend.weight) * 1000));
            }
            robin
        };
        let told = explain(&loaded.snapshot, &loaded.places, &question, robin);
        let (route, end) = live(&loaded, question.peer, head_of(&question));

        let taken = told.routes.iter().position(|route| route.missed.is_none());
        prop_assert_eq!(taken, route);
        prop_assert!(told.routes.iter().all(|route| route.missed.as_deref() != Some("")), "{:?}", told.routes);
        match (&told.end, end) {
            (End::Forwarded(forwarded), Ok(pool)) => {
                prop_assert_eq!(&forwarded.pool, &loaded.snapshot.pool(pool).name);
                let backends = &loaded.snapshot.pool(pool).backends;
                let tried: Vec<usize> = question.down.iter().filter(|id| id.pool == pool).map(|id| id.index).collect();
                let weights = backends.iter().enumerate().map(|(place, backend)| if tried.contains(&place) { 0 } else { u64::from(backend.weight) * 1000 });
                let picked = robin(pool).pick(weights);
                prop_assert_eq!(forwarded.picked.as_ref(), picked.map(|index| &backends[index].name));
            }
            (End::Answered { status, .. }, Err((answered, None))) => prop_assert_eq!(*status, answered),
            (End::Refused { cause, .. }, Err((_, Some(found)))) => prop_assert_eq!(*cause, found.as_str()),
            (End::Options, Err((204, None))) => {}
            (told, end) => prop_assert!(false, "told {:?}, but {:?}", told, end),
        }
    }
}

#[test]
fn it_reads_like_this() {
    let routes = [ROUTES[4], ROUTES[1], ROUTES[0], ROUTES[9]];
    let loaded = loaded(&routes, &[vec![1, 2, 0], vec![1]], true);
    let ask = Ask {
        request: "GET https://api.test/api/v1/x?y=1".to_owned(),
        headers: vec![
            ("Cookie".to_owned(), "a=b".to_owned()),
            ("X-Forwarded-For".to_owned(), "10.1.2.3".to_owned()),
        ],
        down: vec!["a/a1".to_owned()],
        ..Ask::default()
    };
    let question = ask.understand(&loaded.snapshot).unwrap();
    let told = explain(&loaded.snapshot, &loaded.places, &question, |_| RoundRobin::default());
    let expected = "\
listener listener-1, client 10.1.2.3

routes
  missed  test:4   route-1: the path /api/v1/x is not /u/{id}
  missed  test:7   route-2: the host api.test is not *.example
  taken   test:10  route-3

the request as the backend gets it
  GET /v1/x?y=1 HTTP/1.1
  Host: api.test
  Cookie: a=b
  X-Forwarded-For: 10.1.2.3, 127.0.0.1
  X-Forwarded-Proto: http
  X-Forwarded-Host: api.test
  X-Forwarded-Port: 80
  X-Request-ID: 716d4466c5927c5f87cbbd3a05d97ba3
  Via: 1.1 pollux

pool a
  a0 (127.0.0.1:9000)  weight 1  picked
  a1 (127.0.0.1:9001)  weight 2  excluded: down
  a2 (127.0.0.1:9002)  weight 0  excluded: weight-zero
  round-robin, turn: of those that are left, the one whose turn comes first in a round that begins now
";
    assert_eq!(told.to_string(), expected);
}

/// An explanation names the question to an authority, and asks no authority.
#[test]
fn policies_are_told_with_their_verdicts() {
    let mut loaded = loaded(&[ROUTES[9]], &[vec![1], vec![1]], false);
    let inquiry = Inquiry {
        name: "sso".to_owned(),
        authority: 1,
        wait: std::time::Duration::from_secs(2),
        is_lenient: false,
        refusal: Cause::NoRoute,
    };
    let mut route = loaded.snapshot.listeners[0].routes.routes()[0].clone();
    route.options =
        Some(Box::new(Options { inquiries: vec![inquiry], body: Some(Some(4)), ..Options::default() }));
    loaded.snapshot.listeners[0].routes = RouteTable::new(vec![route], AmbiguousPaths::default());
    let told = |length: &str| {
        let headers = vec![("Content-Length".to_owned(), length.to_owned())];
        let ask = Ask { request: "POST http://h/".to_owned(), headers, ..Ask::default() };
        let question = ask.understand(&loaded.snapshot).unwrap();
        explain(&loaded.snapshot, &loaded.places, &question, |_| RoundRobin::default())
    };
    let allowed = told("4");
    let expected = "
policies
  a body of at most 4 bytes  go
  sso agrees                 would ask, and refuse with no-route; without a reply in 2s the request is refused
";
    assert!(allowed.to_string().contains(expected), "{allowed}");
    assert!(matches!(allowed.end, End::Forwarded(_)));
    let refused = told("5");
    assert!(
        refused.to_string().contains("  a body of at most 4 bytes  refuses: body-too-long\n"),
        "{refused}"
    );
    let trial = Trial {
        name: "t".to_owned(),
        place: "test:1".to_owned(),
        ask: Ask { request: "GET http://h/".to_owned(), ..Ask::default() },
        expect: TestExpectation { pool: Some("b".to_owned()), ..TestExpectation::default() },
    };
    let failures = trial.run(&loaded.snapshot, &loaded.places).failures;
    assert!(failures[1].starts_with("if sso agrees: would ask"), "{failures:?}");
}

#[test]
fn questions_that_cannot_be_understood() {
    let loaded = loaded(&[ROUTES[9]], &[vec![1], vec![1]], false);
    let ask = |request: &str| Ask { request: request.to_owned(), ..Ask::default() };
    for bad in ["", "GET", "GET x", "GET http://h?q", "G(T /", "GET /a b", "GET ftp://h/"] {
        assert!(ask(bad).understand(&loaded.snapshot).is_err(), "{bad}");
    }
    let down = |name: &str| Ask { down: vec![name.to_owned()], ..ask("/") }.understand(&loaded.snapshot);
    assert!(down("a/a0").is_ok() && down("a/127.0.0.1:9000").is_ok());
    assert!(down("a/a7").is_err() && down("c/a0").is_err() && down("a0").is_err());
    assert!(Ask { listener: Some("x".to_owned()), ..ask("/") }.understand(&loaded.snapshot).is_err());
    let evil = vec![("A".to_owned(), "b\r\nC: d".to_owned())];
    assert!(Ask { headers: evil, ..ask("/") }.understand(&loaded.snapshot).is_err());
}
