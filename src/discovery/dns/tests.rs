//! The client against servers on loopback that behave in every way that is known of servers.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use simple_dns::rdata::{A, AAAA, CNAME, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use super::message::{Kind, Query, Verdict};
use super::{Client, Failure};
use crate::discovery::IpFamily;

/// A server that sends what `answer` makes of each query, until it is dropped.
struct Server {
    address: SocketAddr,
    asked: Receiver<(String, TYPE)>,
    serving: Option<JoinHandle<()>>,
}

/// The query that ends a server.
const END: &[u8] = b"end";

impl Server {
    fn start(mut answer: impl FnMut(&Packet<'_>) -> Vec<Vec<u8>> + Send + 'static) -> Server {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let (sender, asked) = channel();
        let serving = thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let (len, from) = socket.recv_from(&mut buffer).unwrap();
                if &buffer[..len] == END {
                    return;
                }
                let query = Packet::parse(&buffer[..len]).unwrap();
                let question = &query.questions[0];
                let QTYPE::TYPE(kind) = question.qtype else { panic!("{question:?}") };
                let _ = sender.send((question.qname.to_string(), kind));
                for bytes in answer(&query) {
                    socket.send_to(&bytes, from).unwrap();
                }
            }
        });
        Server { address, asked, serving: Some(serving) }
    }

    /// One that knows `records`, and follows no aliases.
    fn of(records: Vec<ResourceRecord<'static>>) -> Server {
        Server::start(move |query| vec![bytes(&known(query, &records))])
    }

    fn asked(&self) -> Vec<(String, TYPE)> {
        self.asked.try_iter().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.send_to(END, self.address).unwrap();
        let ended = self.serving.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the server panicked");
    }
}

fn client(servers: &[SocketAddr]) -> Client<'_> {
    let rounds = [Duration::from_millis(100), Duration::from_millis(300)];
    Client { servers, family: IpFamily::Any, rounds, deadline: Instant::now() + Duration::from_secs(20) }
}

fn reply(query: &Packet<'_>) -> Packet<'static> {
    let mut reply = Packet::new_reply(query.id());
    reply.questions = query.questions.iter().cloned().map(Question::into_owned).collect();
    reply
}

fn known(query: &Packet<'_>, records: &[ResourceRecord<'static>]) -> Packet<'static> {
    let mut reply = reply(query);
    let question = &query.questions[0];
    let of_name: Vec<_> =
        records.iter().filter(|it| it.name.to_string() == question.qname.to_string()).collect();
    if of_name.is_empty() {
        *reply.rcode_mut() = RCODE::NameError;
    }
    let is_wanted =
        |it: &&&ResourceRecord<'_>| it.match_qtype(question.qtype) || matches!(it.rdata, RData::CNAME(_));
    reply.answers = of_name.iter().filter(is_wanted).map(|it| (**it).clone()).collect();
    reply
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec_compressed().unwrap()
}

fn record(name: &'static str, ttl: u32, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, ttl, data)
}

