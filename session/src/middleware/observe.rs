//! The settings that say who gets numbers and events.

use std::sync::Arc;

use super::builder::SessionMiddlewareBuilder;
use crate::observe::{Observer, SessionStats};

impl SessionMiddlewareBuilder {
    /// Sets what counts sessions and store calls. Defaults to none: nothing is counted.
    ///
    /// Keep a clone, and read its [`totals`](SessionStats::totals) where you publish numbers.
    /// Several middlewares, and [`Sessions`](crate::Sessions::stats), can count together in one. A
    /// second call replaces the first.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware, observe::SessionStats};
    /// use actix_web::{App, web};
    ///
    /// async fn metrics(stats: web::Data<SessionStats>) -> String {
    ///     format!("{:?}", stats.totals())
    /// }
    ///
    /// let stats = SessionStats::new();
    /// let sessions = SessionMiddleware::builder(MemoryStore::new()).stats(&stats).build()?;
    /// let app = App::new()
    ///     .app_data(web::Data::new(stats))
    ///     .route("/metrics", web::get().to(metrics))
    ///     .wrap(sessions);
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn stats(mut self, stats: &SessionStats) -> Self {
        Arc::make_mut(self.config.events.get_or_insert_default()).stats = Some(stats.clone());
        self
    }

    /// Adds an observer, which gets what happens to sessions, such as for an audit log. Defaults to
    /// none. Each call adds one, and they are called in this order.
    ///
    /// [`Observer`] says when and where it is called, and has an example.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        let events = Arc::make_mut(self.config.events.get_or_insert_default());
        events.observers.push(Arc::new(observer));
        self
    }
}
