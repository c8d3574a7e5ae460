//! Configurations of several files, and values from the environment.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pollux::config::{self, Code, ConfigReport, Loaded, World};

/// A machine in memory.
#[derive(Default)]
struct Memory {
    files: Vec<(&'static str, &'static str)>,
    variables: HashMap<&'static str, &'static str>,
}

impl World for Memory {
    fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no such name"))
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }

    fn read(&mut self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        let file = self.files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn files(&mut self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(pattern).map_err(|error| error.to_string())?;
        let mut found: Vec<_> = self
            .files
            .iter()
            .map(|(name, _)| PathBuf::from(name))
            .filter(|path| pattern.matches_path(path))
            .collect();
        found.sort();
        Ok(found)
    }
}

fn load(
    files: &[(&'static str, &'static str)],
    variables: &[(&'static str, &'static str)],
) -> Result<Loaded, ConfigReport> {
    let mut world = Memory { files: files.to_vec(), variables: variables.iter().copied().collect() };
    config::load_in(Path::new("etc/proxy.toml"), &mut world)
}

fn codes(loaded: Result<Loaded, ConfigReport>) -> Vec<Code> {
    loaded.expect_err("a report").codes().collect()
}

const LISTENER: &str = "[[listener]]\nbind = \"127.0.0.1:8080\"\npool = \"app\"\n";
const POOL: &str = "[pool.app]\nbackends = [\"127.0.0.1:9001\"]\n";

#[test]
fn included_files_add_to_the_first() {
    let main = "include = [\"conf.d/*.toml\"]\n[[listener]]\nbind = \"127.0.0.1:8080\"\npool = \"app\"\n[limits]\nfields = 7\n";
    let more = "[[listener]]\nbind = \"127.0.0.1:8081\"\npool = \"app\"\n[limits]\nsessions = 8\n";
    let loaded =
        load(&[("etc/proxy.toml", main), ("etc/conf.d/b.toml", more), ("etc/conf.d/a.toml", POOL)], &[])
            .unwrap();
    let binds: Vec<u16> =
        loaded.snapshot.listeners.iter().map(|listener| listener.bind.ip().unwrap().port()).collect();
    assert_eq!(binds, [8080, 8081]);
    assert_eq!((loaded.snapshot.limits.fields, loaded.snapshot.limits.sessions), (7, 8));
    assert_eq!(loaded.snapshot.pools.len(), 1);
}

#[test]
fn a_wildcard_stands_for_no_dot_file_and_no_leftover() {
    let names = [
        "etc/conf.d/.a.toml.swp",
        "etc/conf.d/.#a.toml",
        "etc/conf.d/.hidden.toml",
        "etc/conf.d/#a.toml#",
        "etc/conf.d/a.toml~",
        "etc/conf.d/a.toml.bak",
        "etc/conf.d/a.toml.orig",
        "etc/conf.d/a.toml.rej",
        "etc/conf.d/a.toml.dpkg-old",
        "etc/conf.d/a.toml.rpmsave",
    ];
    let broken = "[pool.app]\nbackends = [\n";
    let main = |include: &'static str| {
        let mut files: Vec<_> = names.map(|name| (name, broken)).into();
        files.extend([
            ("etc/proxy.toml", include),
            ("etc/conf.d/a.toml", POOL),
            ("etc/conf.d/l.toml", LISTENER),
        ]);
        load(&files, &[])
    };
    for include in
        ["include = [\"conf.d/*\"]\n", "include = [\"conf.d/?*\"]\n", "include = [\"conf.d/[!z]*\"]\n"]
    {
        let loaded = main(include).unwrap_or_else(|report| panic!("{include}: {report}"));
        assert_eq!((loaded.snapshot.pools.len(), loaded.snapshot.listeners.len()), (1, 1), "{include}");
    }
    // A pattern that asks for such names gets them.
    for include in
        ["include = [\"conf.d/.*.toml\"]\n", "include = [\"conf.d/*.bak\"]\n", "include = [\"conf.d/*~\"]\n"]
    {
        assert!(codes(main(include)).contains(&Code::Syntax), "{include}");
    }
}