fn a(name: &'static str, ttl: u32, host: u8) -> ResourceRecord<'static> {
    record(name, ttl, RData::A(A { address: Ipv4Addr::new(10, 0, 0, host).into() }))
}

fn aaaa(name: &'static str) -> ResourceRecord<'static> {
    record(name, 60, RData::AAAA(AAAA { address: 1 }))
}

fn cname(name: &'static str, ttl: u32, to: &'static str) -> ResourceRecord<'static> {
    record(name, ttl, RData::CNAME(CNAME(Name::new(to).unwrap())))
}

fn srv(priority: u16, weight: u16, port: u16, target: &'static str) -> ResourceRecord<'static> {
    let target = Name::new(target).unwrap();
    record("_http._tcp.app", 60, RData::SRV(SRV { priority, weight, port, target }))
}

fn host(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, host).into()
}

fn addresses(server: &Server) -> Result<(Vec<IpAddr>, u64), Failure> {
    client(&[server.address]).addresses("app").map(|found| (found.what, found.ttl.as_secs()))
}

#[test]
fn a_name_has_addresses_of_both_families() {
    let server = Server::of(vec![a("app", 60, 1), a("app", 30, 2), aaaa("app"), a("other", 5, 3)]);
    let v6 = "::1".parse().unwrap();
    assert_eq!(addresses(&server), Ok((vec![host(1), host(2), v6], 30)));
    let servers = [server.address];
    assert_eq!(client(&servers).addresses("APP.").map(|found| found.what.len()), Ok(3));
    assert_eq!(client(&servers).addresses("nobody"), Err(Failure::NoName));
    assert_eq!(client(&servers).addresses(&"x".repeat(64)), Err(Failure::BadName));
    let empty = Server::of(vec![srv(0, 0, 1, "x")]);
    assert_eq!(client(&[empty.address]).addresses("_http._tcp.app"), Err(Failure::NoRecord(Kind::A)));
}

#[test]
fn aliases_are_followed_in_an_answer_and_over_several_and_not_for_ever() {
    // This server says each step by itself.
    let stepwise = Server::of(vec![cname("app", 9, "b"), cname("b", 7, "C"), a("C", 50, 1), a("c", 50, 1)]);
    assert_eq!(addresses(&stepwise), Ok((vec![host(1)], 7)));
    // This one says all of it at once, the end first.
    let whole = [a("c", 50, 1), cname("b", 7, "c"), cname("app", 9, "b")];
    let at_once = Server::start(move |query| {
        let mut reply = reply(query);
        reply.answers = whole.to_vec();
        vec![bytes(&reply)]
    });
    assert_eq!(addresses(&at_once), Ok((vec![host(1)], 7)));
    let circle = Server::of(vec![cname("app", 9, "b"), cname("b", 7, "app")]);
    assert_eq!(addresses(&circle), Err(Failure::Chain));
    assert!(circle.asked().len() <= 2 * (2 + super::lookup::CHAIN_MAX));
}

#[test]
fn what_is_no_answer_to_the_query_is_dropped_and_the_answer_behind_it_taken() {
    let server = Server::start(|query| {
        let good = known(query, &[a("app", 60, 1)]);
        let mut forged = known(query, &[a("app", 60, 66)]);
        let mut out = vec![b"garbage".to_vec(), Vec::new(), bytes(query)];
        forged.set_id(query.id().wrapping_add(1));
        out.push(bytes(&forged));
        // The right identity, but another question, or none.
        let mut other = known(query, &[a("app", 60, 66)]);
        other.questions[0].qname = Name::new("other").unwrap();
        out.push(bytes(&other));
        other.questions.clear();
        out.push(bytes(&other));
        // A name that points at itself.
        let mut circle = bytes(&reply(query));
        circle[7] = 1;
        let at = circle.len() as u8;
        circle.extend([0xc0, at, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 66]);
        out.push(circle);
        // One that ends within a record.
        let short = bytes(&good);
        out.push(short[..short.len() - 3].to_vec());
        out.push(bytes(&good));
        out
    });
    assert_eq!(addresses(&server), Ok((vec![host(1)], 60)));
}

#[test]
fn a_server_that_is_silent_is_asked_twice_and_then_the_next_one_has_its_turn() {
    let silent = Server::start(|_| Vec::new());
    let good = Server::of(vec![a("app", 60, 1)]);
    let servers = [silent.address, good.address];
    assert_eq!(client(&servers).addresses("app").map(|found| found.what), Ok(vec![host(1)]));
    assert_eq!(silent.asked().len(), 2, "once for each family");
    let error = addresses(&silent).unwrap_err();
    assert!(matches!(&error, Failure::Silent(why) if why.contains("no answer in time")), "{error}");
    assert_eq!(silent.asked().len(), 4, "two rounds for each family, and then nothing more is asked");
    let gone = good.address;
    drop(good);
    let error = client(&[gone]).addresses("app").unwrap_err();
    assert!(matches!(&error, Failure::Silent(why) if why.contains("refused")), "{error}");
    let (servers, late) = ([silent.address], Instant::now());
    let late = Client { deadline: late, ..client(&servers) };
    assert!(matches!(late.addresses("app"), Err(Failure::Silent(_))));
    assert_eq!(silent.asked(), []);
}

#[test]
fn a_server_without_an_answer_is_told_apart_from_a_name_that_is_not_there() {
    let failing = |code: RCODE| {
        Server::start(move |query| {
            let mut reply = reply(query);
            if code == RCODE::FormatError {
                reply.questions.clear();
            }
            *reply.rcode_mut() = code;
            vec![bytes(&reply)]
        })
    };
    for (code, shown) in [
        (RCODE::ServerFailure, "has no answer (SERVFAIL)"),
        (RCODE::Refused, "has no answer (REFUSED)"),
        (RCODE::FormatError, "has no answer (FORMERR)"),
        (RCODE::NotImplemented, "has no answer (NOTIMP)"),
    ] {
        let server = failing(code);
        let error = addresses(&server).unwrap_err();
        assert!(matches!(&error, Failure::Refused(why) if why.ends_with(shown)), "{error}");
        let asked = if matches!(code, RCODE::FormatError | RCODE::NotImplemented) { 4 } else { 2 };
        assert_eq!(server.asked().len(), asked, "no server that has spoken is asked again");
        // Another one may know more; but that there is no such name is final.
        let good = Server::of(vec![a("app", 60, 1)]);
        let servers = [server.address, good.address];
        assert_eq!(client(&servers).addresses("app").map(|found| found.what), Ok(vec![host(1)]));
        assert_eq!(client(&servers).addresses("nobody"), Err(Failure::NoName));
    }
    // One that has no answer for the other family.
    let server = Server::start(|query| {
        let mut reply = known(query, &[a("app", 60, 1)]);
        if reply.answers.is_empty() {
            *reply.rcode_mut() = RCODE::ServerFailure;
        }
        vec![bytes(&reply)]
    });
    assert_eq!(addresses(&server), Ok((vec![host(1)], 60)));
}

/// Answers one query over TCP at `address`, in pieces, and returns the answer to the thread that joins, to be
/// sent again.
fn over_tcp(
    listener: TcpListener,
    answer: impl Fn(&Packet<'_>) -> Vec<u8> + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut query = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut query).unwrap();
        let message = answer(&Packet::parse(&query).unwrap());
        let len = u16::try_from(message.len()).unwrap();
        // A client that does not want the rest may be gone.
        let _ = stream.write_all(&len.to_be_bytes()).and_then(|()| stream.write_all(&message));
    })
}

