//! Runs a test over many seeds. A failure shows the seed, what went wrong, the last events and the line that
//! replays it.

use std::any::Any;
use std::io::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::faults::Weather;
use crate::harness::Scene;

/// Runs `run` once for each seed: as many as `usual`, or those of `SIM_SEEDS`, or only the one of `SIM_SEED`.
pub(crate) fn each_seed(test: &str, usual: u64, weather: Weather, run: impl Fn(&mut Scene)) {
    if let Some(seed) = number_of("SIM_SEED") {
        let mut scene = Scene::new(seed, weather, true);
        if let Err(what) = one_seed(&mut scene, &run) {
            panic!("{}", failure(test, seed, &what, &scene));
        }
        // Not `print!`: the trace of a run that succeeds is wanted too, and the harness would swallow it.
        drop(writeln!(std::io::stderr(), "{test}, seed {seed}:\n{}", scene.report()));
        return;
    }
    let goes_on = number_of("SIM_GO_ON").is_some();
    let mut failures = Vec::new();
    for seed in seeds_asked_for().unwrap_or(0..usual) {
        let mut scene = Scene::new(seed, weather, false);
        match one_seed(&mut scene, &run) {
            Ok(()) => {}
            Err(what) if goes_on => failures.push(format!("{test}, seed {seed}: {what}\n")),
            Err(what) => panic!("{}", failure(test, seed, &what, &scene)),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.concat());
}

/// Runs `run` once for each of `seeds`, whatever the environment says.
pub(crate) fn these_seeds(test: &str, seeds: &[u64], weather: Weather, run: impl Fn(&mut Scene)) {
    for seed in seeds {
        let mut scene = Scene::new(*seed, weather, false);
        if let Err(what) = one_seed(&mut scene, &run) {
            panic!("{}", failure(test, *seed, &what, &scene));
        }
    }
}

/// Runs each seed below `seeds` twice, and expects the same events.
pub(crate) fn each_seed_twice(seeds: u64, weather: Weather, run: impl Fn(&mut Scene)) {
    for seed in 0..seeds {
        let report = || {
            let mut scene = Scene::new(seed, weather, true);
            let ending = one_seed(&mut scene, &run);
            (ending, scene.report())
        };
        assert!(report() == report(), "seed {seed} does not replay");
    }
}

/// The digest of every byte on the wire in the run of `seed`, which has to succeed.
pub(crate) fn bytes_of(seed: u64, weather: Weather, run: impl Fn(&mut Scene)) -> u64 {
    let mut scene = Scene::new(seed, weather, true);
    if let Err(what) = one_seed(&mut scene, &run) {
        panic!("seed {seed}: {what}\n{}", scene.report());
    }
    scene.digest().expect("the run has begun, and has its whole trace")
}

/// One run; an error says what went wrong.
fn one_seed(scene: &mut Scene, run: &impl Fn(&mut Scene)) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| run(scene))).map_err(|panic| message(&*panic).to_owned())
}

fn failure(test: &str, seed: u64, what: &str, scene: &Scene) -> String {
    let report = scene.report();
    format!("{test}, seed {seed}: {what}\n{report}replay: SIM_SEED={seed} cargo test --test sim -- {test}")
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// The seeds of `SIM_SEEDS`: `n` for those below it, or `a..b`, so that a long run can be made in pieces.
fn seeds_asked_for() -> Option<Range<u64>> {
    let text = std::env::var("SIM_SEEDS").ok()?;
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    let number =
        |word: &str| word.parse().unwrap_or_else(|_| panic!("SIM_SEEDS is neither n nor a..b: {text}"));
    Some(number(from)..number(to))
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
