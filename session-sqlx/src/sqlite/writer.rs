//! The one thread of this process that writes. It commits the changes that wait together.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use actix_typed_session::{StoreError, Timestamp};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::tables::{Failure, Tables, failed};
use crate::{cleanup::Swept, config::Settings, log::not_swept};

/// How many changes one transaction has at most, so that none waits for long.
const MOST_TOGETHER: usize = 512;
/// The pause between two parts of a clean-up.
const BETWEEN_SWEEPS: Duration = Duration::from_millis(50);

/// A change that waits for its turn.
pub(super) trait Job: Send {
    /// Whether the caller has left.
    fn is_abandoned(&self) -> bool;
    /// Makes the change within a transaction. `false`: it failed, and must leave nothing.
    fn run(&mut self, tables: &Tables, connection: &Connection, now: Timestamp) -> bool;
    /// Answers the caller after the commit, or with the reason why there is none.
    fn finish(self: Box<Self>, uncommitted: Option<&str>);
}

/// A change, and where its outcome goes.
pub(super) struct Change<T, W> {
    pub(super) work: Option<W>,
    pub(super) outcome: Option<Result<T, StoreError>>,
    pub(super) answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Change<T, W>
where
    T: Send,
    W: FnOnce(&Tables, &Connection, Timestamp) -> Result<T, Failure> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(&mut self, tables: &Tables, connection: &Connection, now: Timestamp) -> bool {
        let work = self.work.take();
        let outcome = work.map(|work| work(tables, connection, now).map_err(StoreError::from));
        self.outcome = outcome;
        matches!(self.outcome, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, uncommitted: Option<&str>) {
        let Self { outcome, answer, .. } = *self;
        let outcome = match (outcome, uncommitted) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(outcome)), None) => Ok(outcome),
            (_, cause) => {
                Err(StoreError::unavailable(cause.unwrap_or("the change was not made").to_owned()))
            }
        };
        // OK because a caller who has left wants no answer.
        let _ = answer.send(outcome);
    }
}

/// What the thread has.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) tables: Arc<Tables>,
    pub(super) settings: Arc<Settings>,
    pub(super) jobs: Receiver<Box<dyn Job>>,
}

impl Writer {
    /// Works until the last handle of the store is dropped.
    pub(super) fn run(self) {
        let mut next_sweep = self.next_sweep();
        loop {
            let pause = next_sweep.map(|at| at.saturating_duration_since(Instant::now()));
            // A year is as good as no limit.
            match self.jobs.recv_timeout(pause.unwrap_or(Duration::from_secs(31_536_000))) {
                Ok(job) => self.commit(job),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if next_sweep.is_some_and(|at| at <= Instant::now()) {
                next_sweep = match self.sweep() {
                    true => self.next_sweep(),
                    false => Some(Instant::now() + BETWEEN_SWEEPS),
                };
            }
        }
    }

    fn next_sweep(&self) -> Option<Instant> {
        Instant::now().checked_add(self.settings.sweep_pause()?)
    }

    /// Commits a change, and all that wait meanwhile, with one wait for the disk.
    fn commit(&self, first: Box<dyn Job>) {
        let mut jobs = vec![first];
        let committed = self.transaction(|connection| {
            // Only now, because the wait for other processes may have been long.
            let waiting = self.jobs.try_iter().take(MOST_TOGETHER - 1);
            jobs.extend(waiting);
            jobs.retain(|job| !job.is_abandoned());
            jobs.iter_mut().try_for_each(|job| self.run_one(connection, job))
        });
        let cause = committed.err().map(|error| format!("SQLite has not committed: {error}"));
        for job in jobs {
            job.finish(cause.as_deref());
        }
    }

    fn run_one(&self, connection: &Connection, job: &mut Box<dyn Job>) -> rusqlite::Result<()> {
        connection.prepare_cached("SAVEPOINT job")?.execute(())?;
        if !job.run(&self.tables, connection, self.settings.clock.now()) {
            // It fails if SQLite has rolled back everything, as on a full disk.
            connection.prepare_cached("ROLLBACK TO job")?.execute(())?;
        }
        connection.prepare_cached("RELEASE job")?.execute(())?;
        Ok(())
    }

    /// Does a part of a clean-up. Returns whether nothing is left to do, or it failed.
    fn sweep(&self) -> bool {
        let mut swept = Ok(Swept { sessions: 0, is_done: true });
        let committed = self.transaction(|connection| {
            swept = self.tables.sweep(connection, self.settings.clock.now());
            Ok(())
        });
        let error = match (swept, committed) {
            (Ok(swept), Ok(())) => return swept.is_done,
            (Err(failure), _) => failure.into(),
            (_, Err(error)) => failed(error),
        };
        not_swept(&error);
        true
    }

    fn transaction(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let done = work(connection)
            .and_then(|()| connection.prepare_cached("COMMIT")?.execute(()).map(|_| ()));
        if done.is_err() && !connection.is_autocommit() {
            // OK because the error that led here is reported.
            let _ = connection.execute_batch("ROLLBACK");
        }
        done
    }
}