#[test]
fn what_does_not_fit_is_asked_for_over_tcp() {
    let many: Vec<_> = (0..200).map(|host| a("app", 60, host)).collect();
    // A listener has the port of the server of datagrams, or another pair is tried.
    let (server, listener) = (0..100)
        .find_map(|_| {
            let server = Server::start(|query| {
                let mut reply = reply(query);
                if query.questions[0].qtype == QTYPE::TYPE(TYPE::A) {
                    reply.set_flags(PacketFlag::TRUNCATION);
                }
                // Even if it ends within a record.
                let mut bytes = bytes(&reply);
                bytes[7] = 1;
                if query.questions[0].qtype != QTYPE::TYPE(TYPE::A) {
                    bytes[7] = 0;
                }
                vec![bytes]
            });
            let listener = TcpListener::bind(server.address).ok()?;
            Some((server, listener))
        })
        .unwrap();
    let again = listener.try_clone().unwrap();
    let answering = over_tcp(listener, move |query| bytes(&known(query, &many)));
    assert_eq!(addresses(&server).map(|(found, _)| found.len()), Ok(200));
    answering.join().unwrap();
    // Cut there too: the second server is not there, so this is what is told.
    let answering = over_tcp(again, |query| {
        let mut reply = reply(query);
        reply.set_flags(PacketFlag::TRUNCATION);
        bytes(&reply)
    });
    let error = addresses(&server).unwrap_err();
    assert!(error.to_string().contains("cut, over TCP too"), "{error}");
    answering.join().unwrap();
}

