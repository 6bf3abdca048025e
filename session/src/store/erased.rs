//! Stores as trait objects, so that handlers and session structs need not name the store's type.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use serde_json::value::RawValue;

use super::{
    capabilities::{FindByIndex, IndexPage},
    listing::{ListAll, ListCursor, ListPage},
    session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
};
use crate::{
    error::{SessionError, StoreError},
    id::StoreKey,
    record::{Grace, Patch, PublicId, Record},
    time::Timestamp,
};

/// The future of a store call. It owns its data, so it can outlive the request. The result of an
/// immediate store needs no box.
pub(crate) type StoreFuture<T> =
    Either<Ready<Result<T, StoreError>>, BoxFuture<'static, Result<T, StoreError>>>;

/// [`SessionStore`] as a trait object, with futures that own their data.
pub(crate) trait ErasedStore: Send + Sync {
    /// Whether every call is ready when its future is first polled.
    fn is_immediate(&self) -> bool;
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<CreateOutcome>;
    /// A load that does not wait: that of an immediate store, or from a copy that the store keeps.
    /// `None`: this one would.
    fn load_at_once(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'static>,
    ) -> Option<Result<Option<Record>, StoreError>>;
    fn load(
        self: Arc<Self>,
        key: StoreKey,
        options: LoadOptions<'static>,
    ) -> StoreFuture<Option<Record>>;
    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> StoreFuture<UpdateOutcome>;
    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> StoreFuture<bool>;
    fn destroy(self: Arc<Self>, key: StoreKey) -> StoreFuture<bool>;
    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        grace: Grace,
    ) -> StoreFuture<UpdateOutcome>;
}

/// [`FindByIndex`] as a trait object, with futures that own their data.
pub(crate) trait ErasedIndex: ErasedStore {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> StoreFuture<IndexPage>;
    fn exclusively(
        self: Arc<Self>,
        value: Box<RawValue>,
        action: LimitAction,
    ) -> BoxFuture<'static, Result<Result<u64, SessionError>, StoreError>>;
}

/// [`ListAll`] as a trait object, with futures that own their data.
pub(crate) trait ErasedList: ErasedStore {
    fn list(self: Arc<Self>, after: Option<ListCursor>, limit: usize) -> StoreFuture<ListPage>;
}

impl<S: ListAll> ErasedList for S {
    fn list(self: Arc<Self>, after: Option<ListCursor>, limit: usize) -> StoreFuture<ListPage> {
        erase::<S, _>(async move { ListAll::list(&*self, after.as_ref(), limit).await })
    }
}

/// What runs [exclusively](FindByIndex::exclusively): it enforces a limit, and returns how many
/// sessions it has destroyed.
pub(crate) type LimitAction = BoxFuture<'static, Result<u64, SessionError>>;

impl<S: FindByIndex> ErasedIndex for S {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> StoreFuture<IndexPage> {
        erase::<S, _>(async move { FindByIndex::find(&*self, name, &value, after, limit).await })
    }

    fn exclusively(
        self: Arc<Self>,
        value: Box<RawValue>,
        action: LimitAction,
    ) -> BoxFuture<'static, Result<Result<u64, SessionError>, StoreError>> {
        // It may have to wait, even if the store is immediate.
        async move { FindByIndex::exclusively(&*self, &value, action).await }.boxed()
    }
}

impl<S: SessionStore> ErasedStore for S {
    fn is_immediate(&self) -> bool {
        S::IMMEDIATE
    }

    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<CreateOutcome> {
        erase::<S, _>(async move { SessionStore::create(&*self, &key, &record).await })
    }

    #[inline]
    fn load_at_once(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'static>,
    ) -> Option<Result<Option<Record>, StoreError>> {
        if S::IMMEDIATE {
            return Some(poll_once(SessionStore::load(self, key, options)));
        }
        // A cached record is not extended, so a load that may extend must call the store.
        if options.touch().is_some() {
            return None;
        }
        self.load_cached(key).map(|record| Ok(Some(record)))
    }

    fn load(
        self: Arc<Self>,
        key: StoreKey,
        options: LoadOptions<'static>,
    ) -> StoreFuture<Option<Record>> {
        if let Some(result) = ErasedStore::load_at_once(&*self, &key, &options) {
            return Either::Left(ready(result));
        }
        Either::Right(async move { SessionStore::load(&*self, &key, &options).await }.boxed())
    }

    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> StoreFuture<UpdateOutcome> {
        erase::<S, _>(async move { SessionStore::update(&*self, &key, &patch).await })
    }

    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> StoreFuture<bool> {
        erase::<S, _>(async move { SessionStore::touch(&*self, &key, expires_at).await })
    }

    fn destroy(self: Arc<Self>, key: StoreKey) -> StoreFuture<bool> {
        erase::<S, _>(async move { SessionStore::destroy(&*self, &key).await })
    }

    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        grace: Grace,
    ) -> StoreFuture<UpdateOutcome> {
        erase::<S, _>(async move { SessionStore::rotate(&*self, &old, &new, &patch, grace).await })
    }
}

/// Returns the future of a call of the store `S`. A call of an immediate store is polled here,
/// which completes it without a box.
#[inline]
fn erase<S: SessionStore, T: Send + 'static>(
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> StoreFuture<T> {
    if S::IMMEDIATE { Either::Left(ready(poll_once(call))) } else { Either::Right(call.boxed()) }
}

/// The result of a call of an immediate store.
#[inline]
fn poll_once<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    // Polled in place: `now_or_never` takes the future by value where it is not inlined.
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(not_immediate()),
    }
}

/// The error of a store that says that it is immediate, and is not.
pub(crate) fn not_immediate() -> StoreError {
    StoreError::internal(
        "the store is `IMMEDIATE`, but its call was not ready when it was first polled; set \
         `IMMEDIATE` to `false`",
    )
}
