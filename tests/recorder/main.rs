//! The flight recorder over an operating system that plays a script: its clock moves only in poll, so every
//! timeline is exact.

mod script;

use std::sync::Arc;
use std::time::Duration;

use pollux::core::outcome::{Journal, Record};
use pollux::recorder::{Kept, Story};
use pollux::shared::pools::Registry;
use pollux::snapshot::{
    Address, Backend, Limits, Listener, Mode, Pool, PoolId, Recording, Snapshot, Timeouts,
};
use pollux::worker::{GenerationChange, Inlet, Poller, Setup, Splicing, Worker, WorkerIndex};

use script::{Backend as Player, LISTENER, Script};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Wants to know method and target, and does nothing with them.
struct Reader;

impl Journal for Reader {
    fn record(&mut self, _record: &Record<'_>, _at: Duration) {}
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn us(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// A pool of so many backends, called by `prefix` and their ports.
fn snapshot(prefix: &str, backends: u16, recorder: Recording) -> Arc<Snapshot> {
    let backend =
        |port: u16| Backend::new(format!("{prefix}{port}"), Address::Ip(([127, 0, 0, 1], port).into()), 1);
    Arc::new(Snapshot {
        listeners: vec![Listener::to_pool("web", ([127, 0, 0, 1], 80).into(), Mode::Http, PoolId(0))],
        pools: vec![Pool::new("app", (1..=backends).map(backend).collect())],
        timeouts: Timeouts::default(),
        limits: Limits { recorder, ..Limits::default() },
    })
}

fn worker(script: Script, snapshot: Arc<Snapshot>) -> Worker<Script> {
    let setup = Setup {
        snapshot,
        tls: Arc::default(),
        listeners: vec![(LISTENER, 0)],
        wake: None,
        share: WorkerIndex { worker: 0, workers: 1 },
        poller: Poller::Poll,
        splicing: Splicing::NEVER,
        seed: 0,
        identity: 0,
        journal: Box::new(Reader),
        registry: Arc::<Registry>::default(),
    };
    Worker::new(script, setup)
}

/// Lets the worker turn until the script is over.
fn play(worker: &mut Worker<Script>) {
    while !worker.os_mut().is_over {
        worker.turn();
    }
}

fn stories(script: Script, snapshot: Arc<Snapshot>) -> Vec<Story> {
    let mut worker = worker(script, snapshot);
    play(&mut worker);
    worker.stories()
}

#[test]
fn a_timeline_tells_each_attempt() {
    let players = [
        Player::Refuses { after: us(240) },
        Player::Dies { connected: us(310), dies: ms(12) },
        Player::Answers { connected: us(100), answers: ms(1400), with: OK },
    ];
    let script = Script::new(players.into())
        .says(ms(1), "GET /cart?id=7 HTTP/1.1\r\n")
        .says(ms(3), "Host: shop\r\n\r\n");
    let stories = stories(script, snapshot("b", 3, Recording::default()));
    assert_eq!(stories.len(), 1);
    assert_eq!(stories[0].kept, Kept::Slow);
    assert_eq!(
        stories[0].to_string().replace(&stories[0].request_id, "ID"),
        "\
ID (0-0)  GET /cart?id=7 from 192.0.2.1:1024 at web, 0.0s ago
200 in 1.416 s, at the stage response; 454 bytes up, 142 bytes down

         +0 us  accepted
     +4.000 ms  head complete, route default, pool app
     +4.000 ms  picked b1 (turn)
     +4.000 ms  b1: connecting
     +4.240 ms  b1: failed, backend-refused
     +4.240 ms  b1: connection reset
     +4.240 ms  once more (unsent)
     +4.240 ms  picked b2 (turn)
     +4.240 ms  b2: connecting
     +4.550 ms  b2: connected
     +4.550 ms  b2: request sent
    +16.550 ms  b2: failed, backend-reset
    +16.550 ms  b2: connection reset
    +16.550 ms  once more (idempotent)
    +16.550 ms  picked b3 (turn)
    +16.550 ms  b3: connecting
    +16.650 ms  b3: connected
    +16.650 ms  b3: request sent
      +1.416 s  b3: response head, status 200
      +1.416 s  b3: connection kept
      +1.416 s  ended
"
    );
}

#[test]
fn what_failed_is_kept_and_what_went_well_is_recent() {
    let players = [Player::Refuses { after: us(240) }];
    let script = Script::new(players.into())
        .says(ms(1), "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        .says(ms(500), "GET /b HTTP/1.1\r\n\r\n");
    let stories = stories(script, snapshot("b", 1, Recording::default()));
    let seen: Vec<_> = stories.iter().map(|story| (story.kept, story.status, story.cause)).collect();
    assert_eq!(seen, [(Kept::Failed, 502, Some("backend-refused")), (Kept::Failed, 400, Some("bad-host"))]);
    let steps: Vec<_> = stories[1].steps.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(steps, ["first byte of a further request", "ended"]);
    assert_eq!(stories[1].request, "GET /b");
}

#[test]
fn a_reload_leaves_the_names_as_they_were() {
    let players = [Player::Answers { connected: us(100), answers: ms(5), with: OK }];
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let script = Script::new(players.into()).says(ms(1), get);
    let mut worker = worker(script, snapshot("old", 1, Recording::default()));
    play(&mut worker);
    let change = GenerationChange {
        snapshot: snapshot("new", 1, Recording::default()),
        tls: Arc::default(),
        inlets: vec![Inlet::Kept(0)],
    };
    worker.switch(change);
    worker.os_mut().say(get);
    play(&mut worker);
    let backends: Vec<_> = worker.stories().into_iter().map(|story| (story.id, story.backend)).collect();
    let named = |id: &str, name: &str| (String::from(id), Some(String::from(name)));
    assert_eq!(backends, [named("0-0", "old1"), named("0-1", "new1")]);
}

#[test]
fn as_many_are_kept_as_was_said_and_clients_push_nobody_out() {
    let players = [Player::Refuses { after: us(100) }];
    let mut script = Script::new(players.into()).says(ms(1), "GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
    for number in 1..=4 {
        script = script.says(ms(500), &format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    // The request that the client spoils comes last, because the connection ends with it.
    script = script.says(ms(500), "GET /bad HTTP/1.1\r\n\r\n");
    let recording = Recording { keep: 2, ..Recording::default() };
    let stories = stories(script, snapshot("b", 1, recording));
    let requests: Vec<_> = stories.iter().map(|story| story.request.as_str()).collect();
    assert_eq!(requests, ["GET /3", "GET /4", "GET /bad"]);
}
