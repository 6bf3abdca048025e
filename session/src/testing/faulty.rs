//! A store that injects errors and delays.

use std::{
    cell::Cell,
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::value::RawValue;

use crate::{
    error::StoreError,
    id::StoreKey,
    observe::Operation,
    record::{Grace, Patch, PublicId, Record},
    store::{CreateOutcome, FindByIndex, IndexPage, LoadOptions, SessionStore, UpdateOutcome},
    time::Timestamp,
};

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails before it reaches the store, so it changes nothing.
    ErrorBefore,
    /// The call fails after the store has carried it out. The caller cannot see that it did.
    ErrorAfter,
    /// The call waits for this long before it reaches the store.
    Delay(Duration),
}

/// Wraps a store, injects errors and delays into its calls, and counts them.
///
/// Clones share the store, the faults and the counts: pass one to the middleware and keep one.
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     MemoryStore, SessionMiddleware,
///     testing::{Fault, FaultyStore, Operation},
/// };
///
/// let store = FaultyStore::new(MemoryStore::new());
/// let sessions = SessionMiddleware::new(store.clone());
/// // From here on, requests that change their session are answered with 503.
/// store.inject(Operation::Update, Fault::ErrorBefore);
/// // … requests …
/// store.heal();
/// assert_eq!(store.calls(Operation::Load), 0);
/// ```
#[derive(Debug)]
pub struct FaultyStore<S> {
    shared: Arc<FaultyStoreInner<S>>,
}

#[derive(Debug)]
struct FaultyStoreInner<S> {
    store: S,
    faults: Mutex<HashMap<Operation, Vec<Fault>>>,
    calls: Mutex<HashMap<Operation, u64>>,
    all_calls: AtomicU64,
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: SessionStore> FaultyStore<S> {
    /// Wraps a store. It works without faults until the first [`inject`](Self::inject).
    pub fn new(store: S) -> Self {
        let shared = FaultyStoreInner {
            store,
            faults: Mutex::default(),
            calls: Mutex::default(),
            all_calls: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Injects a fault into every call of this operation, until [`heal`](Self::heal).
    ///
    /// Several faults of one operation add up, such as a delay and an error.
    pub fn inject(&self, operation: Operation, fault: Fault) {
        lock(&self.shared.faults).entry(operation).or_default().push(fault);
    }

    /// Removes all faults. The counts stay.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Returns how often this operation was called, with or without success.
    pub fn calls(&self, operation: Operation) -> u64 {
        lock(&self.shared.calls).get(&operation).copied().unwrap_or(0)
    }

    /// Returns how often any operation was called, with or without success.
    pub fn all_calls(&self) -> u64 {
        self.shared.all_calls.load(Ordering::SeqCst)
    }

    /// Returns the wrapped store.
    pub fn inner(&self) -> &S {
        &self.shared.store
    }

    async fn call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if IS_UNWATCHED.get() {
            return call.await;
        }
        self.shared.all_calls.fetch_add(1, Ordering::SeqCst);
        *lock(&self.shared.calls).entry(operation).or_default() += 1;
        let faults = lock(&self.shared.faults).get(&operation).cloned().unwrap_or_default();
        for fault in &faults {
            if let Fault::Delay(delay) = fault {
                tokio::time::sleep(*delay).await;
            }
        }
        if faults.contains(&Fault::ErrorBefore) {
            return Err(StoreError::unavailable("injected before the call"));
        }
        let answer = call.await?;
        if faults.contains(&Fault::ErrorAfter) {
            return Err(StoreError::unavailable("injected after the call"));
        }
        Ok(answer)
    }
}

thread_local! {
    /// Whether a fixture makes the calls, not the application.
    static IS_UNWATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Awaits a future whose store calls are those of a fixture: they have no faults, and are not
/// counted.
pub(super) async fn unwatched<T>(future: impl Future<Output = T>) -> T {
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            IS_UNWATCHED.set(self.0);
        }
    }

    let mut future = pin!(future);
    poll_fn(|context| {
        let _restore = Restore(IS_UNWATCHED.replace(true));
        future.as_mut().poll(context)
    })
    .await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: SessionStore> SessionStore for FaultyStore<S> {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        self.call(Operation::Create, self.inner().create(key, record)).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.call(Operation::Load, self.inner().load(key, options)).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.call(Operation::Update, self.inner().update(key, patch)).await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.call(Operation::Touch, self.inner().touch(key, expires_at)).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.call(Operation::Destroy, self.inner().destroy(key)).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        self.call(Operation::Rotate, self.inner().rotate(old, new, patch, grace)).await
    }
}

impl<S: FindByIndex> FindByIndex for FaultyStore<S> {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        self.call(Operation::Find, self.inner().find(name, value, after, limit)).await
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        // The action calls this store, so its calls are counted and can fail.
        self.inner().exclusively(value, action).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const KEY: StoreKey = StoreKey::from_bytes([1; 32]);

    fn record() -> Record {
        Record::new(Timestamp::default(), Timestamp::from_unix_ms(u64::MAX))
    }

    #[tokio::test]
    async fn an_error_before_does_nothing_and_an_error_after_does_it_all() {
        let store = FaultyStore::new(MemoryStore::new());
        store.inject(Operation::Create, Fault::ErrorBefore);
        assert!(store.create(&KEY, &record()).await.is_err());
        assert!(store.inner().is_empty());
        store.heal();
        store.inject(Operation::Create, Fault::ErrorAfter);
        assert!(store.create(&KEY, &record()).await.is_err());
        assert_eq!(store.inner().len(), 1);
        store.heal();
        assert!(
            store.load(&KEY, &LoadOptions::default()).await.is_ok_and(|record| record.is_some())
        );
        assert_eq!((store.calls(Operation::Create), store.calls(Operation::Load)), (2, 1));
        assert_eq!(store.all_calls(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_delays() {
        let store = FaultyStore::new(MemoryStore::new());
        store.inject(Operation::Load, Fault::Delay(Duration::from_secs(7)));
        let start = tokio::time::Instant::now();
        assert!(store.load(&KEY, &LoadOptions::default()).await.is_ok());
        assert_eq!(start.elapsed(), Duration::from_secs(7));
    }
}
