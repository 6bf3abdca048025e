//! The laws hold while sessions move to another store, in each phase.

use std::time::Duration;

use actix_typed_session::{
    Clock as _, Durability, EncryptedStore, FakeClock, FileStore, Key, MemoryStore, PublicId,
    Timestamp,
    store::{
        CreateOutcome, FindByIndex as _, Index, ListAll as _, LoadOptions, MovingStore, Patch,
        Record, SessionStore, StoreKey, UpdateOutcome,
    },
    store_conformance,
    testing::{Fault, FaultyStore, Harness, Operation},
};
use actix_typed_session_tests::{
    folder::lasting_folder,
    json::{add, json, set},
    moving::{MovingHarness, Scene},
};

/// Makes a test store of a clock.
trait Open: Send + Sync + 'static {
    type Store: SessionStore + Clone;

    fn open(&self, clock: FakeClock) -> Self::Store;
}

struct Memory;

impl Open for Memory {
    type Store = MemoryStore;

    fn open(&self, clock: FakeClock) -> MemoryStore {
        MemoryStore::builder().clock(clock).sweep_interval(None).build()
    }
}

struct Files;

impl Open for Files {
    type Store = FileStore;

    fn open(&self, clock: FakeClock) -> FileStore {
        let builder = FileStore::builder(lasting_folder().join("sessions")).clock(clock);
        builder.durability(Durability::Process).sweep_interval(None).build().expect("a folder")
    }
}

/// Stores with a key of their own.
struct Encrypted<O>(O, u8);

impl<O: Open> Open for Encrypted<O> {
    type Store = EncryptedStore<O::Store>;

    fn open(&self, clock: FakeClock) -> Self::Store {
        let key = Key::from_bytes([self.1; 32]);
        EncryptedStore::new(self.0.open(clock), [key]).expect("there is a key")
    }
}

/// A store with a clock that it shares with the other one.
struct Clocked<O>(O, FakeClock);

impl<O: Open> Harness for Clocked<O> {
    type Store = O::Store;

    async fn open(&self) -> O::Store {
        self.0.open(self.1.clone())
    }

    fn now(&self) -> Timestamp {
        self.1.now()
    }

    async fn advance(&self, by: Duration) {
        self.1.advance(by);
    }
}

fn harness<Old: Open, New: Open>(
    scene: Scene,
    old: Old,
    new: New,
) -> MovingHarness<Clocked<Old>, Clocked<New>> {
    let clock = FakeClock::default();
    MovingHarness { scene, old: Clocked(old, clock.clone()), new: Clocked(new, clock) }
}

macro_rules! laws_of_moves {
    ($capabilities:tt $($module:ident: $scene:ident, $old:expr, $new:expr;)*) => {
        $(mod $module {
            use super::*;

            laws!($capabilities harness(Scene::$scene, $old, $new));
        })*
    };
}

macro_rules! laws {
    ([$($capability:ident),*] $harness:expr) => {
        store_conformance!($harness, $($capability),*);
    };
}

laws_of_moves! {
    [DeleteExpired, FindByIndex, ListAll]
    from_memory_to_memory_empty: Empty, Memory, Memory;
    from_memory_to_memory_ready: Ready, Memory, Memory;
    from_memory_to_memory_all_in_old: AllInOld, Memory, Memory;
    from_memory_to_memory_in_both_phases: BothPhases, Memory, Memory;
    from_files_to_memory_all_in_old: AllInOld, Files, Memory;
    from_files_to_memory_in_both_phases: BothPhases, Files, Memory;
    from_memory_to_files_all_in_old: AllInOld, Memory, Files;
    from_files_to_files_in_both_phases: BothPhases, Files, Files;
}

// What is encrypted is found by nothing.
laws_of_moves! {
    [DeleteExpired, ListAll]
    from_plain_to_encrypted_all_in_old: AllInOld, Memory, Encrypted(Memory, 1);
    from_plain_to_encrypted_in_both_phases: BothPhases, Files, Encrypted(Memory, 1);
    from_one_key_to_another_in_both_phases: BothPhases, Encrypted(Memory, 1), Encrypted(Files, 2);
}

const KEY: StoreKey = StoreKey::from_bytes([7; 32]);

type Faulty = FaultyStore<MemoryStore>;

/// Both stores, with a session of user 1 in the old one.
async fn stores() -> (Faulty, Faulty) {
    let (old, new) = (FaultyStore::new(MemoryStore::new()), FaultyStore::new(MemoryStore::new()));
    let now = actix_typed_session::SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    let mut patch = set(&[("user", "1"), ("n", "1")]);
    let id = PublicId::new(now, Duration::from_secs(3_600));
    patch.index_field(Index::new(id, "user".into()));
    let record = patch.apply_to(&record).expect("a live record");
    assert_eq!(old.create(&KEY, &record).await.ok(), Some(CreateOutcome::Stored));
    (old, new)
}

