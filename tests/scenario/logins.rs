//! Logins that hold for a connection: the backend connection is its client's alone.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pollux::prelude::proxy::ProxyVersion;
use pollux::snapshot::{Announce, Mode, Snapshot};

use crate::house::{Pollux, response, snapshot};

/// The answer of the backend, by the target.
fn answer(target: &str) -> &'static str {
    match target {
        "/asks" => "401 x\r\nWWW-Authenticate: Basic, negotiate\r\n",
        "/asks-as-a-proxy" => "407 x\r\nProxy-Authenticate: NTLM\r\n",
        "/has-logged-in" => "200 OK\r\nPersistent-Auth: true\r\n",
        "/basic" => "401 x\r\nWWW-Authenticate: Basic realm=\"NTLM\"\r\n",
        _ => "200 OK\r\n",
    }
}

/// Answers each request with the number of the connection, and before the first with `announced` if a header
/// of the PROXY protocol has come before it.
fn serve(stream: TcpStream, number: usize) {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
    let mut announced = "";
    loop {
        let mut target = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.starts_with("PROXY ") => announced = "announced ",
                Ok(_) if line == "\r\n" => break,
                Ok(_) if target.is_empty() => line.split(' ').nth(1).unwrap().clone_into(&mut target),
                Ok(_) => {}
            }
        }
        let body = format!("{announced}{number}");
        announced = "";
        let head = answer(&target);
        let whole = format!("HTTP/1.1 {head}Content-Length: {}\r\n\r\n{body}", body.len());
        if writer.write_all(whole.as_bytes()).is_err() {
            return;
        }
    }
}

/// A backend whose connections are counted from `first`.
fn backend(first: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(first)));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = count.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || serve(stream, number));
        }
    });
    address
}

fn start(change: impl Fn(&mut Snapshot)) -> Pollux {
    let mut snapshot = snapshot(Mode::Http, &[&backend(0)]);
    change(&mut snapshot);
    Pollux::start(snapshot)
}

/// The body of the answer to one more request of `client`.
fn ask(client: &mut TcpStream, target: &str, field: &str) -> String {
    client.write_all(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{field}\r\n").as_bytes()).unwrap();
    let answer = response(client);
    answer.rsplit("\r\n\r\n").next().unwrap().to_owned()
}

#[test]
fn whatever_speaks_of_such_a_login_binds_the_connection() {
    for (target, field, is_bound) in [
        ("/", "", false),
        ("/", "Authorization: Basic TlRMTQ==\r\n", false),
        ("/", "Authorization: NTLM TlRM\r\n", true),
        ("/", "Authorization: negotiate YII\r\n", true),
        ("/", "Proxy-Authorization: NTLM TlRM\r\n", true),
        ("/asks", "", true),
        ("/asks-as-a-proxy", "", true),
        ("/has-logged-in", "", true),
        ("/basic", "", false),
    ] {
        let pollux = start(|_| {});
        let (mut one, mut other) = (pollux.client(), pollux.client());
        assert_eq!(ask(&mut one, target, field), "0");
        assert_eq!(ask(&mut other, "/", ""), if is_bound { "1" } else { "0" }, "{target} {field}");
        assert_eq!(ask(&mut one, "/", ""), "0", "{target} {field}");
        drop(one);
        // In any case it is not used for another client.
        assert_eq!(ask(&mut other, "/", ""), if is_bound { "1" } else { "0" }, "{target} {field}");
    }
}

#[test]
fn a_client_that_is_announced_is_announced_once() {
    let announce = Announce {
        version: ProxyVersion::V1,
        authority: false,
        alpn: false,
        unique_id: false,
        ssl: false,
        length_max: 107,
    };
    let pollux = start(|snapshot| snapshot.pools[0].announce = Some(announce));
    let mut client = pollux.client();
    assert_eq!(ask(&mut client, "/", ""), "announced 0");
    assert_eq!(ask(&mut client, "/asks", ""), "announced 1");
    assert_eq!(ask(&mut client, "/", "Authorization: NTLM TlRM\r\n"), "1");
    assert_eq!(ask(&mut client, "/", ""), "1");
}

#[test]
fn a_login_goes_on_with_its_own_backend() {
    let pollux = Pollux::start(snapshot(Mode::Http, &[&backend(10), &backend(20)]));
    let (mut one, mut other) = (pollux.client(), pollux.client());
    let own = ask(&mut one, "/", "Authorization: NTLM TlRM\r\n");
    // The round goes on for others, over both backends.
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(ask(&mut other, "/", ""));
        assert_eq!(ask(&mut one, "/", ""), own);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() == 2 && !seen.contains(&own), "{own} {seen:?}");
}
