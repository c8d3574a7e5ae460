//! The duties of every policy, for any pool.

use proptest::prelude::*;

use super::*;
use crate::route::hash;
use crate::snapshot::{Address, Backend, Hashing};

/// A pool that is made up.
#[derive(Clone, Debug, Default)]
struct Fake {
    seen: Vec<BackendView>,
    in_flight: Vec<u32>,
    latency: Vec<Option<u64>>,
}

impl PoolView for Fake {
    fn backend(&self, place: usize) -> BackendView {
        self.seen[place]
    }

    fn in_flight(&self, place: usize) -> u32 {
        self.in_flight[place]
    }

    fn latency(&self, place: usize) -> Option<u64> {
        self.latency[place]
    }
}

fn policies() -> Vec<Balance> {
    vec![
        Balance::RoundRobin,
        Balance::LeastConnections,
        Balance::Random,
        Balance::TwoChoices,
        Balance::Latency,
        Balance::Hash(Hashing::default()),
        Balance::Hash(Hashing { max_load: Some(1250), ..Hashing::default() }),
        Balance::First,
    ]
}

fn pool(balance: Balance, weights: &[u32]) -> (Pool, Fake) {
    let address = |place: usize| Address::Ip(([127, 0, 0, 1], place as u16).into());
    let backends = weights.iter().enumerate();
    let backends = backends.map(|(place, weight)| Backend::new(format!("b{place}"), address(place), *weight));
    let pool = Pool { balance, ..Pool::new("p", backends.collect()) };
    let seen = |weight: &u32| BackendView {
        weight: *weight,
        share: FULL_SHARE,
        tier: 1,
        admin_state: AdminState::Ready,
        exclusion: None,
    };
    let fake = Fake {
        seen: weights.iter().map(seen).collect(),
        in_flight: vec![0; weights.len()],
        latency: vec![None; weights.len()],
    };
    (pool, fake)
}

/// So many picks, each with another random number and another key.
fn picks(pool: &Pool, view: &Fake, count: u64) -> Vec<usize> {
    let mut round = RoundRobin::default();
    let asked = |number: u64| PickRequest {
        key: Some(hash::mix(!number)),
        random: hash::mix(number),
        ..PickRequest::default()
    };
    (0..count).map(|number| pick(pool, view, &asked(number), &mut round).unwrap().place).collect()
}

/// The chi-square of what came out against the weights, and the degrees of freedom.
fn chi_square(picks: &[usize], weights: &[u32]) -> (f64, usize) {
    let sum: u32 = weights.iter().sum();
    let term = |(place, weight): (usize, &u32)| {
        let expected = picks.len() as f64 * f64::from(*weight) / f64::from(sum);
        let found = picks.iter().filter(|pick| **pick == place).count() as f64;
        if *weight == 0 { found } else { (found - expected).powi(2) / expected }
    };
    (weights.iter().enumerate().map(term).sum(), weights.iter().filter(|weight| **weight > 0).count() - 1)
}

/// That far does a chi-square get by chance once in ten thousand times, about (Wilson and Hilferty's
/// approximation).
fn critical(freedom: usize) -> f64 {
    let k = freedom as f64;
    k * (1.0 - 2.0 / (9.0 * k) + 3.719 * (2.0 / (9.0 * k)).sqrt()).powi(3)
}

#[test]
fn draws_are_in_proportion_to_the_weights() {
    let idle_draws = [Balance::Random, Balance::LeastConnections, Balance::Latency];
    for balance in idle_draws {
        for weights in [vec![1, 1], vec![1, 2, 3, 4], vec![1000, 1, 0, 500], vec![7; 40]] {
            let (pool, view) = pool(balance.clone(), &weights);
            let (found, freedom) = chi_square(&picks(&pool, &view, 40_000), &weights);
            assert!(found < critical(freedom), "{balance:?} of {weights:?}: {found} for {freedom}");
        }
    }
}

