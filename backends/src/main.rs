//! The command `toy-backend`: one toy backend, until it is killed.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use toy_backends::{Behaviour, CATALOGUE, Toy};

/// A backend that behaves well, badly, slowly or wrongly, to try a proxy with.
#[derive(Parser)]
#[command(name = "toy-backend", version, after_help = after_help())]
struct Cli {
    /// The address to listen at: an address with a port (0 takes a free one), or unix: and a path.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: Listen,

    /// The name that every answer carries in X-Backend.
    #[arg(long, default_value = "toy")]
    name: String,

    /// The behaviour on connections; see the list below.
    #[arg(long, value_name = "BEHAVIOUR", default_value = "echo")]
    behaviour: Behaviour,
}

#[derive(Clone)]
enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path, such as unix:/run/a.sock".to_owned()),
            Some(path) => Ok(Listen::Unix(PathBuf::from(path))),
            None => text.parse().map(Listen::Tcp).map_err(|_| {
                "write an IP address with a port, such as 127.0.0.1:9001, or unix:/path".to_owned()
            }),
        }
    }
}

fn after_help() -> String {
    let mut text = "Behaviours:\n".to_owned();
    for entry in CATALOGUE {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<21} {}", entry.form, entry.about);
    }
    text.push_str(
        "\nDUR is a whole number with a unit: 500us, 500ms, 2s, 1m.\n\
         \n\
         Examples:\n\
         \x20 toy-backend --listen 127.0.0.1:9001 --name a\n\
         \x20 toy-backend --listen 127.0.0.1:9002 --name b --behaviour slow-first-byte:2s\n\
         \x20 toy-backend --listen unix:/tmp/c.sock --name c --behaviour chunked:3x1000",
    );
    text
}

fn main() -> ExitCode {
    let Cli { listen, name, behaviour } = Cli::parse();
    let started = match &listen {
        Listen::Tcp(address) => Toy::start(*address, &name, behaviour),
        Listen::Unix(path) => Toy::start_unix(path, &name, behaviour),
    };
    match started {
        Ok(toy) => {
            announce(&toy);
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "toy-backend {name}: cannot start on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells whoever started this that clients can connect now. It goes on if its output is not read.
fn announce(toy: &Toy) {
    let mut out = io::stdout().lock();
    let (name, place, behaviour) = (toy.name(), toy.listening_on(), toy.behaviour());
    let _ = writeln!(out, "toy-backend {name}: listening on {place} ({behaviour})");
    let _ = out.flush();
}
