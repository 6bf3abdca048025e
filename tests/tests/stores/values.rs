//! Every value that is set reads back, through every store.

use actix_typed_session::{CookieStore, EncryptedStore, Key, SessionMiddleware, Sessions};
use actix_typed_session_tests::{
    stores,
    values::{Values, WAYS, read_back, site},
};

const KEY: Key = Key::from_bytes([1; 32]);
/// How many random rows a test writes.
const RANDOM: usize = 60;

#[actix_web::test]
async fn every_value_reads_back_from_memory() {
    let (store, clock) = stores::memory();
    let sessions = Sessions::<Values>::new(store.clone()).clock(clock.clone());
    let site = site(SessionMiddleware::builder(store), RANDOM).clock(clock).data(sessions).start();
    read_back(site.client(), WAYS, RANDOM).await;
}

#[actix_web::test]
async fn every_value_reads_back_from_files() {
    let (store, clock) = stores::files_and_clock();
    let sessions = Sessions::<Values>::new(store.clone()).clock(clock.clone());
    let site = site(SessionMiddleware::builder(store), RANDOM).clock(clock).data(sessions).start();
    read_back(site.client(), WAYS, RANDOM).await;
}

#[actix_web::test]
async fn every_value_reads_back_encrypted() {
    let (store, clock) = stores::memory();
    let store = EncryptedStore::new(store, [KEY]).expect("there is a key");
    let site = site(SessionMiddleware::builder(store), RANDOM).clock(clock).start();
    read_back(site.client(), &WAYS[..3], RANDOM).await;
}

#[actix_web::test]
async fn every_value_reads_back_from_the_cookie() {
    let store = CookieStore::new([KEY]).expect("there is a key");
    let site = site(SessionMiddleware::builder(store), RANDOM).start();
    read_back(site.client(), &WAYS[..3], RANDOM).await;
}
