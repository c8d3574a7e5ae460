//! Every behaviour over real sockets, seen by a client that does nothing but write and read bytes.

mod client;
mod life;
mod program;
mod raw;
mod right;
mod websocket;
mod wrong;
