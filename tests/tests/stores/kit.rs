//! The kit notices a store that breaks a law: one flaw for each law.

use std::{panic, sync::Arc, time::Duration};

use actix_typed_session::{
    Clock as _, FakeClock, MemoryStore, StoreError, Timestamp,
    store::{
        Change, CreateOutcome, ExpiryChange, Grace, Limits, LoadOptions, Number, Patch, Record,
        SessionStore, StoreKey, UpdateOutcome,
    },
    testing::{Harness, laws, run},
};

const HOUR: Duration = Duration::from_secs(3600);

/// How a store is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    LoadsExpired,
    CreateOverwrites,
    CreateReportsTheWrongThing,
    UpdateChecksFirstAndWritesLater,
    UpdateForgetsOtherFields,
    UpdateRevives,
    UpdateIgnoresVersions,
    UpdateKeepsTheExpiry,
    AddIsReadAndWritten,
    AddStartsFromZero,
    AddRounds,
    LoadFieldsForgetsOne,
    LoadFieldsSaysThatAPartIsWhole,
    LoadAndTouchOnlySaysSo,
    LoadAndTouchShortens,
    LoadAndTouchExtendsTheRetired,
    LoadAndTouchForgetsTheLimits,
    TouchShortens,
    TouchOfTheGoneSucceeds,
    DestroyForgetsTheSuccessor,
    DestroyAlwaysReportsTrue,
    RotateDeletesTheOldKey,
    RotateOverwrites,
    RotateLeavesTheOldKeyAlive,
    RotateForgetsTheGrace,
    RotateRefusesARepetition,
    RotateAppliesARepetition,
    RotateRepeatsForAnyKey,
}

use Flaw as F;

#[derive(Clone)]
struct Broken {
    store: MemoryStore,
    clock: FakeClock,
    flaw: Flaw,
}

impl Broken {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// Waits as a slow store does, so that races happen.
    async fn dawdle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    async fn replace(&self, key: &StoreKey, record: &Record) -> Result<(), StoreError> {
        self.store.destroy(key).await?;
        self.store.create(key, record).await?;
        Ok(())
    }

    async fn load_fields(
        &self,
        key: &StoreKey,
        fields: &[&str],
    ) -> Result<Option<Record>, StoreError> {
        let Some(whole) = self.store.load(key, &LoadOptions::default()).await? else {
            return Ok(None);
        };
        let part = |wanted: &[&str]| {
            let mut others = Patch::default();
            for (name, _) in whole.fields().filter(|(name, _)| !wanted.contains(name)) {
                others.remove(name.to_owned().into());
            }
            others.apply_to(&whole).unwrap_or_else(|_| whole.clone())
        };
        Ok(Some(match self.flaw {
            F::LoadFieldsForgetsOne => {
                part(fields.split_first().map_or(&[], |(_, rest)| rest)).into_partial()
            }
            F::LoadFieldsSaysThatAPartIsWhole => part(fields),
            _ => whole,
        }))
    }

    async fn load_and_touch(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        let found = self.store.load(key, &LoadOptions::default()).await?;
        let Some(record) = &found else { return Ok(None) };
        let later = options.new_expiry(record).unwrap_or(record.expires_at());
        match self.flaw {
            F::LoadAndTouchOnlySaysSo => return Ok(found.map(|record| record.extended_to(later))),
            F::LoadAndTouchShortens => {
                let mut patch = Patch::default();
                patch.set_expiry(ExpiryChange::Set(self.clock.now().saturating_add(HOUR)));
                self.store.update(key, &patch).await?;
            }
            F::LoadAndTouchExtendsTheRetired if record.is_retired() => {
                let longer = record.clone().extended_to(record.expires_at().saturating_add(HOUR));
                self.replace(key, &longer).await?;
            }
            F::LoadAndTouchForgetsTheLimits => {
                let mut patch = Patch::default();
                patch.set_limits(Limits::default());
                let unlimited = patch.apply_to(record).ok();
                if let Some(later) = unlimited.and_then(|record| options.new_expiry(&record)) {
                    self.store.touch(key, later).await?;
                }
            }
            _ => {}
        }
        self.store.load(key, &LoadOptions::default()).await
    }
}

