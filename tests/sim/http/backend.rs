//! One connection of a backend: it checks every request that comes in, and answers it as a [`Plan`] says.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;

use super::answer::{Deed, EXTRA, GARBAGE, Leave, Mischief, Plan};
use super::board::Board;
use super::body::{Body, Framing};
use super::head::Head;
use super::request::examine;
use crate::actor::{Actor, Pace, Port, Pulled, Pushed, Step};
use crate::announced::ProxyHeaders;
use crate::backend_faults::Condition;
use crate::end::EndId;
use crate::faults::{Faults, Weather, chance, log_uniform};
use crate::net::{Closing, Net};
use crate::tls::Seal;

/// The request of a check, and the expected answer.
pub(crate) const CHECK: &str = "GET /alive HTTP/1.1";
const ALIVE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";

/// The whim of a foul backend on an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whim {
    Close,
    Chatter,
}

/// A request that is being served.
#[derive(Debug)]
struct Service {
    plan: Plan,
    /// The number of the answer on the board.
    answer: usize,
    /// The request's.
    body: Body,
    /// The deeds that are still to be done.
    deeds: VecDeque<Deed>,
}

impl Service {
    /// Whether there is more to be written.
    fn says_more(&self) -> bool {
        self.deeds
            .iter()
            .any(|deed| matches!(deed, Deed::Write(bytes) | Deed::WriteWithExtra(bytes) if !bytes.is_empty()))
    }
}

/// The phase of the connection.
///
/// ```text
/// Idle ──a head──▶ Serving ──no deeds left──▶ Idle
///                     ├──Deed::Tunnel──▶ Tunnel
///                     └──Deed::Leave──▶ gone, or Leaving ──Pollux has ended──▶ gone
/// ```
#[derive(Debug)]
enum Phase {
    /// A request is awaited; a whim takes over at its time, if there is one.
    Idle(Option<(Time, Whim)>),
    Serving(Service),
    /// Everything that comes in goes back; `true` once the client has finished.
    Tunnel(bool),
    /// With TLS: it ends its direction, and then reads until Pollux has ended too. Otherwise what TLS has to
    /// say for itself, and nobody reads, would make a RST of the end.
    Leaving(Farewell),
}

/// The progress of a backend that leaves in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// The end is to be said in TLS, as it must be where only it ends a message.
    Due,
    /// A FIN is all.
    Curt,
    Said,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Backend {
    host: usize,
    port: Port,
    board: Rc<RefCell<Board>>,
    faults: Rc<Faults>,
    phase: Phase,
    /// It has said what nobody asked for, so that nothing it says can be trusted any more.
    has_chattered: bool,
    /// It has said so together with the end of a response.
    has_added: bool,
    /// It was not well since its last request: the next one may have waited unread.
    has_sulked: bool,
    /// The answer that was finished last.
    latest: Option<usize>,
    /// After how many bytes of the handshake it leaves badly, if it does.
    balks: Option<usize>,
    rng: Rng,
}

/// Bytes that a handshake may have.
const HANDSHAKE_MAX: usize = 2500;

impl Backend {
    pub(crate) fn new(
        host: usize,
        end: EndId,
        seal: Option<&Seal>,
        board: &Rc<RefCell<Board>>,
        faults: &Rc<Faults>,
        mut rng: Rng,
    ) -> Backend {
        let drawn = Pace::draw(faults.bulk, &mut rng);
        let pace = if faults.backend_faults.is_some() { Pace::BRISK } else { drawn };
        let port = Port::new(end, pace).sealed(seal);
        let is_balky = port.is_sealed() && faults.weather == Weather::Foul && chance(&mut rng, 15);
        let balks = is_balky.then(|| log_uniform(&mut rng, &(0..=HANDSHAKE_MAX)));
        let (board, faults, phase) = (Rc::clone(board), Rc::clone(faults), Phase::Idle(None));
        Backend {
            host,
            port,
            board,
            faults,
            phase,
            has_chattered: false,
            has_added: false,
            has_sulked: false,
            latest: None,
            balks,
            rng,
        }
    }

    /// A backend to which clients are announced, if the pool of the run does so.
    pub(crate) fn told_of_clients(self, proxy_headers: ProxyHeaders) -> Backend {
        let version = proxy_headers.pool.map(|announce| announce.version);
        Backend { port: self.port.awaiting(version), ..self }
    }

    fn is_foul(&self) -> bool {
        self.faults.weather == Weather::Foul
    }

    /// Whether Pollux may have had enough of it.
    fn is_excused(&self) -> bool {
        // Clients that have left make room where there are idlers.
        self.is_foul() || self.faults.backend_faults.is_some() || self.faults.idlers > 0
    }

