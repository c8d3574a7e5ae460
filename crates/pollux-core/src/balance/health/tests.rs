//! Events that take a backend out, and events that bring it back.

use proptest::prelude::*;

use super::*;
use crate::core::outcome::Cause;

const PASSED: ObservationResult = ObservationResult::Well(None);
const FAILED: ObservationResult = ObservationResult::Ill(BackendFault::Cause(Cause::BackendRefused));
const BROKEN: ObservationResult = ObservationResult::Ill(BackendFault::Broken(Cause::BackendTruncated));

/// A backend with its rules.
#[derive(Default)]
struct Patient {
    health: Health,
    passive: Passive,
    check: Option<Check>,
    served: u32,
}

impl Patient {
    fn with(check: &Check) -> Patient {
        let mut patient = Patient { check: Some(check.clone()), ..Patient::default() };
        patient.health.adopt(Some(check), true);
        patient
    }

    fn sees(&mut self, by: By, found: ObservationResult, second: u64) -> HealthPhase {
        let at = Time::ZERO + Duration::from_secs(second);
        let rules = HealthRules { passive: &self.passive, check: self.check.as_ref() };
        let before = self.health.phase();
        let change = self.health.handle_observation(Observation { at, by, found }, rules, self.served, true);
        assert_eq!(change.map(|change| (change.from, change.to)), {
            let after = self.health.phase();
            (before != after).then_some((before, after))
        });
        self.health.phase()
    }

    fn fails(&mut self, second: u64) -> HealthPhase {
        self.sees(By::Request, FAILED, second)
    }

    fn answers(&mut self, second: u64) -> HealthPhase {
        self.served += 1;
        self.sees(By::Request, PASSED, second)
    }

    fn serves(&mut self, second: u64) -> HealthPhase {
        self.answers(second);
        self.sees(By::Request, ObservationResult::Whole, second)
    }

    /// Begins a response that it does not end.
    fn breaks(&mut self, second: u64) -> HealthPhase {
        self.answers(second);
        self.sees(By::Request, BROKEN, second)
    }

    fn checks(&mut self, found: ObservationResult, second: u64) -> HealthPhase {
        self.sees(By::Check, found, second)
    }

    /// Fails as often as it takes; returns how long it is ejected.
    fn is_ejected(&mut self, second: u64) -> u64 {
        for _ in 0..self.passive.failures {
            if let HealthPhase::Ejected { until } = self.fails(second) {
                return until.as_nanos() / 1_000_000_000 - second;
            }
        }
        panic!("it is not ejected");
    }
}

#[test]
fn checks_in_a_row_decide() {
    let mut patient = Patient::with(&Check { rise: 2, fall: 3, ..Check::default() });
    assert_eq!(patient.health.phase(), HealthPhase::Up);
    for found in [FAILED, FAILED, PASSED, FAILED, FAILED] {
        assert_eq!(patient.checks(found, 1), HealthPhase::Up);
    }
    assert!(patient.health.is_changing());
    assert_eq!(patient.checks(FAILED, 1), HealthPhase::Down);
    assert_eq!([patient.checks(PASSED, 2), patient.checks(FAILED, 2)], [HealthPhase::Down; 2]);
    assert_eq!([patient.checks(PASSED, 3), patient.checks(PASSED, 3)], [HealthPhase::Down, HealthPhase::Up]);
}

#[test]
fn the_start_is_a_matter_of_choice() {
    let start = |start| Patient::with(&Check { start, ..Check::default() });
    assert_eq!(start(Start::Up).health.phase(), HealthPhase::Up);
    let mut down = start(Start::Down);
    assert_eq!(down.health.phase(), HealthPhase::Awaited);
    assert_eq!([down.checks(PASSED, 1), down.checks(PASSED, 2)], [HealthPhase::Awaited, HealthPhase::Up]);
    assert_eq!(start(Start::CheckFirst).checks(PASSED, 1), HealthPhase::Up);
    assert_eq!(start(Start::CheckFirst).checks(FAILED, 1), HealthPhase::Down);
    let mut without = start(Start::Down);
    without.health.adopt(None, false);
    assert_eq!(without.health.phase(), HealthPhase::Up);
}

