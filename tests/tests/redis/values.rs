//! Every value that is set reads back from Redis.

use actix_typed_session::{SessionMiddleware, Sessions};
use actix_typed_session_tests::{
    stores,
    values::{Values, WAYS, read_back, site},
};

/// How many random rows a test writes.
const RANDOM: usize = 40;

#[actix_web::test]
async fn every_value_reads_back_from_redis() {
    let store = stores::redis();
    let sessions = Sessions::<Values>::new(store.clone());
    let site = site(SessionMiddleware::builder(store), RANDOM).data(sessions).start();
    read_back(site.client(), WAYS, RANDOM).await;
}

#[actix_web::test]
async fn every_value_reads_back_from_a_cluster() {
    let store = stores::redis_cluster();
    let sessions = Sessions::<Values>::new(store.clone());
    let site = site(SessionMiddleware::builder(store), 5).data(sessions).start();
    read_back(site.client(), WAYS, 5).await;
}