    fn condition(&self, now: Time) -> Condition {
        self.faults
            .backend_faults
            .as_ref()
            .map_or(Condition::Well, |backend_faults| backend_faults.at(self.host, now).1)
    }

    /// Acts by its condition; `None` if it answers as usual.
    fn sulk(&mut self, net: &mut Net) -> Option<Step> {
        let backend_faults = self.faults.backend_faults.clone()?;
        let (_, condition) = backend_faults.at(self.host, net.now);
        self.has_sulked |= condition != Condition::Well;
        let answer = match &self.phase {
            Phase::Serving(service) => Some(service.answer),
            // The reset of a dead backend takes along what is on its way of the answer before.
            Phase::Idle(_) | Phase::Tunnel(_) | Phase::Leaving(_) => {
                self.latest.filter(|_| condition == Condition::Dead)
            }
        };
        if condition != Condition::Well
            && let Some(answer) = answer
        {
            let ask = self.board.borrow().answers[answer].ask;
            self.board.borrow_mut().asks[ask].wronged = true;
        }
        match condition {
            Condition::Well | Condition::Slow(_) => None,
            Condition::Hung | Condition::Hole => {
                Some(backend_faults.next(self.host, net.now).map_or(Step::Still, Step::Until))
            }
            Condition::Dead => {
                self.port.abort(net);
                Some(Step::Over)
            }
        }
    }

    /// Reads if something is to be read. `None` if nothing has come.
    fn listen(&mut self, net: &mut Net) -> Option<Step> {
        if let Phase::Tunnel(true) = self.phase {
            return None;
        }
        if let Phase::Serving(service) = &self.phase
            && service.body.is_done()
        {
            return None;
        }
        match self.port.pull(net, &mut self.rng) {
            Pulled::Nothing => None,
            Pulled::Bytes => {
                self.understand(net.now);
                Some(Step::Moved)
            }
            // Its own bytes go before.
            Pulled::End if matches!(self.phase, Phase::Leaving(Farewell::Due | Farewell::Curt)) => None,
            Pulled::End => {
                if let Phase::Tunnel(ended) = &mut self.phase {
                    *ended = true;
                    return Some(Step::Moved);
                }
                Some(self.abandoned(net))
            }
            Pulled::Reset => Some(self.abandoned(net)),
        }
    }

    /// Pollux has gone. Unless somebody misbehaves, it does so only between requests.
    fn abandoned(&mut self, net: &mut Net) -> Step {
        let between = self.is_between();
        assert!(between || self.is_excused(), "Pollux has left in the middle of a request");
        self.port.close(net);
        Step::Over
    }

    /// Whether no exchange is under way.
    fn is_between(&self) -> bool {
        match self.phase {
            Phase::Idle(_) => self.port.inbox.is_empty(),
            Phase::Leaving(_) => true,
            Phase::Serving(_) | Phase::Tunnel(_) => false,
        }
    }

    /// Makes what it can of the bytes that have come in.
    fn understand(&mut self, now: Time) {
        match &mut self.phase {
            Phase::Idle(_) => {
                if let Some(head) = Head::take(&mut self.port.inbox) {
                    if head.start == CHECK {
                        let is_own = self.port.announced.is_none_or(|said| said.client.is_none());
                        assert!(is_own, "a check on behalf of a client");
                        self.port.post(ALIVE);
                    } else {
                        self.serve(&head);
                    }
                    if let Condition::Slow(span) = self.condition(now) {
                        self.port.nap(now, span);
                    }
                    if !self.port.inbox.is_empty() {
                        self.understand(now);
                    }
                }
            }
            Phase::Serving(service) => {
                service.body.take(&mut self.port.inbox);
                let goes_on = service.body.is_done() && !self.port.inbox.is_empty();
                let says_more = service.says_more();
                let answered = !says_more && self.port.unsaid() == 0;
                assert!(!goes_on || answered, "bytes behind the end of a request");
            }
            Phase::Tunnel(_) => {
                let bytes = std::mem::take(&mut self.port.inbox);
                self.port.post(&bytes);
            }
            Phase::Leaving(_) => self.port.inbox.clear(),
        }
    }

    /// Holds who is said to ask, by the header that the connection began with, against who does.
    fn check_herald(&self, ask: usize) {
        if let Some(announced) = self.port.announced {
            let from = self.board.borrow().asks[ask].from;
            assert_eq!(announced.client, Some(from), "the client that a header announces");
        }
    }

