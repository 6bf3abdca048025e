//! The laws of stores on each database, at each isolation level, and with encryption.

use std::time::Duration;

use actix_typed_session::{
    EncryptedStore, Key, Timestamp,
    store::SessionStore,
    store_conformance,
    testing::{Harness, Reopen},
};
use actix_typed_session_sqlx::PostgresStore;
use actix_typed_session_tests::cached::ThroughCache;
use sqlx::{MySql, Postgres};

use crate::{
    database::{Database, Tables},
    local_cache::until_used,
};

/// Encrypted stores in separate tables.
struct Encrypted<D>(Tables<D>);

fn encrypted<S: SessionStore>(store: S) -> EncryptedStore<S> {
    EncryptedStore::new(store, [Key::from_bytes([7; 32])]).expect("there is a key")
}

impl<D: Database> Harness for Encrypted<D> {
    type Store = EncryptedStore<D::Store>;

    async fn open(&self) -> Self::Store {
        encrypted(self.0.open().await)
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }
}

impl<D: Database> Reopen for Encrypted<D> {
    async fn reopen(&self, store: Self::Store) -> Self::Store {
        drop(store);
        encrypted(self.0.open_again())
    }
}

/// Stores with a local cache, which answers what it can.
struct Cached(Tables<Postgres>);

impl Cached {
    async fn store(&self, table: &str) -> ThroughCache<PostgresStore> {
        let store = self.0.builder(table).local_cache_bytes(64 << 20).build();
        let store = store.expect("the settings are valid");
        until_used(&store, self.0.now()).await;
        ThroughCache::new(store, self.0.clock.clone())
    }
}

impl Harness for Cached {
    type Store = ThroughCache<PostgresStore>;

    async fn open(&self) -> Self::Store {
        self.store(&self.0.new_table().await).await
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }
}

impl Reopen for Cached {
    async fn reopen(&self, store: Self::Store) -> Self::Store {
        drop(store);
        self.store(self.0.table()).await
    }
}

mod postgres_at_read_committed {
    use super::*;

    store_conformance!(
        Tables::<Postgres>::new("read committed"),
        DeleteExpired,
        FindByIndex,
        ListAll,
        Reopen
    );
}

mod postgres_at_serializable {
    use super::*;

    store_conformance!(
        Tables::<Postgres>::new("serializable"),
        DeleteExpired,
        FindByIndex,
        ListAll,
        Reopen
    );
}

mod postgres_with_a_local_cache {
    use super::*;

    store_conformance!(Cached(Tables::<Postgres>::new("read committed")), Reopen);
}

mod postgres_encrypted {
    use super::*;

    store_conformance!(
        Encrypted(Tables::<Postgres>::new("read committed")),
        DeleteExpired,
        ListAll,
        Reopen
    );
}

mod mysql_at_read_committed {
    use super::*;

    store_conformance!(
        Tables::<MySql>::new("read committed"),
        DeleteExpired,
        FindByIndex,
        ListAll,
        Reopen
    );
}

mod mysql_at_repeatable_read {
    use super::*;

    store_conformance!(
        Tables::<MySql>::new("repeatable read"),
        DeleteExpired,
        FindByIndex,
        ListAll,
        Reopen
    );
}

mod mysql_encrypted {
    use super::*;

    store_conformance!(
        Encrypted(Tables::<MySql>::new("read committed")),
        DeleteExpired,
        ListAll,
        Reopen
    );
}
