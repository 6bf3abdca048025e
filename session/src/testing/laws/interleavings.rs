//! All laws at once, with concurrent calls: several tasks use one session at random.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::task::JoinSet;

use super::{
    checks::{create, expect, expect_eq, ok, try_load},
    concurrent::joined,
    random::Random,
    records::{add, field, grace, json, new_key, record, ticks},
};
use crate::{
    id::StoreKey,
    record::{OldIdReads, Record},
    store::{SessionStore, UpdateOutcome},
    testing::harness::Harness,
};

const TASKS: usize = 6;
const CALLS_PER_TASK: u32 = 15;
const ROUNDS: u64 = 40;

pub async fn random_interleavings_keep_the_laws<H: Harness>(harness: Arc<H>) {
    for round in 1..=ROUNDS {
        let shared = Arc::new(SharedSession {
            store: harness.open().await,
            harness: Arc::clone(&harness),
            keys: Mutex::new(vec![new_key()]),
            added: AtomicU64::new(0),
            destroyed: AtomicBool::new(false),
        });
        create(&shared.store, &shared.key(), &record(&harness)).await;
        let mut tasks = JoinSet::new();
        for number in 0..TASKS {
            let random = Random::new(round * 31 + number as u64 + 1);
            let task = Task { shared: Arc::clone(&shared), number, random, own_value: None };
            tasks.spawn(task.run());
        }
        let mut own_values = [None; TASKS];
        while let Some(result) = tasks.join_next().await {
            let (task, own_value) = joined(result);
            own_values[task] = own_value;
        }
        expect_outcome(&shared, &own_values, round).await;
    }
}

/// One session that the tasks of a round share, and what the store has reported to them.
struct SharedSession<H: Harness> {
    harness: Arc<H>,
    store: H::Store,
    /// The keys that the session has had. The last one is its current key.
    keys: Mutex<Vec<StoreKey>>,
    /// How many additions were applied.
    added: AtomicU64,
    /// Whether a call that destroyed the session has returned.
    destroyed: AtomicBool,
}

impl<H: Harness> SharedSession<H> {
    fn key(&self) -> StoreKey {
        *self.keys.lock().expect("no task panics with it").last().expect("it begins with one")
    }

    fn count_addition(&self) {
        self.added.fetch_add(1, Ordering::SeqCst);
    }
}

/// Fails if the session is not what the tasks' calls made of it.
async fn expect_outcome<H: Harness>(
    shared: &SharedSession<H>,
    own_values: &[Option<u32>; TASKS],
    round: u64,
) {
    let keys = shared.keys.lock().expect("all tasks have ended").clone();
    let mut live = Vec::new();
    for key in &keys {
        live.extend(try_load(&shared.store, key).await.filter(|record| !record.is_retired()));
    }
    let is_destroyed = shared.destroyed.load(Ordering::SeqCst);
    expect_eq(
        format_args!(
            "law 4: a destroyed session is live under no key, any other under one; round {round}, \
             destroyed: {is_destroyed}"
        ),
        live.len(),
        usize::from(!is_destroyed),
    );
    let Some(record) = live.first() else { return };
    let added = shared.added.load(Ordering::SeqCst);
    expect_eq(
        format_args!("law 5: the sum has every addition that was reported; round {round}"),
        field(record, "n"),
        (added > 0).then(|| added.to_string()),
    );
    for (task, own_value) in own_values.iter().enumerate() {
        expect_eq(
            format_args!("law 3: task {task} finds its last value that was applied; round {round}"),
            field(record, &own_field(task)),
            own_value.map(|n| n.to_string()),
        );
    }
}

/// The field that only this task writes.
fn own_field(task: usize) -> String {
    format!("own{task}")
}

struct Task<H: Harness> {
    shared: Arc<SharedSession<H>>,
    number: usize,
    random: Random,
    /// The last value of the task's own field that was applied.
    own_value: Option<u32>,
}

