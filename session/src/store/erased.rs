//! A store behind a pointer, so that neither handlers nor session structs name its type.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::value::RawValue;

use crate::{
    error::StoreError,
    expiry::Timestamp,
    id::StoreKey,
    index::PublicId,
    patch::Patch,
    plan::Call,
    record::{Grace, Record},
    store::{Created, FindByIndex, Found, Renewal, SessionStore, Updated},
};

/// [`SessionStore`] with futures that own all they need, so that they outlive the request.
pub(crate) trait ErasedStore: Send + Sync {
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> Answer<Created>;
    /// Whether [`Effect::now`](crate::call::Effect::now) can be asked.
    fn answers_now(&self, call: &Call) -> bool;
    /// What is [at hand](SessionStore::at_hand), and `load` and `update` of a store whose answers are
    /// [immediate](SessionStore::IMMEDIATE); `None` of any other.
    fn load_now(&self, key: &StoreKey) -> Option<Result<Option<Record>, StoreError>>;
    fn update_now(&self, key: &StoreKey, patch: &Patch) -> Option<Result<Updated, StoreError>>;
    fn load(self: Arc<Self>, key: StoreKey, look: Look) -> Answer<Option<Record>>;
    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> Answer<Updated>;
    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> Answer<bool>;
    fn destroy(self: Arc<Self>, key: StoreKey) -> Answer<bool>;
    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        grace: Grace,
    ) -> Answer<Updated>;
}

/// [`FindByIndex`] likewise.
pub(crate) trait ErasedIndex: ErasedStore {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> Answer<Found>;
}

impl<S: FindByIndex> ErasedIndex for S {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> Answer<Found> {
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

pub(crate) type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

impl<S: SessionStore> ErasedStore for S {
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> Answer<Created> {
        async move { SessionStore::create(&*self, &key, &record).await }.boxed()
    }

    fn answers_now(&self, call: &Call) -> bool {
        matches!((call, S::IMMEDIATE), (Call::Nothing, _) | (Call::Update(..), true))
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

    fn load(self: Arc<Self>, key: StoreKey, look: Look) -> Answer<Option<Record>> {
        async move {
            match look {
                Look::AtAll => SessionStore::load(&*self, &key).await,
                Look::AtFields(names) => self.load_fields(&key, names).await,
                Look::AndTouch(renewal) => self.load_and_touch(&key, &renewal).await,
            }
        }
        .boxed()
    }

    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> Answer<Updated> {
        async move { SessionStore::update(&*self, &key, &patch).await }.boxed()
    }

    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> Answer<bool> {
        async move { SessionStore::touch(&*self, &key, expires_at).await }.boxed()
    }

    fn destroy(self: Arc<Self>, key: StoreKey) -> Answer<bool> {
        async move { SessionStore::destroy(&*self, &key).await }.boxed()
    }

    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        grace: Grace,
    ) -> Answer<Updated> {
        async move { SessionStore::rotate(&*self, &old, &new, &patch, grace).await }.boxed()
    }
}
