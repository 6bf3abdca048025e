//! The sessions in a database, and what is measured with them.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, FakeClock, PublicId, SessionId, Timestamp,
    store::{
        CreateOutcome, DeleteExpired as _, FindByIndex as _, Index, Number, Patch, Record,
        SessionStore, StoreKey, UpdateOutcome,
    },
};
use actix_typed_session_benches::contestant::median;
use futures_util::{StreamExt as _, stream};
use serde_json::value::RawValue;

use super::databases::{Database, Updates};

/// The user with many sessions, and how many at most; all others have one each.
const BUSY: usize = 0;
const SESSIONS_OF_BUSY: usize = 10_000;
/// How long a session lives without a request, and how long one lives that is to be swept.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
const SHORT: Duration = Duration::from_secs(3600);
/// How often sessions that are in use are extended, by default.
const BETWEEN_TOUCHES: Duration = Duration::from_secs(20 * 60);
/// How often a call is measured.
const CALLS: usize = 300;
/// How many calls run at the same time where throughput is measured.
const CALLERS: usize = 32;
/// How many write while expired sessions are deleted.
const WRITERS: usize = 4;
/// The calls whose HOT updates are counted: writes, and sessions with touches of each.
const WRITES: usize = 20_000;
const TOUCHED: usize = 1_000;
const TOUCHES: usize = 30;

/// What is measured, and the keys of its sessions.
pub(crate) struct Site<D> {
    database: D,
    clock: FakeClock,
    keys: Vec<StoreKey>,
    report: Vec<(&'static str, Vec<String>)>,
}

impl<D: Database> Site<D> {
    pub(crate) fn new(database: D, clock: &FakeClock) -> Self {
        Self { database, clock: clock.clone(), keys: Vec::new(), report: Vec::new() }
    }

    /// Measures with this number of sessions, which is at least that of the last time.
    pub(crate) async fn measure(&mut self, sessions: usize) {
        self.fill(sessions).await;
        self.size().await;
        self.calls().await;
        self.pages().await;
        self.hot_updates().await;
        self.sweep().await;
    }

