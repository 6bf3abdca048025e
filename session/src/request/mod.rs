//! One request's session.

mod call;
mod changes;
mod close;
mod csrf;
mod fields;
mod flash;
mod foreign;
mod handle;
mod ids;
mod import;
mod in_flight;
mod load;
mod loaded;
mod merge;
mod outcome;
mod plan;
mod report;
mod session;
mod state;
mod taken;
mod turn;

pub use handle::{SessionHandle, Status};
pub(crate) use {
    call::broken_law,
    changes::Changes,
    close::ResponseEffects,
    fields::Fields,
    loaded::Loaded,
    merge::Merger,
    session::{HeldSession, NotFound, RequestSession},
    state::State,
};
