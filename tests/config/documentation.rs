//! `docs/configuration.md` and what is printed: the same language as the one that is read.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use pollux::config::{self, Example, Loaded, World};
use pollux::discovery::{DiscoveryQuestion, Entry};
use pollux::snapshot::Address;
use proptest::prelude::*;

/// A machine on which every file is there, and every name is known.
pub(super) struct Full;

impl World for Full {
    fn resolve(&mut self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], port).into()])
    }

    fn ask(&mut self, question: &DiscoveryQuestion) -> Result<Vec<Entry>, String> {
        let at = |host: u8, port: u16| Entry::at(Address::Ip(([10, 0, 0, host], port).into()));
        Ok(match question {
            DiscoveryQuestion::Host { port, .. } => vec![at(1, *port), at(2, *port)],
            DiscoveryQuestion::Service { .. } => {
                vec![Entry { tier: Some(2), weight: Some(7), ..at(4, 8080) }]
            }
            DiscoveryQuestion::File(_) => vec![at(3, 80)],
        })
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        let is_known = ["POLLUX_ADMIN_TOKEN", "other"].contains(&name);
        is_known.then(|| "a token that is long".replace(' ', "-"))
    }

    fn read(&mut self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        if path.file_name().is_some_and(|name| name == "crl.pem") {
            return Ok(super::tls::revocations(2400).into_bytes());
        }
        if path.extension().is_some_and(|extension| extension == "pem") {
            return Ok(pem().as_bytes().to_vec());
        }
        let is_list = path.extension().is_some_and(|extension| extension == "json");
        let is_token = path.extension().is_some_and(|extension| extension == "token");
        if is_token {
            return Ok(b"0123456789abcdef\n".to_vec());
        }
        Ok(if is_list { b"[\"10.0.0.3:80\"]".to_vec() } else { b"# a file\n".to_vec() })
    }

    fn files(&mut self, _: &str) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }
}

/// A certificate with its key in one file, for every name that is used here.
fn pem() -> &'static str {
    static PEM: LazyLock<String> = LazyLock::new(|| {
        let names = ["www.example.com", "*.example.com", "app.internal"].map(String::from).to_vec();
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(names).expect("names");
        let cert = params.self_signed(&key).expect("a certificate").pem();
        [cert, key.serialize_pem()].concat()
    });
    &PEM
}

const LISTENER: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\n";
const SECURE: &str = "[[listener]]\nbind = \"127.0.0.1:8443\"\ntls = { certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }] }\n";
const CERTIFIED: &str = "[[listener]]\nbind = \"127.0.0.1:8443\"\ntls = { client_ca = \"cert.pem\", client_auth = \"request\", certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }] }\n";
const POOLS: &str = "[pool.app]\nbackends = [{ name = \"b1\", address = \"127.0.0.1:9001\" }, { name = \"b2\", address = \"127.0.0.1:9002\" }]\n[pool.next]\nbackends = [\"127.0.0.1:9003\"]\n";

