//! Who may use a handler: rules that read the session, and extractors that ask them.

mod guarded;
mod login;
mod navigation;
mod refusal;
mod require;
mod return_to;
mod rule;

pub use {
    guarded::Guarded,
    login::{LoggedIn, Login, LoginRule},
    refusal::{GuardError, Refusal},
    require::require,
    return_to::ReturnTo,
    rule::Rule,
};
