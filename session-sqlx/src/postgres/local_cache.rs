//! Copies of sessions in this process's memory. A copy is dropped when another process reports a
//! change. None is used while no reports arrive, or for longer than a bound.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_typed_session::store::{
    Record, StoreKey,
    local_cache::{LocalCache, PendingChange, Reservation},
};
use sqlx::{
    AssertSqlSafe, Error, Executor as _, PgPool, Postgres,
    postgres::{PgListener, PgNotification, PgPoolOptions},
};
use tokio::{
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::changes::{Changes, Message};
use crate::{client::Engine as _, log::not_listening};

/// How long a silent connection is trusted.
const PROBE_AFTER: Duration = Duration::from_secs(10);

/// How long an answer or a report may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between attempts to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// The copies, and the task that listens for changes.
pub(super) struct PgCache {
    copies: Arc<Copies>,
    staleness: Duration,
    changes: Arc<Changes>,
    task: Mutex<Option<AbortHandle>>,
}

struct Copies {
    /// Each with the time at which the server was asked for it.
    sessions: LocalCache<Instant>,
    /// Whether reports of changes arrive.
    are_current: AtomicBool,
}

impl PgCache {
    pub(super) fn new(bytes: usize, staleness: Duration, changes: Changes) -> Self {
        let (sessions, are_current) = (LocalCache::new(bytes), AtomicBool::new(false));
        Self {
            copies: Arc::new(Copies { sessions, are_current }),
            staleness,
            changes: Arc::new(changes),
            task: Mutex::default(),
        }
    }

    /// How changes are reported.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(super) fn get(&self, key: &StoreKey) -> Option<Record> {
        if !self.copies.are_current.load(Ordering::Acquire) {
            return None;
        }
        self.copies.sessions.get(key, |asked_at| asked_at.elapsed() < self.staleness)
    }

    /// Prepares for sessions that the server is asked for after this call.
    pub(super) fn reserve(&self, keys: &[StoreKey]) -> Reserved {
        let asked_at = Instant::now();
        let one = |key: &StoreKey| (*key, self.copies.sessions.reserve(key));
        Reserved { asked_at, reservations: keys.iter().map(one).collect() }
    }

    /// Caches a session, unless it has changed since then.
    pub(super) fn insert(&self, reserved: &Reserved, key: &StoreKey, record: &Record) {
        if let Some(reservation) = reserved.reservations.get(key) {
            let sessions = &self.copies.sessions;
            sessions.insert_if_unchanged(key, *reservation, record, reserved.asked_at);
        }
    }

    /// Hold the result while this process changes a session.
    pub(super) fn begin_change(&self, key: &StoreKey) -> PendingChange<'_, Instant> {
        self.copies.sessions.begin_change(key)
    }

    /// Drops the copy of a session.
    pub(super) fn remove(&self, key: &StoreKey) {
        self.copies.sessions.remove(key);
    }

    /// Starts the task that listens for changes, unless it runs.
    pub(super) fn listen(&self, pool: &PgPool) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(AbortHandle::is_finished) && !pool.is_closed() {
            let (copies, changes) = (Arc::clone(&self.copies), Arc::clone(&self.changes));
            let listener = Listener { copies, changes, pool: pool.clone() };
            *task = Some(tokio::spawn(listener.run()).abort_handle());
        }
    }
}

impl Drop for PgCache {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

/// The right to cache sessions.
pub(super) struct Reserved {
    asked_at: Instant,
    reservations: HashMap<StoreKey, Reservation>,
}

/// What listens for changes. It ends with its runtime, and the next call then starts another one.
struct Listener {
    copies: Arc<Copies>,
    changes: Arc<Changes>,
    pool: PgPool,
}

impl Listener {
    /// Listens until the application closes its pool.
    async fn run(self) {
        let mut closed = self.pool.close_event();
        let listen = async {
            let mut is_reported = false;
            loop {
                let outage = self.listen().await;
                // Once for each outage.
                is_reported &= !self.copies.are_current.swap(false, Ordering::AcqRel);
                if !is_reported && let Err(error) = outage {
                    not_listening(&Postgres::failed(error));
                    is_reported = true;
                }
                sleep(PAUSE).await;
            }
        };
        // OK because a closed pool is the end.
        let _: Result<(), _> = closed.do_until(listen).await;
    }

    /// Listens until the connection breaks.
    async fn listen(&self) -> Result<Infallible, Error> {
        // A separate connection, with the settings that the pool has now: its password may change.
        let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let options = options.acquire_timeout(PATIENCE);
        let own = options.connect_lazy_with((*self.pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.eager_reconnect(false);
        timely(listener.listen(self.changes.channel())).await?;
        // Over the pool, because its connections may be those of a proxy to other servers.
        timely(self.pool.execute(AssertSqlSafe(self.changes.hello()))).await?;
        let hello = async {
            while !matches!(self.parse(&next(&mut listener).await?), Message::Own) {}
            Ok::<_, Error>(())
        };
        timeout(PATIENCE, hello).await.map_err(|_| Error::from(no_reports()))??;
        // What was read until now may have changed without a report.
        self.copies.sessions.clear();
        self.copies.are_current.store(true, Ordering::Release);
        loop {
            match timeout(PROBE_AFTER, next(&mut listener)).await {
                Ok(report) => match self.parse(&report?) {
                    Message::Own => {}
                    Message::Changed(keys) => {
                        keys.iter().for_each(|key| self.copies.sessions.remove(key));
                    }
                    Message::Unknown => self.copies.sessions.clear(),
                },
                Err(_) => {
                    timely(listener.execute("SELECT 1")).await?;
                }
            }
        }
    }

    fn parse(&self, report: &PgNotification) -> Message {
        self.changes.parse(report.payload())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.copies.are_current.store(false, Ordering::Release);
    }
}

/// The next report.
async fn next(listener: &mut PgListener) -> Result<PgNotification, Error> {
    listener.try_recv().await?.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset).into())
}

fn no_reports() -> io::Error {
    io::Error::other(
        "the server takes reports of changes and does not deliver them, as behind a proxy that \
         shares connections",
    )
}

async fn timely<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, call).await.map_err(|_| Error::PoolTimedOut)?
}