    fn serve(&mut self, head: &Head) {
        assert!(
            !self.has_added,
            "a request on a connection where something was said behind the last response"
        );
        let mut board = self.board.borrow_mut();
        let (ask, body) = examine(head, &mut board);
        drop(board);
        self.check_herald(ask);
        let mut board = self.board.borrow_mut();
        let number = board.answers.len();
        let plan = Plan::draw(&board.asks[ask], number, &self.faults, &mut self.rng);
        board.asks[ask].wronged |=
            self.has_chattered || !plan.is_fair() || std::mem::take(&mut self.has_sulked);
        let mut answer = plan.answer(ask, number, &mut self.rng);
        let (head, content) = plan.render(&answer, &board.asks[ask], &mut self.rng);
        let deeds = plan.deeds(&head, &content, board.asks[ask].expects, &mut self.rng);
        if let (Framing::UntilEnd, Some(Mischief::Cut { keep, .. })) = (plan.framing, plan.mischief) {
            // A body that ends with its connection cannot be told from a shorter one.
            answer.payload.len = content.len().min(keep.saturating_sub(head.len()));
        }
        board.answers.push(answer);
        self.phase = Phase::Serving(Service { plan, answer: number, body, deeds });
    }

    /// Does the next deed. `None` if it has to wait.
    fn work(&mut self, net: &mut Net) -> Option<Step> {
        match self.port.push(net, &mut self.rng) {
            Pushed::Bytes => return Some(Step::Moved),
            Pushed::Lost => {
                // The bytes of TLS itself may come too late.
                let is_answered = self.port.unsaid() == 0 && self.has_answered();
                assert!(is_answered || self.is_excused(), "Pollux has reset a connection");
                self.port.close(net);
                return Some(Step::Over);
            }
            Pushed::Nothing if self.port.unwritten() > 0 => return None,
            Pushed::Nothing => {}
        }
        match &mut self.phase {
            Phase::Idle(Some((at, whim))) if *at <= net.now => {
                let whim = *whim;
                Some(self.indulge(whim, net))
            }
            Phase::Idle(Some((at, _))) => Some(Step::Until(*at)),
            Phase::Idle(None) | Phase::Tunnel(false) => None,
            Phase::Tunnel(true) if self.port.is_sealed() => {
                self.phase = Phase::Leaving(Farewell::Due);
                Some(Step::Moved)
            }
            Phase::Tunnel(true) => {
                self.port.close(net);
                Some(Step::Over)
            }
            Phase::Leaving(farewell) => match farewell {
                Farewell::Said => None,
                Farewell::Due => {
                    if self.port.finish(net) {
                        *farewell = Farewell::Said;
                    }
                    Some(Step::Moved)
                }
                Farewell::Curt => {
                    self.port.cut_off(net);
                    *farewell = Farewell::Said;
                    Some(Step::Moved)
                }
            },
            Phase::Serving(service) => match service.deeds.pop_front() {
                Some(Deed::AwaitBody) if !service.body.is_done() => {
                    service.deeds.push_front(Deed::AwaitBody);
                    None
                }
                Some(deed) => Some(self.perform(deed, net)),
                None => {
                    self.rest(net.now);
                    Some(Step::Moved)
                }
            },
        }
    }

    fn perform(&mut self, deed: Deed, net: &mut Net) -> Step {
        match deed {
            Deed::Write(bytes) => self.port.post(&bytes),
            Deed::WriteWithExtra(bytes) => {
                let fits = self.port.has_room(bytes.len() + EXTRA.len(), net);
                self.port.post(&bytes);
                if fits {
                    self.port.push_all(net, &mut self.rng);
                    if self.rng.bool() {
                        self.port.pause(net);
                    }
                    self.port.post(EXTRA);
                    self.port.push_all(net, &mut self.rng);
                    self.has_added = true;
                }
            }
            Deed::Nap(span) => self.port.nap(net.now, span),
            Deed::AwaitBody => {}
            Deed::Tunnel => self.phase = Phase::Tunnel(false),
            Deed::Leave(leave) => return self.leave(leave, net),
        }
        Step::Moved
    }

    /// Whether all that it had to say of the exchange is said, if there is one.
    fn has_answered(&self) -> bool {
        match &self.phase {
            Phase::Idle(_) => self.port.inbox.is_empty(),
            Phase::Serving(service) => service.body.is_done() && !service.says_more(),
            Phase::Tunnel(_) => false,
            Phase::Leaving(_) => true,
        }
    }

    fn leave(&mut self, leave: Leave, net: &mut Net) -> Step {
        let needs_end =
            matches!(&self.phase, Phase::Serving(service) if service.plan.framing == Framing::UntilEnd);
        if self.port.is_sealed() && self.is_foul() && self.rng.bool() {
            self.leave_badly(leave, net);
            return Step::Over;
        }
        if self.port.is_sealed() && leave == Leave::Close {
            let is_curt = (!needs_end || self.is_foul()) && self.rng.bool();
            self.note_endless(is_curt);
            self.phase = Phase::Leaving(if is_curt { Farewell::Curt } else { Farewell::Due });
            return Step::Moved;
        }
        let closing = match leave {
            Leave::Close => self.port.close(net),
            Leave::Abort => {
                self.port.abort(net);
                Closing::Rst
            }
        };
        self.note_endless(closing == Closing::Rst);
        Step::Over
    }

