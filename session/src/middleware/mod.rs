//! The session in Actix's request cycle: the middleware, its service and its builder.

mod build;
mod builder;
mod headers;
mod import;
mod observe;
mod origins;
mod service;
mod transform;

pub use {builder::SessionMiddlewareBuilder, transform::SessionMiddleware};
