//! How statements run on a pool of sqlx: on which connection, for how long, and what happens if
//! that breaks.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_typed_session::StoreError;
use sqlx::{Database, Error, Pool, pool::PoolConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use crate::{
    cleanup::Swept,
    config::Settings,
    kept::{Kept, Place},
    log::not_swept,
    values::ms,
};

/// A database behind a pool, and what its errors mean.
pub(crate) trait Engine: Database {
    /// Its name in messages.
    const TITLE: &'static str;

    /// Whether the server has undone the statement because of a concurrent one.
    fn is_rolled_back(error: &Error) -> bool;

    /// Whether a new connection may do better: this one is cut, its server goes down, or its server
    /// is the primary no longer.
    fn is_broken(error: &Error) -> bool;

    /// The error of a statement. Values are not in it, because those of rows are secrets.
    fn failed(error: Error) -> StoreError;
}

/// When a statement is sent again after its connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It does no harm twice.
    Always,
    /// It may have been carried out, so it is not sent again.
    Never,
}

/// A statement that runs.
pub(crate) type Running<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// The application's pool and the settings of a store on it.
pub(crate) struct Client<DB: Engine> {
    pool: Pool<DB>,
    pub(crate) settings: Settings,
    kept: Arc<Kept<DB>>,
    /// One for each connection of the pool. Calls wait for it in their order.
    turns: Arc<Semaphore>,
    is_sweeping: Arc<AtomicBool>,
    /// Half of the pool's connections may hold or await an advisory lock. The other half is for the
    /// calls of those that hold one.
    lock_permits: Semaphore,
}

impl<DB: Engine> Client<DB> {
    pub(crate) fn new(pool: Pool<DB>, settings: Settings) -> Self {
        let all = pool.options().get_max_connections();
        let (half, turns) = (all / 2, Arc::new(Semaphore::new(all as usize)));
        let kept = Arc::new(Kept::new(half as usize));
        let lock_permits = Semaphore::new(half as usize);
        Self { pool, settings, kept, turns, is_sweeping: Arc::default(), lock_permits }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn pool(&self) -> &Pool<DB> {
        &self.pool
    }

    pub(crate) fn now_ms(&self) -> i64 {
        ms(self.settings.clock.now())
    }

    /// Runs a call for as long as the time limit allows.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.settings.time_limit, call).await.map_err(|_| {
            StoreError::unavailable(format!("{} did not answer within the time limit", DB::TITLE))
        })?
    }

    /// Takes a connection that a call has just used, or else one from the pool. After a successful
    /// statement it goes back to the pool.
    pub(crate) async fn lease(&self) -> Result<Lease<DB>, Error> {
        // A call that waits for the pool must not wait while later calls use kept connections.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Error::PoolClosed)?;
        if !self.pool.is_closed()
            && let Some((connection, place)) = self.kept.take()
        {
            let (connection, place) = (Some(connection), Some(place));
            return Ok(Lease { connection, place, has_answered: true, _turn: turn });
        }
        // The pool's future has 4 KB. In a box, it is not moved with each future around it.
        let connection = Box::pin(self.pool.acquire()).await?;
        let place = self.kept.place();
        Ok(Lease { connection: Some(connection), place, has_answered: true, _turn: turn })
    }

    /// Runs a statement. It repeats the statement if the server has rolled it back in favour of
    /// another one, or if that does no harm and the connection was broken.
    pub(crate) async fn run<T>(
        &self,
        repeat: Repeat,
        statement: impl for<'c> Fn(&'c mut DB::Connection) -> Running<'c, T>,
    ) -> Result<T, Error> {
        // After a restart of the server, every connection that was idle in the pool is broken.
        let mut broken = 0..self.pool.options().get_max_connections();
        loop {
            let mut lease = self.lease().await?;
            match lease.run(&statement).await {
                Err(error) if DB::is_rolled_back(&error) => {
                    drop(lease);
                    sleep(Duration::from_millis(1)).await;
                }
                Err(error) if DB::is_broken(&error) => {
                    self.kept.clear();
                    if repeat == Repeat::Never || broken.next().is_none() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
                Ok(result) => {
                    if !self.pool.is_closed() {
                        lease.keep();
                    }
                    return Ok(result);
                }
            }
        }
    }

    /// Waits until this process may take one more advisory lock, for the time limit at most.
    pub(crate) async fn lock_permit(&self) -> Result<impl Drop, StoreError> {
        let permit = timeout(self.settings.time_limit, self.lock_permits.acquire()).await;
        permit.map_err(locked)?.map_err(StoreError::internal)
    }
}

