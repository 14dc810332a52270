//! Well-known synchronous crates on corio's streams: each waits in its task, and the loop runs others meanwhile.
//!
//! | Crate | Here | Program |
//! |---|---|---|
//! | tungstenite | [`websocket`]: an echo, and a room in which everybody hears everybody | `websocket` |
//! | rustls | [`tls`]: both sides of a connection, and an echo | `tls_echo` |
//! | ureq | [`http`]: its connector and its resolver | `fetch` |
//! | redis | [`redis`]: its commands over a connection of ours | `counter` |
//!
//! What to use and what not: `docs/book/ecosystem.md`.

pub mod http;
pub mod redis;
pub mod tls;
pub mod websocket;
