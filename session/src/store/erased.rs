//! A store behind a pointer, so that neither handlers nor session structs name its type.

use std::{pin::pin, sync::Arc};

use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use serde_json::value::RawValue;

use super::{
    capabilities::{FindByIndex, IndexPage},
    session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, PublicId, Record},
    time::Timestamp,
};

/// The future of a store call. It owns all it needs, so it can outlive the request. The answer of an
/// immediate store is there without a box.
pub(crate) type StoreFuture<T> =
    Either<Ready<Result<T, StoreError>>, BoxFuture<'static, Result<T, StoreError>>>;

/// [`SessionStore`] with futures that own all they need.
pub(crate) trait ErasedStore: Send + Sync {
    /// Whether every call is answered when its future is first polled.
    fn is_immediate(&self) -> bool;
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<CreateOutcome>;
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

/// [`FindByIndex`] likewise.
pub(crate) trait ErasedIndex: ErasedStore {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> StoreFuture<IndexPage>;
}

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
}

impl<S: SessionStore> ErasedStore for S {
    fn is_immediate(&self) -> bool {
        S::IMMEDIATE
    }

    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<CreateOutcome> {
        erase::<S, _>(async move { SessionStore::create(&*self, &key, &record).await })
    }

    fn load(
        self: Arc<Self>,
        key: StoreKey,
        options: LoadOptions<'static>,
    ) -> StoreFuture<Option<Record>> {
        // A cached record was not extended, so a load that extends asks the store.
        if options.touch().is_none()
            && let Some(record) = self.load_cached(&key)
        {
            return Either::Left(ready(Ok(Some(record))));
        }
        erase::<S, _>(async move { SessionStore::load(&*self, &key, &options).await })
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

/// The future of a call of the store `S`. A call of an immediate store is polled once before it is
/// boxed, which answers it.
#[inline]
fn erase<S: SessionStore, T: Send + 'static>(
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> StoreFuture<T> {
    if S::IMMEDIATE {
        let broken = || {
            let why = "the store says that it is `IMMEDIATE`, but its call was not ready at once";
            Err(StoreError::internal(why))
        };
        return Either::Left(ready(pin!(call).now_or_never().unwrap_or_else(broken)));
    }
    Either::Right(call.boxed())
}
