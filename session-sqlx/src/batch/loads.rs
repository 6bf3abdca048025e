//! Loads that wait for the database.

use std::{
    collections::{HashMap, VecDeque},
    mem, slice,
    sync::Arc,
};

use actix_typed_session::{
    StoreError,
    store::{Record, StoreKey},
};
use tokio::sync::oneshot;

use crate::{
    batch::{self, Backlog, Batches, RunBatches, TimeLimit},
    pages::SessionRow,
};

/// A store that loads several sessions with one statement.
pub(crate) trait LoadTogether: TimeLimit {
    type Row: SessionRow + Send + Sync + 'static;

    fn loads(&self) -> &Batches<Loads<Self::Row>>;

    /// The rows of those of these sessions that are there, with all fields or those with these
    /// names.
    fn load(
        &self,
        keys: &[StoreKey],
        names: Option<&[String]>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;
}

/// Loads a session, with all fields or those with these names, together with others if they wait.
pub(crate) async fn load<S: LoadTogether>(
    store: &Arc<S>,
    key: &StoreKey,
    names: Option<&[&str]>,
) -> Result<Option<Record>, StoreError> {
    let owned = || -> Option<Vec<String>> {
        names.map(|names| names.iter().map(|name| (*name).to_owned()).collect())
    };
    let (answer, found) = oneshot::channel();
    let load = Load { key: *key, names: owned(), answer };
    batch::change(store, |loads: &mut Loads<S::Row>| loads.0.push_back(load));
    let row = match found.await {
        Ok(found) => found?,
        // In a box, because few calls need it and it is large.
        Err(_) => Box::pin(store.load(&[*key], owned().as_deref())).await?.pop().map(Arc::new),
    };
    let record = row.map(|row| row.record()).transpose()?;
    Ok(if names.is_some() { record.map(Record::into_partial) } else { record })
}

impl<S: LoadTogether> RunBatches<Loads<S::Row>> for S {
    fn batches(&self) -> &Batches<Loads<S::Row>> {
        self.loads()
    }

    async fn run(self: Arc<Self>, mut batch: LoadBatch<S::Row>) {
        let load = self.load(&batch.keys, batch.names.as_deref());
        let callers = slice::from_mut(&mut batch.callers);
        let Some(rows) = batch::while_awaited(&*self, load, callers).await else { return };
        batch.answer(rows.and_then(|rows| {
            rows.into_iter().map(|row| Ok((row.key()?, Arc::new(row)))).collect()
        }));
    }
}

/// What a load has found. Loads of one session share the row.
type Found<R> = Result<Option<Arc<R>>, StoreError>;

/// A load that waits. It runs by itself if the sender is dropped.
struct Load<R> {
    key: StoreKey,
    /// The fields that it asks for. `None`: all.
    names: Option<Vec<String>>,
    answer: oneshot::Sender<Found<R>>,
}

/// The loads that wait, in their order.
pub(crate) struct Loads<R>(VecDeque<Load<R>>);

impl<R> Default for Loads<R> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<R: Send + Sync + 'static> Backlog for Loads<R> {
    type Batch = LoadBatch<R>;

    fn ready(&self) -> usize {
        self.0.len()
    }

    /// Takes the first load, and those after it that ask for the same fields.
    fn take(&mut self, most: usize) -> Option<LoadBatch<R>> {
        self.0.retain(|load| !load.answer.is_closed());
        let first = self.0.pop_front()?;
        let mut batch =
            LoadBatch { names: first.names, keys: vec![first.key], callers: vec![first.answer] };
        for load in mem::take(&mut self.0) {
            if batch.keys.len() < most && load.names == batch.names {
                batch.keys.push(load.key);
                batch.callers.push(load.answer);
            } else {
                self.0.push_back(load);
            }
        }
        Some(batch)
    }

    fn give_back(&mut self) {
        self.0.clear();
    }
}

/// Loads of the same fields.
pub(crate) struct LoadBatch<R> {
    names: Option<Vec<String>>,
    keys: Vec<StoreKey>,
    /// One for each key.
    callers: Vec<oneshot::Sender<Found<R>>>,
}

impl<R> LoadBatch<R> {
    /// Answers each load with the row of its session.
    fn answer(self, rows: Result<HashMap<StoreKey, Arc<R>>, StoreError>) {
        let founds: Vec<Found<R>> = match rows {
            Ok(rows) => self.keys.iter().map(|key| Ok(rows.get(key).cloned())).collect(),
            Err(error) => error.share(self.keys.len()).into_iter().map(Err).collect(),
        };
        for (caller, found) in self.callers.into_iter().zip(founds) {
            // OK because a caller who has left wants no answer.
            let _ = caller.send(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> StoreKey {
        StoreKey::from_bytes([n; 32])
    }

    type Receiver = oneshot::Receiver<Found<&'static str>>;

    fn wait(loads: &mut Loads<&'static str>, n: u8, names: Option<&[&str]>) -> Receiver {
        let (answer, found) = oneshot::channel();
        let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        loads.0.push_back(Load { key: key(n), names, answer });
        found
    }

    fn keys(batch: Option<LoadBatch<&'static str>>) -> Vec<StoreKey> {
        batch.into_iter().flat_map(|batch| batch.keys).collect()
    }

    #[test]
    fn loads_of_the_same_fields_run_together_and_the_first_to_come_is_the_first_to_go() {
        let mut loads = Loads::default();
        let asked: [(u8, Option<&[&str]>); 6] = [
            (1, Some(&["a"])),
            (2, None),
            (3, Some(&["a"])),
            (4, Some(&["a", "b"])),
            (5, None),
            (6, Some(&["a"])),
        ];
        let _callers = asked.map(|(n, names)| wait(&mut loads, n, names));
        assert_eq!(keys(loads.take(2)), [key(1), key(3)]);
        assert_eq!(keys(loads.take(9)), [key(2), key(5)]);
        assert_eq!(keys(loads.take(9)), [key(4)]);
        assert_eq!(keys(loads.take(9)), [key(6)]);
        assert!(loads.take(9).is_none());
    }

    #[test]
    fn a_load_whose_caller_has_left_is_not_sent() {
        let mut loads = Loads::default();
        drop(wait(&mut loads, 1, None));
        let _caller = wait(&mut loads, 2, None);
        assert_eq!(keys(loads.take(9)), [key(2)]);
        drop(wait(&mut loads, 1, None));
        assert!(loads.take(9).is_none());
    }

    #[test]
    fn each_load_gets_its_session_or_the_error() {
        let mut loads = Loads::default();
        let mut callers = [1, 2, 1].map(|n| wait(&mut loads, n, None));
        let rows = HashMap::from([(key(1), Arc::new("one"))]);
        loads.take(9).expect("it is ready").answer(Ok(rows));
        let founds = callers
            .each_mut()
            .map(|caller| caller.try_recv().expect("an answer").expect("no error").map(|row| *row));
        assert_eq!(founds, [Some("one"), None, Some("one")]);

        let mut callers = [1, 2].map(|n| wait(&mut loads, n, None));
        loads.take(9).expect("it is ready").answer(Err(StoreError::unavailable("down")));
        for caller in &mut callers {
            let found = caller.try_recv().expect("an answer");
            assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
        }
    }
}