fn service(records: Vec<ResourceRecord<'static>>) -> Result<Vec<String>, Failure> {
    let server = Server::of(records);
    backends(&server)
}

fn backends(server: &Server) -> Result<Vec<String>, Failure> {
    let found = client(&[server.address]).service("_http._tcp.app")?;
    let show = |entry: crate::discovery::Entry| {
        format!("{} {:?} {:?}", entry.address, entry.weight.unwrap_or(0), entry.tier.unwrap_or(0))
    };
    Ok(found.what.into_iter().map(show).collect())
}

#[test]
fn a_service_is_all_addresses_of_all_its_targets() {
    let found =
        service(vec![srv(1, 5, 80, "x"), srv(2, 6, 81, "y"), a("x", 60, 1), a("x", 60, 2), a("y", 60, 3)]);
    assert_eq!(found.unwrap(), ["10.0.0.1:80 5 1", "10.0.0.2:80 5 1", "10.0.0.3:81 6 2"]);
    // The root is no target: there is decidedly no service, which is an answer.
    assert_eq!(service(vec![srv(0, 0, 0, ".")]), Ok(vec![]));
    // A target that is not there is left out, unless it is the only one.
    let found = service(vec![srv(0, 0, 80, "x"), srv(0, 0, 80, "gone"), a("x", 60, 1)]);
    assert_eq!(found.unwrap(), ["10.0.0.1:80 0 1"]);
    let error = service(vec![srv(0, 0, 80, "gone")]).unwrap_err();
    assert!(error.to_string().contains("its target gone: there is no such name"), "{error}");
    let error = service(vec![srv(0, 0, 0, "x"), a("x", 60, 1)]).unwrap_err();
    assert!(error.to_string().contains("port 0"), "{error}");
    assert_eq!(service(vec![a("other", 60, 1)]), Err(Failure::NoName));
}

/// A server may add some addresses of many, and other ones the next time, without a word (RFC 2181 section
/// 9).
#[test]
fn addresses_that_the_server_adds_are_not_taken_for_all() {
    let mut turn = 0;
    let server = Server::start(move |query| {
        let records = [srv(0, 1, 80, "x"), srv(0, 2, 80, "y"), a("x", 60, 1), a("x", 60, 2), a("y", 20, 3)];
        let mut reply = known(query, &records);
        if query.questions[0].qtype == QTYPE::TYPE(TYPE::SRV) {
            turn += 1;
            reply.additional_records = vec![a("x", 60, turn), a("stranger", 60, 4), a("y", 60, 9)];
        }
        vec![bytes(&reply)]
    });
    for _ in 0..2 {
        assert_eq!(backends(&server).unwrap(), ["10.0.0.1:80 1 1", "10.0.0.2:80 1 1", "10.0.0.3:80 2 1"]);
    }
    let found = client(&[server.address]).service("_http._tcp.app").unwrap();
    assert_eq!((found.ttl, found.lacks), (Duration::from_secs(20), None));
}

/// More than are asked for at the same time, and more than servers add.
#[test]
fn many_targets_are_all_found() {
    let names: Vec<&'static str> = (0..60).map(|number| &*format!("t{number}").leak()).collect();
    let mut records: Vec<_> = names.iter().map(|name| srv(0, 1, 80, name)).collect();
    records.extend(names.iter().zip(1..).map(|(name, host)| a(name, 60, host)));
    assert_eq!(service(records).unwrap().len(), 60);
}

