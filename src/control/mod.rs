//! Around the data plane: starting the workers, giving them another configuration, stopping them, and the signals and the
//! socket by which that is asked for.

mod binding;
mod certificates;
mod changes;
mod crew;
mod events;
mod handover;
mod health;
mod inherited;
mod ledger;
mod lookout;
mod mailbox;
mod moment;
mod notify;
mod operate;
mod origin;
mod privileges;
mod reload;
mod scrape;
mod server;
mod signals;
mod socket;
mod start_error;
mod tell;
mod thread;

pub use crate::operator::{Command, Reply, Request, Wanted};
pub use changes::ChangeError;
pub use crew::Crew;
pub use events::{Call, Event, Events};
pub use handover::{Predecessor, Successor, UpgradeError};
pub use inherited::Inherited;
pub use ledger::Ledger;
pub use lookout::{Discovered, Lookout};
pub use notify::Manager;
pub use operate::OperateError;
pub use origin::Origin;
pub use privileges::Identity;
pub use reload::{ReloadError, Reloaded};
pub use server::Server;
pub use signals::{Asked, Taken};
pub use socket::{SocketFile, ask};
pub use start_error::StartError;
pub use tell::Pulse;
