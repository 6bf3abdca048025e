//! Encryption at rest: the laws hold with it, and the store has no plain value.

use std::{fs, path::Path};

use actix_typed_session::{
    Clock as _, Durability, EncryptedStore, FakeClock, FileStore, Key, MemoryStore, PublicId,
    SessionId, StoreError,
    store::{
        Grace, Index, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore, StoreKey,
        UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    concurrency::{self, field as shown},
    folder::lasting_folder,
    json::{self, add, set},
    site::REQUESTS,
};
use serde_json::value::RawValue;
use tempfile::TempDir;

mod laws {
    use std::time::Duration;

    use actix_typed_session::{
        Timestamp,
        testing::{Damage, Harness, Reopen},
    };

    use super::*;

    mod in_memory {
        use actix_typed_session::store_conformance;

        use super::*;

        #[derive(Default)]
        struct Memory(FakeClock);

        impl Harness for Memory {
            type Store = EncryptedStore<MemoryStore>;

            async fn open(&self) -> Self::Store {
                encrypted(MemoryStore::builder().clock(self.0.clone()).build())
            }

            fn now(&self) -> Timestamp {
                self.0.now()
            }

            async fn advance(&self, by: Duration) {
                self.0.advance(by);
            }
        }

        store_conformance!(Memory::default(), DeleteExpired, ListAll);
    }

    mod in_files {
        use actix_typed_session::store_conformance;

        use super::*;

        #[derive(Default)]
        struct Files(FakeClock);

        impl Harness for Files {
            type Store = EncryptedStore<FileStore>;

            async fn open(&self) -> Self::Store {
                encrypted(files(&lasting_folder(), &self.0))
            }

            fn now(&self) -> Timestamp {
                self.0.now()
            }

            async fn advance(&self, by: Duration) {
                self.0.advance(by);
            }
        }

        impl Reopen for Files {
            async fn reopen(&self, store: Self::Store) -> Self::Store {
                let path = store.inner().path().to_owned();
                drop(store);
                encrypted(files(&path, &self.0))
            }
        }

        impl Damage for Files {
            async fn damage(&self, store: &Self::Store, key: &StoreKey, bytes: &[u8]) {
                fs::write(file(store.inner(), key), bytes).expect("a writable folder");
            }
        }

        store_conformance!(Files::default(), DeleteExpired, ListAll, Reopen, Damage);
    }
}

const KEY: Key = Key::from_bytes([1; 32]);
const NEWER_KEY: Key = Key::from_bytes([2; 32]);

fn encrypted<S: SessionStore>(store: S) -> EncryptedStore<S> {
    EncryptedStore::new(store, [KEY]).expect("there is a key")
}

fn files(path: &Path, clock: &FakeClock) -> FileStore {
    FileStore::builder(path)
        .clock(clock.clone())
        .durability(Durability::Process)
        .build()
        .expect("a writable folder")
}

fn file(store: &FileStore, key: &StoreKey) -> std::path::PathBuf {
    let name = key.to_hex();
    store.path().join(&name[..2]).join(&name[2..])
}

fn memory() -> MemoryStore {
    MemoryStore::builder().clock(FakeClock::default()).build()
}

fn new_key() -> StoreKey {
    StoreKey::from(&SessionId::random())
}

fn record(fields: &[(&str, &str)]) -> Record {
    json::record(FakeClock::default().now(), fields)
}

async fn create<S: SessionStore>(store: &S, record: &Record) -> StoreKey {
    let key = new_key();
    store.create(&key, record).await.expect("the store works");
    key
}

async fn load<S: SessionStore>(store: &S, key: &StoreKey) -> Record {
    store.load(key, &LoadOptions::default()).await.expect("the store works").expect("it is there")
}

fn field<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.field(name).map(RawValue::get)
}

/// What the store has for a field.
async fn stored<S: SessionStore>(store: &EncryptedStore<S>, key: &StoreKey, name: &str) -> String {
    field(&load(store.inner(), key).await, name).expect("the field is stored").to_owned()
}

