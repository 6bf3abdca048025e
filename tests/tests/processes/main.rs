//! Sessions while processes and servers are killed, stopped and restarted.

mod files;
mod outage;
#[cfg(unix)]
mod users;