#[test]
fn findings_name_their_file() {
    let main = "include = [\"a.toml\"]\n[[listener]]\nbind = \"127.0.0.1:8080\"\n[limits]\nfields = 1\n";
    let report = load(
        &[("etc/proxy.toml", main), ("etc/a.toml", "[limits]\nfields = 2\n[pool.app]\nbackends = []\n")],
        &[],
    )
    .unwrap_err();
    let shown = report.to_string();
    assert!(shown.contains("error[P0032]: `fields` is set twice\n --> etc/a.toml:2:1"), "{shown}");
    assert!(shown.contains("::: etc/proxy.toml:5:1"), "{shown}");
    assert!(shown.contains("error[P0011]: the pool `app` has no backend\n --> etc/a.toml:4:12"), "{shown}");
}

#[test]
fn what_cannot_be_included() {
    let with = |include: &'static str, more: &'static str| {
        codes(load(&[("etc/proxy.toml", include), ("etc/a.toml", more)], &[]))
    };
    assert!(with("include = [\"b.toml\"]\n", "").contains(&Code::Unreadable));
    assert!(with("include = [\"a.toml\"]\n", "include = []\n").contains(&Code::BadInclude));
    assert!(with("include = [\"[\"]\n", "").contains(&Code::BadInclude));
    assert!(with("include = [\"a.toml\"]\n", "[pool.a]\nbackends = [\n").contains(&Code::Syntax));
    let one = codes(load(
        &[("etc/proxy.toml", "include = [\"a.toml\"]\nlimits = 1\n"), ("etc/a.toml", "limits = 2\n")],
        &[],
    ));
    assert!(one.contains(&Code::SetTwice) && one.contains(&Code::WrongType));
    assert_eq!(codes(load(&[], &[])), [Code::Unreadable]);
}

#[test]
fn values_can_come_from_the_environment() {
    let main = "threads = \"${N}\"\n[[listener]]\nbind = \"${HOST:-127.0.0.1}:${PORT}\"\n[pool.app]\nbackends = [\"127.0.0.1:9001\"]\n";
    let loaded = load(&[("etc/proxy.toml", main)], &[("N", "3"), ("PORT", "8080")]).unwrap();
    assert_eq!(loaded.process.threads, Some(3));
    assert_eq!(loaded.snapshot.listeners[0].bind.ip(), Some(([127, 0, 0, 1], 8080).into()));
    assert_eq!(codes(load(&[("etc/proxy.toml", main)], &[("N", "x"), ("PORT", "1")])), [Code::WrongType]);
    // The value of a variable stays within its text.
    let evil = "127.0.0.1:1\"\n[pool.evil]\nbackends = [\"127.0.0.1:2";
    assert_eq!(codes(load(&[("etc/proxy.toml", main)], &[("N", "3"), ("PORT", evil)])), [Code::BadValue]);
}

#[test]
fn warnings_do_not_stop_anything() {
    let main = "[[listener]]\nbind = \"127.0.0.1:8080\"\npool = \"app\"\n[pool.app]\nbackends = [\"127.0.0.1:1\"]\n[pool.old]\nbackends = [\"127.0.0.1:1\"]\n[timeouts]\nqueue = \"1s\"\n";
    let loaded = load(&[("etc/proxy.toml", main)], &[]).unwrap();
    let warnings = loaded.warnings.expect("warnings");
    assert_eq!(warnings.codes().collect::<Vec<_>>(), [Code::UnusedPool, Code::NeverFires]);
    assert!(warnings.to_string().contains("`connect` is 2s if nothing is said"), "{warnings}");
    assert!(
        load(
            &[
                ("etc/proxy.toml", "include = [\"p\"]\n[[listener]]\nbind = \"127.0.0.1:8080\"\n"),
                ("etc/p", POOL)
            ],
            &[]
        )
        .is_ok()
    );
    assert!(load(&[("etc/proxy.toml", LISTENER)], &[]).is_err());
}

