//! Renewals whose answer is lost: the session moves once, and the visitor keeps it.

use std::time::Duration;

use actix_typed_session::{
    Clock as _, RedisStore, StoreError, SystemClock,
    store::{
        Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore as _, StoreKey,
        UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    json::{self, set},
    proxy::Proxy,
    servers::{ClusterSetup, RedisServer, Server},
    wait::{until, within},
};
use redis::Value;
use tokio::{task::JoinHandle, time::sleep};

use super::server::{key, name};

/// How long the store waits for a reply.
const REPLY_LIMIT: Duration = Duration::from_millis(400);

/// How the reply to a call is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The connection closes.
    Cut,
    /// The reply is later than the time limit.
    Late,
}

const LOSSES: [Loss; 2] = [Loss::Cut, Loss::Late];
const OLD_ID_READS: [OldIdReads; 2] = [OldIdReads::Snapshot, OldIdReads::Nothing];

fn grace(old_id: OldIdReads) -> Grace {
    Grace::new(SystemClock.now().saturating_add(Duration::from_secs(10)), old_id)
}

/// A patch that shows whether it was applied twice.
fn addition() -> Patch {
    let mut patch = set(&[("b", "1")]);
    patch.add("n".into(), Number::Int(0), Number::Int(1));
    patch
}

async fn created(store: &RedisStore) -> (StoreKey, Record) {
    let (key, record) = (key(), json::record(SystemClock.now(), &[("n", "1")]));
    store.create(&key, &record).await.expect("it works");
    (key, record)
}

fn rotating(
    store: &RedisStore,
    (old, new): (StoreKey, StoreKey),
    patch: Patch,
    grace: Grace,
) -> JoinHandle<Result<UpdateOutcome, StoreError>> {
    let store = store.clone();
    tokio::spawn(async move { store.rotate(&old, &new, &patch, grace).await })
}

/// Lets the server carry out one call, and loses its reply.
async fn lose_reply(proxy: &Proxy, loss: Loss, is_done: impl Fn() -> bool) {
    let connections = proxy.connections();
    until("the server carries out the call", is_done).await;
    // The reply is on its way.
    sleep(Duration::from_millis(50)).await;
    proxy.swallow_replies(false);
    if let Loss::Cut = loss {
        proxy.cut();
    }
    until("the store connects again", || proxy.connections() > connections).await;
}

/// The session is under its new key, changed once, and the old key is retired.
async fn assert_moved_once(store: &RedisStore, old: &StoreKey, new: &StoreKey) {
    let moved = store.load(new, &LoadOptions::default()).await.expect("it works");
    let moved = moved.expect("the session has moved");
    assert_eq!(moved.field("n").map(|json| json.get()), Some("2"), "once, and not twice");
    assert_eq!((moved.version(), moved.is_retired()), (2, false));
    let retired = store.load(old, &LoadOptions::default()).await.expect("it works");
    assert!(retired.expect("its grace is not over").is_retired());
}

#[tokio::test]
async fn a_renewal_whose_reply_is_lost_is_asked_for_once_more() {
    let redis = RedisServer::start(Server::Redis);
    let proxy = Proxy::to(redis.address());
    let store = RedisStore::builder(&proxy.url()).response_timeout(REPLY_LIMIT).build();
    let store = store.expect("good settings");
    // A server that has not seen the script yet refuses it at first.
    let (first, _) = created(&store).await;
    store.rotate(&first, &key(), &addition(), grace(OLD_ID_READS[0])).await.expect("it works");
    for (loss, old_id) in LOSSES.into_iter().flat_map(|loss| OLD_ID_READS.map(|old| (loss, old))) {
        let ((old, _), new) = (created(&store).await, key());
        proxy.swallow_replies(true);
        let rotated = rotating(&store, (old, new), addition(), grace(old_id));

        lose_reply(&proxy, loss, || {
            redis.command(&["HEXISTS", &name("session:", &old), "@r"]) == Value::Int(1)
        })
        .await;

        let rotated = within("the renewal", rotated)
            .await
            .expect("no panic")
            .expect("it is asked for once more");
        assert!(matches!(rotated, UpdateOutcome::Applied { version: 2 }), "{rotated:?}");
        assert_moved_once(&store, &old, &new).await;
    }
}