#[test]
fn failures_in_a_row_eject() {
    let mut patient = Patient::default();
    for second in 0..4 {
        assert_eq!(patient.fails(second), HealthPhase::Up);
    }
    assert!(patient.health.is_troubled());
    assert_eq!(patient.serves(5), HealthPhase::Up);
    assert!(!patient.health.is_troubled());
    assert_eq!(patient.is_ejected(6), 10);
    // It comes back by a check, when its time is over, and must serve a request to be trusted.
    assert!(matches!(patient.checks(PASSED, 15), HealthPhase::Ejected { .. }));
    assert_eq!(patient.checks(PASSED, 16), HealthPhase::Up);
    assert!(patient.health.is_troubled());
    assert!(matches!(patient.fails(16), HealthPhase::Ejected { .. }));
}

/// A response that has begun says nothing of responses that break off, and the other way round.
#[test]
fn responses_that_break_off_in_a_row_eject() {
    let mut patient = Patient::default();
    assert!((0..4).all(|second| patient.breaks(second) == HealthPhase::Up));
    assert!(patient.health.is_breaking() && !patient.health.is_troubled());
    assert_eq!(patient.serves(4), HealthPhase::Up);
    assert!(!patient.health.is_breaking());
    assert!(
        (5..9)
            .all(|second| patient.breaks(second) == HealthPhase::Up
                && patient.fails(second) == HealthPhase::Up)
    );
    assert!(matches!(patient.breaks(9), HealthPhase::Ejected { .. }));
    // When it comes back, one that is whole has to come before one that is not.
    assert_eq!(patient.checks(PASSED, 100), HealthPhase::Up);
    assert!(matches!(patient.breaks(100), HealthPhase::Ejected { .. }));
    assert_eq!((patient.checks(PASSED, 200), patient.serves(200)), (HealthPhase::Up, HealthPhase::Up));
    assert_eq!((patient.breaks(201), patient.fails(201)), (HealthPhase::Up, HealthPhase::Up));
}

/// A response that has broken off is one request, though it was answered before.
#[test]
fn responses_that_break_off_count_once_in_a_rate() {
    let passive = Passive { failure_rate: Some(600), window_min: 10, failures: 0, ..Passive::default() };
    let mut patient = Patient { passive: passive.clone(), ..Patient::default() };
    assert!((0..9).all(|_| patient.breaks(1) == HealthPhase::Up));
    assert!(matches!(patient.breaks(1), HealthPhase::Ejected { .. }));
    let mut patient = Patient { passive, ..Patient::default() };
    assert!((0..20).all(|_| patient.breaks(1) == HealthPhase::Up && patient.serves(1) == HealthPhase::Up));
}

#[test]
fn an_ejection_doubles_while_it_flaps_and_no_longer() {
    let mut patient = Patient::default();
    let (mut now, mut spans) = (0, Vec::new());
    for _ in 0..7 {
        let span = patient.is_ejected(now);
        spans.push(span);
        now += span;
        patient.checks(PASSED, now);
        patient.serves(now);
    }
    assert_eq!(spans, [10, 20, 40, 80, 160, 300, 300]);
    // Six doublings are left, and seven are counted: two spans of peace take two of them back.
    assert_eq!(patient.is_ejected(now + 4 * 300), 80);
    patient.checks(PASSED, now + 1280);
    patient.serves(now + 1280);
    assert_eq!(patient.is_ejected(now + 100_000), 10);
}

