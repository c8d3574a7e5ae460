//! Clients that leave: at once, by a FIN, or because Pollux drains.

use super::*;

/// The backend takes nothing, so nothing more is read from a client that has been reset since.
#[test]
fn a_client_that_is_gone_does_not_hold_a_full_tunnel_for_an_hour() {
    let (mut stage, mut session) = Stage::new(Mode::Tcp);
    stage.advance(&mut session);
    stage.connect(&mut session, false);
    receive(&mut session, Side::Client, &[b'x'; 1024]);
    assert_eq!(stage.advance(&mut session), []);
    assert!(!session.wants_read(Side::Client));
    session.handle_hangup(Side::Client);
    assert_eq!(
        session.interest(Side::Client, Time::from_nanos(u64::MAX)),
        None,
        "poll would say so for ever"
    );
    stage.now = Time::ZERO + Duration::from_secs(1);
    let deadline = session.deadline(&stage.env()).unwrap();
    assert_eq!((deadline.timer, deadline.at), (Timer::Tunnel, Time::ZERO + stage.snapshot.timeouts.linger));
}

/// The response has begun, and the client does not go on with its body: either may be waited for, and the
/// backend is not blamed.
#[test]
fn a_client_that_leaves_its_body_unfinished_is_no_matter_of_the_backend() {
    let post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbody";
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody";
    for (source, cause) in [
        (Source::Ended, Cause::BackendTruncated),
        (Source::Lost, Cause::BackendTruncated),
        (Source::Open, Cause::ClientBodyTimeout),
    ] {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        receive(&mut session, Side::Client, post);
        stage.advance(&mut session);
        stage.connect(&mut session, false);
        stage.advance(&mut session);
        pass_all(&mut session);
        receive(&mut session, Side::Backend, begun);
        assert_eq!(stage.advance(&mut session), [Effect::NoteAnswer]);
        pass_all(&mut session);
        session.down.source = source;
        let mut effects = stage.advance(&mut session);
        if source == Source::Open {
            stage.now = stage.now + stage.snapshot.timeouts.idle;
            session.handle_deadline(Timer::Idle, &stage.env(), &mut effects);
        }
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(cause));
        assert!(!effects.contains(&Effect::NoteFailure(cause)), "{cause}: {effects:?}");
    }
}

/// A client that ends its direction behind its request has a second to get its answer, counted from the last
/// byte that moved; under `finish` as long as others.
#[test]
fn a_client_that_has_ended_its_direction_is_given_up() {
    let second = ClientClose::GRACE;
    for (rule, timer) in
        [(ClientClose::Abort, Timer::ClientLeft), (ClientClose::Finish, Timer::BackendResponse)]
    {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        stage.snapshot.pools[0].on_client_close = rule;
        receive(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        stage.advance(&mut session);
        stage.connect(&mut session, false);
        pass_all(&mut session);
        stage.advance(&mut session);
        stage.now = stage.now + 5 * second;
        session.handle_leaving(Side::Client);
        assert_eq!(stage.advance(&mut session), []);
        let deadline = session.deadline(&stage.env()).unwrap();
        assert_eq!(deadline.timer, timer);
        assert!(rule == ClientClose::Finish || deadline.at == stage.now + second);
        // Bytes on their way to it show whether it is there.
        stage.now = stage.now + second / 2;
        session.handle_moved(stage.now);
        let moved = stage.now;
        stage.now = stage.now + second / 2;
        let deadline = session.deadline(&stage.env()).unwrap();
        assert!(rule == ClientClose::Finish || deadline.at == moved + second);
        let mut effects = Vec::new();
        session.handle_deadline(Timer::ClientLeft, &stage.env(), &mut effects);
        // Its end is in order: a RST could take an earlier response along that is on its way to it.
        assert_eq!(effects, [Effect::ResetBackend, Effect::Record, Effect::FinishClient]);
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(Cause::ClientAborted));
    }
}