/// A cluster, and a store that reaches each node through a proxy.
struct ProxiedCluster {
    cluster: ClusterSetup,
    proxies: [Proxy; 3],
    store: RedisStore,
}

impl ProxiedCluster {
    async fn start() -> Self {
        let cluster = ClusterSetup::start(Server::Redis);
        let proxies = cluster.proxies();
        let urls = [0, 1, 2].map(|n| proxies[n].url());
        let store = RedisStore::cluster(urls.iter().map(String::as_str));
        let store = store.response_timeout(REPLY_LIMIT).build().expect("good settings");
        let it = Self { cluster, proxies, store };
        // Each node needs the scripts.
        for _ in 0..30 {
            let (old, _) = created(&it.store).await;
            it.store
                .rotate(&old, &key(), &addition(), grace(OLD_ID_READS[0]))
                .await
                .expect("it works");
        }
        it
    }

    /// The number of the node that serves a key.
    fn node_of(&self, key: &StoreKey) -> usize {
        let Value::Int(slot) =
            self.cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", &name("session:", key)])
        else {
            panic!("a slot is a number");
        };
        [5461, 10_923].iter().filter(|end| slot >= **end).count()
    }

    /// A stored session, and a new key on another node.
    async fn on_two_nodes(&self) -> (StoreKey, StoreKey, Record) {
        loop {
            let ((old, record), new) = (created(&self.store).await, key());
            if self.node_of(&old) != self.node_of(&new) {
                return (old, new, record);
            }
        }
    }
}

#[tokio::test]
async fn in_a_cluster_the_old_session_is_retired_even_if_the_reply_to_that_is_lost() {
    let it = ProxiedCluster::start().await;
    for (loss, old_id) in LOSSES.into_iter().flat_map(|loss| OLD_ID_READS.map(|old| (loss, old))) {
        let (old, new, record) = it.on_two_nodes().await;
        let node = it.node_of(&old);
        let mut patch = addition();
        patch.set_snapshot(record);
        it.proxies[node].swallow_replies(true);
        let rotated = rotating(&it.store, (old, new), patch, grace(old_id));

        lose_reply(&it.proxies[node], loss, || {
            it.cluster.nodes[node].command(&["HEXISTS", &name("session:", &old), "@r"])
                == Value::Int(1)
        })
        .await;

        let rotated = within("the renewal", rotated)
            .await
            .expect("no panic")
            .expect("it is asked for once more");
        assert!(matches!(rotated, UpdateOutcome::Applied { version: 2 }), "{rotated:?}");
        assert_moved_once(&it.store, &old, &new).await;
    }
}

#[tokio::test]
async fn in_a_cluster_another_id_is_tried_if_the_reply_to_the_new_session_is_lost() {
    let it = ProxiedCluster::start().await;
    for loss in LOSSES {
        let (old, new, record) = it.on_two_nodes().await;
        let node = it.node_of(&new);
        let mut patch = addition();
        patch.set_snapshot(record);
        it.proxies[node].swallow_replies(true);
        let grace = grace(OldIdReads::Snapshot);
        let rotated = rotating(&it.store, (old, new), patch.clone(), grace);

        lose_reply(&it.proxies[node], loss, || {
            it.cluster.nodes[node].command(&["EXISTS", &name("session:", &new)]) == Value::Int(1)
        })
        .await;

        let rotated = within("the renewal", rotated)
            .await
            .expect("no panic")
            .expect("the node answers again");
        assert!(matches!(rotated, UpdateOutcome::Taken), "{rotated:?}");
        let left = it.store.load(&new, &LoadOptions::default()).await.expect("it works");
        assert!(left.is_none(), "nothing is left behind");
        let another = key();
        let rotated = it.store.rotate(&old, &another, &patch, grace).await.expect("it works");
        assert!(matches!(rotated, UpdateOutcome::Applied { version: 2 }), "{rotated:?}");
        assert_moved_once(&it.store, &old, &another).await;
    }
}