/// Without a key, and with one, hashing keeps to the weights as well.
#[test]
fn keys_are_spread_in_proportion_to_the_weights() {
    for weights in [vec![1, 1], vec![1, 2, 3, 4], vec![9; 20]] {
        let (pool, view) = pool(Balance::Hash(Hashing::default()), &weights);
        let (found, freedom) = chi_square(&picks(&pool, &view, 40_000), &weights);
        assert!(found < critical(freedom), "{weights:?}: {found} for {freedom}");
        let mut round = RoundRobin::default();
        let asked = |random| PickRequest { random: hash::mix(random), ..PickRequest::default() };
        let drawn: Vec<_> =
            (0..40_000).map(|number| pick(&pool, &view, &asked(number), &mut round).unwrap()).collect();
        assert!(drawn.iter().all(|picked| picked.rule == Rule::DrawnWithoutKey));
        let places: Vec<_> = drawn.iter().map(|picked| picked.place).collect();
        let (found, freedom) = chi_square(&places, &weights);
        assert!(found < critical(freedom), "{weights:?} without key: {found} for {freedom}");
    }
}

/// That some are out leaves the proportions of the others as they are; so does half a share.
#[test]
fn draws_among_few_are_in_proportion_too() {
    let weights = [1000, 3, 5, 1000, 1000, 1000, 1000, 1000, 1000, 4];
    let (pool, mut view) = pool(Balance::Random, &weights);
    for (place, seen) in view.seen.iter_mut().enumerate() {
        seen.exclusion = (weights[place] == 1000).then_some(Exclusion::Down);
    }
    view.seen[9].share = 500;
    let counted = [0, 3, 5, 0, 0, 0, 0, 0, 0, 2];
    let (found, freedom) = chi_square(&picks(&pool, &view, 40_000), &counted);
    assert!(found < critical(freedom), "{found} for {freedom}");
}

/// The busier of two that are drawn never gets it: the busiest of all gets nothing.
#[test]
fn two_choices_spare_the_busiest() {
    let (pool, mut view) = pool(Balance::TwoChoices, &[1; 5]);
    view.in_flight = vec![0, 1, 2, 3, 4];
    let picks = picks(&pool, &view, 20_000);
    let share = |place| picks.iter().filter(|pick| **pick == place).count() as f64 / picks.len() as f64;
    // Of the ten pairs so many have this one as the lighter.
    for (place, pairs) in [4.0, 3.0, 2.0, 1.0, 0.0].into_iter().enumerate() {
        assert!((share(place) - pairs / 10.0).abs() < 0.02, "{place}: {}", share(place));
    }
}

#[test]
fn least_connections_go_by_weight() {
    let (pool, mut view) = pool(Balance::LeastConnections, &[1, 10]);
    view.in_flight = vec![1, 9];
    assert_eq!(picks(&pool, &view, 1), [1]);
    view.in_flight = vec![1, 11];
    assert_eq!(picks(&pool, &view, 1), [0]);
}

#[test]
fn latency_goes_by_what_is_known_and_asks_the_unknown_once() {
    let (pool, mut view) = pool(Balance::Latency, &[1, 1, 1]);
    view.latency = vec![Some(5_000_000), Some(50_000_000), None];
    assert_eq!(picks(&pool, &view, 1), [2]);
    view.in_flight = vec![0, 0, 1];
    assert_eq!(picks(&pool, &view, 1), [0]);
    view.in_flight = vec![10, 0, 1];
    assert_eq!(picks(&pool, &view, 1), [1]);
}

#[test]
fn the_first_is_filled_first() {
    let (pool, mut view) = pool(Balance::First, &[1, 1, 1]);
    assert_eq!(picks(&pool, &view, 2), [0, 0]);
    view.seen[0].exclusion = Some(Exclusion::Full);
    assert_eq!(picks(&pool, &view, 2), [1, 1]);
}

#[test]
fn a_bounded_load_falls_to_the_next_place() {
    let bounded = Balance::Hash(Hashing { max_load: Some(1250), ..Hashing::default() });
    let (pool, mut view) = pool(bounded, &[1; 4]);
    let asked = PickRequest { key: Some(7), ..PickRequest::default() };
    let mut round = RoundRobin::default();
    let home = pick(&pool, &view, &asked, &mut round).unwrap();
    assert_eq!(home.rule, Rule::Hashed);
    // Of 20 in flight it may have ⌈1.25 × 20 / 4⌉ = 7.
    view.in_flight = vec![4; 4];
    view.in_flight[home.place] = 6;
    view.in_flight[(home.place + 1) % 4] = 5;
    assert_eq!(pick(&pool, &view, &asked, &mut round), Ok(home));
    view.in_flight[home.place] = 7;
    view.in_flight[(home.place + 1) % 4] = 4;
    let next = pick(&pool, &view, &asked, &mut round).unwrap();
    assert!(next.rule == Rule::NextInTable && next.place != home.place);
}

