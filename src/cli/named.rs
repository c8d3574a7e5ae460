//! The backends that `--backend` names.

use pollux::config::{AtOnce, World};
use pollux::discovery::{self, Answers, BackendSource, DiscoveryQuestion};
use pollux::snapshot::Pool;

use super::Failure;

/// Puts `named` into `pool`, in the place of whatever it has. Names are looked up by `names`, at once; what
/// is found is noted in `answers`. Returns a warning for each that is not known now: it may come later, as it
/// may for a file.
///
/// # Errors
/// When a file of backends cannot be read.
pub(super) fn put<'a>(
    named: impl Iterator<Item = &'a BackendSource>,
    pool: &mut Pool,
    answers: &mut Answers,
    names: &mut AtOnce<'_>,
) -> Result<Vec<String>, Failure> {
    let at = |source: &BackendSource| match source {
        BackendSource::Given(backend) => BackendSource::Given(backend.clone()),
        BackendSource::Asked { question, like } => BackendSource::Asked {
            question: question.clone().at(&pool.resolver, pool.family),
            like: like.clone(),
        },
    };
    pool.sources = named.map(at).collect();
    let is_open = |question: &DiscoveryQuestion, answers: &Answers| {
        answers.to(question).is_none() && answers.failure(question).is_none()
    };
    let questions = pool.sources.iter().filter_map(|source| match source {
        BackendSource::Asked { question, .. } => Some(question.clone()),
        BackendSource::Given(_) => None,
    });
    names.want(questions.filter(|question| is_open(question, answers)));
    names.look_up();
    let mut warnings = Vec::new();
    for source in &pool.sources {
        let BackendSource::Asked { question, .. } = source else { continue };
        if !is_open(question, answers) {
            continue;
        }
        match names.ask(question) {
            Ok(entries) => answers.note(question.clone(), entries),
            Err(why) => {
                if let DiscoveryQuestion::File(path) = question {
                    let path = path.display();
                    return Err(Failure::usage(format!("--backend file:{path} gives no backends: {why}")));
                }
                warnings.push(format!(
                    "warning: cannot resolve --backend {question}: {why}\n  = help: check the name; Pollux starts without it, and asks again"
                ));
                answers.note_failure(question.clone(), why);
            }
        }
    }
    discovery::fill(pool, answers);
    if pool.sources.iter().all(|source| matches!(source, BackendSource::Given(_))) {
        pool.sources.clear();
    }
    Ok(warnings)
}
