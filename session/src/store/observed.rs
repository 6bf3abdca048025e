//! A store whose calls are counted and reported.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, Either, FutureExt as _, ready};
use serde_json::value::RawValue;

use super::{
    capabilities::IndexPage,
    erased::{ErasedIndex, ErasedStore, LimitAction, StoreFuture},
    session_store::{CreateOutcome, LoadOptions, UpdateOutcome},
};
use crate::{
    error::{SessionError, StoreError},
    id::StoreKey,
    observe::{Events, Operation},
    record::{Grace, Patch, PublicId, Record},
    time::Timestamp,
};

/// Wraps a store, counts its calls, measures them, and reports those that fail.
pub(crate) struct ObservedStore<S: ?Sized> {
    store: Arc<S>,
    events: Arc<Events>,
    /// Reading the clock twice takes a part of an immediate call that one could measure.
    is_timed: bool,
}

impl<S: ErasedStore + ?Sized + 'static> ObservedStore<S> {
    pub(crate) fn new(store: Arc<S>, events: Arc<Events>) -> Self {
        let is_timed = !store.is_immediate();
        Self { store, events, is_timed }
    }

    fn call<T: Send + 'static>(
        self: Arc<Self>,
        operation: Operation,
        call: impl FnOnce(Arc<S>) -> StoreFuture<T>,
    ) -> StoreFuture<T> {
        let began = self.begin();
        match call(Arc::clone(&self.store)) {
            Either::Left(answer) => {
                Either::Left(ready(self.reported(operation, began, answer.into_inner())))
            }
            Either::Right(future) => {
                let future = async move { self.reported(operation, began, future.await) };
                Either::Right(future.boxed())
            }
        }
    }

    fn begin(&self) -> Option<Instant> {
        self.is_timed.then(Instant::now)
    }

    /// Reports a call that began then, and returns its result.
    fn reported<T>(
        &self,
        operation: Operation,
        began: Option<Instant>,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let time = began.map_or(Duration::ZERO, |began| began.elapsed());
        self.events.report_call(operation, time, result.as_ref().err());
        result
    }
}

impl<S: ErasedStore + ?Sized + 'static> ErasedStore for ObservedStore<S> {
    fn is_immediate(&self) -> bool {
        self.store.is_immediate()
    }

    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<CreateOutcome> {
        self.call(Operation::Create, |store| store.create(key, record))
    }

    fn load_at_once(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'static>,
    ) -> Option<Result<Option<Record>, StoreError>> {
        let began = self.begin();
        let result = self.store.load_at_once(key, options)?;
        Some(self.reported(Operation::Load, began, result))
    }

    fn load(
        self: Arc<Self>,
        key: StoreKey,
        options: LoadOptions<'static>,
    ) -> StoreFuture<Option<Record>> {
        self.call(Operation::Load, |store| store.load(key, options))
    }

    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> StoreFuture<UpdateOutcome> {
        self.call(Operation::Update, |store| store.update(key, patch))
    }

    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> StoreFuture<bool> {
        self.call(Operation::Touch, |store| store.touch(key, expires_at))
    }

    fn destroy(self: Arc<Self>, key: StoreKey) -> StoreFuture<bool> {
        self.call(Operation::Destroy, |store| store.destroy(key))
    }

    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        grace: Grace,
    ) -> StoreFuture<UpdateOutcome> {
        self.call(Operation::Rotate, |store| store.rotate(old, new, patch, grace))
    }
}

impl<S: ErasedIndex + ?Sized + 'static> ErasedIndex for ObservedStore<S> {
    fn find(
        self: Arc<Self>,
        name: &'static str,
        value: Box<RawValue>,
        after: Option<PublicId>,
        limit: usize,
    ) -> StoreFuture<IndexPage> {
        self.call(Operation::Find, |store| store.find(name, value, after, limit))
    }

    fn exclusively(
        self: Arc<Self>,
        value: Box<RawValue>,
        action: LimitAction,
    ) -> BoxFuture<'static, Result<Result<u64, SessionError>, StoreError>> {
        // Most of its time is that of the action, whose calls are counted themselves.
        Arc::clone(&self.store).exclusively(value, action)
    }
}