    /// The rows of the table, with a cell for each number of sessions.
    pub(crate) fn report(&self) -> &[(&'static str, Vec<String>)] {
        &self.report
    }

    fn add(&mut self, row: &'static str, cell: String) {
        match self.report.iter_mut().find(|(name, _)| *name == row) {
            Some((_, cells)) => cells.push(cell),
            None => self.report.push((row, vec![cell])),
        }
    }

    fn store(&self) -> &D::Store {
        self.database.store()
    }

    /// The keys in an order that is not that of their places in the table.
    fn spread(&self) -> impl Iterator<Item = &StoreKey> {
        (0..).map(|n| &self.keys[n * 7_919 % self.keys.len()])
    }

    /// Stores sessions until this many are there.
    async fn fill(&mut self, all: usize) {
        let (there, start) = (self.keys.len(), Instant::now());
        let more = busy(all) - busy(there);
        let users = (there..all).map(|n| if n < there + more { BUSY } else { n });
        let stored = self.create(users, MAX_AGE).await;
        self.keys.extend(stored);
        let per_second = (all - there) as f64 / start.elapsed().as_secs_f64();
        self.add("filled, sessions/s", format!("{per_second:.0}"));
        self.database.tidy().await;
    }

    async fn create(&self, users: impl Iterator<Item = usize>, max_age: Duration) -> Vec<StoreKey> {
        let keys = RefCell::new(Vec::new());
        stream::iter(users)
            .for_each_concurrent(D::FILLERS, async |user| {
                let key = StoreKey::from(&SessionId::random());
                create(self.database.filler(), &key, &self.record(user, max_age)).await;
                keys.borrow_mut().push(key);
            })
            .await;
        keys.into_inner()
    }

    fn record(&self, user: usize, max_age: Duration) -> Record {
        let now = self.clock.now();
        let mut patch = Patch::default();
        patch.set("user_id".into(), json(&user.to_string()));
        patch.set("views".into(), json("17"));
        patch.set("theme".into(), json("\"dark\""));
        patch.index_field(Index::new(PublicId::new(now, 2 * MAX_AGE), "user_id".into()));
        let new = Record::new(now, now.saturating_add(max_age));
        patch.apply_to(&new).expect("a live record takes a patch")
    }

    async fn size(&mut self) {
        let (size, sessions) = (self.database.size().await, self.keys.len() as f64);
        self.add("table, bytes per session", format!("{:.0}", size.table / sessions));
        self.add("indexes, bytes per session", format!("{:.0}", size.indexes / sessions));
    }

    /// What each call takes, one after the other, and how many there are with many callers.
    async fn calls(&mut self) {
        let store = &self.store().clone();
        let keys: &[StoreKey] = &self.spread().take(CALLS).copied().collect::<Vec<_>>();
        let new: Vec<_> = keys.iter().map(|_| StoreKey::from(&SessionId::random())).collect();
        let record = self.record(self.keys.len(), MAX_AGE);
        let later = self.clock.now().saturating_add(MAX_AGE + BETWEEN_TOUCHES);
        let (set, add) = (theme("light"), one_more());
        self.time("load, us", keys, async |key| load(store, key).await).await;
        self.time("update, us", keys, async |key| update(store, key, &set).await).await;
        self.time("add, us", keys, async |key| update(store, key, &add).await).await;
        self.time("touch, us", keys, async |key| touch(store, key, later).await).await;
        self.time("create, us", &new, async |key| create(store, key, &record).await).await;
        self.time("destroy, us", &new, async |key| {
            assert!(store.destroy(key).await.expect("it is up"));
        })
        .await;
        let loads = self.per_second(async |key| load(store, key).await).await;
        self.add("load, 32 callers, per second", format!("{loads:.0}"));
        let updates = self.per_second(async |key| update(store, key, &set).await).await;
        self.add("update, 32 callers, per second", format!("{updates:.0}"));
    }

    /// The median of the times that a call takes for each key.
    async fn time(&mut self, row: &'static str, keys: &[StoreKey], call: impl AsyncFn(&StoreKey)) {
        let mut times = Vec::new();
        for key in keys {
            let start = Instant::now();
            call(key).await;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        self.add(row, format!("{:.0}", median(times)));
    }

    async fn per_second(&self, call: impl AsyncFn(&StoreKey)) -> f64 {
        let start = Instant::now();
        let calls = stream::iter(self.spread().take(CALLERS * CALLS));
        calls.for_each_concurrent(CALLERS, async |key| call(key).await).await;
        (CALLERS * CALLS) as f64 / start.elapsed().as_secs_f64()
    }

    /// Lists the sessions of the user that has many.
    async fn pages(&mut self) {
        let (store, user) = (self.store().clone(), json(&BUSY.to_string()));
        let find = async |after, limit| {
            store.find("user_id", &user, after, limit).await.expect("it is up")
        };
        let all = busy(self.keys.len());
        let middle = find(None, all / 2).await.next;
        for (row, times, after, limit, found) in [
            ("page of 10 of the busy user, us", 20, None, 10, 10),
            ("page of 100, us", 20, None, 100, 100),
            ("page of 10 in the middle, us", 20, middle, 10, 10),
            ("all sessions of the busy user, us", 3, None, all, all),
        ] {
            let mut times = vec![Duration::ZERO; times];
            for time in &mut times {
                let start = Instant::now();
                assert_eq!(find(after, limit).await.sessions.len(), found, "{row}");
                *time = start.elapsed();
            }
            times.sort();
            let time = times[times.len() / 2].as_secs_f64() * 1e6;
            self.add(row, format!("{time:.0}"));
        }
    }

    /// Counts the updates that change no index.
    async fn hot_updates(&mut self) {
        let Some(before) = self.database.updates(0).await else { return };
        let (filler, set) = (self.database.filler(), theme("dark"));
        stream::iter(self.spread().take(WRITES))
            .for_each_concurrent(CALLERS, async |key| update(filler, key, &set).await)
            .await;
        let after_writes = self.counted(before, WRITES).await;
        let keys: Vec<StoreKey> = self.spread().take(TOUCHED).copied().collect();
        for _ in 0..TOUCHES {
            self.clock.advance(BETWEEN_TOUCHES);
            let later = self.clock.now().saturating_add(MAX_AGE);
            stream::iter(&keys)
                .for_each_concurrent(CALLERS, async |key| touch(filler, key, later).await)
                .await;
        }
        let after_touches = self.counted(after_writes, TOUCHED * TOUCHES).await;
        for (row, before, after) in [
            ("HOT of writes", before, after_writes),
            ("HOT of touches every 20 minutes", after_writes, after_touches),
        ] {
            let share = (after.hot - before.hot) as f64 / (after.all - before.all) as f64;
            self.add(row, format!("{:.1} %", share * 100.0));
        }
    }

    async fn counted(&self, before: Updates, more: usize) -> Updates {
        let at_least = before.all + i64::try_from(more).expect("a small number");
        self.database.updates(at_least).await.unwrap_or_default()
    }

    /// Deletes a tenth of all sessions while others are written.
    async fn sweep(&mut self) {
        let (there, store) = (self.keys.len(), self.store().clone());
        let expired = there / 10;
        self.create((0..expired).map(|n| there + n), SHORT).await;
        self.clock.advance(3 * SHORT);
        let start = Instant::now();
        let alone = self.write_until(|| start.elapsed() > Duration::from_secs(2)).await;
        let start = Instant::now();
        let sweep = tokio::spawn(async move {
            let swept = store.delete_expired().await.expect("it is up");
            (swept, start.elapsed())
        });
        let beside = self.write_until(|| sweep.is_finished()).await;
        let (swept, took) = sweep.await.expect("it does not panic");
        assert_eq!(swept, expired as u64);
        self.add("sweep of a tenth, ms", format!("{:.0}", took.as_secs_f64() * 1e3));
        for (row, times) in [
            ("4 writers without it, ms: median / 99 % / longest", alone),
            ("4 writers beside it, ms: median / 99 % / longest", beside),
        ] {
            self.add(row, percentiles(times));
        }
    }

    /// Writes to sessions, and returns how long each write took.
    async fn write_until(&self, is_over: impl Fn() -> bool) -> Vec<Duration> {
        let (times, keys) = (RefCell::new(Vec::new()), RefCell::new(self.spread()));
        let (store, set) = (self.store(), theme("light"));
        stream::iter(0..WRITERS)
            .for_each_concurrent(None, async |_| {
                while !is_over() {
                    let key = keys.borrow_mut().next().expect("it has no end");
                    let start = Instant::now();
                    update(store, key, &set).await;
                    times.borrow_mut().push(start.elapsed());
                }
            })
            .await;
        times.into_inner()
    }
}

/// How many of all sessions are those of the busy user.
fn busy(all: usize) -> usize {
    SESSIONS_OF_BUSY.min(all / 10)
}

fn json(text: &str) -> Arc<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON").into()
}

fn theme(name: &str) -> Patch {
    let mut patch = Patch::default();
    patch.set("theme".into(), json(&format!("\"{name}\"")));
    patch
}

fn one_more() -> Patch {
    let mut patch = Patch::default();
    patch.add("views".into(), Number::Int(0), Number::Int(1));
    patch
}

async fn load(store: &impl SessionStore, key: &StoreKey) {
    assert!(store.load(key, &Default::default()).await.expect("it is up").is_some());
}

async fn update(store: &impl SessionStore, key: &StoreKey, patch: &Patch) {
    let outcome = store.update(key, patch).await.expect("it is up");
    assert!(matches!(outcome, UpdateOutcome::Applied { .. }));
}

async fn touch(store: &impl SessionStore, key: &StoreKey, until: Timestamp) {
    assert!(store.touch(key, until).await.expect("it is up"));
}

async fn create(store: &impl SessionStore, key: &StoreKey, record: &Record) {
    let created = store.create(key, record).await.expect("it is up");
    assert_eq!(created, CreateOutcome::Stored);
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let Some(longest) = times.last() else { return "–".into() };
    let at = |share: usize| times[times.len() * share / 100];
    let all = [at(50), at(99), *longest].map(|time| format!("{:.1}", time.as_secs_f64() * 1e3));
    all.join(" / ")
}
