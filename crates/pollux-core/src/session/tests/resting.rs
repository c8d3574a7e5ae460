//! Sessions of idle clients, of which little is kept.

use super::*;

/// One GET from its head to its record, which the client's connection survives.
fn exchange(stage: &mut Stage, session: &mut Session) {
    receive(session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    stage.advance(session);
    stage.connect(session, false);
    stage.advance(session);
    pass_all(session);
    receive(session, Side::Backend, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    stage.advance(session);
    pass_all(session);
    let effects = stage.advance(session);
    assert!(effects.contains(&Effect::KeepBackend) && effects.contains(&Effect::Record), "{effects:?}");
    stage.advance(session);
    for side in [Side::Client, Side::Backend] {
        session.lane_from(side).buffer.detach();
    }
}

/// A resting client has the deadline, the claim and the summary of its session, and the session made of it
/// goes on counting where that was.
#[test]
fn a_session_that_has_rested_goes_on_as_if_it_had_not() {
    let (mut stage, mut session) = Stage::new(Mode::Http);
    for is_first in [true, false] {
        let env = stage.env();
        let draining = Env { draining_since: Some(stage.now), ..stage.env() };
        assert!(session.is_at_rest());
        let seen = |session: &Session| {
            let deadlines = [&env, &draining].map(|env| session.deadline(env));
            (session.client(), session.listener(), session.claim(stage.now), session.summary(&env), deadlines)
        };
        let before = seen(&session);
        let passed = (session.up.passed(), session.down.passed());
        let resting = session.into_resting();
        let deadlines = [&env, &draining].map(|env| Some(resting.deadline(env)));
        let (client, claim) = (resting.client(), Some(resting.claim()));
        assert_eq!((client, resting.listener(), claim, Some(resting.summary(&env)), deadlines), before);
        session = resting.wake(stage.now);
        assert_eq!(seen(&session), before);
        assert_eq!((session.up.passed(), session.down.passed()), passed);
        assert_eq!(session.beginning().is_first, is_first);
        stage.now = stage.now + Duration::from_secs(1);
        exchange(&mut stage, &mut session);
    }
}

/// A byte of the next request, or the client's end, is more than what rests can hold.
#[test]
fn a_session_with_anything_under_way_does_not_rest() {
    let (_, mut session) = Stage::new(Mode::Http);
    receive(&mut session, Side::Client, b"\r");
    assert!(!session.is_at_rest());
    let (_, mut session) = Stage::new(Mode::Http);
    session.handle_leaving(Side::Client);
    assert!(!session.is_at_rest());
    let (mut stage, mut session) = Stage::new(Mode::Http);
    receive(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    stage.advance(&mut session);
    assert!(!session.is_at_rest());
    assert!(!Stage::new(Mode::Tcp).1.is_at_rest());
}
