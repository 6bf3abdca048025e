//! Calls that follow each other use one connection, without the tests of the pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::store::{LoadOptions, SessionStore as _};
use actix_typed_session_tests::{error_chain, proxy::Proxy, wait::until};
use tokio::time::timeout;

use crate::{
    costs::new_record,
    database::{Builder as _, Database, key, new_table, on_each_database, pool},
};

/// A store with a session, and its pool of up to `connections`.
async fn store<D: Database>(url: &str, connections: u32) -> (D::Store, sqlx::Pool<D>) {
    let pool = pool::<D>(url, connections);
    let builder = D::builder(pool.clone()).table(&new_table()).sweep_interval(None);
    let store = builder.build().expect("the settings are valid");
    D::ensure_schema(&store).await.expect("the server is up");
    store.create(&key(1), &new_record()).await.expect("the server is up");
    (store, pool)
}

async fn load<D: Database>(store: &D::Store) {
    let found = store.load(&key(1), &LoadOptions::default()).await.expect("the server is up");
    assert!(found.is_some());
}

async fn calls_that_follow_each_other_take_one_round_trip_each<D: Database>() {
    const CALLS: u64 = 20;
    let proxy = Proxy::to(D::shared().address());
    let (store, _pool) = store::<D>(&D::url(None, proxy.address()), 2).await;
    // On a busy machine, the connection may have gone back between two calls.
    let mut least = u64::MAX;
    for _ in 0..50 {
        load::<D>(&store).await;
        let before = proxy.requests();
        for _ in 0..CALLS {
            load::<D>(&store).await;
        }
        least = least.min(proxy.requests() - before);
    }
    assert_eq!(least, CALLS);
}

async fn half_of_the_pool_is_left_to_the_application<D: Database>() {
    let (store, pool) = store::<D>(&D::url(None, D::shared().address()), 4).await;
    for _ in 0..20 {
        let calls = (0..4).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { load::<D>(&store).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("the call succeeds");
        }
        // While the store keeps connections for its next calls.
        let mut queries = Vec::new();
        for _ in 0..2 {
            let query = timeout(Duration::from_secs(10), pool.acquire());
            queries.push(query.await.expect("no wait for the store").expect("the server is up"));
        }
    }
}

async fn no_call_waits_for_the_pool_while_others_use_a_kept_connection<D: Database>() {
    let (store, pool) = store::<D>(&D::url(None, D::shared().address()), 2).await;
    let _query_of_the_application = pool.acquire().await.expect("the server is up");
    let done: Arc<[AtomicUsize; 3]> = Arc::default();
    let visitors = (0..3).map(|visitor| {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            // All go on until each has had its turns.
            while done.iter().any(|calls| calls.load(Ordering::SeqCst) < 20) {
                load::<D>(&store).await;
                done[visitor].fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    for visitor in visitors.collect::<Vec<_>>() {
        let ended = timeout(Duration::from_secs(4), visitor).await;
        ended.expect("each has its turns").expect("each call succeeds");
    }
}

async fn connections_that_no_call_uses_go_back<D: Database>() {
    let (store, pool) = store::<D>(&D::url(None, D::shared().address()), 2).await;
    for _ in 0..3 {
        load::<D>(&store).await;
        until("the connections are back", || pool.num_idle() == pool.size() as usize).await;
    }
    // The pool waits for all of its connections.
    load::<D>(&store).await;
    timeout(Duration::from_secs(10), pool.close()).await.expect("they come back");
    let error = store.load(&key(1), &LoadOptions::default()).await.expect_err("it is closed");
    assert!(error_chain(&error).contains("closed"), "{}", error_chain(&error));
}

on_each_database!(
    calls_that_follow_each_other_take_one_round_trip_each,
    half_of_the_pool_is_left_to_the_application,
    no_call_waits_for_the_pool_while_others_use_a_kept_connection,
    connections_that_no_call_uses_go_back,
);