/// An answer to a client that has ended its direction is recorded when the client's system has said whether it took it.
#[test]
fn the_record_of_a_client_that_has_left_waits_for_its_acknowledgement() {
    let record = [Effect::Record];
    let (closed, reset) = ([Effect::Record, Effect::CloseClient], [Effect::Record, Effect::ResetClient]);
    for (last, expected, cause) in [
        (Delivery::Acknowledged, &closed[..], None),
        (Delivery::Lost, &reset[..], Some(Cause::ClientAborted)),
        // Nothing is heard for `timeouts.linger`.
        (Delivery::Pending, &closed[..], None),
    ] {
        let (mut stage, mut session) = Stage::asking();
        pass_all(&mut session);
        session.handle_leaving(Side::Client);
        stage.advance(&mut session);
        receive(&mut session, Side::Backend, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        stage.advance(&mut session);
        pass_all(&mut session);
        assert_eq!(stage.advance(&mut session), [Effect::KeepBackend]);
        // Another request may have come before the end.
        assert!(session.wants_read(Side::Client) && !session.is_between_exchanges());
        session.handle_end(Side::Client);
        assert_eq!(stage.advance(&mut session), [Effect::FinishClient, Effect::AskDelivery]);
        assert_eq!(session.interest(Side::Client, stage.now), None, "poll reports a hangup for ever");
        let linger = stage.now + stage.snapshot.timeouts.linger;
        let mut asked = 0;
        while stage.now < linger {
            let mut effects = Vec::new();
            session.handle_delivery(Delivery::Pending, &stage.env(), &mut effects);
            assert_eq!(effects, []);
            let Deadline { at, timer } = session.deadline(&stage.env()).unwrap();
            assert!(at > stage.now && at <= linger && timer == Timer::Delivery);
            stage.now = at;
            asked += 1;
            if at == linger || (last != Delivery::Pending && asked == 5) {
                break;
            }
            session.handle_deadline(Timer::Delivery, &stage.env(), &mut effects);
            assert_eq!(effects, [Effect::AskDelivery]);
        }
        assert!(asked <= 12, "asked {asked} times");
        let mut effects = Vec::new();
        match last {
            Delivery::Pending => session.handle_deadline(Timer::Delivery, &stage.env(), &mut effects),
            Delivery::Acknowledged | Delivery::Lost => {
                session.handle_delivery(last, &stage.env(), &mut effects);
            }
        }
        session.advance(&stage.env(), &mut effects);
        assert_eq!(effects, expected, "{last:?}");
        assert!(effects.starts_with(&record));
        let told = session.record(&stage.env());
        assert_eq!((told.status, told.outcome.cause), (200, cause));
    }
}

/// A request that has come behind the one that is answered is served, and the record does not wait.
#[test]
fn a_pipelined_request_of_a_client_that_has_left_is_served() {
    let (mut stage, mut session) = Stage::asking();
    pass_all(&mut session);
    session.handle_leaving(Side::Client);
    receive(&mut session, Side::Backend, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    stage.advance(&mut session);
    pass_all(&mut session);
    assert_eq!(stage.advance(&mut session), [Effect::KeepBackend]);
    receive(&mut session, Side::Client, b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(stage.advance(&mut session), [Effect::Record]);
    assert_eq!(stage.advance(&mut session), [Effect::Open { again: None, is_fresh: false }]);
}

/// Idle clients are closed one after the other over two seconds, in an order of their own; who asks meanwhile
/// is served, and told that it was the last time.
#[test]
fn idle_clients_leave_a_drain_over_a_window() {
    let (stage, _) = Stage::new(Mode::Http);
    let start = Time::ZERO + Duration::from_secs(5);
    let env = Env { now: start, draining_since: Some(start), ..stage.env() };
    let leaves = |port: u16| {
        let session = Session::new(([192, 0, 2, 1], port).into(), 0, &stage.env());
        let deadline = session.deadline(&env).unwrap();
        assert_eq!((deadline, deadline.timer), (session.deadline(&env).unwrap(), Timer::ClientIdle));
        deadline.at.since(start).as_millis()
    };
    let mut tenths = [0; 10];
    for port in 0..10_000 {
        let at = leaves(port);
        assert!((250..2000).contains(&at), "{at}");
        tenths[(at - 250) as usize / 175] += 1;
    }
    assert!(tenths.iter().all(|count| (800..1200).contains(count)), "{tenths:?}");
}
