//! The middleware's settings, and what each worker keeps beside them.

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
