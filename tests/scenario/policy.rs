//! Requests about which an authority is asked: one that the test plays, which replies at once, later, or
//! never.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use pollux::core::outcome::Cause;
use pollux::policy::PolicyReply;
use pollux::route::{Action, Inquiry, Options, Route, RouteTable};
use pollux::shared::authority::{Authority, ReplyTo};
use pollux::snapshot::{Mode, PoolId, Snapshot};
use pollux::status::{SessionId, SessionsAsk};
use toy_backends::{Behaviour, Toy};

use crate::house::{Pollux, TIMEOUT, response, rest, snapshot};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// The number of an authority that agrees at once. A question to another authority comes to the test.
const YES: u32 = 0;

#[derive(Debug)]
struct Played(Sender<ReplyTo>);

impl Authority for Played {
    fn ask(&self, number: u32, reply_to: ReplyTo) -> Option<PolicyReply> {
        if number == YES {
            return Some(PolicyReply::Yes);
        }
        // A test that has seen enough does not listen any more: then no reply comes.
        let _ = self.0.send(reply_to);
        None
    }
}

fn asking(toy: &Toy, authorities: &[u32], wait: Duration) -> Snapshot {
    let mut snapshot = snapshot(Mode::Http, &[&toy.address().to_string()]);
    let inquiry = |&authority: &u32| Inquiry {
        name: format!("authority {authority}"),
        authority,
        wait,
        is_lenient: false,
        refusal: Cause::MethodRefused,
    };
    let inquiries = authorities.iter().map(inquiry).collect();
    let options = Some(Box::new(Options { inquiries, ..Options::default() }));
    let action = Action::Pool(PoolId(0));
    let route = Route { name: "asked".into(), when: Default::default(), action, options };
    snapshot.listeners[0].routes = RouteTable::new(vec![route], Default::default());
    snapshot
}

fn toy() -> Toy {
    Toy::start(([127, 0, 0, 1], 0).into(), "a", Behaviour::Echo).unwrap()
}

fn start(snapshot: Snapshot) -> (Pollux, Receiver<ReplyTo>) {
    let mut pollux = Pollux::start(snapshot);
    let (sender, asked) = channel();
    pollux.server().rely_on(Arc::new(Played(sender)));
    (pollux, asked)
}

fn next(asked: &Receiver<ReplyTo>) -> ReplyTo {
    asked.recv_timeout(TIMEOUT).expect("a question")
}

/// The steps of the last exchange that the recorder remembers.
fn steps(pollux: &mut Pollux) -> Vec<String> {
    let stories = pollux.server().stories();
    stories[0].steps.iter().map(|line| line.text.clone()).collect()
}

#[test]
fn what_is_asked_is_answered_at_once_or_later_and_the_trail_tells() {
    let toy = toy();
    let (mut pollux, asked) = start(asking(&toy, &[YES, 7], TIMEOUT));
    let mut client = pollux.client();
    // The second request lies behind the first one, of which nothing is known yet.
    client.write_all(&[GET, GET].concat()).unwrap();
    next(&asked).reply(PolicyReply::Yes);
    assert!(response(&mut client).starts_with("HTTP/1.1 200 "));
    let first = pollux.told();
    assert_eq!((first.cause, first.asked.as_deref()), (None, Some("authority 7")));
    let told = steps(&mut pollux).join("; ");
    let expected = "asks authority 0; authority 0 agrees; asks authority 7; authority 7 agrees; picked ";
    assert!(told.contains(expected), "{told}");
    next(&asked).reply(PolicyReply::No);
    assert!(response(&mut client).starts_with("HTTP/1.1 501 "));
    assert_eq!(pollux.told().cause, Some(Cause::MethodRefused));
}

#[test]
fn a_question_without_a_reply_ends_at_its_deadline_and_a_late_reply_is_nothing() {
    let toy = toy();
    let (mut pollux, asked) = start(asking(&toy, &[7], Duration::from_millis(30)));
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let late = next(&asked);
    assert!(response(&mut client).starts_with("HTTP/1.1 501 "));
    assert_eq!(pollux.told().cause, Some(Cause::MethodRefused));
    let told = steps(&mut pollux).join("; ");
    assert!(told.contains("authority 7 has not replied in time"), "{told}");
    late.reply(PolicyReply::Yes);
    client.write_all(GET).unwrap();
    next(&asked).reply(PolicyReply::No);
    assert!(response(&mut client).starts_with("HTTP/1.1 501 "), "the late reply is to another question");
}

#[test]
fn a_client_that_leaves_before_the_reply_is_noticed() {
    let toy = toy();
    let (pollux, asked) = start(asking(&toy, &[7], TIMEOUT));
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let reply_to = next(&asked);
    drop(client);
    let told = pollux.told();
    assert_eq!((told.cause, told.attempts), (Some(Cause::ClientAborted), 0));
    // Its session is gone, or another one has its place: the reply is to neither.
    reply_to.reply(PolicyReply::Yes);
    let mut second = pollux.client();
    second.write_all(GET).unwrap();
    next(&asked).reply(PolicyReply::Yes);
    assert!(response(&mut second).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_reload_leaves_a_request_that_waits_to_the_rules_that_routed_it() {
    let toy = toy();
    let (mut pollux, asked) = start(asking(&toy, &[7], TIMEOUT));
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let reply_to = next(&asked);
    pollux.reload(snapshot(Mode::Http, &[&toy.address().to_string()])).unwrap();
    reply_to.reply(PolicyReply::No);
    assert!(response(&mut client).starts_with("HTTP/1.1 501 "));
    // The next one of the same connection is held to the new rules, which ask nobody.
    client.write_all(GET).unwrap();
    assert!(response(&mut client).starts_with("HTTP/1.1 200 "));
    assert!(asked.try_recv().is_err());
}

#[test]
fn a_drain_waits_for_the_reply_until_its_deadline() {
    for replies in [true, false] {
        let toy = toy();
        let mut asking = asking(&toy, &[7], TIMEOUT);
        asking.timeouts.drain = if replies { TIMEOUT } else { Duration::from_millis(50) };
        let (mut pollux, asked) = start(asking);
        let mut client = pollux.client();
        client.write_all(GET).unwrap();
        let reply_to = next(&asked);
        pollux.drain();
        if replies {
            reply_to.reply(PolicyReply::Yes);
        }
        let answer = rest(&mut client);
        assert!(answer.starts_with(if replies { "HTTP/1.1 200 " } else { "HTTP/1.1 503 " }), "{answer}");
        assert_eq!(pollux.told().cause, (!replies).then_some(Cause::DrainTimeout));
        drop(client);
        pollux.end();
    }
}

#[test]
fn a_session_that_waits_is_seen_and_can_be_ended() {
    let toy = toy();
    let (mut pollux, asked) = start(asking(&toy, &[7], TIMEOUT));
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let reply_to = next(&asked);
    let sessions = pollux.server().list_sessions(SessionsAsk::default());
    assert!(pollux.server().kill(SessionId::parse(&sessions[0].id).unwrap()));
    assert_eq!(pollux.told().cause, Some(Cause::OperatorKilled));
    reply_to.reply(PolicyReply::Yes);
    assert!(pollux.server().list_sessions(SessionsAsk::default()).is_empty());
}
