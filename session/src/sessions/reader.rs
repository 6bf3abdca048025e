//! Reads stored sessions as the struct `T`, as a request would.

use std::{cell::RefCell, marker::PhantomData, sync::Arc, time::Duration};

use super::stored::StoredSession;
use crate::{
    config::DEFAULT_LIFETIMES,
    error::SessionError,
    id::StoreKey,
    record::Record,
    request::{Fields, Loaded, State},
    time::{Clock, Lifetimes, SystemClock},
    typed::{Session, read},
};

/// What is needed to read a stored session, besides the session.
pub(super) struct SessionReader<T> {
    lifetimes: Lifetimes,
    clock: Arc<dyn Clock>,
    session: PhantomData<fn() -> T>,
}

impl<T: Session> SessionReader<T> {
    pub(super) fn max_age(self, max_age: Duration) -> Self {
        Self { lifetimes: Lifetimes { idle: max_age, ..self.lifetimes }, ..self }
    }

    pub(super) fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    pub(super) fn open(
        &self,
        key: StoreKey,
        record: Record,
    ) -> Result<StoredSession<T>, SessionError> {
        let value = read(self.fields(&Self::state(key, record.clone())))?;
        Ok(StoredSession { key, record, value, max_age: self.lifetimes.idle })
    }

    pub(super) fn state(key: StoreKey, record: Record) -> RefCell<State> {
        RefCell::new(State { loaded: Loaded::new(key, record), ..State::default() })
    }

    pub(super) fn fields<'a>(&'a self, state: &'a RefCell<State>) -> Fields<'a> {
        Fields { state, clock: &*self.clock, lifetimes: &self.lifetimes }
    }
}

impl<T> Default for SessionReader<T> {
    fn default() -> Self {
        Self { lifetimes: DEFAULT_LIFETIMES, clock: Arc::new(SystemClock), session: PhantomData }
    }
}

impl<T> Clone for SessionReader<T> {
    fn clone(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), ..*self }
    }
}
