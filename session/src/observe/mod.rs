//! Numbers for dashboards, and events for audit logs.
//!
//! - [`SessionStats`] counts what happens to sessions, and how long the store takes. Give it to
//!   [`stats`](crate::SessionMiddlewareBuilder::stats), and read its [`Totals`] on a page that
//!   Prometheus asks, or in a job.
//! - An [`Observer`] gets each [`Event`] at once, with the request that caused it. Give it to
//!   [`observer`](crate::SessionMiddlewareBuilder::observer).
//!
//! Neither shows a session id, a key or a value of a session. The guide has
//! [examples](crate::guide::observability) for Prometheus, OpenTelemetry and others.

mod event;
mod histogram;
mod metric;
mod observer;
mod operation;
mod reporter;
mod stats;
mod totals;

pub(crate) use {
    event::RequestDetails,
    reporter::{Events, Reporter},
};
pub use {
    event::{DestroyedBy, Event, EventKind, EventRequest, Renewal},
    metric::Metric,
    observer::Observer,
    operation::Operation,
    stats::SessionStats,
    totals::{CallTotals, Totals},
};
