//! Who gets events.

use std::sync::Arc;

use super::event::Event;

/// Gets what happens to sessions, such as for an audit log.
///
/// Give it to [`SessionMiddlewareBuilder::observer`](crate::SessionMiddlewareBuilder::observer) and
/// to [`Sessions::observer`](crate::Sessions::observer). An `Arc` of an observer is one too, so
/// that both can have the same.
///
/// # When it is called
/// - After the store call has succeeded, so that what is reported has happened. Refusals are
///   reported before the request is answered.
/// - Once per event. If a client goes away while its request is closed or saved, the store call
///   runs to its end, and is reported all the same. A call of [`Sessions`](crate::Sessions) ends
///   with its future, so what it has done last may not be reported if that is dropped.
/// - Not for a request that extracts no session, and not for one that only reads a live session.
/// - Not for sessions that expire: the store drops them at some later time.
///
/// # What it must not do
/// It runs on the thread that serves the request, before the response is sent. **While it blocks,
/// all requests of that thread wait.** Write to a channel, and let another thread or task write to
/// the disk or the network.
///
/// If it panics, that is logged as `observer_panicked`. The request goes on, and later observers
/// get the event. (With `panic = "abort"`, the process ends, as with every panic.)
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     MemoryStore, SessionMiddleware,
///     observe::{Event, EventRequest, Observer},
/// };
/// use std::sync::mpsc::{Sender, channel};
///
/// /// Sends lines to a thread that writes them.
/// struct Audit(Sender<String>);
///
/// impl Observer for Audit {
///     fn observe(&self, event: &Event<'_>) {
///         let peer = event.request().and_then(EventRequest::peer_addr);
///         let path = event.request().map_or("-", EventRequest::path);
///         let _ = self.0.send(format!("{} {peer:?} {path}", event.name()));
///     }
/// }
///
/// let (sender, lines) = channel();
/// let sessions =
///     SessionMiddleware::builder(MemoryStore::new()).observer(Audit(sender)).build()?;
/// # drop(lines);
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Gets an event.
    fn observe(&self, event: &Event<'_>);
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: &Event<'_>) {
        (**self).observe(event);
    }
}
