//! The delivery of bytes that were written to a connection.

/// The delivery of bytes that were written, and of the FIN behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Some of them are not acknowledged yet.
    Pending,
    /// The other side's system has acknowledged all of them.
    Acknowledged,
    /// The connection was reset before that.
    Lost,
}