/// A configuration around the example of a key.
pub(super) fn around(example: &Example) -> String {
    let Example { table, key, value, .. } = example;
    let line = format!("{key} = {value}\n");
    let route = |inner: &str| {
        format!("{POOLS}{LISTENER}[[listener.route]]\nname = \"api\"\nmatch.path = \"/u/{{id}}\"\n{inner}")
    };
    let inline = |outer: &str| format!("{outer} = {{ {key} = {value} }}\n");
    match *table {
        "proxy.toml" if value.starts_with("[[") || value.starts_with("[p") => {
            format!("{LISTENER}pool = \"app\"\n{POOLS}")
        }
        "proxy.toml" if ["[t", "[l", "[r"].iter().any(|start| value.starts_with(start)) => {
            format!("{LISTENER}pool = \"app\"\n{POOLS}{value}\n")
        }
        "proxy.toml" if *key == "admin" => {
            format!("{LISTENER}pool = \"app\"\n{POOLS}{value}\nbind = \"127.0.0.1:9900\"\n")
        }
        "[admin]" => {
            let bind = match *key {
                "bind" => "",
                "socket" => "bind = \"unix:/run/admin\"\n",
                "writable" => "bind = \"127.0.0.1:9900\"\n",
                _ => "bind = \"0.0.0.0:9900\"\n",
            };
            format!("{LISTENER}pool = \"app\"\n{POOLS}[admin]\n{line}{bind}")
        }
        "proxy.toml" => format!("{line}{LISTENER}pool = \"app\"\n{POOLS}"),
        "[[listener]]" => {
            let rest = match *key {
                "name" => "bind = \"127.0.0.1:1\"\npool = \"app\"\n",
                "bind" => "pool = \"app\"\n",
                "pool" | "split" => "bind = \"127.0.0.1:1\"\n",
                "sticky" => "bind = \"127.0.0.1:1\"\nsplit = [{ pool = \"app\" }]\n",
                "v6only" => "bind = \"[::1]:1\"\npool = \"app\"\n",
                "socket" => "bind = \"unix:/run/a.sock\"\npool = \"app\"\n",
                "hsts" => return format!("{POOLS}{SECURE}pool = \"app\"\n{line}"),
                "route" => return route("pool = \"app\"\n"),
                "proxy_protocol" => {
                    "bind = \"127.0.0.1:1\"\npool = \"app\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n"
                }
                _ => "bind = \"127.0.0.1:1\"\npool = \"app\"\n",
            };
            format!("{POOLS}[[listener]]\n{line}{rest}")
        }
        "socket = { … }" => {
            format!("{POOLS}[[listener]]\nbind = \"unix:/run/a.sock\"\npool = \"app\"\n{}", inline("socket"))
        }
        "hsts = { … }" => {
            let rest = if *key == "preload" { ", include_subdomains = true" } else { "" };
            format!("{POOLS}{SECURE}pool = \"app\"\nhsts = {{ {key} = {value}{rest} }}\n")
        }
        "split = [{ … }]" => {
            let rest = if *key == "pool" { "" } else { "pool = \"app\", " };
            route(&format!("split = [{{ {rest}{key} = {value} }}]\n"))
        }
        "[[listener.route]]" => match *key {
            "name" | "match" => format!("{POOLS}{LISTENER}[[listener.route]]\n{line}pool = \"app\"\n"),
            "pool" | "split" | "redirect" | "respond" => route(&line),
            "hsts" => format!("{POOLS}{SECURE}[[listener.route]]\n{line}pool = \"app\"\n"),
            "sticky" => route(&format!("split = [{{ pool = \"app\" }}]\n{line}")),
            "rewrite_back" => route(&format!("strip_prefix = \"/u\"\npool = \"app\"\n{line}")),
            _ => route(&format!("pool = \"app\"\n{line}")),
        },
        "match = { … }" if matches!(*key, "sni" | "alpn") => {
            format!(
                "{POOLS}{LISTENER}mode = \"tcp\"\n[[listener.route]]\n{}pool = \"app\"\n",
                inline("match")
            )
        }
        "match = { … }" if *key == "client_cert" => {
            format!("{POOLS}{CERTIFIED}[[listener.route]]\n{}pool = \"app\"\n", inline("match"))
        }
        "client_cert = { … }" => {
            let inner = inline("match.client_cert");
            format!("{POOLS}{CERTIFIED}[[listener.route]]\n{inner}pool = \"app\"\n")
        }
        "match = { … }" => {
            format!("{POOLS}{LISTENER}[[listener.route]]\n{}pool = \"app\"\n", inline("match"))
        }
        "{ regex = … }" => {
            route(&format!("match.header = {{ X = {{ {key} = {value} }} }}\npool = \"app\"\n"))
        }
        "redirect = { … }" => {
            let rest = if *key == "location" { "" } else { ", location = \"/\"" };
            route(&format!("redirect = {{ {key} = {value}{rest} }}\n"))
        }
        "respond = { … }" => route(&inline("respond")),
        "rewrite_back = { … }" => {
            route(&format!("strip_prefix = \"/u\"\npool = \"app\"\nrewrite_back = {{ {key} = {value} }}\n"))
        }
        "domain = { … }" => {
            let rest = if *key == "from" { "to = \"b.example\"" } else { "from = \"a.internal\"" };
            let domain = format!("domain = {{ {key} = {value}, {rest} }}");
            route(&format!("pool = \"app\"\nrewrite_back = {{ {domain} }}\n"))
        }
        "replace_prefix = { … }" => {
            let rest = if *key == "from" { "to = \"/x\"" } else { "from = \"/x\"" };
            route(&format!("replace_prefix = {{ {key} = {value}, {rest} }}\npool = \"app\"\n"))
        }
        "request_headers = { … }, response_headers = { … }" => {
            route(&format!("{}{}pool = \"app\"\n", inline("request_headers"), inline("response_headers")))
        }
        "timeouts = { … }" => route(&format!("{}pool = \"app\"\n", inline("timeouts"))),
        "limits = { … }" => route(&format!("{}pool = \"app\"\n", inline("limits"))),
        "[pool.NAME]" => {
            let rest = match *key {
                "backends" => "",
                "proxy_protocol_fields" | "proxy_protocol_max" => {
                    "proxy_protocol = \"v2\"\nbackends = [\"127.0.0.1:1\"]\n"
                }
                "request_buffer" => "request_body = \"buffer\"\nbackends = [\"127.0.0.1:1\"]\n",
                "hash_key" | "max_load" => "balance = \"hash\"\nbackends = [\"127.0.0.1:1\"]\n",
                _ => "backends = [\"127.0.0.1:1\"]\n",
            };
            format!("{LISTENER}[pool.app]\n{line}{rest}")
        }
        "backends = [{ … }]" => {
            let rest = if *key == "address" { "" } else { ", address = \"127.0.0.1:1\"" };
            format!("{LISTENER}[pool.app]\nbackends = [{{ {key} = {value}{rest} }}]\n")
        }
        "tls = { … } of a listener" => {
            let rest = match *key {
                "certificates" => "",
                "client_crl_expired" => {
                    ", client_crl = \"crl.pem\", client_ca = \"cert.pem\", certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]"
                }
                "client_auth" | "client_crl" => {
                    ", client_ca = \"cert.pem\", certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]"
                }
                _ => ", certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]",
            };
            format!("{POOLS}{LISTENER}pool = \"app\"\ntls = {{ {key} = {value}{rest} }}\n")
        }
        "certificates = [{ … }]" => {
            let rest = if *key == "cert" { ", key = \"key.pem\"" } else { ", cert = \"cert.pem\"" };
            let inner = format!("certificates = [{{ {key} = {value}{rest} }}]");
            format!("{POOLS}{LISTENER}pool = \"app\"\ntls = {{ {inner} }}\n")
        }
        "tls = { … } of a pool" => {
            let rest = match *key {
                "cert" => ", key = \"key.pem\"",
                "key" => ", cert = \"cert.pem\"",
                _ => "",
            };
            let inner = format!("{key} = {value}{rest}");
            format!("{LISTENER}[pool.app]\ntls = {{ {inner} }}\nbackends = [\"https://app.example\"]\n")
        }
        "sticky = { … }" => {
            let rest = match *key {
                "cookie" => "",
                _ => ", cookie = \"srv\"",
            };
            let inner = format!("{key} = {value}{rest}");
            format!("{LISTENER}[pool.app]\nsticky = {{ {inner} }}\nbackends = [\"127.0.0.1:1\"]\n")
        }
        "[pool.NAME.health]" | "[pool.NAME.check]" => {
            let table = table.replace("NAME", "app");
            let rest = match *key {
                "method" | "path" | "host" | "status" | "text" => "type = \"http\"\n",
                "service" => "type = \"grpc\"\n",
                _ => "",
            };
            let protocol = if *key == "service" { "protocol = \"h2\"\n" } else { "" };
            format!("{LISTENER}[pool.app]\n{protocol}backends = [\"127.0.0.1:1\"]\n{table}\n{line}{rest}")
        }
        "[access_log]" => format!("{table}\n{line}{LISTENER}pool = \"app\"\n{POOLS}"),
        "[timeouts]" | "[limits]" | "[recorder]" => {
            format!("{LISTENER}pool = \"app\"\n{POOLS}{table}\n{line}")
        }
        "[[test]]" if *key == "alpn" => {
            format!("{POOLS}{LISTENER}mode = \"tcp\"\npool = \"app\"\n[[test]]\n{line}expect = {{}}\n")
        }
        "[[test]]" if matches!(*key, "sni" | "client_cert") => {
            format!("{POOLS}{CERTIFIED}pool = \"app\"\n[[test]]\n{line}request = \"/\"\nexpect = {{}}\n")
        }
        "client_cert = { … } of a test" => {
            let inner = inline("client_cert");
            format!("{POOLS}{CERTIFIED}pool = \"app\"\n[[test]]\n{inner}request = \"/\"\nexpect = {{}}\n")
        }
        "[[test]]" => {
            let request = if *key == "request" { "" } else { "request = \"/u/7\"\n" };
            let expect = if *key == "expect" { "" } else { "expect = {}\n" };
            route(&format!("pool = \"app\"\n[[test]]\n{line}{request}{expect}"))
        }
        "expect = { … }" => {
            route(&format!("pool = \"app\"\n[[test]]\nrequest = \"/u/7\"\n{}", inline("expect")))
        }
        other => panic!("{other} is a table without examples"),
    }
}

