//! Combines the updates that wait for one session into one.
//!
//! A session has one update of this process on its way. Those that come meanwhile wait, and go as
//! one when it is answered. So a session that all requests change costs Redis a script for many
//! requests, and not one for each.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::BuildHasherDefault,
    ops::ControlFlow::{self, Break, Continue},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    error::StoreError,
    id::{KeyHasher, StoreKey},
    record::Patch,
    store::session_store::UpdateOutcome,
};

/// The updates of this process that wait, by session.
pub(super) struct UpdateTurns {
    shards: [Mutex<Sessions>; SHARDS],
}

/// The number of shards, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// What waits for each session that has an update on its way.
type Sessions = HashMap<StoreKey, Option<Box<Group>>, BuildHasherDefault<KeyHasher>>;

/// Updates that go as one.
struct Group {
    patch: Patch,
    callers: Vec<oneshot::Sender<Sent>>,
}

/// What sends updates.
pub(super) trait SendUpdates: Send + Sync + 'static {
    fn turns(&self) -> &UpdateTurns;

    /// Sends a patch that stands for `count` patches. `None`: they cannot go as one, and nothing
    /// was done.
    fn send(&self, key: &StoreKey, patch: &Patch, count: u64) -> impl Future<Output = Sent> + Send;
}

/// What Redis did. `None`: nothing, so each caller sends its update by itself.
pub(super) type Sent = Result<Option<UpdateOutcome>, StoreError>;

/// Waits with the other updates of a session until they are sent. Returns what Redis did, or
/// `Continue` if the caller has to send its update: with the turn of the session, or without if its
/// patch cannot be combined with those that wait.
pub(super) async fn wait<S: SendUpdates>(
    sender: &Arc<S>,
    key: &StoreKey,
    patch: &Patch,
) -> ControlFlow<Result<UpdateOutcome, StoreError>, Option<Turn<S>>> {
    let answer = match sender.turns().sessions(key).entry(*key) {
        Entry::Vacant(place) => {
            place.insert(None);
            return Continue(Some(Turn {
                sender: Arc::clone(sender),
                key: *key,
                is_failed: false,
            }));
        }
        Entry::Occupied(mut waiting) => match waiting.get_mut() {
            Some(group) => {
                if !group.patch.combine(patch) {
                    return Continue(None);
                }
                group.join()
            }
            waiting => {
                waiting.insert(Box::new(Group { patch: patch.clone(), callers: Vec::new() })).join()
            }
        },
    };
    match answer.await {
        Ok(Ok(Some(updated))) => Break(Ok(updated)),
        Ok(Ok(None)) => Continue(None),
        Ok(Err(error)) => Break(Err(error)),
        Err(_) => Break(Err(StoreError::unavailable("the runtime of the worker has ended"))),
    }
}

impl Group {
    fn join(&mut self) -> oneshot::Receiver<Sent> {
        let (caller, answer) = oneshot::channel();
        self.callers.push(caller);
        answer
    }
}

impl Default for UpdateTurns {
    fn default() -> Self {
        Self {
            shards: [const { Mutex::new(HashMap::with_hasher(BuildHasherDefault::new())) }; SHARDS],
        }
    }
}

