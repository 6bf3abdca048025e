//! The kit notices a store whose index breaks a law.

use std::{panic, time::Duration};

use actix_typed_session::{
    Clock as _, FakeClock, MemoryStore, PublicId, StoreError, Timestamp,
    store::{
        CreateOutcome, FindByIndex, Grace, IndexPage, LoadOptions, Patch, Record, SessionStore,
        StoreKey, UpdateOutcome,
    },
    testing::{Harness, laws, run},
};
use serde_json::value::RawValue;

/// How an index is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    PagesAreInTheOrderOfTheEnd,
    PagesBeginWithTheLastSessionOfTheOneBefore,
    PagesMissASession,
    ExclusiveActionsRunAtTheSameTime,
}

use Flaw as F;

struct Broken {
    store: MemoryStore,
    flaw: Flaw,
}

fn id_of(record: &Record) -> PublicId {
    record.public_id().expect("only indexed sessions are found")
}

impl SessionStore for Broken {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        self.store.create(key, record).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.store.load(key, options).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.store.update(key, patch).await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.store.touch(key, expires_at).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.store.destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        self.store.rotate(old, new, patch, grace).await
    }
}

impl FindByIndex for Broken {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        // Waits as a slow store does, so that races happen.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let page = self.store.find(name, value, after, limit).await?;
        let mut all = self.store.find(name, value, None, 1_000).await?.sessions;
        match self.flaw {
            F::PagesAreInTheOrderOfTheEnd => {
                all.sort_by_key(|(_, record)| (id_of(record).until(), id_of(record)));
                let is_last = |(_, record): &(StoreKey, Record)| Some(id_of(record)) == after;
                let from = all.iter().position(is_last).map_or(0, |at| at + 1);
                let sessions: Vec<_> = all.into_iter().skip(from).take(limit.max(1)).collect();
                let last = sessions.last().filter(|_| sessions.len() == limit);
                let next = last.map(|(_, record)| id_of(record));
                Ok(IndexPage::new(sessions, next))
            }
            F::PagesBeginWithTheLastSessionOfTheOneBefore => {
                let last = all.into_iter().find(|(_, record)| Some(id_of(record)) == after);
                let sessions = last.into_iter().chain(page.sessions).take(limit).collect();
                Ok(IndexPage::new(sessions, page.next))
            }
            F::PagesMissASession if page.sessions.len() > 1 => {
                Ok(IndexPage::new(page.sessions[1..].to_vec(), page.next))
            }
            _ => Ok(page),
        }
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        match self.flaw {
            F::ExclusiveActionsRunAtTheSameTime => Ok(action.await),
            _ => self.store.exclusively(value, action).await,
        }
    }
}

struct Case {
    clock: FakeClock,
    flaw: Flaw,
}

impl Harness for Case {
    type Store = Broken;

    async fn open(&self) -> Broken {
        let store = MemoryStore::builder().clock(self.clock.clone()).build();
        Broken { store, flaw: self.flaw }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

macro_rules! notices {
    ($claim:ident, $flaw:expr) => {
        panic::catch_unwind(|| {
            run(Case { clock: FakeClock::default(), flaw: $flaw }, laws::$claim);
        })
        .is_err()
    };
}

#[test]
fn the_kit_notices_each_flaw_of_an_index() {
    for flaw in [
        F::PagesAreInTheOrderOfTheEnd,
        F::PagesBeginWithTheLastSessionOfTheOneBefore,
        F::PagesMissASession,
    ] {
        assert!(notices!(pages_have_every_session_once_and_in_order, flaw), "{flaw:?}");
    }
    let flaw = F::ExclusiveActionsRunAtTheSameTime;
    assert!(notices!(one_exclusive_action_runs_at_a_time, flaw));
    assert!(!notices!(pages_have_every_session_once_and_in_order, F::None));
    assert!(!notices!(one_exclusive_action_runs_at_a_time, F::None));
}
