//! Requests that are sent again, and those that are not.

use super::*;

/// A POST on an idle connection that turns out to be dead before one byte of it was taken.
#[test]
fn what_was_never_sent_goes_out_again_on_a_new_connection_to_the_same_backend() {
    let (mut stage, mut session) = Stage::new(Mode::Http);
    receive(&mut session, Side::Client, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(stage.advance(&mut session), [Effect::Open { again: None, is_fresh: false }]);
    stage.connect(&mut session, true);
    session.handle_unwritable(Side::Backend);
    session.handle_lost(Side::Backend);
    let effects = stage.advance(&mut session);
    assert_eq!(effects, [Effect::ResetBackend, Effect::Open { again: None, is_fresh: true }]);
    assert_eq!(session.tried(), [0; 0]);
    assert_eq!(session.record(&stage.env()).retried.last(), None, "it has not been sent again yet");
    stage.connect(&mut session, false);
    let record = session.record(&stage.env());
    assert_eq!((record.retried.last(), record.attempts), (Some(Proof::Unsent), 2));
    // A new connection that breaks is the backend's fault: it is not picked again.
    session.handle_lost(Side::Backend);
    stage.advance(&mut session);
    assert_eq!(session.tried(), [0]);
}

/// The only backend dies with a GET: there is no other to send it to, and it is not sent to the same one
/// again.
#[test]
fn a_backend_that_dies_with_a_request_does_not_get_it_twice() {
    for (method, is_repeated) in [("GET", true), ("POST", false)] {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        receive(&mut session, Side::Client, format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        stage.advance(&mut session);
        stage.connect(&mut session, false);
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        session.handle_lost(Side::Backend);
        let effects = stage.advance(&mut session);
        assert_eq!(effects.contains(&Effect::Open { again: None, is_fresh: false }), is_repeated, "{method}");
        assert_eq!(session.tried(), if is_repeated { &[0][..] } else { &[] }, "{method}");
    }
}

/// For any `retries`, a request of which nothing was sent waits until a backend can be reached, for a
/// while.
#[test]
fn a_backend_that_cannot_be_reached_is_asked_again() {
    let (mut stage, mut session) = Stage::new(Mode::Http);
    stage.snapshot.pools[0].retries.most = 0;
    receive(&mut session, Side::Client, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    let mut pauses = Vec::new();
    assert_eq!(stage.advance(&mut session), [Effect::Open { again: None, is_fresh: false }]);
    for attempt in 1.. {
        let failed = ConnectOutcome::Failed { backend: 0, cause: Cause::BackendRefused };
        let mut effects = Vec::new();
        session.handle_connect(failed, &stage.env(), &mut effects);
        assert_eq!(effects[0], Effect::NoteFailure(Cause::BackendRefused));
        assert_eq!(session.tried(), [0; 0]);
        let record = session.record(&stage.env());
        assert_eq!((record.attempts, record.retried.last()), (attempt, None));
        let Phase::Opening { dial: Dial::Paused { until }, .. } = session.phase else { break };
        pauses.push(until.since(stage.now).as_millis());
        stage.now = until;
        effects.clear();
        session.handle_deadline(Timer::Retry, &stage.env(), &mut effects);
        assert_eq!(effects, [Effect::Open { again: None, is_fresh: false }]);
    }
    assert_eq!(pauses, [100, 200, 400]);
    assert_eq!(session.record(&stage.env()).outcome.cause, Some(Cause::BackendRefused));
}
