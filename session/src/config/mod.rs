//! The settings of the middleware, and the hints that each worker learns.

mod log_interval;
mod privileges;
mod rules;
mod settings;
mod worker;

pub use rules::OnOutage;
pub(crate) use {
    privileges::Privileges,
    rules::Rules,
    settings::{Config, DEFAULT_LIFETIMES},
    worker::WorkerConfig,
};