pub(crate) fn load(text: &str) -> Loaded {
    config::parse_in(text, "example", &mut Full).unwrap_or_else(|report| panic!("{report}\n{text}"))
}

/// A printed configuration loads to the same.
pub(crate) fn check_print(loaded: &Loaded) {
    let text = config::print(&loaded.snapshot, &loaded.process);
    let again = load(&text);
    assert_eq!(again.snapshot, loaded.snapshot, "{text}");
    assert_eq!(again.process, loaded.process);
    assert_eq!(config::print(&again.snapshot, &again.process), text);
}

#[test]
fn every_example_loads_and_is_printed() {
    let mut count: HashMap<&str, usize> = HashMap::new();
    for example in config::examples() {
        let text = around(&example);
        check_print(&load(&text));
        *count.entry(example.table).or_default() += 1;
    }
    assert!(count.len() >= 27 && count.values().sum::<usize>() > 80, "{count:?}");
}

/// Browsers forget a host by a `max_age` below a second.
#[test]
fn a_max_age_below_a_second_is_printed() {
    let hsts = "hsts = { max_age = \"1ms\" }";
    check_print(&load(&format!("{POOLS}{SECURE}pool = \"app\"\n{hsts}\n")));
}

/// Holds the end of a page of the documentation, behind the mark that it is written from `origin`, to what it
/// would be now; `UPDATE_EXPECT=1` writes it anew.
fn check_written(page: &str, origin: &str, now: &str) {
    let told =
        format!("What follows is written from the {origin}; tests/config/documentation.rs keeps it so.");
    let is_toml = Path::new(page).extension().is_some_and(|extension| extension == "toml");
    let mark = if is_toml { format!("# {told}\n\n") } else { format!("<!-- {told} -->\n\n") };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).expect(page);
    let (before, found) = text.split_once(&mark).expect("the mark");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{before}{mark}{now}")).expect("a writable file");
    } else {
        assert!(
            found == now,
            "{page} is not what the {origin} would make of it now; UPDATE_EXPECT=1 writes it anew"
        );
    }
}