impl UpdateTurns {
    fn sessions(&self, key: &StoreKey) -> MutexGuard<'_, Sessions> {
        // OK because no change of a map is in two steps.
        let shard = &self.shards[usize::from(key.as_bytes()[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits for a session, which then has the turn. If nothing does, the turn ends.
    fn next(&self, key: &StoreKey) -> Option<Box<Group>> {
        let mut sessions = self.sessions(key);
        let next = sessions.get_mut(key)?.take();
        if next.is_none() {
            sessions.remove(key);
        }
        next
    }
}

/// An update on its way. Its drop sends the updates that wait.
pub(super) struct Turn<S: SendUpdates> {
    sender: Arc<S>,
    key: StoreKey,
    /// Whether Redis did not answer. Then what waits fails too, as it would have on the connection.
    is_failed: bool,
}

impl<S: SendUpdates> Turn<S> {
    /// Ends the turn with what Redis did.
    pub(super) fn end(mut self, sent: &Sent) {
        self.is_failed = matches!(sent, Err(StoreError::Unavailable(_)));
    }

    /// Sends updates that have waited.
    async fn send(self, group: Box<Group>) {
        if group.callers.iter().all(oneshot::Sender::is_closed) {
            return;
        }
        let Group { patch, callers } = *group;
        let sent = self.sender.send(&self.key, &patch, callers.len() as u64).await;
        // First, so that those who are answered find the turn free.
        self.end(&sent);
        answer(callers, sent);
    }
}

impl<S: SendUpdates> Drop for Turn<S> {
    fn drop(&mut self) {
        let Some(group) = self.sender.turns().next(&self.key) else { return };
        let turn = Self { sender: Arc::clone(&self.sender), key: self.key, is_failed: false };
        if self.is_failed {
            let error = "Redis did not answer the update before this one";
            return answer(group.callers, Err(StoreError::unavailable(error)));
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(turn.send(group))),
            Err(_) => answer(group.callers, Ok(None)),
        }
    }
}

/// Answers each caller. The version is that of the session after the last update.
fn answer(callers: Vec<oneshot::Sender<Sent>>, sent: Sent) {
    let count = callers.len();
    let answers: Vec<Sent> = match sent {
        Ok(Some(UpdateOutcome::Applied { version: last })) => {
            let versions = (0..count as u64).rev().map(|later| last.wrapping_sub(later));
            versions.map(|version| Ok(Some(UpdateOutcome::Applied { version }))).collect()
        }
        Ok(Some(UpdateOutcome::Gone)) => {
            (0..count).map(|_| Ok(Some(UpdateOutcome::Gone))).collect()
        }
        // Nothing was changed.
        Ok(_) => (0..count).map(|_| Ok(None)).collect(),
        Err(error) => error.share(count).into_iter().map(Err).collect(),
    };
    for (caller, answer) in callers.into_iter().zip(answers) {
        // OK because a caller who has left wants no answer.
        let _ = caller.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        mem,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;
    use crate::record::Number;
    use tokio::sync::Semaphore;

    const KEY: StoreKey = StoreKey::from_bytes([1; 32]);

    /// A Redis that answers when it has a permit.
    struct Redis {
        turns: UpdateTurns,
        answers: Semaphore,
        /// How many patches each update stood for.
        log: Mutex<Vec<u64>>,
        reply: fn() -> Sent,
    }

    impl SendUpdates for Redis {
        fn turns(&self) -> &UpdateTurns {
            &self.turns
        }

        async fn send(&self, _: &StoreKey, _: &Patch, count: u64) -> Sent {
            self.log.lock().expect("no panic").push(count);
            self.answers.acquire().await.expect("it is open").forget();
            (self.reply)()
        }
    }

    impl Redis {
        fn new(reply: fn() -> Sent) -> Arc<Self> {
            let (turns, answers) = (UpdateTurns::default(), Semaphore::new(0));
            Arc::new(Self { turns, answers, log: Mutex::default(), reply })
        }

        /// Starts an update, and lets it run until it waits.
        async fn update(self: &Arc<Self>, patch: Patch) -> tokio::task::JoinHandle<Sent> {
            let redis = Arc::clone(self);
            let caller = tokio::spawn(async move {
                let turn = match wait(&redis, &KEY, &patch).await {
                    Break(updated) => return updated.map(Some),
                    Continue(turn) => turn,
                };
                let sent = redis.send(&KEY, &patch, 1).await;
                if let Some(turn) = turn {
                    turn.end(&sent);
                }
                sent
            });
            settle().await;
            caller
        }

        fn take_log(&self) -> Vec<u64> {
            mem::take(&mut self.log.lock().expect("no panic"))
        }

        async fn answer(&self, updates: usize) {
            self.answers.add_permits(updates);
            settle().await;
        }
    }

    /// Lets all tasks run until each waits.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn add(by: impl Into<Number>) -> Patch {
        let mut patch = Patch::default();
        patch.add("n".into(), Number::Int(0), by.into());
        patch
    }

    fn applied(version: u64) -> Sent {
        Ok(Some(UpdateOutcome::Applied { version }))
    }

    fn version(sent: &Sent) -> Option<u64> {
        match sent {
            Ok(Some(UpdateOutcome::Applied { version })) => Some(*version),
            _ => None,
        }
    }

    #[tokio::test]
    async fn one_update_is_on_its_way_and_the_others_go_as_one() {
        let redis = Redis::new(|| applied(9));
        let mut callers = Vec::new();
        for _ in 0..4 {
            callers.push(redis.update(add(1)).await);
        }
        assert_eq!(redis.take_log(), [1]);
        redis.answer(1).await;
        assert_eq!(redis.take_log(), [3]);
        redis.answer(1).await;
        let mut versions = Vec::new();
        for caller in callers {
            versions.push(version(&caller.await.expect("no panic")));
        }
        assert_eq!(versions, [Some(9), Some(7), Some(8), Some(9)]);
        assert!(redis.turns.sessions(&KEY).is_empty(), "no session is kept");
    }

    #[tokio::test]
    async fn an_update_that_cannot_go_with_those_that_wait_does_not_wait() {
        let redis = Redis::new(|| applied(9));
        let _callers = [
            redis.update(add(1)).await,
            redis.update(add(0.5)).await,
            redis.update(add(0.5)).await,
            redis.update(add(0.5)).await,
        ];
        assert_eq!(redis.take_log(), [1, 1, 1], "the second one waits, and the others do not");
        redis.answer(4).await;
        assert_eq!(redis.take_log(), [1]);
        assert!(redis.turns.sessions(&KEY).is_empty());
    }

    #[tokio::test]
    async fn updates_that_redis_cannot_make_as_one_are_sent_one_by_one() {
        let redis = Redis::new(|| Ok(None));
        let mut callers = Vec::new();
        for _ in 0..3 {
            callers.push(redis.update(add(1)).await);
        }
        redis.answer(2).await;
        assert_eq!(redis.take_log(), [1, 2, 1, 1]);
        redis.answer(2).await;
        for caller in callers {
            assert!(matches!(caller.await.expect("no panic"), Ok(None)));
        }
    }

    #[tokio::test]
    async fn what_waits_behind_an_update_without_an_answer_fails_with_it() {
        let redis = Redis::new(|| Err(StoreError::unavailable("down")));
        let mut callers = Vec::new();
        for _ in 0..4 {
            callers.push(redis.update(add(1)).await);
        }
        redis.answer(1).await;
        for caller in callers {
            let sent = caller.await.expect("no panic");
            assert!(matches!(sent, Err(StoreError::Unavailable(_))), "{sent:?}");
        }
        assert_eq!(redis.take_log(), [1], "the others were not sent");
        assert!(redis.turns.sessions(&KEY).is_empty());
    }

    #[tokio::test]
    async fn a_caller_who_leaves_stops_no_other_one() {
        let redis = Redis::new(|| applied(3));
        let first = redis.update(add(1)).await;
        let (second, third) = (redis.update(add(1)).await, redis.update(add(1)).await);
        first.abort();
        second.abort();
        settle().await;
        assert_eq!(redis.take_log(), [1, 2], "the turn of the first one has ended");
        redis.answer(1).await;
        assert_eq!(version(&third.await.expect("no panic")), Some(3));
        assert!(redis.turns.sessions(&KEY).is_empty());
    }

    #[test]
    fn without_a_runtime_what_waits_is_sent_by_its_callers() {
        let redis = Redis::new(|| applied(3));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let turn = runtime.block_on(wait(&redis, &KEY, &add(1)));
        let patch = add(1);
        let mut waiting = pin!(wait(&redis, &KEY, &patch));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(turn);
        assert!(matches!(runtime.block_on(waiting), Continue(None)));
        assert!(redis.turns.sessions(&KEY).is_empty());
    }
}
