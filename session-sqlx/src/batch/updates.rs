//! Updates that wait for the database. Those of one session become one update.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    mem, slice,
    sync::Arc,
};

use actix_typed_session::{
    StoreError,
    store::{Change, Patch, StoreKey},
};
use tokio::sync::oneshot;

use crate::{
    batch::{self, Backlog, Batches, RunBatches, TimeLimit},
    patch::{can_run_together, combined},
};

/// A store that makes the updates of one session as one, and those of several sessions with one
/// statement if it can.
pub(crate) trait UpdateTogether: TimeLimit {
    fn updates(&self) -> &Batches<Updates>;

    /// Applies a patch, which stands for `count` updates, in one statement, if it can. Returns the
    /// new version.
    fn update(
        &self,
        key: &StoreKey,
        patch: &Patch,
        count: u64,
    ) -> impl Future<Output = Applied> + Send;

    /// Applies the updates of several sessions. Returns the new versions of those that it could
    /// change. By default it changes none, so each is made by itself.
    fn update_together(
        &self,
        _updates: &[Update],
    ) -> impl Future<Output = Result<HashMap<StoreKey, u64>, StoreError>> + Send {
        async { Ok(HashMap::new()) }
    }
}

/// Applies a patch in one statement, if it can, together with others if they wait. Returns the new
/// version.
pub(crate) async fn update<S: UpdateTogether>(
    store: &Arc<S>,
    key: &StoreKey,
    patch: &Patch,
) -> Applied {
    if !can_run_together(patch) {
        // In a box, because few calls need it and it is large.
        return Box::pin(store.update(key, patch, 1)).await;
    }
    let (answer, applied) = oneshot::channel();
    let waiting = Waiting { patch: patch.clone(), answer };
    batch::change(store, |updates: &mut Updates| updates.add(key, waiting));
    applied.await.unwrap_or_else(|_| {
        Err(StoreError::unavailable("the runtime that has sent the update has ended"))
    })
}

impl<S: UpdateTogether> RunBatches<Updates> for S {
    fn batches(&self) -> &Batches<Updates> {
        self.updates()
    }

    async fn run(self: Arc<Self>, mut batch: Vec<(Update, Callers)>) {
        let turn = |update: &Update| Turn { store: Arc::clone(&self), key: update.key };
        if batch.len() == 1
            && let Some((update, callers)) = batch.pop()
        {
            return turn(&update).update(update, callers).await;
        }
        let (updates, mut callers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let turns: Vec<Turn<S>> = updates.iter().map(turn).collect();
        let together =
            batch::while_awaited(&*self, self.update_together(&updates), &mut callers).await;
        let count = updates.len();
        let going = turns.into_iter().zip(updates).zip(callers);
        let versions = match together {
            None => return,
            Some(Ok(versions)) => versions,
            Some(Err(error @ StoreError::Unavailable(_))) => {
                for (((turn, _), callers), error) in going.zip(error.share(count)) {
                    turn.answer(callers, Err(error));
                }
                return;
            }
            // The server has refused all of them, perhaps because of one.
            Some(Err(_)) => HashMap::new(),
        };
        for ((turn, update), callers) in going {
            match versions.get(&update.key) {
                Some(version) => turn.answer(callers, Ok(Some(*version))),
                // Others have locked the session, or this statement cannot change it.
                None => drop(tokio::spawn(turn.update(update, callers))),
            }
        }
    }
}

/// The turn of a session, which ends with the drop. Then the updates that wait behind it can run.
struct Turn<S: UpdateTogether> {
    store: Arc<S>,
    key: StoreKey,
}

impl<S: UpdateTogether> Turn<S> {
    /// Makes an update by itself. It waits for others that have locked the session.
    async fn update(self, update: Update, mut callers: Callers) {
        let call = self.store.update(&update.key, &update.patch, update.count);
        let applied = batch::while_awaited(&*self.store, call, slice::from_mut(&mut callers)).await;
        if let Some(applied) = applied {
            self.answer(callers, applied);
        }
    }

