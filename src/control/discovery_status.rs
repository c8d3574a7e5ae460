//! The results of discovery: the asking threads write them, the status reads them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::discovery::{Answers, DiscoveryQuestion, Entry};
use crate::status;

/// A page for each question that is asked.
#[derive(Debug, Default)]
pub struct DiscoveryStatus(Mutex<BTreeMap<DiscoveryQuestion, Page>>);

#[derive(Debug)]
struct Page {
    /// The last good answer, since when it has been the same, and when it was last given.
    answer: Option<(Vec<Entry>, Instant, Instant)>,
    /// Why there is none since, and for how long.
    failure: Option<(String, Instant)>,
}

impl DiscoveryStatus {
    /// Opens a page for each of `questions`, with what is known; one that is there already goes on. Others
    /// are thrown away.
    pub(super) fn open<'a>(&self, questions: impl Iterator<Item = &'a DiscoveryQuestion>, answers: &Answers) {
        let (mut pages, now) = (self.pages(), Instant::now());
        let mut old = std::mem::take(&mut *pages);
        for question in questions {
            let page = old.remove(question).unwrap_or(Page { answer: None, failure: None });
            pages.insert(question.clone(), page);
            if let (Some(entries), page) = (answers.to(question), pages.get_mut(question)) {
                page.into_iter().for_each(|page| page.know(entries, now));
            }
            if let (Some(why), Some(page)) = (answers.failure(question), pages.get_mut(question)) {
                page.fail(why, now);
            }
        }
    }

    /// Records what came of asking.
    pub(super) fn note(&self, question: &DiscoveryQuestion, asked: Result<&[Entry], &str>) {
        let now = Instant::now();
        let mut pages = self.pages();
        // A configuration that has come meanwhile may not have the question any more.
        let Some(page) = pages.get_mut(question) else { return };
        match asked {
            Ok(entries) => {
                page.know(entries, now);
                page.failure = None;
            }
            Err(why) => page.fail(why, now),
        }
    }

    /// The present answers, in the order of the questions.
    #[must_use]
    pub fn tell(&self) -> Vec<status::SourceStatus> {
        self.pages().iter().map(|(question, page)| page.tell(question)).collect()
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<DiscoveryQuestion, Page>> {
        // A page is whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn know(&mut self, entries: &[Entry], now: Instant) {
        match &mut self.answer {
            Some((known, _, asked)) if known == entries => *asked = now,
            answer => *answer = Some((entries.to_vec(), now, now)),
        }
    }

    fn fail(&mut self, why: &str, now: Instant) {
        let since = self.failure.as_ref().map_or(now, |(_, since)| *since);
        self.failure = Some((why.to_owned(), since));
    }

    fn tell(&self, question: &DiscoveryQuestion) -> status::SourceStatus {
        let ms = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answer = self.answer.as_ref().map(|(entries, since, asked)| status::SourceAnswer {
            backends: entries.iter().map(|entry| entry.address.to_string()).collect(),
            since_ms: ms(*since),
            asked_ms: ms(*asked),
        });
        let failure = self.failure.as_ref();
        let failure = failure.map(|(why, since)| status::NotFound { why: why.clone(), since_ms: ms(*since) });
        status::SourceStatus { source: question.to_string(), answer, failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::IpFamily;
    use crate::snapshot::Address;

    #[test]
    fn a_page_keeps_the_last_good_answer_and_why_there_is_no_newer_one() {
        let host = |name: &str| DiscoveryQuestion::Host {
            host: name.to_owned(),
            port: 80,
            servers: Vec::new(),
            family: IpFamily::Any,
        };
        let entries = |port: u16| vec![Entry::at(Address::Ip(([127, 0, 0, 1], port).into()))];
        let (a, b) = (host("a"), host("b"));
        let (discovery_status, mut answers) = (DiscoveryStatus::default(), Answers::default());
        answers.note(a.clone(), entries(1));
        answers.note_failure(b.clone(), String::from("no such name"));
        discovery_status.open([&a, &b].into_iter(), &answers);
        let shown =
            |discovery_status: &DiscoveryStatus| -> Vec<(String, Option<Vec<String>>, Option<String>)> {
                let show = |it: status::SourceStatus| {
                    (it.source, it.answer.map(|found| found.backends), it.failure.map(|failure| failure.why))
                };
                discovery_status.tell().into_iter().map(show).collect()
            };
        let found = |port: u16| Some(vec![format!("127.0.0.1:{port}")]);
        let why = |why: &str| Some(why.to_owned());
        let (a_text, b_text) = (String::from("a:80"), String::from("b:80"));
        let first = [(a_text.clone(), found(1), None), (b_text.clone(), None, why("no such name"))];
        assert_eq!(shown(&discovery_status), first);
        discovery_status.note(&a, Err("silence"));
        discovery_status.note(&b, Ok(&entries(2)));
        let second = [(a_text.clone(), found(1), why("silence")), (b_text, found(2), None)];
        assert_eq!(shown(&discovery_status), second);
        // A reload that has another answer to one, and does without the other.
        answers.note(a.clone(), entries(3));
        discovery_status.open([&a].into_iter(), &answers);
        discovery_status.note(&b, Ok(&entries(2)));
        assert_eq!(shown(&discovery_status), [(a_text, found(3), why("silence"))]);
    }
}
