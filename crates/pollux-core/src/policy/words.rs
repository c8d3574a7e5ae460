//! Policies and their verdicts in words, for `explain` and everything else that asks without acting.

use serde::Serialize;

use super::{Case, OwnAnswer, Policy, Verdict};

/// A policy, and what it says of a request as far as that is known without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The policy.
    pub policy: String,
    /// Its verdict.
    pub verdict: String,
    /// Whether the verdict hangs on a reply that nobody was asked for.
    pub would_ask: bool,
}

impl Judged {
    /// The policies of `case` in their order, up to the first one that answers.
    #[must_use]
    pub fn all(case: &Case<'_>) -> Vec<Judged> {
        let mut all = Vec::new();
        for policy in case.policies() {
            let verdict = policy.verdict(case);
            // Nothing is demanded of a body without a bound.
            if !matches!(policy, Policy::Body(None)) {
                all.push(Judged::of(policy, verdict));
            }
            if let Verdict::Answer(_) = verdict {
                break;
            }
        }
        all
    }

    fn of(policy: Policy<'_>, verdict: Verdict<'_>) -> Judged {
        let (policy, late) = match policy {
            Policy::Body(most) => {
                (most.map_or_else(String::new, |most| format!("a body of at most {most} bytes")), None)
            }
            Policy::Inquiry(inquiry) => (format!("{} agrees", inquiry.name), Some(inquiry)),
            Policy::Own(_) => (String::from("the route answers by itself"), None),
        };
        let (verdict, would_ask) = match verdict {
            Verdict::Go => (String::from("go"), false),
            Verdict::Answer(OwnAnswer::Route(own)) => (format!("answers with {}", own.status()), false),
            Verdict::Answer(OwnAnswer::Refusal(cause)) => (format!("refuses: {cause}"), false),
            Verdict::Ask(_) => {
                let text = late.map_or_else(String::new, |inquiry| {
                    let late = if inquiry.is_lenient { "goes on" } else { "is refused" };
                    format!(
                        "would ask, and refuse with {}; without a reply in {:?} the request {late}",
                        inquiry.refusal, inquiry.wait
                    )
                });
                (text, true)
            }
        };
        Judged { policy, verdict, would_ask }
    }
}