    fn answer(self, callers: Callers, applied: Applied) {
        // First, so that those who are answered find the session free.
        drop(self);
        answer(callers, applied);
    }
}

impl<S: UpdateTogether> Drop for Turn<S> {
    fn drop(&mut self) {
        batch::change(&self.store, |updates: &mut Updates| updates.finish(&self.key));
    }
}

/// How large the values of a batch may become before it takes no further update.
const ENOUGH_BYTES: usize = 256 * 1024;

/// The new version. `None`: the update was not made, and the caller goes on by itself.
pub(crate) type Applied = Result<Option<u64>, StoreError>;

/// An update that waits. Its outcome is not known if the sender is dropped.
struct Waiting {
    patch: Patch,
    answer: oneshot::Sender<Applied>,
}

/// The updates that wait, by session. A session has one update in the database at a time, so that
/// the next one can combine all that wait behind it.
#[derive(Default)]
pub(crate) struct Updates {
    /// A session whose update runs has an entry, too.
    waiting: HashMap<StoreKey, Vec<Waiting>>,
    /// The sessions whose updates wait, and none of which runs.
    ready: VecDeque<StoreKey>,
}

impl Updates {
    fn add(&mut self, key: &StoreKey, update: Waiting) {
        match self.waiting.entry(*key) {
            Entry::Occupied(mut waiting) => waiting.get_mut().push(update),
            Entry::Vacant(place) => {
                place.insert(vec![update]);
                self.ready.push_back(*key);
            }
        }
    }

    /// Ends the update of a session that was taken.
    fn finish(&mut self, key: &StoreKey) {
        if self.waiting.get(key).is_some_and(|waiting| !waiting.is_empty()) {
            self.ready.push_back(*key);
        } else {
            self.waiting.remove(key);
        }
    }

    /// Takes the updates of a session that can be one.
    fn take_combined(&mut self, key: StoreKey) -> Option<(Update, Callers)> {
        let waiting = self.waiting.get_mut(&key)?;
        let mut rest = mem::take(waiting).into_iter().filter(|update| !update.answer.is_closed());
        let Some(first) = rest.next() else {
            self.waiting.remove(&key);
            return None;
        };
        let (mut patch, mut callers) = (first.patch, vec![first.answer]);
        for next in rest {
            // What does not fit keeps its order.
            if waiting.is_empty()
                && let Some(both) = combined(&patch, &next.patch)
            {
                patch = both;
                callers.push(next.answer);
            } else {
                waiting.push(next);
            }
        }
        Some((Update { key, patch, count: callers.len() as u64 }, callers))
    }
}

impl Backlog for Updates {
    type Batch = Vec<(Update, Callers)>;

    fn ready(&self) -> usize {
        self.ready.len()
    }

