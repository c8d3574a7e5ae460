//! `grpc.health.v1`: Check and Watch, with statuses that a request to `/toy/health/` switches.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::grpc::{Call, Ending, Status};
use crate::exchange::{After, Exchange};
use crate::peer::Trouble;

/// The services whose status may be set.
const SERVICES_MAX: usize = 64;

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Up = 1,
    Down = 2,
    ServiceUnknown = 3,
}

/// The status of each service. The empty name is the server as a whole, which serves from the beginning.
#[derive(Default)]
pub(crate) struct Health {
    services: Mutex<HashMap<String, ServingStatus>>,
    changed: Condvar,
}

impl Health {
    fn get(services: &HashMap<String, ServingStatus>, service: &str) -> Option<ServingStatus> {
        let known = services.get(service).copied();
        known.or_else(|| service.is_empty().then_some(ServingStatus::Up))
    }

    fn set(&self, service: &str, serving: ServingStatus) -> bool {
        let mut services = self.lock();
        if services.len() >= SERVICES_MAX && !services.contains_key(service) {
            return false;
        }
        services.insert(service.to_owned(), serving);
        drop(services);
        self.changed.notify_all();
        true
    }

    /// Has each watcher look whether its call goes on.
    pub(crate) fn wake(&self) {
        let held = self.lock();
        self.changed.notify_all();
        drop(held);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ServingStatus>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers `/toy/health/STATUS` and `/toy/health/STATUS/SERVICE`, which set the status of the server or of a
/// service.
pub(crate) fn switch(exchange: &mut Exchange<'_>, wanted: &str) -> Result<After, Trouble> {
    exchange.discard_body()?;
    let (status, service) = wanted.split_once('/').unwrap_or((wanted, ""));
    let serving = match status {
        "UNKNOWN" => Some(ServingStatus::Unknown),
        "SERVING" => Some(ServingStatus::Up),
        "NOT_SERVING" => Some(ServingStatus::Down),
        _ => None,
    };
    let is_set = serving.is_some_and(|serving| exchange.toy.health.set(service, serving));
    let (code, text) = if is_set { (200, "set\n") } else { (400, "not set\n") };
    Ok(exchange.send(code, "text/plain", text.as_bytes())?)
}

pub(super) fn check(call: &mut Call<'_>) -> Result<(), Ending> {
    let service = asked(call)?;
    let serving = Health::get(&call.toy.health.lock(), &service);
    tell(call, serving.ok_or(Ending::Status(Status::NOT_FOUND))?)
}

/// Tells the status at once and at each change, until the client leaves.
pub(super) fn watch(call: &mut Call<'_>) -> Result<(), Ending> {
    let service = asked(call)?;
    let health = &call.toy.health;
    let mut told = None;
    loop {
        let mut services = health.lock();
        let serving = loop {
            if call.is_lost() {
                return Err(Ending::Gone);
            }
            let serving = Health::get(&services, &service).unwrap_or(ServingStatus::ServiceUnknown);
            if told != Some(serving) {
                break serving;
            }
            services = health.changed.wait(services).unwrap_or_else(PoisonError::into_inner);
        };
        drop(services);
        told = Some(serving);
        tell(call, serving)?;
    }
}

fn tell(call: &mut Call<'_>, serving: ServingStatus) -> Result<(), Ending> {
    call.send(&[0x08, serving as u8])
}

/// The service of a `HealthCheckRequest`: one string, number 1. An absent one is empty.
fn asked(call: &mut Call<'_>) -> Result<String, Ending> {
    let message = call.receive()?.ok_or(Ending::Status(Status::INVALID_ARGUMENT))?;
    let name = match &message[..] {
        [] => &[],
        [0x0a, length, name @ ..] if *length < 0x80 && usize::from(*length) == name.len() => name,
        _ => return Err(Ending::Status(Status::INVALID_ARGUMENT)),
    };
    String::from_utf8(name.to_vec()).map_err(|_| Ending::Status(Status::INVALID_ARGUMENT))
}
