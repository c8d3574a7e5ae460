//! The program itself: its readiness line, its help, its complaints.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use toy_backends::CATALOGUE;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_toy-backend"))
}

#[test]
fn it_says_when_and_where_it_is_ready() {
    let mut child = program()
        .args(["--listen", "127.0.0.1:0", "--name", "a", "--behaviour", "fixed:3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let place =
        line.strip_prefix("toy-backend a: listening on ").and_then(|rest| rest.strip_suffix(" (fixed:3)\n"));
    let mut client = TcpStream::connect(place.unwrap()).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n!\"#"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_help_has_a_line_for_each_behaviour() {
    let help = String::from_utf8(program().arg("--help").output().unwrap().stdout).unwrap();
    for entry in CATALOGUE {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{} ", entry.form))),
            "{}",
            entry.form
        );
    }
}

#[test]
fn a_wrong_behaviour_is_answered_with_the_right_ones() {
    let output = program().args(["--behaviour", "nonsense"]).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        complaint.contains("there is no behaviour `nonsense`") && complaint.contains("tcp-sink"),
        "{complaint}"
    );
}
