//! Combines the patches that wait for one session into one write.
//!
//! The first caller becomes the leader. While it writes, the patches of others wait in the
//! session's queue; then it writes those together. So a session that many requests change at once
//! costs one file and one sync per group of requests, not one per request. Other processes are
//! excluded by the lock of the subfolder, as in every write.

use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{folder::SessionFolder, session_path::SessionPath};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Patch, Record},
    store::session_store::UpdateOutcome,
};

type UpdateResult = Result<UpdateOutcome, StoreError>;

/// The patches of this process that wait for a session, by its key. A session without a leader has
/// no entry.
#[derive(Default)]
pub(super) struct UpdateQueues {
    waiting: Mutex<HashMap<StoreKey, Vec<WaitingPatch>>>,
}

struct WaitingPatch {
    patch: Patch,
    /// `None`: the leader has not tried the patch, and will not.
    answer: oneshot::Sender<Option<UpdateResult>>,
}

impl UpdateQueues {
    /// Adds a patch to the session's queue. The first caller must run the leader.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &StoreKey,
        patch: Patch,
    ) -> (oneshot::Receiver<Option<UpdateResult>>, Option<Leader>) {
        let (answer, receiver) = oneshot::channel();
        let waiting = WaitingPatch { patch, answer };
        let leader = match self.lock().entry(*key) {
            Entry::Occupied(mut queue) => {
                queue.get_mut().push(waiting);
                None
            }
            Entry::Vacant(place) => {
                place.insert(vec![waiting]);
                Some(Leader { queues: Arc::clone(self), key: *key, is_done: false })
            }
        };
        (receiver, leader)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StoreKey, Vec<WaitingPatch>>> {
        // OK because no change of the map is in two steps.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a session's waiting patches until none waits.
pub(super) struct Leader {
    queues: Arc<UpdateQueues>,
    key: StoreKey,
    is_done: bool,
}

impl Leader {
    pub(super) fn run(mut self, folder: &SessionFolder) {
        while let Some(group) = self.take_group() {
            let (patches, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|waiting| (waiting.patch, waiting.answer)).unzip();
            let results = folder.update_all(&self.key, &patches);
            for (answer, result) in answers.into_iter().zip(results) {
                // OK because a client that has disconnected needs no answer.
                drop(answer.send(Some(result)));
            }
        }
    }

    /// Takes what waits. If nothing does, the next caller becomes the leader.
    fn take_group(&mut self) -> Option<Vec<WaitingPatch>> {
        let mut queues = self.queues.lock();
        let group = queues.get_mut(&self.key).map(mem::take).unwrap_or_default();
        if group.is_empty() {
            queues.remove(&self.key);
            self.is_done = true;
            return None;
        }
        Some(group)
    }
}

impl Drop for Leader {
    /// Gives the waiting patches back if the leader panicked, or its runtime shut down before it
    /// ran.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let waiting = self.queues.lock().remove(&self.key);
        for waiting in waiting.into_iter().flatten() {
            drop(waiting.answer.send(None));
        }
    }
}

impl SessionFolder {
    /// Applies patches in their order, with one write if possible. Each gets the result that it
    /// would have got by itself.
    pub(super) fn update_all(&self, key: &StoreKey, patches: &[Patch]) -> Vec<UpdateResult> {
        let mut results = Vec::with_capacity(patches.len());
        while let Some(rest) = patches.get(results.len()..).filter(|rest| !rest.is_empty()) {
            match rest {
                [patch] => results.push(self.update(key, patch)),
                _ => results.extend(self.update_group(key, rest)),
            }
        }
        results
    }

    /// Applies the first patches, at least one, and returns their results.
    fn update_group(&self, key: &StoreKey, patches: &[Patch]) -> Vec<UpdateResult> {
        let path = self.session_path(key);
        let group = match self.write_group(&path, patches) {
            Ok(group) => group,
            Err(error) => return vec![Err(error)],
        };
        let outcomes = group.outcomes;
        match group.written {
            // A patch that changes the index is written by itself.
            _ if outcomes.is_empty() => vec![self.update(key, &patches[0])],
            Ok(()) => outcomes.into_iter().map(Ok).collect(),
            // Nothing was written, and only some of them may be too large.
            Err(StoreError::TooLarge { .. }) => {
                patches[..outcomes.len()].iter().map(|patch| self.update(key, patch)).collect()
            }
            // The file may have been replaced, so a second try could add twice.
            Err(error) => error.share(outcomes.len()).into_iter().map(Err).collect(),
        }
    }

    /// # Errors
    /// The session cannot be locked or read. Nothing was written.
    fn write_group(&self, path: &SessionPath, patches: &[Patch]) -> Result<Group, StoreError> {
        let Some(_lock) = self.lock_if_exists(path)? else { return Ok(Group::gone(patches)) };
        let Some(mut record) = self.read_locked(path)? else { return Ok(Group::gone(patches)) };
        let outcomes = self.apply_group(&mut record, patches);
        let is_changed =
            outcomes.iter().any(|outcome| matches!(outcome, UpdateOutcome::Applied { .. }));
        let written = if is_changed { self.write(path, &record) } else { Ok(()) };
        Ok(Group { outcomes, written })
    }

    /// Applies patches up to the first one that changes the index.
    fn apply_group(&self, record: &mut Record, patches: &[Patch]) -> Vec<UpdateOutcome> {
        let mut outcomes = Vec::with_capacity(patches.len());
        for patch in patches {
            if record.is_expired(self.clock.now()) {
                // An earlier patch has ended the session.
                outcomes.push(UpdateOutcome::Gone);
                continue;
            }
            if patch.moves(record) {
                break;
            }
            outcomes.push(match patch.apply_in_place(record) {
                Ok(()) => UpdateOutcome::Applied { version: record.version() },
                Err(refused) => UpdateOutcome::refused(refused, record.clone()),
            });
        }
        outcomes
    }
}

/// The outcomes of the first patches, which count only if the write succeeded.
struct Group {
    outcomes: Vec<UpdateOutcome>,
    written: Result<(), StoreError>,
}

impl Group {
    fn gone(patches: &[Patch]) -> Self {
        Self { outcomes: patches.iter().map(|_| UpdateOutcome::Gone).collect(), written: Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs, thread,
        time::{Duration, Instant},
    };

    use futures_util::FutureExt as _;
    use tokio::{runtime, time::timeout};

    use super::*;
    use crate::{
        error::Chain,
        record::{ExpiryChange, Number},
        store::{
            file::{
                FileStore,
                file_system::names_in,
                fixture::{Fixture, json, key},
            },
            session_store::SessionStore as _,
        },
        time::{Clock, FakeClock, Timestamp},
    };

    /// The longest wait of a test.
    const LIMIT: Duration = Duration::from_secs(60);

    /// A clock that acts once, when the store has read the session and before it writes.
    struct ActingClock {
        time: FakeClock,
        action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    }

    impl Clock for ActingClock {
        fn now(&self) -> Timestamp {
            let action = self.action.lock().ok().and_then(|mut action| action.take());
            if let Some(action) = action {
                action();
            }
            self.time.now()
        }
    }

    /// The fixture's store, and what its clock does once.
    fn acting(it: &Fixture, action: impl FnOnce() + Send + 'static) -> SessionFolder {
        let action: Box<dyn FnOnce() + Send> = Box::new(action);
        let clock = ActingClock { time: it.clock.clone(), action: Mutex::new(Some(action)) };
        SessionFolder { clock: Arc::new(clock), ..SessionFolder::new(it.folder.path.clone()) }
    }

    fn store(folder: SessionFolder, queues: &Arc<UpdateQueues>) -> FileStore {
        let folder = Arc::new(folder);
        FileStore { folder, queues: Arc::clone(queues), _sweeper: None }
    }

    /// Waits until this number of patches waits for the session.
    fn await_waiting(queues: &UpdateQueues, patches: usize) {
        let start = Instant::now();
        while queues.lock().get(&key(1)).is_none_or(|queue| queue.len() < patches) {
            assert!(start.elapsed() < LIMIT, "{patches} patches do not wait");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn add_one() -> Patch {
        let mut patch = Patch::default();
        let number = |text: &str| Number::parse(&json(text)).expect("a number");
        patch.add("n".into(), number("0"), number("1"));
        patch
    }

    fn set(text: &str) -> Patch {
        let mut patch = Patch::default();
        patch.set("text".into(), json(&format!("\"{text}\"")));
        patch
    }

    fn versions(results: &[UpdateResult]) -> Vec<Option<u64>> {
        let version = |result: &UpdateResult| match result {
            Ok(UpdateOutcome::Applied { version }) => Some(*version),
            _ => None,
        };
        results.iter().map(version).collect()
    }

    fn sum(it: &Fixture) -> String {
        let record = it.load(1).expect("a live session");
        record.field("n").map(|json| json.get().to_owned()).unwrap_or_default()
    }

    #[test]
    fn each_patch_of_a_group_has_its_own_outcome() {
        let it = Fixture::new();
        it.create(1);
        let mut stale = set("stale");
        stale.expect_version(0);
        let results = it.folder.update_all(&key(1), &[add_one(), stale, add_one()]);
        assert_eq!(versions(&results), [Some(1), None, Some(2)]);
        let Ok(UpdateOutcome::Conflict(current)) = &results[1] else { panic!("{results:?}") };
        assert_eq!(current.version(), 1);
        assert_eq!(sum(&it), "2");
    }

    #[test]
    fn a_patch_that_is_too_large_fails_alone() {
        let it = Fixture::new();
        it.create(1);
        let large = set(&"x".repeat(10_000));
        let results = it.folder.update_all(&key(1), &[add_one(), large, add_one()]);
        assert!(matches!(results[1], Err(StoreError::TooLarge { .. })), "{results:?}");
        assert_eq!(versions(&results), [Some(1), None, Some(2)]);
        assert_eq!(sum(&it), "2");
    }

    #[test]
    fn patches_after_the_end_of_a_session_find_it_gone() {
        let it = Fixture::new();
        it.create(1);
        let mut end = Patch::default();
        end.set_expiry(ExpiryChange::Set(it.clock.now()));
        let results = it.folder.update_all(&key(1), &[add_one(), end, add_one()]);
        assert_eq!(versions(&results), [Some(1), Some(2), None]);
        assert!(matches!(results[2], Ok(UpdateOutcome::Gone)), "{results:?}");
        assert!(it.load(1).is_none());
        let results = it.folder.update_all(&key(9), &[add_one(), add_one()]);
        assert!(matches!(results[..], [Ok(UpdateOutcome::Gone), Ok(UpdateOutcome::Gone)]));
    }

    #[test]
    fn a_damaged_session_is_reported_to_one_caller() {
        let it = Fixture::new();
        let file = it.create(1);
        std::fs::write(file, "half a ses").expect("a file to damage");
        let results = it.folder.update_all(&key(1), &[add_one(), add_one(), add_one()]);
        assert!(matches!(results[0], Err(StoreError::Damaged(_))), "{results:?}");
        assert!(matches!(results[1..], [Ok(UpdateOutcome::Gone), Ok(UpdateOutcome::Gone)]));
    }

    #[test]
    fn a_lock_that_cannot_be_taken_fails_every_patch() {
        let it = Fixture::new();
        it.create(1);
        it.block_lock(1);
        let results = it.folder.update_all(&key(1), &[add_one(), add_one()]);
        assert!(matches!(
            results[..],
            [Err(StoreError::Unavailable(_)), Err(StoreError::Unavailable(_))]
        ));
    }

    #[test]
    fn patches_that_wait_for_the_leader_are_applied_in_their_order() {
        let it = Fixture::new();
        it.create(1);
        let queues = Arc::new(UpdateQueues::default());
        let (mut first, leader) = queues.join(&key(1), add_one());
        let mut others = [2, 3].map(|_| {
            let (answer, leader) = queues.join(&key(1), add_one());
            assert!(leader.is_none(), "one leader per session");
            answer
        });
        let (mut of_another, second_leader) = queues.join(&key(2), add_one());
        leader.expect("the first caller leads").run(&it.folder);
        assert!(of_another.try_recv().is_err() && second_leader.is_some());
        let mut results = vec![first.try_recv()];
        results.extend(others.iter_mut().map(oneshot::Receiver::try_recv));
        let results: Vec<_> = results.into_iter().map(|it| it.ok().flatten()).collect();
        let results: Vec<_> = results.into_iter().map(|it| it.expect("an answer")).collect();
        assert_eq!(versions(&results), [Some(1), Some(2), Some(3)]);
        assert_eq!(sum(&it), "3");
        let (_, leader) = queues.join(&key(1), add_one());
        assert!(leader.is_some(), "the queue has ended");
    }

    #[test]
    fn a_leader_that_never_runs_gives_the_waiting_patches_back() {
        let queues = Arc::new(UpdateQueues::default());
        let (_, leader) = queues.join(&key(1), add_one());
        let (mut answer, _) = queues.join(&key(1), add_one());
        drop(leader);
        assert!(matches!(answer.try_recv(), Ok(None)));
        let (_, leader) = queues.join(&key(1), add_one());
        assert!(leader.is_some(), "the next caller leads");
    }

    #[test]
    fn a_write_that_fails_is_an_error_for_each_patch_and_stores_none() {
        let it = Fixture::new();
        let file = it.create(1);
        let (before, kept) = (fs::read(&file).expect("a file"), it.root.path().join("kept"));
        let subfolder = file.parent().expect("a subfolder").to_owned();
        let action = {
            let (subfolder, kept) = (subfolder.clone(), kept.clone());
            move || fs::rename(&subfolder, &kept).expect("a subfolder")
        };
        let results = acting(&it, action).update_all(&key(1), &[add_one(), set("a"), add_one()]);
        fs::rename(&kept, &subfolder).expect("the subfolder");
        for result in &results {
            let Err(error @ StoreError::Unavailable(_)) = result else { panic!("{results:?}") };
            let text = Chain(error).to_string();
            assert!(text.contains("cannot write to the folder"), "{text}");
            assert!(text.contains("directory"), "the system's error is named: {text}");
        }
        assert_eq!(results.len(), 3);
        assert_eq!(fs::read(&file).expect("the session's file"), before);
        assert_eq!(names_in(&subfolder).expect("a subfolder").len(), 2, "the file and the lock");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leader_that_panics_fails_alone_and_the_waiting_patches_go_on() {
        let it = Fixture::new();
        it.create(1);
        let queues = Arc::new(UpdateQueues::default());
        let action = {
            let queues = Arc::clone(&queues);
            move || {
                await_waiting(&queues, 2);
                panic!("on purpose");
            }
        };
        let store = store(acting(&it, action), &queues);
        let update = || {
            let store = store.clone();
            tokio::spawn(async move { store.update(&key(1), &add_one()).await })
        };
        let leader = update();
        tokio::task::block_in_place(|| {
            let start = Instant::now();
            // The leader has taken its own patch from the queue.
            while queues.lock().get(&key(1)).is_none_or(|queue| !queue.is_empty()) {
                assert!(start.elapsed() < LIMIT, "the leader does not run");
                thread::sleep(Duration::from_millis(1));
            }
        });
        let others = [update(), update()];
        let result = timeout(LIMIT, leader).await.expect("an answer").expect("no panic here");
        assert!(matches!(result, Err(StoreError::Internal(_))), "{result:?}");
        for other in others {
            let result = timeout(LIMIT, other).await.expect("an answer").expect("no panic");
            assert!(matches!(result, Ok(UpdateOutcome::Applied { .. })), "{result:?}");
        }
        assert_eq!(sum(&it), "2");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_patch_that_waits_for_a_runtime_that_has_shut_down_is_applied_by_its_own() {
        let it = Fixture::new();
        it.create(1);
        let queues = Arc::new(UpdateQueues::default());
        let store = store(acting(&it, || {}), &queues);
        let (mut first, leader) = queues.join(&key(1), add_one());
        let waiting = tokio::spawn(async move { store.update(&key(1), &add_one()).await });
        tokio::task::block_in_place(|| await_waiting(&queues, 2));
        // A runtime that has shut down drops what is to run on its threads.
        drop(leader);
        let result = timeout(LIMIT, waiting).await.expect("an answer").expect("no panic");
        assert!(matches!(result, Ok(UpdateOutcome::Applied { .. })), "{result:?}");
        assert!(matches!(first.try_recv(), Ok(None)));
        assert_eq!(sum(&it), "1", "the first patch was given back");
    }

    #[test]
    fn a_runtime_that_has_shut_down_is_an_error_and_not_tried_again() {
        let it = Fixture::new();
        it.create(1);
        let store = store(acting(&it, || {}), &Arc::default());
        let runtime = runtime::Runtime::new().expect("a runtime");
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let _context = handle.enter();
        let result = store.update(&key(1), &add_one()).now_or_never().expect("an answer at once");
        assert!(matches!(result, Err(StoreError::Internal(_))), "{result:?}");
        assert!(store.queues.lock().is_empty(), "the next caller leads");
    }
}