impl<H: Harness> Task<H> {
    /// Makes random calls. Returns the task's number and the last applied value of its field.
    async fn run(mut self) -> (usize, Option<u32>) {
        for n in 0..CALLS_PER_TASK {
            let was_destroyed = self.shared.destroyed.load(Ordering::SeqCst);
            let key = self.shared.key();
            // Only one task renews, so that it knows the current key.
            let call = self.random.below(if self.number == 0 { 40 } else { 34 });
            let was_live = match call {
                0..10 => self.update(&key, n).await,
                10..18 => self.update_with_version(&key).await,
                18..26 => self.load_live(&key).await.is_some(),
                26..33 => {
                    let later = ticks(&self.shared.harness, 2_000 + n);
                    ok(self.shared.store.touch(&key, later)).await
                }
                // Destroys are rare, so that many rounds end with a live session.
                33 if self.random.below(6) > 0 => continue,
                33 => self.destroy(&key).await,
                _ => self.renew(&key).await,
            };
            expect(
                "law 4: no call finds a session after a `destroy` of it has returned",
                !(was_destroyed && was_live),
                format_args!("call {call} of task {} found it", self.number),
            );
            if self.random.below(4) == 0 {
                tokio::task::yield_now().await;
            }
        }
        (self.number, self.own_value)
    }

    async fn update(&mut self, key: &StoreKey, n: u32) -> bool {
        let mut patch = add("n", 1);
        patch.set(own_field(self.number).into(), json(&n.to_string()));
        let updated = ok(self.shared.store.update(key, &patch)).await;
        let is_applied = self.expect_applied_or_gone(&updated);
        if is_applied {
            self.own_value = Some(n);
        }
        is_applied
    }

    async fn update_with_version(&self, key: &StoreKey) -> bool {
        let Some(record) = try_load(&self.shared.store, key).await else { return false };
        let mut patch = add("n", 1);
        patch.expect_version(record.version());
        match ok(self.shared.store.update(key, &patch)).await {
            UpdateOutcome::Applied { version } => {
                self.shared.count_addition();
                expect_eq("law 6: an update adds 1 to the version", version, record.version() + 1);
            }
            UpdateOutcome::Conflict(current) => expect(
                format_args!("law 6: `Conflict` has a version after {}", record.version()),
                current.version() > record.version(),
                current.version(),
            ),
            UpdateOutcome::Gone => {}
            UpdateOutcome::Taken => panic!(
                "law 2: only `rotate` needs a free key\n  expected: Applied, Conflict or \
                 Gone\n       got: Taken"
            ),
        }
        !record.is_retired()
    }

    async fn load_live(&self, key: &StoreKey) -> Option<Record> {
        try_load(&self.shared.store, key).await.filter(|record| !record.is_retired())
    }

    async fn destroy(&self, key: &StoreKey) -> bool {
        let destroyed = ok(self.shared.store.destroy(key)).await;
        if destroyed {
            self.shared.destroyed.store(true, Ordering::SeqCst);
        }
        destroyed
    }

    async fn renew(&self, key: &StoreKey) -> bool {
        let new = new_key();
        let grace = grace(&self.shared.harness, 500, OldIdReads::Snapshot);
        let rotated = ok(self.shared.store.rotate(key, &new, &add("n", 1), grace)).await;
        let is_applied = self.expect_applied_or_gone(&rotated);
        if is_applied {
            self.shared.keys.lock().expect("no task panics with it").push(new);
        }
        is_applied
    }

    /// Counts the addition of a change that was applied. Returns whether it was.
    fn expect_applied_or_gone(&self, updated: &UpdateOutcome) -> bool {
        match updated {
            UpdateOutcome::Applied { .. } => {
                self.shared.count_addition();
                true
            }
            UpdateOutcome::Gone => false,
            other => panic!(
                "laws 3 and 4: a change that expects no version is applied, or the session is \
                 gone\n  expected: Applied or Gone\n       got: {other:?}"
            ),
        }
    }
}