/// So do the times and bounds in the example.
#[test]
fn the_documentation_lists_times_and_bounds_in_the_example() {
    check_written("proxy.toml", "language", &config::commented());
}

/// The tables stand in the documentation as they are written from the language.
#[test]
fn the_documentation_lists_every_key() {
    check_written("docs/configuration.md", "language", &config::reference());
}

/// The indented examples of a page that begin with one of these.
fn examples(page: &str, begins: &[&str]) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).expect(page);
    let mut examples: Vec<String> = vec![String::new()];
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) => examples.iter_mut().last().expect("an example").push_str(&format!("{line}\n")),
            None if line.is_empty() => {}
            None => examples.push(String::new()),
        }
    }
    examples.retain(|example| begins.iter().any(|begin| example.starts_with(begin)));
    examples
}

/// The same of the causes.
#[test]
fn the_documentation_lists_every_cause() {
    check_written("docs/causes.md", "causes", &pollux::why::page());
}

/// The examples of `docs/logging.md` are the top of a file.
#[test]
fn the_examples_of_logging_load() {
    let examples = examples("docs/logging.md", &["[access_log]", "access_log ="]);
    assert!(examples.len() >= 5, "the examples are gone");
    for example in examples {
        let loaded = load(&format!("{example}{LISTENER}pool = \"app\"\n{POOLS}"));
        check_print(&loaded);
    }
}

/// The documentation lists every field of a line, as the code has it.
#[test]
fn the_documentation_lists_every_field_of_a_line() {
    let row = |field: &pollux::access::Field| format!("| `{}` | {} |\n", field.as_str(), field.about());
    let rows: String = pollux::access::Field::ALL.iter().map(row).collect();
    check_written("docs/logging.md", "fields", &format!("| field | |\n|---|---|\n{rows}"));
}

/// The examples of `docs/balancing.md` are pools, each under its header.
#[test]
fn the_examples_of_balancing_load() {
    let examples = examples("docs/balancing.md", &["[pool."]);
    assert!(examples.len() >= 5, "the examples are gone");
    for example in examples {
        let name = example[6..].split(']').next().expect("a header");
        let loaded = load(&format!("{LISTENER}pool = \"{name}\"\n{example}"));
        assert!(loaded.warnings.is_none(), "{example}");
        check_print(&loaded);
    }
}

