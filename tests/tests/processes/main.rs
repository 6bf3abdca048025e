//! Sessions while processes and servers are killed, stopped and restarted.

mod files;
mod operations;
mod outage;
#[cfg(unix)]
mod users;