    fn take(&mut self, most: usize) -> Option<Self::Batch> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < most
            && bytes < ENOUGH_BYTES
            && let Some(key) = self.ready.pop_front()
        {
            if let Some((update, callers)) = self.take_combined(key) {
                bytes += size(&update.patch);
                batch.push((update, callers));
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn give_back(&mut self) {
        for waiting in self.waiting.values_mut().flat_map(mem::take) {
            // OK because a caller who has left wants no answer.
            let _ = waiting.answer.send(Ok(None));
        }
        for key in self.ready.drain(..) {
            self.waiting.remove(&key);
        }
    }
}

fn size(patch: &Patch) -> usize {
    let bytes = |change: &Change| match change {
        Change::Set(json) => json.get().len(),
        _ => 0,
    };
    patch.changes().map(|(name, change)| name.len() + bytes(change)).sum()
}

/// The updates of one session, as one.
pub(crate) struct Update {
    pub(crate) key: StoreKey,
    pub(crate) patch: Patch,
    /// How many updates it stands for, which is how many versions the session goes on.
    pub(crate) count: u64,
}

/// Those who wait for the updates of a session, in their order.
type Callers = Vec<oneshot::Sender<Applied>>;

/// Answers each caller. The version is that of the session after the last update.
fn answer(callers: Callers, applied: Applied) {
    let count = callers.len();
    let answers = match applied {
        Ok(version) => {
            let versions = (0..count as u64).rev();
            versions.map(|later| Ok(version.map(|last| last.wrapping_sub(later)))).collect()
        }
        Err(error) => error.share(count).into_iter().map(Err).collect::<Vec<_>>(),
    };
    for (caller, answer) in callers.into_iter().zip(answers) {
        // OK because a caller who has left wants no answer.
        let _ = caller.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use actix_typed_session::{
        Timestamp,
        store::{ExpiryChange, Number},
    };
    use serde_json::value::RawValue;

    use super::*;

    fn key(n: u8) -> StoreKey {
        StoreKey::from_bytes([n; 32])
    }

    fn add(by: i64) -> Patch {
        let mut patch = Patch::default();
        patch.add("n".into(), Number::from(0), Number::from(by));
        patch
    }

    fn set(json: &str) -> Patch {
        let mut patch = Patch::default();
        let json = RawValue::from_string(json.into()).expect("JSON");
        patch.set("a".into(), json.into());
        patch
    }

    type Receiver = oneshot::Receiver<Applied>;

    fn wait(updates: &mut Updates, n: u8, patch: Patch) -> Receiver {
        let (answer, applied) = oneshot::channel();
        updates.add(&key(n), Waiting { patch, answer });
        applied
    }

    fn version(receiver: &mut Receiver) -> Option<u64> {
        receiver.try_recv().expect("an answer").expect("no error")
    }

    fn keys(batch: Option<&Vec<(Update, Callers)>>) -> Vec<StoreKey> {
        batch.into_iter().flatten().map(|(update, _)| update.key).collect()
    }

    #[test]
    fn updates_of_one_session_become_one_and_each_gets_its_version() {
        let mut updates = Updates::default();
        let mut callers: Vec<_> = (1..=3).map(|by| wait(&mut updates, 1, add(by))).collect();
        let mut batch = updates.take(10).expect("it is ready");
        let (update, waiting) = batch.remove(0);
        assert_eq!((batch.len(), update.count), (0, 3));
        let by = update.patch.changes().map(|(_, change)| match change {
            Change::Add { by, .. } => *by,
            _ => panic!("an addition"),
        });
        assert_eq!(by.collect::<Vec<_>>(), [Number::Int(6)]);
        answer(waiting, Ok(Some(9)));
        let versions: Vec<_> = callers.iter_mut().map(version).collect();
        assert_eq!(versions, [Some(7), Some(8), Some(9)]);
    }

    #[test]
    fn a_session_has_one_update_in_the_database_at_a_time() {
        let mut updates = Updates::default();
        let _callers = [1, 2].map(|n| wait(&mut updates, n, add(1)));
        let first = updates.take(10).expect("two are ready");
        assert_eq!(keys(Some(&first)), [key(1), key(2)]);
        let _callers = [1, 3].map(|n| wait(&mut updates, n, set("1")));
        let second = updates.take(10).expect("one is ready");
        assert_eq!(keys(Some(&second)), [key(3)]);
        updates.finish(&key(2));
        assert!(updates.take(10).is_none());
        updates.finish(&key(1));
        assert_eq!(keys(updates.take(10).as_ref()), [key(1)]);
        updates.finish(&key(1));
        updates.finish(&key(3));
        assert!(updates.waiting.is_empty(), "no session is kept");
    }

    #[test]
    fn what_cannot_be_combined_waits_in_its_order() {
        let mut updates = Updates::default();
        let mut end = Patch::default();
        end.set_expiry(ExpiryChange::Set(Timestamp::from_unix_ms(1)));
        let patches = [set("1"), end, set("2"), set("3")];
        let _callers = patches.map(|patch| wait(&mut updates, 1, patch));
        let counts: Vec<_> = (0..2)
            .map(|_| {
                let batch = updates.take(10).expect("it is ready");
                updates.finish(&key(1));
                batch[0].0.count
            })
            .collect();
        assert_eq!(counts, [2, 2], "the end is the last of the first");
    }

    #[test]
    fn an_update_whose_caller_has_left_is_not_made() {
        let mut updates = Updates::default();
        drop(wait(&mut updates, 1, add(1)));
        let _caller = wait(&mut updates, 1, add(2));
        drop(wait(&mut updates, 2, add(1)));
        let batch = updates.take(10).expect("one is ready");
        assert_eq!((keys(Some(&batch)), batch[0].0.count), (vec![key(1)], 1));
        updates.finish(&key(1));
        assert!(updates.waiting.is_empty());
    }

    #[test]
    fn a_batch_has_no_more_than_it_may() {
        let mut updates = Updates::default();
        let _callers: Vec<_> = (0..5).map(|n| wait(&mut updates, n, add(1))).collect();
        assert_eq!(updates.take(3).map(|batch| batch.len()), Some(3));
        assert_eq!(updates.ready(), 2);
        let large = format!("\"{}\"", "x".repeat(ENOUGH_BYTES));
        let mut updates = Updates::default();
        let _callers: Vec<_> = (0..5).map(|n| wait(&mut updates, n, set(&large))).collect();
        assert_eq!(updates.take(3).map(|batch| batch.len()), Some(1));
    }

    #[test]
    fn what_waits_is_given_back_and_what_runs_is_not() {
        let mut updates = Updates::default();
        let mut running = wait(&mut updates, 1, add(1));
        let batch = updates.take(10).expect("it is ready");
        let mut waiting = [1, 2].map(|n| wait(&mut updates, n, add(1)));
        updates.give_back();
        assert_eq!(waiting.each_mut().map(version), [None, None]);
        assert!(running.try_recv().is_err(), "its outcome is not known yet");
        assert!(updates.take(10).is_none());
        drop(batch);
        updates.finish(&key(1));
        assert!(updates.waiting.is_empty());
    }

    /// A session that the server refuses to change.
    const REFUSED: u8 = 0;
    /// A session that others have locked.
    const LOCKED: u8 = 8;
    /// A session at which the connection breaks.
    const CUT: u8 = 9;

    /// Logs what it is asked.
    struct Store {
        updates: Batches<Updates>,
        log: Mutex<Vec<String>>,
    }

    impl TimeLimit for Store {
        fn within<T: Send>(
            &self,
            call: impl Future<Output = Result<T, StoreError>> + Send,
        ) -> impl Future<Output = Result<T, StoreError>> + Send {
            call
        }
    }

    impl UpdateTogether for Store {
        fn updates(&self) -> &Batches<Updates> {
            &self.updates
        }

        async fn update(&self, key: &StoreKey, _: &Patch, count: u64) -> Applied {
            self.log.lock().expect("no panic").push(format!("{} alone", key.as_bytes()[0]));
            tokio::time::sleep(Duration::from_millis(1)).await;
            match key.as_bytes()[0] {
                REFUSED => Err(StoreError::internal("refused")),
                _ => Ok(Some(count)),
            }
        }

        async fn update_together(
            &self,
            updates: &[Update],
        ) -> Result<HashMap<StoreKey, u64>, StoreError> {
            let keys: Vec<_> = updates.iter().map(|update| update.key).collect();
            let numbers: Vec<_> = keys.iter().map(|key| key.as_bytes()[0]).collect();
            self.log.lock().expect("no panic").push(format!("{numbers:?}"));
            tokio::time::sleep(Duration::from_millis(1)).await;
            match numbers.as_slice() {
                numbers if numbers.contains(&REFUSED) => Err(StoreError::internal("refused")),
                numbers if numbers.contains(&CUT) => Err(StoreError::unavailable("cut")),
                _ => {
                    let free = keys.into_iter().filter(|it| *it != key(LOCKED));
                    Ok(free.map(|key| (key, 1)).collect())
                }
            }
        }
    }

    /// Lets these sessions be updated at the same time. Returns what each caller gets, and what the
    /// database was asked.
    async fn updated_at_once(sessions: &[u8]) -> (Vec<&'static str>, Vec<String>) {
        let limits = batch::Limits { tasks: 1, calls: 10 };
        let store = Arc::new(Store { updates: Batches::new(limits), log: Mutex::default() });
        let callers = sessions.iter().copied().map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { update(&store, &key(n), &add(1)).await })
        });
        let mut answers = Vec::new();
        for caller in callers.collect::<Vec<_>>() {
            answers.push(match caller.await.expect("no panic") {
                Ok(Some(_)) => "applied",
                Ok(None) => "not applied",
                Err(StoreError::Unavailable(_)) => "unavailable",
                Err(_) => "refused",
            });
        }
        tokio::task::yield_now().await;
        let state = store.updates.state();
        assert!(state.tasks == 0 && state.backlog.waiting.is_empty(), "nothing is left");
        let log = store.log.lock().expect("no panic").clone();
        (answers, log)
    }

