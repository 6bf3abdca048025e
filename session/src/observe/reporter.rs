//! The one place through which events go to the statistics and to the observers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use actix_web::HttpRequest;
use tracing::error;

use super::{
    event::{Event, EventKind, EventRequest, RequestDetails},
    metric::Metric,
    observer::Observer,
    operation::Operation,
    stats::SessionStats,
};
use crate::{error::StoreError, record::PublicId};

/// What gets events.
#[derive(Clone, Default)]
pub(crate) struct Events {
    pub(crate) stats: Option<SessionStats>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

impl Events {
    /// What observers get of a request. `None`: there are no observers.
    pub(crate) fn details_of(&self, request: &HttpRequest) -> Option<RequestDetails> {
        (!self.observers.is_empty()).then(|| Arc::new(EventRequest::of(request)))
    }

    /// Counts the call of a store, and reports it if it failed.
    pub(crate) fn report_call(
        &self,
        operation: Operation,
        time: Duration,
        error: Option<&StoreError>,
    ) {
        if let Some(stats) = &self.stats {
            stats.record(operation, time, error.is_some());
        }
        if let Some(error) = error {
            let kind = EventKind::StoreFailed { operation, error };
            self.observe(&Event { kind, request: None, public_id: None });
        }
    }

    /// Counts what is not an event.
    pub(crate) fn count(&self, metric: Metric) {
        if let Some(stats) = &self.stats {
            stats.count(metric);
        }
    }

    fn observe(&self, event: &Event<'_>) {
        for observer in &self.observers {
            // The session is stored already, so the client must get its cookie.
            let call = AssertUnwindSafe(|| observer.observe(event));
            if catch_unwind(call).is_err() {
                let name = event.name();
                error!(
                    event = "observer_panicked",
                    "an observer of sessions panicked on the event `{name}`"
                );
            }
        }
    }
}

/// Reports the events of one request, or of calls without a request.
#[derive(Clone)]
pub(crate) struct Reporter {
    events: Arc<Events>,
    request: Option<RequestDetails>,
}

impl Reporter {
    /// Reports what happens without a request.
    pub(crate) fn new(events: Arc<Events>) -> Self {
        Self { events, request: None }
    }

    /// Reports what a request causes.
    pub(crate) fn of_request(events: &Arc<Events>, request: Option<&RequestDetails>) -> Self {
        Self { events: Arc::clone(events), request: request.cloned() }
    }

    /// The same, as caused by the request of another one.
    pub(crate) fn caused_by(&self, other: Option<Self>) -> Self {
        let request = other.and_then(|other| other.request);
        Self { events: Arc::clone(&self.events), request }
    }

    /// Counts what is not an event.
    pub(crate) fn count(&self, metric: Metric) {
        self.events.count(metric);
    }

    /// Reports an event of a session, which may have a public id.
    pub(crate) fn report(&self, kind: EventKind<'_>, public_id: Option<PublicId>) {
        if let Some(metric) = kind.metric() {
            self.events.count(metric);
        }
        self.events.observe(&Event { kind, request: self.request.as_deref(), public_id });
    }
}
