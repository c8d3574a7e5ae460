//! Failures and waits that are held against a backend, and those that are not.

use super::*;

/// A buffer that has come back a moment before the deadline says nothing yet of what there is to be read.
#[test]
fn a_wait_for_buffers_is_not_the_backends() {
    let limit = Timeouts::default().backend_response;
    let early = Time::ZERO + limit / 2;
    for (looked, at) in [(false, early + limit), (true, Time::ZERO + limit)] {
        let (mut stage, mut session) = Stage::asking();
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        stage.advance(&mut session);
        session.note_unread(early);
        if looked {
            session.note_silence();
        }
        let mut blamed = None;
        while blamed.is_none() {
            let deadline = session.deadline(&stage.env()).unwrap();
            stage.now = deadline.at;
            let mut effects = Vec::new();
            session.handle_deadline(deadline.timer, &stage.env(), &mut effects);
            let failure = Effect::NoteFailure(Cause::BackendResponseTimeout);
            blamed = effects.contains(&failure).then_some(stage.now);
            if !looked {
                // Of that wait it has been forgiven once.
                session.note_unread(early);
            }
        }
        assert_eq!(blamed, Some(at), "looked: {looked}");
    }
}

/// A caller may wait less than the configuration lets it, and no backend fails by that.
#[test]
fn the_time_of_a_call_shortens_that_of_the_backend_and_blames_no_one() {
    for (ms, at, is_blamed) in [(None, 60_000, true), (Some(100_000), 60_000, true), (Some(250), 250, false)]
    {
        let (mut stage, mut session) = Stage::asking();
        session.exchange.request.is_call = true;
        session.exchange.request.call_ms = ms.and_then(NonZeroU32::new);
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        stage.advance(&mut session);
        let deadline = session.phase_deadline(&stage.env()).unwrap();
        assert_eq!(
            (deadline.timer, deadline.at),
            (Timer::BackendResponse, Time::ZERO + Duration::from_millis(at))
        );
        stage.now = deadline.at;
        let mut effects = Vec::new();
        session.handle_deadline(deadline.timer, &stage.env(), &mut effects);
        assert_eq!(effects.contains(&Effect::NoteFailure(Cause::BackendResponseTimeout)), is_blamed);
        let answer = String::from_utf8_lossy(session.lane_to(Side::Client).unsent().0).into_owned();
        assert!(answer.contains("grpc-status: 4\r\ngrpc-message: backend-response-timeout\r\n"), "{answer}");
    }
}

/// A failed call is a good exchange to HTTP, and its backend is judged by what it means.
#[test]
fn health_judges_a_call_by_its_status() {
    for (is_call, number, judged) in
        [(true, 14, 503), (true, 13, 500), (true, 12, 200), (true, 0, 200), (false, 14, 200)]
    {
        let (mut stage, mut session) = Stage::asking();
        session.exchange.request.is_call = is_call;
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        stage.advance(&mut session);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGrpc-Status: {number}\r\n\r\n");
        receive(&mut session, Side::Backend, answer.as_bytes());
        stage.advance(&mut session);
        assert_eq!((session.status(), session.judged_status()), (Some(200), Some(judged)), "{number}");
    }
}

/// A response without a length may be silent for any time; one with a length owes its bytes.
#[test]
fn a_stream_that_is_quiet_is_not_held_against_its_backend() {
    for (framing, is_held) in
        [("Content-Length: 9", true), ("Transfer-Encoding: chunked", false), ("X: until-the-end", false)]
    {
        let (mut stage, mut session) = Stage::asking();
        pass_all(&mut session);
        receive(&mut session, Side::Backend, format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes());
        stage.advance(&mut session);
        pass_all(&mut session);
        stage.now = stage.now + stage.snapshot.timeouts.idle;
        let mut effects = Vec::new();
        session.handle_deadline(Timer::Idle, &stage.env(), &mut effects);
        let cause = Cause::BackendStalled;
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(cause));
        assert_eq!(effects.contains(&Effect::NoteFailure(cause)), is_held, "{framing}");
    }
}
