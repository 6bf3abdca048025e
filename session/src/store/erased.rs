//! A store behind a pointer, so that neither handlers nor session structs name its type.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::value::RawValue;

use super::{
    capabilities::{FindByIndex, Found},
    session_store::{Created, Renewal, SessionStore, Updated},
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, PublicId, Record},
    time::Timestamp,
};

/// [`SessionStore`] with futures that own all they need, so that they outlive the request.
pub(crate) trait ErasedStore: Send + Sync {
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<Created>;
    /// Whether every call is answered when its future is first polled.
    fn is_immediate(&self) -> bool;
    /// What is [at hand](SessionStore::at_hand), and `load` and `update` of a store whose answers are
    /// [immediate](SessionStore::IMMEDIATE); `None` of any other.
    fn load_now(&self, key: &StoreKey) -> Option<Result<Option<Record>, StoreError>>;
    fn update_now(&self, key: &StoreKey, patch: &Patch) -> Option<Result<Updated, StoreError>>;
    fn load(self: Arc<Self>, key: StoreKey, look: Look) -> StoreFuture<Option<Record>>;
    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> StoreFuture<Updated>;
    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> StoreFuture<bool>;
    fn destroy(self: Arc<Self>, key: StoreKey) -> StoreFuture<bool>;
    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        grace: Grace,
    ) -> StoreFuture<Updated>;
}

/// [`FindByIndex`] likewise.
pub(crate) trait ErasedIndex: ErasedStore {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> StoreFuture<Found>;
}

impl<S: FindByIndex> ErasedIndex for S {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> StoreFuture<Found> {
        async move { FindByIndex::find(&*self, name, &value, after, limit).await }.boxed()
    }
}

/// How a session is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    AtAll,
    AtFields(&'static [&'static str]),
    AndTouch(Renewal),
}

pub(crate) type StoreFuture<T> = BoxFuture<'static, Result<T, StoreError>>;

impl<S: SessionStore> ErasedStore for S {
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<Created> {
        async move { SessionStore::create(&*self, &key, &record).await }.boxed()
    }

    fn is_immediate(&self) -> bool {
        S::IMMEDIATE
    }

    fn load_now(&self, key: &StoreKey) -> Option<Result<Option<Record>, StoreError>> {
        match S::IMMEDIATE {
            true => SessionStore::load(self, key).now_or_never(),
            false => SessionStore::at_hand(self, key).map(|record| Ok(Some(record))),
        }
    }

    fn update_now(&self, key: &StoreKey, patch: &Patch) -> Option<Result<Updated, StoreError>> {
        if S::IMMEDIATE { SessionStore::update(self, key, patch).now_or_never() } else { None }
    }

    fn load(self: Arc<Self>, key: StoreKey, look: Look) -> StoreFuture<Option<Record>> {
        async move {
            match look {
                Look::AtAll => SessionStore::load(&*self, &key).await,
                Look::AtFields(names) => self.load_fields(&key, names).await,
                Look::AndTouch(renewal) => self.load_and_touch(&key, &renewal).await,
            }
        }
        .boxed()
    }

    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> StoreFuture<Updated> {
        async move { SessionStore::update(&*self, &key, &patch).await }.boxed()
    }

    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> StoreFuture<bool> {
        async move { SessionStore::touch(&*self, &key, expires_at).await }.boxed()
    }

    fn destroy(self: Arc<Self>, key: StoreKey) -> StoreFuture<bool> {
        async move { SessionStore::destroy(&*self, &key).await }.boxed()
    }

    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        grace: Grace,
    ) -> StoreFuture<Updated> {
        async move { SessionStore::rotate(&*self, &old, &new, &patch, grace).await }.boxed()
    }
}
