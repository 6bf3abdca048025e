//! Measurements of actix-typed-session beside its peers. See the README.

pub mod contestant;
pub mod server;
pub mod site;