impl SessionStore for Broken {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        if self.is(F::CreateOverwrites) {
            self.store.destroy(key).await?;
        }
        let mut record = record.clone();
        if self.is(F::LoadsExpired) {
            record = record.extended_to(Timestamp::from_unix_ms(u64::MAX));
        }
        let created = self.store.create(key, &record).await?;
        Ok(if self.is(F::CreateReportsTheWrongThing) { CreateOutcome::Stored } else { created })
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        // A flaw of one kind of load leaves the other alone.
        let is_touched = format!("{:?}", self.flaw).starts_with("LoadAndTouch");
        match options.fields() {
            Some(fields) => self.load_fields(key, fields).await,
            None if is_touched => self.load_and_touch(key, options).await,
            None => self.store.load(key, options).await,
        }
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        let current = self.store.load(key, &LoadOptions::default()).await?;
        match (self.flaw, current) {
            (F::UpdateRevives, None) => {
                let later = self.clock.now().saturating_add(Duration::from_secs(3600));
                let record = patch.apply_to(&Record::new(self.clock.now(), later));
                if let Ok(record) = record {
                    self.store.create(key, &record).await?;
                }
                Ok(UpdateOutcome::Applied { version: 1 })
            }
            (F::UpdateChecksFirstAndWritesLater, Some(record)) => {
                self.dawdle().await;
                match patch.apply_to(&record) {
                    Ok(record) => {
                        self.replace(key, &record).await?;
                        Ok(UpdateOutcome::Applied { version: record.version() })
                    }
                    Err(_) => self.store.update(key, patch).await,
                }
            }
            (F::UpdateForgetsOtherFields, Some(record)) => {
                let mut patch = patch.clone();
                patch.reset(record.created_at());
                self.store.update(key, &patch).await
            }
            (F::UpdateIgnoresVersions, Some(_)) if patch.expected_version().is_some() => {
                let mut blind = Patch::default();
                copy_changes(patch, &mut blind);
                self.store.update(key, &blind).await
            }
            (F::UpdateKeepsTheExpiry, Some(_)) if patch.expiry().is_some() => {
                let mut blind = Patch::default();
                copy_changes(patch, &mut blind);
                self.store.update(key, &blind).await
            }
            (F::AddIsReadAndWritten | F::AddStartsFromZero | F::AddRounds, Some(record)) => {
                let mut set = patch.clone();
                for (name, change) in patch.changes() {
                    if let Change::Add { from, by } = change {
                        let from =
                            if self.is(F::AddStartsFromZero) { Number::Int(0) } else { *from };
                        let stored = record.field(name).and_then(|json| Number::parse(json).ok());
                        let mut sum = stored.unwrap_or(from).saturating_add(*by);
                        if let (Number::Int(n), true) = (sum, self.is(F::AddRounds)) {
                            sum = Number::Int(n as f64 as i128);
                        }
                        set.set(name.to_owned().into(), sum.to_json().into());
                    }
                }
                if self.is(F::AddIsReadAndWritten) {
                    self.dawdle().await;
                }
                self.store.update(key, &set).await
            }
            _ => self.store.update(key, patch).await,
        }
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        if self.is(F::TouchShortens)
            && self.store.load(key, &LoadOptions::default()).await?.is_some()
        {
            let mut patch = Patch::default();
            patch.set_expiry(actix_typed_session::store::ExpiryChange::Set(expires_at));
            self.store.update(key, &patch).await?;
            return Ok(true);
        }
        let touched = self.store.touch(key, expires_at).await?;
        Ok(touched || self.is(F::TouchOfTheGoneSucceeds))
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        if self.is(F::DestroyForgetsTheSuccessor)
            && let Some(retired) =
                self.store.load(key, &LoadOptions::default()).await?.filter(Record::is_retired)
            && let Some(successor) = retired.successor()
            && let Some(saved) = self.store.load(successor, &LoadOptions::default()).await?
        {
            let successor = *successor;
            self.store.destroy(key).await?;
            self.store.create(&successor, &saved).await?;
            return Ok(true);
        }
        Ok(self.store.destroy(key).await? || self.is(F::DestroyAlwaysReportsTrue))
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        mut grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        if self.is(F::RotateOverwrites) {
            self.store.destroy(new).await?;
        }
        if self.is(F::RotateForgetsTheGrace) {
            grace.until = Timestamp::from_unix_ms(u64::MAX);
        }
        let before = self.store.load(old, &LoadOptions::default()).await?;
        let is_retired = before.as_ref().is_some_and(Record::is_retired);
        match self.flaw {
            F::RotateRefusesARepetition if is_retired => return Ok(UpdateOutcome::Gone),
            F::RotateAppliesARepetition if is_retired => {
                return self.store.update(new, patch).await;
            }
            F::RotateRepeatsForAnyKey if is_retired => {
                return Ok(UpdateOutcome::Applied { version: 1 });
            }
            _ => {}
        }
        let updated = self.store.rotate(old, new, patch, grace).await?;
        if let (UpdateOutcome::Applied { .. }, Some(before)) = (&updated, before) {
            let moved = self.store.load(new, &LoadOptions::default()).await?;
            if self.is(F::RotateDeletesTheOldKey) {
                self.store.destroy(old).await?;
            }
            if self.is(F::RotateLeavesTheOldKeyAlive) {
                self.replace(old, &before).await?;
            }
            if let Some(moved) = moved {
                self.store.create(new, &moved).await?;
            }
        }
        Ok(updated)
    }
}