/// The error of a lock that others have held for too long.
pub(crate) fn locked<E>(_: E) -> StoreError {
    StoreError::unavailable("the lock of the value was not free within the time limit")
}

/// A connection that one call has taken from the pool.
///
/// If the call ends before the answer was read, at its time limit for example, the connection is
/// closed. The pool would wait for that answer, and the next call for the pool.
pub(crate) struct Lease<DB: Engine> {
    connection: Option<PoolConnection<DB>>,
    place: Option<Place<DB>>,
    has_answered: bool,
    _turn: OwnedSemaphorePermit,
}

impl<DB: Engine> Lease<DB> {
    /// Runs a statement on this connection.
    pub(crate) async fn run<T>(
        &mut self,
        statement: impl for<'c> FnOnce(&'c mut DB::Connection) -> Running<'c, T>,
    ) -> Result<T, Error> {
        self.has_answered = false;
        let connection = self.connection.as_mut().expect("it is there until the drop");
        let result = statement(connection).await;
        self.has_answered = match &result {
            Ok(_) => true,
            Err(error) => error.as_database_error().is_some() && !DB::is_broken(error),
        };
        result
    }

    /// Keeps the connection for the next call, if there is a place for it.
    fn keep(mut self) {
        if let Some(place) = self.place.take()
            && let Some(connection) = self.connection.take()
        {
            place.put(connection);
        }
    }

    /// Makes the drop close the connection, because it holds a lock. A successful statement ends
    /// that.
    pub(crate) fn hold(&mut self) {
        self.has_answered = false;
    }
}

impl<DB: Engine> Drop for Lease<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take_if(|_| !self.has_answered) {
            // Without a farewell, which would wait for the server.
            drop(connection.detach());
        }
    }
}

/// A store that deletes its expired sessions itself.
pub(crate) trait Sweep<DB: Engine>: Send + Sync + 'static {
    fn client(&self) -> &Client<DB>;

    /// Deletes some expired sessions, so that no lock is held for long.
    fn sweep_some(&self) -> impl Future<Output = Result<Swept, StoreError>> + Send;
}

/// Starts the task that deletes expired sessions, unless it runs.
pub(crate) fn start_sweeping<DB: Engine>(store: &Arc<impl Sweep<DB>>) {
    let client = store.client();
    if client.settings.sweep_interval.is_none()
        || client.is_sweeping.load(Ordering::Relaxed)
        || client.is_sweeping.swap(true, Ordering::Relaxed)
    {
        return;
    }
    let (store, sweeping) = (Arc::downgrade(store), Sweeping(Arc::clone(&client.is_sweeping)));
    tokio::spawn(async move {
        let _sweeping = sweeping;
        // The store is not held during the pause, so that the task ends with it.
        let pause = || store.upgrade()?.client().settings.sweep_pause();
        while let Some(pause) = pause() {
            sleep(pause).await;
            let Some(store) = store.upgrade() else { break };
            if let Err(error) = sweep(&*store).await {
                not_swept(&error);
            }
        }
    });
}

/// A task that deletes expired sessions. It ends with its runtime, and the next call of the store
/// then starts another one.
struct Sweeping(Arc<AtomicBool>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Deletes all expired sessions. Returns how many.
pub(crate) async fn sweep<DB: Engine>(store: &impl Sweep<DB>) -> Result<u64, StoreError> {
    let mut sum = 0;
    loop {
        let swept = store.client().within(store.sweep_some()).await?;
        sum += swept.sessions;
        if swept.is_done {
            return Ok(sum);
        }
    }
}