#[test]
fn a_probe_that_fails_ejects_again() {
    let mut patient = Patient::default();
    assert_eq!(patient.is_ejected(0), 10);
    assert_eq!(patient.checks(FAILED, 10), HealthPhase::Ejected { until: Time::from_nanos(30_000_000_000) });
    let mut checked = Patient::with(&Check { fall: 2, ..Check::default() });
    checked.is_ejected(0);
    assert!(matches!(checked.checks(FAILED, 1), HealthPhase::Ejected { .. }));
    assert_eq!(checked.checks(FAILED, 2), HealthPhase::Down);
}

#[test]
fn a_rate_ejects_where_no_row_does() {
    let passive = Passive { failure_rate: Some(500), window_min: 10, failures: 0, ..Passive::default() };
    let mut patient = Patient { passive, ..Patient::default() };
    for _ in 0..4 {
        assert_eq!((patient.fails(1), patient.serves(1)), (HealthPhase::Up, HealthPhase::Up));
    }
    assert_eq!(patient.fails(2), HealthPhase::Up);
    assert!(matches!(patient.fails(2), HealthPhase::Ejected { .. }));
    // In another window nothing is left of it.
    let passive = Passive { window: Duration::from_secs(1), ..patient.passive };
    let mut slow = Patient { passive, ..Patient::default() };
    assert!((0..50).all(|second| slow.fails(second * 2) == HealthPhase::Up));
}

#[test]
fn who_comes_back_is_warmed_up() {
    let mut patient = Patient::with(&Check { fall: 1, rise: 1, ..Check::default() });
    patient.passive.slow_start = Some(Duration::from_secs(10));
    let standing = |patient: &Patient, second| {
        patient.health.standing(&patient.passive, Time::ZERO + Duration::from_secs(second))
    };
    assert_eq!(standing(&patient, 0), HealthState::Up);
    patient.checks(FAILED, 1);
    assert_eq!(standing(&patient, 1), HealthState::Down);
    patient.checks(PASSED, 2);
    assert_eq!(standing(&patient, 2), HealthState::Warming { share: 1 });
    assert_eq!(standing(&patient, 7), HealthState::Warming { share: 500 });
    assert_eq!(standing(&patient, 12), HealthState::Up);
}

#[test]
fn a_pool_is_never_emptied() {
    let rules = Passive::default();
    let most = |all| (0..=all).take_while(|ejected| may_eject(&rules, *ejected, all)).count();
    assert_eq!([1, 2, 3, 4, 10].map(most), [0, 1, 1, 2, 5]);
    assert!(panics(&rules, 0, 1) && panics(&rules, 1, 11) && !panics(&rules, 1, 10));
    assert!(!panics(&Passive { panic: None, ..rules }, 0, 9));
}

#[test]
fn the_last_observations_are_kept() {
    let mut patient = Patient::default();
    (0..100).for_each(|second| _ = patient.answers(second));
    let seconds: Vec<_> =
        patient.health.history().iter().map(|seen| seen.at.as_nanos() / 1_000_000_000).collect();
    assert_eq!(seconds, (100 - HISTORY_MAX as u64..100).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// After any events: checks that go on passing bring a backend back, and one that only passes is
    /// never out.
    #[test]
    fn nobody_is_out_for_ever(
        seen in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u64..50), 0..100),
        start in prop::sample::select(vec![Start::Up, Start::Down, Start::CheckFirst]),
    ) {
        let mut patient = Patient::with(&Check { start, ..Check::default() });
        let mut now = 0;
        for (is_check, is_well, later) in seen {
            now += later;
            let by = if is_check { By::Check } else { By::Request };
            patient.sees(by, if is_well { PASSED } else { FAILED }, now);
        }
        patient.checks(PASSED, now + 300);
        patient.checks(PASSED, now + 301);
        prop_assert_eq!(patient.health.phase(), HealthPhase::Up);
        for later in 0..10 {
            prop_assert_eq!(patient.serves(now + 301 + later), HealthPhase::Up);
        }
        prop_assert!(!patient.health.is_troubled() && !patient.health.is_breaking());
    }
}
