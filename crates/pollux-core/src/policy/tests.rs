use std::time::Duration;

use super::*;
use crate::core::ids::PoolId;
use crate::route::{Body, Conditions, Options, Respond};

fn inquiry(authority: u32) -> Inquiry {
    Inquiry {
        name: format!("authority {authority}"),
        authority,
        wait: Duration::from_secs(1),
        is_lenient: false,
        refusal: Cause::NoRoute,
    }
}

fn route(action: Action, authorities: &[u32]) -> Route {
    let inquiries = authorities.iter().copied().map(inquiry).collect();
    let options = Some(Box::new(Options { inquiries, ..Options::default() }));
    Route { name: "r".into(), when: Conditions::default(), action, options }
}

fn case(route: &Route, length: u64) -> Case<'_> {
    Case { route, body: BodyLength::Known(length), body_max: Some(10), turn: 7 }
}

/// The authorities that are asked before the last verdict, each with its place; and that verdict.
fn walk<'a>(case: &Case<'a>) -> (Vec<(usize, u32)>, Verdict<'a>) {
    let (mut asked, mut from) = (Vec::new(), 0);
    loop {
        match case.judge(from) {
            (place, Verdict::Ask(Question::Authority { number, turn: 7 })) => {
                asked.push((place, number));
                from = place + 1;
            }
            (_, verdict) => return (asked, verdict),
        }
    }
}

#[test]
fn policies_are_judged_in_order() {
    let forwards = route(Action::Pool(PoolId(0)), &[3, 1]);
    let (asked, last) = walk(&case(&forwards, 10));
    assert_eq!(asked, [(1, 3), (2, 1)]);
    assert!(matches!(last, Verdict::Go));
    // No authority is asked for a request that is refused all the same.
    let (asked, last) = walk(&case(&forwards, 11));
    assert_eq!(asked, []);
    assert!(matches!(last, Verdict::Answer(OwnAnswer::Refusal(Cause::BodyTooLong))));
}

#[test]
fn a_route_that_answers_by_itself_asks_before() {
    let respond = Respond { status: 403, headers: Vec::new(), body: Body::default() };
    let answers = route(Action::Respond(respond), &[5]);
    let (asked, last) = walk(&case(&answers, 11));
    assert_eq!(asked, [(0, 5)]);
    assert!(matches!(last, Verdict::Answer(OwnAnswer::Route(own)) if own.status() == 403));
}

#[test]
fn what_would_be_asked_is_told_in_words() {
    let forwards = route(Action::Pool(PoolId(0)), &[3]);
    let told = Judged::all(&case(&forwards, 10));
    let verdicts: Vec<_> = told.iter().map(|it| (it.verdict.as_str(), it.would_ask)).collect();
    let asks = "would ask, and refuse with no-route; without a reply in 1s the request is refused";
    assert_eq!(verdicts, [("go", false), (asks, true)]);
    let told = Judged::all(&case(&forwards, 11));
    assert_eq!(told.len(), 1, "nothing comes behind a refusal: {told:?}");
    assert_eq!(told[0].verdict, "refuses: body-too-long");
}

#[test]
fn a_route_without_options_is_about_nothing_but_the_body() {
    let plain = Route { options: None, ..route(Action::Pool(PoolId(0)), &[]) };
    let case = Case { body: BodyLength::Open, ..case(&plain, 0) };
    assert!(matches!(case.judge(0), (1, Verdict::Go)));
    assert_eq!(case.policies().count(), 1);
}