    #[tokio::test]
    async fn updates_of_several_sessions_that_wait_run_together() {
        let (answers, log) = updated_at_once(&[1, 2, 3]).await;
        assert_eq!(answers, ["applied"; 3]);
        assert_eq!(log, ["[1, 2, 3]"]);
    }

    #[tokio::test]
    async fn an_update_that_the_statement_did_not_make_is_made_by_itself() {
        let (answers, log) = updated_at_once(&[1, LOCKED, 2]).await;
        assert_eq!(answers, ["applied"; 3]);
        assert_eq!(log, ["[1, 8, 2]", "8 alone"]);
    }

    #[tokio::test]
    async fn an_update_that_the_server_refuses_fails_alone() {
        let (answers, log) = updated_at_once(&[1, REFUSED, 2]).await;
        assert_eq!(answers, ["applied", "refused", "applied"]);
        assert_eq!(log, ["[1, 0, 2]", "1 alone", "0 alone", "2 alone"]);
    }

    #[tokio::test]
    async fn updates_whose_outcome_is_not_known_are_not_repeated() {
        let (answers, log) = updated_at_once(&[1, CUT, 2]).await;
        assert_eq!(answers, ["unavailable"; 3]);
        assert_eq!(log, ["[1, 9, 2]"]);
    }
}