/// Puts something else into the store for a field.
async fn plant<S: SessionStore>(store: &EncryptedStore<S>, key: &StoreKey, name: &str, text: &str) {
    let updated = store.inner().update(key, &set(&[(name, text)])).await;
    assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })));
}

async fn assert_damaged<S: SessionStore>(store: &EncryptedStore<S>, key: &StoreKey, why: &str) {
    let found = store.load(key, &LoadOptions::default()).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{why}: {found:?}");
    let found = store.load(key, &LoadOptions::default().with_fields(&["user"])).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{why}: {found:?}");
}

// What is in the store.

#[tokio::test]
async fn no_file_holds_a_value_that_was_ever_stored() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = encrypted(files(folder.path(), &FakeClock::default()));
    let key = create(&store, &record(&[("user", "\"PLAINTEXT\""), ("n", "40404")])).await;
    let mut patch = set(&[("cart", r#"["PLAINTEXT"]"#)]);
    patch.add("n".into(), Number::Int(0), Number::Int(10_101));
    store.update(&key, &patch).await.expect("the store works");
    let new = new_key();
    let mut patch = set(&[("renewed", "\"PLAINTEXT\"")]);
    patch.set_snapshot(load(&store, &key).await);
    let until = FakeClock::default().now().saturating_add(std::time::Duration::from_secs(10));
    let grace = Grace::new(until, OldIdReads::Snapshot);
    store.rotate(&key, &new, &patch, grace).await.expect("the store works");
    assert_eq!(field(&load(&store, &key).await, "n"), Some("50505"), "the snapshot is readable");
    assert_eq!(field(&load(&store, &new).await, "renewed"), Some("\"PLAINTEXT\""));
    for key in [key, new] {
        let bytes = fs::read_to_string(file(store.inner(), &key)).expect("a file with JSON");
        assert!(bytes.contains("\"user\":\"~1."), "names are there, values are sealed: {bytes}");
        for secret in ["PLAINTEXT", "40404", "50505"] {
            assert!(!bytes.contains(secret), "{secret} in {bytes}");
        }
    }
}

#[tokio::test]
async fn the_store_inside_never_gets_a_plain_value_in_a_basis() {
    let seen = Seen(memory());
    let store = encrypted(seen);
    let mut indexed = Patch::default();
    let id = PublicId::new(record(&[]).created_at(), std::time::Duration::from_secs(3600));
    indexed.index_field(Index::new(id, "user".into()));
    let record = indexed.apply_to(&record(&[("user", "\"PLAINTEXT\"")])).expect("a new record");
    let old = create(&store, &record).await;
    let basis = load(&store, &old).await;
    let now = FakeClock::default().now();
    let grace = Grace::new(now, OldIdReads::Nothing);
    let mut patch = set(&[("a", "1")]);
    patch.set_snapshot(basis);
    let first = new_key();
    store.rotate(&old, &first, &patch, grace).await.expect("the store works");
    patch.reset(now);
    store.rotate(&first, &new_key(), &patch, grace).await.expect("the store works");
}

/// A store that looks at what it gets.
struct Seen(MemoryStore);

impl Seen {
    fn look(record: &Record) {
        for (name, json) in record.fields() {
            assert!(json.get().starts_with("\"~1."), "{name} is plain");
        }
        assert!(record.index().is_none(), "nobody finds a session by what is sealed");
    }
}

impl SessionStore for Seen {
    async fn create(
        &self,
        key: &StoreKey,
        record: &Record,
    ) -> Result<actix_typed_session::store::CreateOutcome, StoreError> {
        Self::look(record);
        self.0.create(key, record).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.0.load(key, options).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.0.update(key, patch).await
    }

    async fn touch(
        &self,
        key: &StoreKey,
        expires_at: actix_typed_session::Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.touch(key, expires_at).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.0.destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        Self::look(patch.snapshot().expect("what the request has read comes along"));
        self.0.rotate(old, new, patch, grace).await
    }
}

// Attacks with write access to the store.

#[tokio::test]
async fn a_value_of_another_session_does_not_open() {
    let store = encrypted(memory());
    let admin = create(&store, &record(&[("user", "\"admin\"")])).await;
    let attacker = create(&store, &record(&[("user", "\"eve\"")])).await;
    plant(&store, &attacker, "user", &stored(&store, &admin, "user").await).await;
    assert_damaged(&store, &attacker, "a value of another session").await;
    assert_eq!(field(&load(&store, &admin).await, "user"), Some("\"admin\""), "law 10");
}

#[tokio::test]
async fn a_value_of_another_field_does_not_open() {
    let store = encrypted(memory());
    let key = create(&store, &record(&[("user", "\"eve\""), ("nickname", "\"admin\"")])).await;
    plant(&store, &key, "user", &stored(&store, &key, "nickname").await).await;
    assert_damaged(&store, &key, "a value of another field").await;
}

#[tokio::test]
async fn a_value_of_the_session_before_its_id_was_renewed_does_not_open() {
    let store = encrypted(memory());
    let (old, new) = (create(&store, &record(&[("user", "\"admin\"")])).await, new_key());
    let before = stored(&store, &old, "user").await;
    let grace = Grace::new(FakeClock::default().now(), OldIdReads::Nothing);
    store.rotate(&old, &new, &set(&[("user", "\"eve\"")]), grace).await.expect("it works");
    plant(&store, &new, "user", &before).await;
    assert_damaged(&store, &new, "a value under the old id").await;
}

#[tokio::test]
async fn a_value_with_another_byte_anywhere_does_not_open() {
    let store = encrypted(memory());
    let key = create(&store, &record(&[("user", "\"eve\""), ("n", "1")])).await;
    let sealed = stored(&store, &key, "user").await;
    for place in 1..sealed.len() - 1 {
        for flip in [1, 2, 4, 8, 16] {
            let mut bytes = sealed.clone().into_bytes();
            bytes[place] ^= flip;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if serde_json::from_str::<&RawValue>(&text).is_err() {
                continue;
            }
            plant(&store, &key, "user", &text).await;
            let found = store.load(&key, &LoadOptions::default()).await;
            // A later format's number is not damage: another release may read it.
            let is_version = place == 2 && text.as_bytes()[place].is_ascii_digit() && flip != 1;
            match found {
                Err(StoreError::Damaged(_)) => {}
                Err(StoreError::Unavailable(_)) if is_version => {}
                other => panic!("byte {place} is another: {other:?}"),
            }
            let added = store.update(&key, &add("user", 1)).await;
            assert!(added.is_err(), "nor is anything added to it: {added:?}");
        }
    }
    plant(&store, &key, "user", &sealed).await;
    assert_eq!(field(&load(&store, &key).await, "user"), Some("\"eve\""));
}

#[tokio::test]
async fn a_plain_value_does_not_open_unless_told_so() {
    for text in ["\"admin\"", "7", "null", "{}", "\"~\"", "\"~1.\"", "\"1.AAAA\""] {
        let store = encrypted(memory());
        let key = create(&store, &record(&[("user", "\"eve\"")])).await;
        plant(&store, &key, "user", text).await;
        assert_damaged(&store, &key, text).await;
    }
}

#[tokio::test]
async fn what_does_not_open_is_not_shown_in_the_error() {
    let store = encrypted(memory());
    let key = create(&store, &record(&[("user", "\"eve\"")])).await;
    plant(&store, &key, "user", "\"PLAINTEXT\"").await;
    let error = store.load(&key, &LoadOptions::default()).await.expect_err("a plain value");
    let text = format!("{error:?}");
    assert!(text.contains("user") && !text.contains("PLAINTEXT"), "{text}");
    assert!(!format!("{store:?}").contains("[1"), "no key is shown: {store:?}");
}

// Keys.

#[tokio::test]
async fn a_key_is_replaced_without_losing_a_session_and_then_forgotten() {
    let inner = memory();
    let store = |keys: &[Key]| {
        EncryptedStore::new(inner.clone(), keys.iter().cloned()).expect("there is a key")
    };
    let (before, both, after) = (store(&[KEY]), store(&[NEWER_KEY, KEY]), store(&[NEWER_KEY]));
    let fields = [("a", "1"), ("b", "2")];
    let (written, rotated) =
        (create(&before, &record(&fields)).await, create(&before, &record(&fields)).await);
    let unchanged = stored(&before, &written, "b").await;
    both.update(&written, &set(&[("a", "3")])).await.expect("the store works");
    assert_eq!(field(&load(&both, &written).await, "b"), Some("2"), "all keys open");
    assert_eq!(stored(&both, &written, "b").await, unchanged, "only what is written is sealed");
    assert_damaged(&after, &written, "`b` is sealed with the old key").await;
    assert_damaged(&before, &written, "`a` is sealed with the new key").await;
    let new = new_key();
    let grace = Grace::new(FakeClock::default().now(), OldIdReads::Nothing);
    both.rotate(&rotated, &new, &Patch::default(), grace).await.expect("the store works");
    assert_eq!(field(&load(&after, &new).await, "b"), Some("2"), "a renewal seals all anew");
    assert_damaged(&before, &new, "a value that is rolled back to a key that is gone").await;
}

#[tokio::test]
async fn sessions_from_before_the_encryption_are_read_if_told_so_and_sealed_when_written() {
    let inner = memory();
    let key = create(&inner, &record(&[("n", "41"), ("user", "\"ann\"")])).await;
    let strict = encrypted(inner.clone());
    assert_damaged(&strict, &key, "the values are plain").await;
    let store = strict.clone().accept_plain();
    assert_eq!(field(&load(&store, &key).await, "user"), Some("\"ann\""));
    store.update(&key, &add("n", 1)).await.expect("the store works");
    assert!(stored(&store, &key, "n").await.starts_with("\"~1."), "what is written is sealed");
    assert_eq!(field(&load(&store, &key).await, "n"), Some("42"));
    let new = new_key();
    let grace = Grace::new(FakeClock::default().now(), OldIdReads::Nothing);
    store.rotate(&key, &new, &Patch::default(), grace).await.expect("the store works");
    assert_eq!(field(&load(&strict, &new).await, "user"), Some("\"ann\""), "all of it is sealed");
    plant(&store, &new, "user", &stored(&store, &new, "n").await).await;
    assert_damaged(&store, &new, "a value that is sealed must open all the same").await;
}

// Writers that meet.

#[tokio::test]
async fn an_addition_for_another_version_is_refused_with_the_whole_record() {
    let store = encrypted(memory());
    let key = create(&store, &record(&[("n", "1"), ("user", "\"ann\"")])).await;
    let mut patch = add("n", 1);
    patch.expect_version(load(&store, &key).await.version() + 1);
    let updated = store.update(&key, &patch).await.expect("the store works");
    let UpdateOutcome::Conflict(current) = updated else { panic!("another version: {updated:?}") };
    assert_eq!((field(&current, "n"), field(&current, "user")), (Some("1"), Some("\"ann\"")));
    assert!(current.is_whole());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn additions_through_two_processes_add_up_beside_writers_of_other_fields() {
    let folder = TempDir::new().expect("a temporary folder");
    let clock = FakeClock::default();
    let stores = [(); 2].map(|()| encrypted(files(folder.path(), &clock)));
    let key = create(&stores[0], &record(&[])).await;
    let mut tasks = tokio::task::JoinSet::new();
    for store in [0, 1, 0, 1, 0, 1] {
        let store = stores[store].clone();
        let is_adder = tasks.len() < 4;
        tasks.spawn(async move {
            for n in 0..50 {
                let patch = if is_adder { add("n", 1) } else { set(&[("other", &n.to_string())]) };
                let updated = store.update(&key, &patch).await;
                assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{updated:?}");
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(field(&load(&stores[1], &key).await, "n"), Some("200"), "law 5");
}

#[actix_web::test]
async fn every_increment_of_concurrent_requests_survives() {
    let site = concurrency::site(encrypted(MemoryStore::new())).start();
    let mut browser = site.visitor("name=ann").await;
    for response in site.storm(&browser, |_| "/do/count".to_owned()).await {
        assert_eq!((response.status, response.set_cookie()), (200, None));
    }
    let body = browser.act("read").await.body;
    assert_eq!(shown(&body, "count"), REQUESTS.to_string());
    assert_eq!(shown(&body, "name"), "ann");
}
