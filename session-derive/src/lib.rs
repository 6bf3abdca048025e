//! The derive macro of `actix-typed-session`; use it through that crate, which re-exports it.