/// The examples of `docs/tls.md` are listeners and pools, each under its header.
#[test]
fn the_examples_of_tls_load() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls.md");
    let text = fs::read_to_string(path).expect("docs/tls.md");
    let mut examples: Vec<String> = vec![String::new()];
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) => examples.iter_mut().last().expect("an example").push_str(&format!("{line}\n")),
            None if line.is_empty() => {}
            None => examples.push(String::new()),
        }
    }
    let is_it = |example: &String| example.starts_with("[[listener]]") || example.starts_with("[pool.");
    examples.retain(is_it);
    assert!(examples.len() >= 5, "the examples are gone");
    for example in examples {
        let rest = if example.starts_with("[pool.") {
            format!("{LISTENER}pool = \"app\"\n")
        } else {
            String::from("[pool.app]\nbackends = [\"127.0.0.1:9001\"]\n")
        };
        check_print(&load(&format!("{example}{rest}")));
    }
}

const ROUTES: [&str; 11] = [
    "match = { host = [\"a.example\", \"*.b.example\", \"[::1]\"], path = [\"/\", \"/x/{id}/*\"], method = \"GET\" }\npool = \"app\"",
    "match.path_regex = \"^/(?<v>[0-9]{1,2})\\\\.\"\nredirect = { status = 301, location = \"/{v}${ENV:-$}{{x}}\" }",
    "match.header = { \"X-A\" = { regex = \"a|b\" }, X-B = true, X-C = false, X-D = [\"1\", \"2\"] }\nrespond = { status = 418, body = \"\\u0001$${x}\\\"\\n\" }",
    "match.query = { \"a b\" = \"c\", \"${x\" = true }\nmatch.cookie = { c = \"\" }\nrespond = { body_file = \"x\", headers = { Content-Type = \"text/html\" } }",
    "match.client = [\"10.0.0.0/8\", \"::1\"]\nsplit = [{ pool = \"app\", weight = 0 }, { pool = \"next\", weight = 7 }]\nsticky = \"{cookie.c}\"",
    "strip_prefix = \"/\"\npool = \"app\"\ntimeouts = { idle = \"1h 30m 5ms\" }\nlimits = { body = 1000 }\nretry = \"off\"",
    "replace_prefix = { from = \"/a/b/\", to = \"/c/\" }\npool = \"next\"\nretry = \"unsent\"",
    "strip_prefix = \"/a\"\npool = \"next\"\nrewrite_back = { domain = { from = \"A.internal\", to = \"b.example\" } }",
    "pool = \"next\"\nrewrite_back = { domain = { from = \"a.internal\", to = \"b.example\" } }",
    "request_headers = { set = { X-Forwarded-Prefix = \"/a\" }, add = { A = \"{{\" }, remove = \"B\" }\nresponse_headers = { set = { C = \"\" } }\npool = \"app\"",
    "name = \"default\"\npool = \"app\"",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_is_printed_loads_to_the_same(
        routes in prop::sample::subsequence(ROUTES.to_vec(), 0..9),
        own in prop::sample::select(vec!["", "pool = \"next\"", "split = [{ pool = \"app\" }, { pool = \"next\", weight = 3 }]"]),
        listener in prop::sample::subsequence(vec!["trusted_proxies = [\"10.0.0.0/8\"]", "forwarding = \"forwarded\"", "ambiguous_paths = \"pass\""], 0..=3),
        rest in prop::sample::subsequence(vec!["[timeouts]\nlinger = \"3ms\"", "[limits]\nbody = \"3GB\"\nhead = 20000"], 0..=2),
    ) {
        let own = if routes.is_empty() && own.is_empty() { "pool = \"app\"" } else { own };
        // Two routes of one name are an error.
        let routes: Vec<_> = routes.into_iter().filter(|route| own.is_empty() || !route.starts_with("name")).collect();
        let routes: String = routes.iter().map(|route| format!("[[listener.route]]\n{route}\n")).collect();
        let text = format!("{POOLS}{LISTENER}{own}\n{}\n{routes}{}\n", listener.join("\n"), rest.join("\n"));
        let loaded = config::parse_in(&text, "example", &mut Full);
        // Without any route left there is nothing to serve.
        if let Ok(loaded) = loaded {
            check_print(&loaded);
        } else {
            prop_assert!(own.is_empty() && routes.is_empty(), "{}\n{}", loaded.unwrap_err(), text);
        }
    }
}