fn copy_changes(from: &Patch, to: &mut Patch) {
    for (name, change) in from.changes() {
        let name = name.to_owned().into();
        match change {
            Change::Set(json) => to.set(name, Arc::clone(json)),
            Change::Remove => to.remove(name),
            Change::Add { from, by } => to.add(name, *from, *by),
            other => panic!("unknown change {other:?}"),
        }
    }
}

struct Case {
    clock: FakeClock,
    flaw: Flaw,
}

impl Harness for Case {
    type Store = Broken;

    async fn open(&self) -> Broken {
        let store = MemoryStore::builder().clock(self.clock.clone()).build();
        Broken { store, clock: self.clock.clone(), flaw: self.flaw }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// Whether a claim notices a flaw: it panics. The test harness keeps the messages to itself.
macro_rules! notices {
    ($claim:ident, $flaw:expr) => {
        panic::catch_unwind(|| run(Case { clock: FakeClock::default(), flaw: $flaw }, laws::$claim))
            .is_err()
    };
}

#[test]
fn the_kit_notices_each_broken_law() {
    macro_rules! check {
        ($($flaw:ident: $($claim:ident),+;)*) => {
            ([$($(
                (notices!($claim, F::$flaw), format!("{} by {}", stringify!($flaw), stringify!($claim))),
            )+)*]
            .into_iter()
            .filter(|(noticed, _)| !noticed)
            .map(|(_, what)| what)
            .collect::<Vec<String>>(), [$($(
                (notices!($claim, F::None), stringify!($claim)),
            )+)*]
            .into_iter()
            .filter(|(noticed, _)| *noticed)
            .map(|(_, claim)| claim)
            .collect::<Vec<&str>>())
        };
    }
    let (missed, wrong) = check! {
        LoadsExpired: load_of_an_expired_session_is_none_from_that_moment,
            create_takes_the_key_of_an_expired_session;
        CreateOverwrites: create_never_overwrites, concurrent_creates_of_one_key_store_one;
        CreateReportsTheWrongThing: create_never_overwrites;
        UpdateChecksFirstAndWritesLater: update_against_destroy_does_not_revive,
            concurrent_updates_of_different_fields_all_survive, random_interleavings_keep_the_laws;
        UpdateForgetsOtherFields: update_changes_the_named_fields_only;
        UpdateRevives: update_touch_and_rotate_of_a_gone_session_bring_nothing_back;
        UpdateIgnoresVersions: a_patch_for_another_version_is_refused_as_a_whole,
            of_concurrent_writers_one_gets_each_version;
        UpdateKeepsTheExpiry: update_stores_limits_and_expiry;
        AddIsReadAndWritten: concurrent_additions_add_up, random_interleavings_keep_the_laws;
        AddRounds: additions_work_on_every_number;
        LoadFieldsForgetsOne: load_of_some_fields_has_them_and_reports_whether_it_is_whole;
        LoadFieldsSaysThatAPartIsWhole: load_of_some_fields_has_them_and_reports_whether_it_is_whole;
        LoadAndTouchOnlySaysSo: load_and_touch_extends_as_asked_or_not_at_all;
        LoadAndTouchShortens: load_and_touch_extends_as_asked_or_not_at_all;
        LoadAndTouchExtendsTheRetired: load_and_touch_does_not_extend_a_retired_session;
        LoadAndTouchForgetsTheLimits: load_and_touch_extends_as_asked_or_not_at_all;
        AddStartsFromZero: additions_start_from_the_given_number;
        TouchShortens: touch_only_extends, concurrent_touches_keep_the_latest;
        TouchOfTheGoneSucceeds: update_touch_and_rotate_of_a_gone_session_bring_nothing_back;
        DestroyForgetsTheSuccessor: destroy_follows_renewals;
        DestroyAlwaysReportsTrue: destroy_is_idempotent_and_reports_whether_something_was_there;
        RotateDeletesTheOldKey: rotate_moves_the_session_and_retires_the_old_key;
        RotateOverwrites: rotate_never_overwrites;
        RotateLeavesTheOldKeyAlive: a_retired_session_takes_no_change,
            random_interleavings_keep_the_laws;
        RotateForgetsTheGrace:
            a_retired_session_ends_with_its_grace_and_never_later_than_before;
        RotateRefusesARepetition: a_repeated_rotate_has_the_outcome_of_the_first;
        RotateAppliesARepetition: a_repeated_rotate_has_the_outcome_of_the_first;
        RotateRepeatsForAnyKey: a_rotate_to_another_key_is_not_a_repetition,
            a_repeated_rotate_brings_nothing_back;
    };
    assert!(missed.is_empty(), "not noticed: {missed:#?}");
    assert!(wrong.is_empty(), "a store without flaws is blamed by {wrong:#?}");
}

#[test]
fn the_model_notices_flaws_that_need_no_concurrency() {
    let flaws = [
        F::CreateOverwrites,
        F::CreateReportsTheWrongThing,
        F::UpdateForgetsOtherFields,
        F::UpdateRevives,
        F::UpdateIgnoresVersions,
        F::UpdateKeepsTheExpiry,
        F::AddStartsFromZero,
        F::TouchShortens,
        F::TouchOfTheGoneSucceeds,
        F::DestroyForgetsTheSuccessor,
        F::DestroyAlwaysReportsTrue,
        F::RotateDeletesTheOldKey,
        F::RotateOverwrites,
        F::RotateLeavesTheOldKeyAlive,
        F::RotateForgetsTheGrace,
        F::RotateRefusesARepetition,
        F::RotateAppliesARepetition,
        F::RotateRepeatsForAnyKey,
    ];
    let missed: Vec<Flaw> = flaws
        .into_iter()
        .filter(|flaw| !notices!(random_calls_agree_with_the_model, *flaw))
        .collect();
    assert!(missed.is_empty(), "not noticed: {missed:#?}");
}
