//! The laws of stores on each database, at each isolation level, and with encryption.

use std::time::Duration;

use actix_typed_session::{
    EncryptedStore, Key, Timestamp,
    store::SessionStore,
    store_conformance,
    testing::{Harness, Reopen},
};
use sqlx::{MySql, Postgres};

use crate::database::{Database, Tables};

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
