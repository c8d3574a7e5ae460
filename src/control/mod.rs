//! Around the data plane: starting the workers, stopping them, and the signals that ask for it.

mod access_log;
mod server;
mod signals;

pub use access_log::AccessLog;
pub use server::{Crew, Server, StartError};
pub use signals::{Asked, Signals};