#[test]
fn tests_are_run() {
    let main = "[[listener]]\nbind = \"127.0.0.1:80\"\n[[listener.route]]\nname = \"api\"\nmatch.path = \"/u/{id}\"\npool = \"app\"\n\
        request_headers = { set = { X-Id = \"{id}\" } }\n[[listener.route]]\nname = \"old\"\nmatch.path = \"/old\"\n\
        redirect = { location = \"/new\" }\n[pool.app]\nbackends = [{ name = \"b1\", address = \"127.0.0.1:1\" }, { name = \"b2\", address = \"127.0.0.1:2\" }]\n\
        [[test]]\nrequest = \"/u/7\"\ndown = [\"app/b1\"]\nexpect = { route = \"api\", pool = \"app\", backend = \"b2\", header = { X-Id = \"7\", X-No = \"\" } }\n\
        [[test]]\nrequest = \"HEAD http://h/old\"\nexpect = { route = \"old\", status = 302, location = \"/new\" }\n\
        [[test]]\nrequest = \"/nowhere\"\nexpect = { status = 404, cause = \"no-route\" }\n\
        [[test]]\nname = \"wrong\"\nrequest = \"/u/7\"\nexpect = { route = \"old\", backend = \"b2\", status = 200, header = { X-Id = \"8\" } }\n";
    let loaded = load(&[("etc/proxy.toml", main)], &[]).unwrap_or_else(|report| panic!("{report}"));
    let outcomes: Vec<_> =
        loaded.tests.iter().map(|trial| trial.run(&loaded.snapshot, &loaded.places)).collect();
    assert!(outcomes[..3].iter().all(|outcome| outcome.failures.is_empty()), "{outcomes:?}");
    assert_eq!(
        outcomes[3].failures,
        [
            "expected the route old, got api",
            "expected the backend b2, got b1",
            "expected the status 200, got none",
            "expected the field X-Id to be 8, got 7",
        ]
    );
    assert_eq!((outcomes[3].name.as_str(), outcomes[3].place.as_str()), ("wrong", "etc/proxy.toml:24"));
}

const ADMIN: &str = "[[listener]]\nbind = \"127.0.0.1:8080\"\n[pool.app]\nbackends = [\"127.0.0.1:9001\"]\n[admin]\nbind = \"0.0.0.0:9900\"\n";

#[test]
fn the_token_of_the_admin_address_comes_from_a_file_or_the_environment() {
    let with = |line: &str| -> &'static str { Box::leak(format!("{ADMIN}{line}\n").into_boxed_str()) };
    let token = |loaded: Loaded| loaded.process.admin.unwrap().token.unwrap().secret.0;
    let file = ("etc/proxy.toml", with("token_file = \"token\""));
    let loaded = load(&[file, ("etc/token", "0123456789abcdef\n")], &[]).unwrap();
    assert_eq!(token(loaded), "0123456789abcdef");
    assert_eq!(codes(load(&[file, ("etc/token", "short\n")], &[])), [Code::BadValue]);
    assert_eq!(codes(load(&[file, ("etc/token", "0123456789 abcdef\n")], &[])), [Code::BadValue]);
    assert_eq!(codes(load(&[file], &[])), [Code::Unreadable]);
    let file = ("etc/proxy.toml", with("token_env = \"TOKEN\""));
    let loaded = load(&[file], &[("TOKEN", "fedcba9876543210")]).unwrap();
    assert_eq!(token(loaded), "fedcba9876543210");
    assert_eq!(codes(load(&[file], &[])), [Code::NoVariable]);
    assert_eq!(codes(load(&[("etc/proxy.toml", with(""))], &[])), [Code::BadValue]);
}
