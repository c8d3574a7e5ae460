//! Around the data plane: starting the workers, giving them another configuration, stopping them, and the signals and the
//! socket by which that is asked for.

mod binding;
mod certificates;
mod changes;
mod discovery_status;
mod discovery_watcher;
mod events;
mod handover;
mod health;
mod inherited;
mod mailbox;
mod moment;
mod notify;
mod operate;
mod origin;
mod privileges;
mod reload;
mod render;
mod scrape;
mod server;
mod signals;
mod socket;
mod start_error;
mod thread;
mod workers;

pub use crate::operator::{Command, OperatorRequest, Reply, WantedState};
pub use changes::ChangeError;
pub use discovery_status::DiscoveryStatus;
pub use discovery_watcher::{Discovered, DiscoveryWatcher};
pub use events::{Call, ControlEvent, Events};
pub use handover::{Predecessor, Successor, UpgradeError};
pub use inherited::Inherited;
pub use notify::Manager;
pub use operate::OperateError;
pub use origin::Origin;
pub use privileges::{Identity, KeptCapabilities};
pub use reload::{ReloadError, Reloaded};
pub use render::Pulse;
pub use server::Server;
pub use signals::{SignalAction, Taken};
pub use socket::{SocketFile, ask};
pub use start_error::StartError;
pub use workers::Workers;