/// The keys of a backend that is down spread over all others, and the keys of the others stay.
#[test]
fn keys_of_a_backend_that_is_down_spread() {
    let (pool, mut view) = pool(Balance::Hash(Hashing::default()), &[1; 5]);
    let before = picks(&pool, &view, 10_000);
    view.seen[2].exclusion = Some(Exclusion::Down);
    let after = picks(&pool, &view, 10_000);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!(moved.iter().all(|(before, _)| **before == 2));
    for place in [0, 1, 3, 4] {
        let share = moved.iter().filter(|(_, after)| **after == place).count() as f64 / moved.len() as f64;
        assert!((share - 0.25).abs() < 0.05, "{place}: {share}");
    }
}

#[test]
fn who_is_bound_is_served_by_its_own() {
    let (pool, mut view) = pool(Balance::RoundRobin, &[1, 0, 1]);
    let mut round = RoundRobin::default();
    let bound = PickRequest { bound: Some(1), ..PickRequest::default() };
    assert_eq!(pick(&pool, &view, &bound, &mut round), Ok(Picked { place: 1, rule: Rule::Bound }));
    view.seen[1].exclusion = Some(Exclusion::Full);
    assert_eq!(pick(&pool, &view, &bound, &mut round), Err(NoBackend::Full));
    for gone in [Exclusion::Down, Exclusion::Ejected] {
        view.seen[1].exclusion = Some(gone);
        assert_eq!(pick(&pool, &view, &bound, &mut round).unwrap().rule, Rule::Turn);
    }
    view.seen[1].exclusion = None;
    let tried = PickRequest { tried: &[1], ..bound };
    assert_ne!(pick(&pool, &view, &tried, &mut round).unwrap().place, 1);
}

#[test]
fn backups_are_for_those_who_are_gone() {
    let (pool, mut view) = pool(Balance::RoundRobin, &[1, 1, 1]);
    let mut round = RoundRobin::default();
    view.seen[0].tier = 3;
    view.seen[1].tier = 2;
    let mut pick = |view: &Fake, tried| {
        pick(&pool, view, &PickRequest { tried, ..PickRequest::default() }, &mut round)
            .map(|picked| picked.place)
    };
    assert_eq!(pick(&view, &[]), Ok(2));
    view.seen[2].exclusion = Some(Exclusion::Full);
    assert_eq!(pick(&view, &[]), Err(NoBackend::Full));
    view.seen[2].exclusion = Some(Exclusion::Down);
    assert_eq!(pick(&view, &[]), Ok(1));
    assert_eq!(pick(&view, &[1]), Ok(0));
    assert_eq!(pick(&view, &[1, 0]), Err(NoBackend::Tried));
    view.seen[0].exclusion = Some(Exclusion::Full);
    assert_eq!(
        pick(&view, &[1, 0]),
        Err(NoBackend::Tried),
        "one that was tried and has filled up since is not down"
    );
    view.seen.iter_mut().for_each(|seen| seen.exclusion = Some(Exclusion::Ejected));
    assert_eq!(pick(&view, &[]), Err(NoBackend::Down));
}

#[test]
fn the_operator_has_the_last_word() {
    let (pool, mut view) = pool(Balance::RoundRobin, &[1, 1, 1]);
    let pick = |view: &Fake, bound| {
        super::pick(&pool, view, &PickRequest { bound, ..PickRequest::default() }, &mut RoundRobin::default())
    };
    (view.seen[0].admin_state, view.seen[1].admin_state) = (AdminState::Drain, AdminState::Down);
    let found: Vec<_> = exclusions(&pool, &view, &PickRequest::default()).collect();
    assert_eq!(found, [Some(Exclusion::OperatorDrain), Some(Exclusion::OperatorDown), None]);
    assert!(picks(&pool, &view, 9).iter().all(|place| *place == 2));
    // A bound client stays with a backend that is drained, and waits for it. A backend that is down gets no
    // client.
    assert_eq!(pick(&view, Some(0)), Ok(Picked { place: 0, rule: Rule::Bound }));
    assert_eq!(pick(&view, Some(1)), Ok(Picked { place: 2, rule: Rule::Turn }));
    view.seen[0].exclusion = Some(Exclusion::Full);
    assert_eq!(pick(&view, Some(0)), Err(NoBackend::Full));
    // One that is drained and full is not worth waiting for, and keeps no tier in use.
    view.seen[2].tier = 2;
    assert_eq!(pick(&view, None), Ok(Picked { place: 2, rule: Rule::Turn }));
    view.seen[2].admin_state = AdminState::Down;
    assert_eq!(pick(&view, None), Err(NoBackend::Down));
}

