//! All laws at once, call by call: random calls agree with the model.

use std::{fmt::Debug, sync::Arc, time::Duration};

use super::{
    checks::{expect_eq, ok, try_load},
    model::{Answer, Model},
    random::Random,
    records::{grace, new_key, record_for, seen, ticks},
};
use crate::{
    id::StoreKey, record::OldIdReads, store::SessionStore, testing::harness::Harness,
    time::Timestamp,
};

/// How many random calls are made.
const STEPS: u32 = 2_000;

pub async fn random_calls_agree_with_the_model<H: Harness>(harness: Arc<H>) {
    let mut pair = StoreAndModel {
        store: harness.open().await,
        harness: Arc::clone(&harness),
        model: Model::default(),
        random: Random::new(1),
        keys: [(); 4].map(|()| new_key()),
        step: 0,
    };
    // A harness that waits for a real clock advances less often.
    let advance_every = if harness.tick() < Duration::from_secs(60) { 400 } else { 20 };
    while pair.step < STEPS {
        pair.step += 1;
        let now = pair.at_a_time_without_expiry().await;
        let key = pair.random.pick(&pair.keys);
        if pair.random.below(advance_every) == 0 {
            harness.advance(harness.tick()).await;
        } else {
            match pair.random.below(12) {
                0 | 1 => pair.create(key, now).await,
                2..=5 => pair.update(key, now).await,
                6 => pair.touch(key, now).await,
                7 => pair.destroy(key, now).await,
                8 | 9 => pair.rotate(key, now).await,
                _ => {}
            }
        }
        pair.load(key).await;
    }
}

/// A store and the model that it must agree with.
struct StoreAndModel<H: Harness> {
    harness: Arc<H>,
    store: H::Store,
    model: Model,
    random: Random,
    keys: [StoreKey; 4],
    step: u32,
}

impl<H: Harness> StoreAndModel<H> {
    /// Waits until no session is about to expire. A real clock goes on during a call, so the model
    /// could not predict the answer of a call that spans an expiry.
    async fn at_a_time_without_expiry(&self) -> Timestamp {
        let moment = self.harness.tick() / 10;
        loop {
            let now = self.harness.now();
            if !self.model.expires_before(now.saturating_add(moment), now) {
                return now;
            }
            self.harness.advance(moment).await;
        }
    }

    async fn create(&mut self, key: StoreKey, now: Timestamp) {
        let record = record_for(&self.harness, self.random.below(9) as u32 + 2);
        let created = ok(self.store.create(&key, &record)).await;
        self.expect_eq("law 2: `create`", created, |model| model.create(key, record, now));
    }

    async fn update(&mut self, key: StoreKey, now: Timestamp) {
        let patch = self.random.patch(&self.harness);
        let updated = Answer::from(&ok(self.store.update(&key, &patch)).await);
        self.expect_eq("laws 3 to 6: `update`", updated, |model| model.update(key, &patch, now));
    }

    async fn touch(&mut self, key: StoreKey, now: Timestamp) {
        let later = ticks(&self.harness, self.random.below(12) as u32);
        let touched = ok(self.store.touch(&key, later)).await;
        self.expect_eq("laws 4 and 8: `touch`", touched, |model| model.touch(key, later, now));
    }

    async fn destroy(&mut self, key: StoreKey, now: Timestamp) {
        let destroyed = ok(self.store.destroy(&key)).await;
        self.expect_eq("law 7: `destroy`", destroyed, |model| model.destroy(&key, now));
    }

    async fn rotate(&mut self, old: StoreKey, now: Timestamp) {
        let new = self.random.pick(&self.keys);
        if new == old {
            return;
        }
        let old_id = self.random.pick(&[OldIdReads::Snapshot, OldIdReads::Nothing]);
        let grace = grace(&self.harness, self.random.below(4) as u32 + 1, old_id);
        let patch = self.random.patch(&self.harness);
        // Some calls are repeated, as after a lost answer.
        for _ in 0..self.random.below(3).max(1) {
            let rotated = Answer::from(&ok(self.store.rotate(&old, &new, &patch, grace)).await);
            self.expect_eq("laws 2 to 6 and 12: `rotate`", rotated, |model| {
                model.rotate((old, new), &patch, grace, now)
            });
        }
    }

    async fn load(&mut self, key: StoreKey) {
        let now = self.harness.now();
        let loaded = try_load(&self.store, &key).await;
        let loaded = loaded.map(|record| (seen(&record), record.version()));
        self.expect_eq("all laws: `load` after the call", loaded, |model| {
            model.load(&key, now).map(|record| (seen(record), record.version()))
        });
    }

    /// Fails if the store answers otherwise than the model. `call` names the laws and the call.
    #[track_caller]
    fn expect_eq<T: Debug + PartialEq>(
        &mut self,
        call: &str,
        actual: T,
        expected: impl FnOnce(&mut Model) -> T,
    ) {
        expect_eq(
            format_args!("{call} answers as the model does, in step {} of random calls", self.step),
            actual,
            expected(&mut self.model),
        );
    }
}