#[test]
fn one_family_never_costs_the_other_one() {
    let six = "::1".parse::<IpAddr>().unwrap();
    for (spoilt, code, lacks) in [
        (TYPE::AAAA, Some(RCODE::NameError), None),
        (TYPE::AAAA, Some(RCODE::ServerFailure), Some(IpFamily::V6)),
        (TYPE::AAAA, Some(RCODE::Refused), Some(IpFamily::V6)),
        (TYPE::AAAA, Some(RCODE::NotImplemented), Some(IpFamily::V6)),
        (TYPE::AAAA, None, Some(IpFamily::V6)),
        (TYPE::A, Some(RCODE::NameError), None),
        (TYPE::A, Some(RCODE::ServerFailure), Some(IpFamily::V4)),
        (TYPE::A, None, Some(IpFamily::V4)),
    ] {
        let server = Server::start(move |query| {
            let mut reply = known(query, &[a("app", 60, 1), aaaa("app")]);
            if query.questions[0].qtype == QTYPE::TYPE(spoilt) {
                reply.answers.clear();
                let Some(code) = code else { return Vec::new() };
                *reply.rcode_mut() = code;
            }
            vec![bytes(&reply)]
        });
        let kept = if spoilt == TYPE::A { six } else { host(1) };
        let found = client(&[server.address]).addresses("app").unwrap();
        assert_eq!((found.what, found.lacks), (vec![kept], lacks), "{spoilt:?} {code:?}");
    }
}

#[test]
fn one_family_is_asked_for_alone_where_that_is_wanted() {
    let server = Server::of(vec![a("app", 60, 1), aaaa("app")]);
    let servers = [server.address];
    for (family, kind, found) in
        [(IpFamily::V4, TYPE::A, host(1)), (IpFamily::V6, TYPE::AAAA, "::1".parse().unwrap())]
    {
        let client = Client { family, ..client(&servers) };
        assert_eq!(client.addresses("app").map(|found| found.what), Ok(vec![found]));
        assert_eq!(server.asked(), [(String::from("app"), kind)]);
    }
}

#[test]
fn a_server_that_knows_no_extension_is_asked_without() {
    for code in [RCODE::FormatError, RCODE::NotImplemented] {
        let server = Server::start(move |query| {
            let mut reply = known(query, &[a("app", 60, 1)]);
            if query.opt().is_some() {
                assert_eq!(query.opt().unwrap().udp_packet_size, 1232);
                reply.answers.clear();
                *reply.rcode_mut() = code;
            }
            vec![bytes(&reply)]
        });
        assert_eq!(addresses(&server), Ok((vec![host(1)], 60)));
    }
}

#[test]
fn a_target_of_which_nothing_is_known_now_spoils_the_answer() {
    // Its backends may be there: to leave them out would drain them.
    let server = Server::start(|query| {
        let mut reply = known(query, &[srv(0, 0, 80, "x"), srv(0, 0, 80, "y"), a("x", 60, 1)]);
        if query.questions[0].qname.to_string() == "y" {
            *reply.rcode_mut() = RCODE::ServerFailure;
        }
        vec![bytes(&reply)]
    });
    let error = backends(&server).unwrap_err();
    assert!(error.to_string().contains("its target y") && error.to_string().contains("SERVFAIL"), "{error}");
}

fn a_query() -> Query<'static> {
    Query { id: 7, name: "app", kind: Kind::A, is_extended: true }
}

fn a_reply() -> Vec<u8> {
    let query = a_query().bytes().unwrap();
    let mut packet = known(&Packet::parse(&query).unwrap(), &[a("app", 60, 1), cname("app", 60, "b")]);
    packet.additional_records = vec![srv(1, 2, 3, "x.y"), aaaa("x.y")];
    bytes(&packet)
}

proptest! {
    #[test]
    fn no_bytes_are_taken_for_an_answer_or_do_any_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let verdict = a_query().judge(&bytes);
        prop_assert!(verdict == Verdict::Foreign || bytes.starts_with(&[0, 7]), "{verdict:?}");
    }

    #[test]
    fn an_answer_that_was_tampered_with_does_no_harm(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = a_reply();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = a_query().judge(&bytes);
    }

    #[test]
    fn only_the_right_identity_is_an_answer(id in any::<u16>()) {
        let mut bytes = a_reply();
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        let is_taken = a_query().judge(&bytes) != Verdict::Foreign;
        prop_assert_eq!(is_taken, id == 7);
    }
}