fn seen() -> impl Strategy<Value = BackendView> {
    let exclusion = prop::sample::select(vec![
        None,
        None,
        None,
        Some(Exclusion::Down),
        Some(Exclusion::Ejected),
        Some(Exclusion::Full),
    ]);
    let admin_state =
        prop::sample::select(vec![AdminState::Ready, AdminState::Ready, AdminState::Drain, AdminState::Down]);
    (0_u32..=1000, 1_u32..=1000, 1_u8..4, admin_state, exclusion).prop_map(
        |(weight, share, tier, admin_state, exclusion)| BackendView {
            weight,
            share,
            tier,
            admin_state,
            exclusion,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Every policy picks a candidate if there is one. If it picks none, the reason that it gives is the true
    /// one.
    #[test]
    fn a_candidate_is_picked_if_there_is_one(
        backends in prop::collection::vec((seen(), 0_u32..100, prop::option::of(1_u64..1_000_000_000)), 1..8),
        tried in prop::collection::vec(0_usize..8, 0..4),
        key in prop::option::of(any::<u64>()),
        bound in prop::option::of(0_usize..8),
        random in any::<u64>(),
    ) {
        for balance in policies() {
            let weights: Vec<u32> = backends.iter().map(|(seen, ..)| seen.weight).collect();
            let (pool, _) = pool(balance, &weights);
            let view = Fake {
                seen: backends.iter().map(|(seen, ..)| *seen).collect(),
                in_flight: backends.iter().map(|(_, in_flight, _)| *in_flight).collect(),
                latency: backends.iter().map(|(.., latency)| *latency).collect(),
            };
            let bound = bound.filter(|place| *place < backends.len());
            let asked = PickRequest { tried: &tried, key, bound, random };
            let found: Vec<_> = exclusions(&pool, &view, &asked).collect();
            match pick(&pool, &view, &asked, &mut RoundRobin::default()) {
                Ok(Picked { place, rule: Rule::Bound }) => {
                    prop_assert_eq!(Some(place), bound);
                    prop_assert!(!tried.contains(&place) && view.seen[place].exclusion.is_none());
                    prop_assert!(view.seen[place].admin_state != AdminState::Down);
                }
                Ok(Picked { place, .. }) => {
                    prop_assert_eq!(found[place], None);
                    prop_assert!(view.seen[place].is_for_all());
                    let lowest = (0..backends.len()).filter(|place| found[*place].is_none()).map(|place| view.seen[place].tier).min();
                    prop_assert_eq!(Some(view.seen[place].tier), lowest);
                }
                Err(NoBackend::Full) => {
                    let is_waiting = bound.is_some_and(|place| view.seen[place].exclusion == Some(Exclusion::Full));
                    prop_assert!(is_waiting || (found.contains(&Some(Exclusion::Full)) && !found.contains(&None)));
                }
                Err(NoBackend::Tried) => {
                    prop_assert!(found.contains(&Some(Exclusion::Tried)));
                    prop_assert!(!found.contains(&None));
                }
                Err(NoBackend::Down) => prop_assert!(!found.contains(&None)),
            }
        }
    }

    /// Over any window of the total weight, warm-up shares and excluded ones included, a round is exact.
    #[test]
    fn a_round_is_exact_over_any_window(
        weights in prop::collection::vec(0_u32..9, 1..7),
        out in 0_usize..7,
        start in 0_u64..50,
    ) {
        let (pool, mut view) = pool(Balance::RoundRobin, &weights);
        if let Some(seen) = view.seen.get_mut(out) {
            seen.exclusion = Some(Exclusion::Down);
        }
        let counted = |place: usize| if place == out { 0 } else { weights[place] };
        let total: u64 = (0..weights.len()).map(|place| u64::from(counted(place))).sum();
        prop_assume!(total > 0);
        let window = &picks(&pool, &view, start + total)[start as usize..];
        for place in 0..weights.len() {
            prop_assert_eq!(window.iter().filter(|pick| **pick == place).count(), counted(place) as usize);
        }
    }
}
