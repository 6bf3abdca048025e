//! The stores of the library keep the laws.

use std::time::Duration;

use actix_typed_session::{Clock as _, FakeClock, Timestamp, testing::Harness};

mod memory {
    use actix_typed_session::{MemoryStore, store_conformance};

    use super::*;

    #[derive(Default)]
    struct Memory(FakeClock);

    impl Harness for Memory {
        type Store = MemoryStore;

        async fn open(&self) -> MemoryStore {
            MemoryStore::builder().clock(self.0.clone()).build()
        }

        fn now(&self) -> Timestamp {
            self.0.now()
        }

        async fn advance(&self, by: Duration) {
            self.0.advance(by);
        }
    }

    store_conformance!(Memory::default(), DeleteExpired, FindByIndex, ListAll);
}

mod file {
    use std::fs;

    use actix_typed_session::{
        Durability, FileStore,
        store::StoreKey,
        store_conformance,
        testing::{Damage, Reopen},
    };
    use actix_typed_session_tests::folder::lasting_folder;

    use super::*;

    #[derive(Default)]
    struct Files(FakeClock);

    impl Files {
        fn at(&self, path: &std::path::Path) -> FileStore {
            FileStore::builder(path)
                .clock(self.0.clone())
                // The laws are the same with each durability; this is the fastest.
                .durability(Durability::Process)
                .build()
                .expect("a writable folder")
        }
    }

    impl Harness for Files {
        type Store = FileStore;

        async fn open(&self) -> FileStore {
            self.at(&lasting_folder())
        }

        fn now(&self) -> Timestamp {
            self.0.now()
        }

        async fn advance(&self, by: Duration) {
            self.0.advance(by);
        }
    }

    impl Reopen for Files {
        async fn reopen(&self, store: FileStore) -> FileStore {
            let path = store.path().to_owned();
            drop(store);
            self.at(&path)
        }
    }

    impl Damage for Files {
        async fn damage(&self, store: &FileStore, key: &StoreKey, bytes: &[u8]) {
            let name = key.to_hex();
            let file = store.path().join(&name[..2]).join(&name[2..]);
            assert!(file.exists());
            fs::write(file, bytes).expect("a writable folder");
        }
    }

    store_conformance!(Files::default(), DeleteExpired, FindByIndex, ListAll, Reopen, Damage);
}