    /// Leaves a TLS connection at once, and in the middle of a record as it may be.
    fn leave_badly(&mut self, leave: Leave, net: &mut Net) {
        if let Phase::Serving(service) = &self.phase {
            let mut board = self.board.borrow_mut();
            let ask = board.answers[service.answer].ask;
            board.asks[ask].wronged = true;
        }
        let is_said = match leave {
            Leave::Close => self.port.bid_farewell(net, &mut self.rng),
            Leave::Abort => {
                self.port.tear(net, &mut self.rng);
                if self.rng.bool() {
                    self.port.close(net);
                } else {
                    self.port.abort(net);
                }
                false
            }
        };
        self.note_endless(!is_said);
    }

    /// Misbehaves in the middle of the handshake.
    fn balk(&mut self, net: &mut Net) -> Step {
        match self.rng.u8(..4) {
            0 => {
                self.port.nap(net.now, Duration::from_secs(self.rng.u64(1..150)));
                return Step::Moved;
            }
            1 => self.port.abort(net),
            2 => {
                self.port.tear(net, &mut self.rng);
                self.port.close(net);
            }
            _ => {
                self.port.close(net);
            }
        }
        Step::Over
    }

    /// Takes note whether the end of the connection was not told, where only that would have been the end of
    /// the answer.
    fn note_endless(&self, is_endless: bool) {
        if let Phase::Serving(service) = &self.phase
            && service.plan.framing == Framing::UntilEnd
        {
            let mut board = self.board.borrow_mut();
            let answer = &mut board.answers[service.answer];
            answer.endless = is_endless;
            let ask = answer.ask;
            board.asks[ask].wronged |= is_endless;
        }
    }

    /// An exchange is over; what the backend may do before the next one.
    fn rest(&mut self, now: Time) {
        let Phase::Serving(service) = &self.phase else { return };
        self.latest = Some(service.answer);
        let soon = now + Duration::from_micros(self.rng.u64(..30_000));
        let whim = match service.plan.mischief {
            Some(Mischief::LateExtra(span)) => Some((now + span, Whim::Chatter)),
            _ if self.is_foul() && chance(&mut self.rng, 20) => Some((soon, Whim::Close)),
            _ => None,
        };
        self.phase = Phase::Idle(whim);
        self.understand(now);
    }

    fn indulge(&mut self, whim: Whim, net: &mut Net) -> Step {
        self.phase = Phase::Idle(None);
        match whim {
            Whim::Chatter => {
                self.port.post(GARBAGE);
                self.has_chattered = true;
            }
            // In the middle of a head it is not idle any more.
            Whim::Close if !self.port.inbox.is_empty() => {}
            Whim::Close => {
                // A request that has come and will not be read has been handed over all the same.
                if let Some(head) = Head::take(&mut self.port.unread(net)) {
                    let mut board = self.board.borrow_mut();
                    let (ask, _) = examine(&head, &mut board);
                    board.asks[ask].wronged = true;
                }
                self.port.close(net);
                return Step::Over;
            }
        }
        Step::Moved
    }
}

impl Actor for Backend {
    fn step(&mut self, net: &mut Net) -> Step {
        if let Some(step) = self.sulk(net) {
            return step;
        }
        if self.port.is_greeting() && self.balks.take_if(|after| *after <= self.port.carried()).is_some() {
            return self.balk(net);
        }
        let changes = self
            .faults
            .backend_faults
            .as_ref()
            .and_then(|backend_faults| backend_faults.next(self.host, net.now));
        if let Some(until) = self.port.napping(net.now) {
            return Step::Until(changes.map_or(until, |at| at.min(until)));
        }
        let before = if self.rng.bool() { self.listen(net) } else { None };
        let step = before.or_else(|| match self.work(net) {
            // An alarm does not keep it from listening.
            Some(Step::Until(alarm)) => self.listen(net).or(Some(Step::Until(alarm))),
            Some(step) => Some(step),
            None => self.listen(net),
        });
        if step == Some(Step::Moved) {
            self.port.breathe(net.now, &mut self.rng);
        }
        match (step, changes) {
            (Some(Step::Until(at)), Some(changes)) => Step::Until(at.min(changes)),
            (None | Some(Step::Still), Some(changes)) => Step::Until(changes),
            (step, _) => step.unwrap_or(Step::Still),
        }
    }

    fn is_awaited(&self) -> bool {
        false
    }
}
