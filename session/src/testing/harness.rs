//! What a store's author implements, so that the kit can open and use the store.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::{id::StoreKey, store::SessionStore, time::Timestamp};

/// Opens a store for the kit and controls its time.
pub trait Harness: Send + Sync + 'static {
    /// The store.
    type Store: SessionStore;

    /// Opens an empty store that shares no session with any other.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;

    /// Returns the time on the store's clock.
    fn now(&self) -> Timestamp;

    /// Lets time pass: moves a [`FakeClock`](crate::FakeClock), or waits.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// Returns the step in which the kit lets time pass. Defaults to one hour, for a fake clock.
    ///
    /// For a server with a real clock, return a time that is much longer than a call and short
    /// enough to wait for, such as 300 ms.
    fn tick(&self) -> Duration {
        Duration::from_secs(3600)
    }
}

/// The capability to close a store and open it again with all its sessions, as a restarted or a
/// second process does.
pub trait Reopen: Harness {
    /// Closes the store and opens it again.
    fn reopen(&self, store: Self::Store) -> impl Future<Output = Self::Store> + Send;
}

/// The capability to damage what is stored.
pub trait Damage: Harness {
    /// Replaces the stored bytes of a session with these.
    fn damage(
        &self,
        store: &Self::Store,
        key: &StoreKey,
        bytes: &[u8],
    ) -> impl Future<Output = ()> + Send;
}

/// Runs one law on a runtime with several threads.
///
/// # Panics
/// The store breaks the law.
pub fn run<H, C>(harness: H, law: impl FnOnce(Arc<H>) -> C)
where
    C: Future<Output = ()>,
{
    block_on(Box::pin(law(Arc::new(harness))));
}

/// Boxed, so that the runtime is compiled once and not for each law.
fn block_on(law: Pin<Box<dyn Future<Output = ()> + '_>>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("the system starts threads")
        .block_on(law);
}
