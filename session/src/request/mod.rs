//! One request's session.

mod call;
mod csrf;
mod handle;
mod merge;
mod plan;
mod state;

pub use handle::{SessionHandle, Status};
pub(crate) use {
    call::no_answer,
    handle::{Closing, Found},
    merge::Merger,
    state::{Base, Compared, State},
};