/// Each step of a move, and how it fails: not carried out, or without an answer.
const FAILURES: [(&str, Operation, Fault); 8] = [
    ("new", Operation::Create, Fault::ErrorBefore),
    ("new", Operation::Create, Fault::ErrorAfter),
    ("old", Operation::Rotate, Fault::ErrorBefore),
    ("old", Operation::Rotate, Fault::ErrorAfter),
    ("new", Operation::Rotate, Fault::ErrorBefore),
    ("new", Operation::Rotate, Fault::ErrorAfter),
    ("old", Operation::Destroy, Fault::ErrorBefore),
    ("old", Operation::Destroy, Fault::ErrorAfter),
];

#[tokio::test]
async fn a_move_that_fails_harms_no_write_and_is_finished_by_the_next_one() {
    for (store, operation, fault) in FAILURES {
        let (old, new) = stores().await;
        let what = format!("{operation:?} of the {store} store, {fault:?}");
        if store == "old" { &old } else { &new }.inject(operation, fault);
        let moving = MovingStore::moving(old.clone(), new.clone());
        let updated = moving.update(&KEY, &add("n", 1)).await;
        assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{what}: {updated:?}");
        old.heal();
        new.heal();
        for store in [MovingStore::ready(old.clone(), new.clone()), moving.clone()] {
            assert_eq!(number(&store).await.as_deref(), Some("2"), "{what}");
            let page = store.find("user", &json("1"), None, 10).await.expect("memory is up");
            let found: Vec<_> = page.sessions.iter().map(|(key, _)| *key).collect();
            assert!(found == [KEY], "{what}: it is found once, by its own key");
            assert_eq!(page.sessions[0].1.fields().len(), 2, "{what}: it has its own fields");
        }
        let updated = moving.update(&KEY, &add("n", 1)).await;
        assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{what}: {updated:?}");
        let moved = new.load(&KEY, &LoadOptions::default()).await.expect("memory is up");
        let moved = moved.expect("it has moved");
        assert_eq!(moved.field("n").map(|json| json.get()), Some("3"), "{what}");
        let page = old.find("user", &json("1"), None, 10).await.expect("memory is up");
        assert!(page.sessions.len() <= 1, "{what}");
        assert_eq!(moving.destroy(&KEY).await.ok(), Some(true), "{what}");
        assert!(number(&moving).await.is_none() && number(&moving).await.is_none(), "{what}");
    }
}

/// The session's number.
async fn number(store: &impl SessionStore) -> Option<String> {
    let record = store.load(&KEY, &LoadOptions::default()).await.expect("memory is up")?;
    record.field("n").map(|json| json.get().to_owned())
}

#[tokio::test]
async fn a_logout_that_fails_can_be_repeated_at_each_step_of_a_move() {
    for (store, operation, fault) in FAILURES {
        for call in ["seal", "destroy the new", "destroy the old"] {
            let (old, new) = stores().await;
            let what = format!("{operation:?} of the {store} store, {fault:?}, then {call}");
            if store == "old" { &old } else { &new }.inject(operation, fault);
            let moving = MovingStore::moving(old.clone(), new.clone());
            assert!(moving.update(&KEY, &add("n", 1)).await.is_ok(), "{what}");
            old.heal();
            new.heal();
            match call {
                "seal" => old.inject(Operation::Rotate, Fault::ErrorAfter),
                "destroy the new" => new.inject(Operation::Destroy, Fault::ErrorAfter),
                _ => old.inject(Operation::Destroy, Fault::ErrorAfter),
            }
            // It may fail or not, depending on where the session is.
            let _ = moving.destroy(&KEY).await;
            old.heal();
            new.heal();
            assert!(moving.destroy(&KEY).await.is_ok(), "{what}");
            let ready = MovingStore::ready(old.clone(), new.clone());
            for store in [&ready, &moving] {
                assert!(number(store).await.is_none(), "{what}");
                let updated = store.update(&KEY, &Patch::default()).await;
                assert!(matches!(updated, Ok(UpdateOutcome::Gone)), "{what}: {updated:?}");
            }
        }
    }
}

#[tokio::test]
async fn move_all_moves_what_is_left_and_leaves_nothing() {
    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    let now = actix_typed_session::SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    for n in 0..1_200_u16 {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&n.to_le_bytes());
        let record = set(&[("n", &n.to_string())]).apply_to(&record).expect("a live record");
        let created = old.create(&StoreKey::from_bytes(bytes), &record).await;
        assert_eq!(created.ok(), Some(CreateOutcome::Stored));
    }
    let store = MovingStore::moving(old.clone(), new.clone());
    let slowly = store.clone().sessions_per_second(std::num::NonZeroU32::new(4_000));
    let started = std::time::Instant::now();
    let done = slowly.move_all().await.expect("memory is up");
    assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
    assert_eq!((done.copied, done.present, done.unreadable), (1_200, 0, 0));
    assert!(old.list(None, 10).await.expect("memory is up").sessions.is_empty());
    assert_eq!(new.list(None, 2_000).await.expect("memory is up").sessions.len(), 1_200);
    let again = store.move_all().await.expect("memory is up");
    assert_eq!((again.copied, again.present), (0, 0));
}
