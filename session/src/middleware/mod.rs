//! Actix's request cycle.

mod builder;
mod headers;
mod service;
mod transform;

pub use {builder::SessionMiddlewareBuilder, transform::SessionMiddleware};
