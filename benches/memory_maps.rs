//! Which map the memory store is built on: candidates side by side, in interleaved rounds.
//!
//! `cargo run --release -p actix-typed-session-benches --bin memory_maps`
//!
//! Each candidate holds 100 000 sessions and gets 90 % loads and 10 % updates, from one thread and from
//! two; then new sessions while it is full. Memory is measured in a process of its own per candidate.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use actix_typed_session::{
    MemoryStore, Timestamp,
    store::{Patch, Record, SessionStore as _, StoreKey},
};
use futures_util::FutureExt as _;

const SESSIONS: u64 = 100_000;
const OPERATIONS: u64 = 400_000;
const INSERTS: u64 = 100_000;
const ROUNDS: usize = 5;
const FAR: Timestamp = Timestamp::from_unix_ms(u64::MAX);

/// What the memory store needs of a map.
trait Candidate: Send + Sync {
    fn insert(&self, key: StoreKey, value: Record);
    fn load(&self, key: &StoreKey) -> bool;
    fn update(&self, key: &StoreKey);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The change of an update: a record in place of another.
fn changed(record: &Record) -> Record {
    Patch::default().apply_to(record).expect("a live record takes a patch")
}

/// Shards of a map under a lock each.
struct Shards<M> {
    shards: Vec<Mutex<M>>,
    hasher: RandomState,
}

impl<M> Shards<M> {
    fn new(count: usize, map: impl Fn() -> M) -> Self {
        Self { shards: (0..count).map(|_| Mutex::new(map())).collect(), hasher: RandomState::new() }
    }

    fn lock(&self, key: &StoreKey) -> MutexGuard<'_, M> {
        let index = self.hasher.hash_one(key) as usize % self.shards.len();
        lock(&self.shards[index])
    }
}

impl Candidate for Shards<lru::LruCache<StoreKey, Record>> {
    fn insert(&self, key: StoreKey, value: Record) {
        self.lock(&key).put(key, value);
    }

    fn load(&self, key: &StoreKey) -> bool {
        self.lock(key).get(key).cloned().is_some()
    }

    fn update(&self, key: &StoreKey) {
        if let Some(record) = self.lock(key).get_mut(key) {
            *record = changed(record);
        }
    }
}

impl Candidate for Shards<hashlink::LruCache<StoreKey, Record>> {
    fn insert(&self, key: StoreKey, value: Record) {
        self.lock(&key).insert(key, value);
    }

    fn load(&self, key: &StoreKey) -> bool {
        self.lock(key).get(key).cloned().is_some()
    }

    fn update(&self, key: &StoreKey) {
        if let Some(record) = self.lock(key).get_mut(key) {
            *record = changed(record);
        }
    }
}

impl Candidate for dashmap::DashMap<StoreKey, Record> {
    fn insert(&self, key: StoreKey, value: Record) {
        dashmap::DashMap::insert(self, key, value);
    }

    fn load(&self, key: &StoreKey) -> bool {
        self.get(key).map(|record| record.clone()).is_some()
    }

    fn update(&self, key: &StoreKey) {
        if let Some(mut record) = self.get_mut(key) {
            *record = changed(&record);
        }
    }
}

impl Candidate for quick_cache::sync::Cache<StoreKey, Record> {
    fn insert(&self, key: StoreKey, value: Record) {
        quick_cache::sync::Cache::insert(self, key, value);
    }

    fn load(&self, key: &StoreKey) -> bool {
        self.get(key).is_some()
    }

    fn update(&self, key: &StoreKey) {
        // It has no change in place that reports the new weight, so this is a read and a write.
        if let Some(record) = self.get(key) {
            let _ = self.replace(*key, changed(&record), false);
        }
    }
}

impl Candidate for moka::sync::Cache<StoreKey, Record> {
    fn insert(&self, key: StoreKey, value: Record) {
        moka::sync::Cache::insert(self, key, value);
    }

    fn load(&self, key: &StoreKey) -> bool {
        self.get(key).is_some()
    }

    fn update(&self, key: &StoreKey) {
        self.entry(*key).and_compute_with(|entry| match entry {
            Some(entry) => moka::ops::compute::Op::Put(changed(entry.value())),
            None => moka::ops::compute::Op::Nop,
        });
    }
}

impl Candidate for MemoryStore {
    fn insert(&self, key: StoreKey, value: Record) {
        self.create(&key, &value).now_or_never().expect("ready").expect("it does not fail");
    }

    fn load(&self, key: &StoreKey) -> bool {
        let found = actix_typed_session::store::SessionStore::load(self, key);
        found.now_or_never().expect("ready").expect("it does not fail").is_some()
    }

    fn update(&self, key: &StoreKey) {
        let patch = Patch::default();
        let updated = actix_typed_session::store::SessionStore::update(self, key, &patch);
        updated.now_or_never().expect("ready").expect("it does not fail");
    }
}

/// Name, whether it evicts the least recently used entry exactly, whether it may refuse a new one.
const CANDIDATES: [(&str, &str, &str); 8] = [
    ("one lock, lru", "exact", "no"),
    ("one lock, hashlink", "exact", "no"),
    ("64 shards, lru", "per shard", "no"),
    ("64 shards, hashlink", "per shard", "no"),
    ("quick_cache", "no (S3-FIFO)", "evicts it first"),
    ("moka", "no (TinyLFU)", "yes"),
    ("dashmap", "unbounded", "no"),
    ("MemoryStore (64 shards, hashlink, order over all)", "exact", "no"),
];

fn make(index: usize) -> Arc<dyn Candidate> {
    let capacity = SESSIONS as usize;
    let lru = |count: usize| {
        let each = NonZeroUsize::new(capacity / count).expect("some");
        Arc::new(Shards::new(count, || lru::LruCache::<StoreKey, Record>::new(each)))
    };
    let hashlink = |count: usize| {
        Arc::new(Shards::new(count, || {
            hashlink::LruCache::<StoreKey, Record>::new(capacity / count)
        }))
    };
    match index {
        0 => lru(1),
        1 => hashlink(1),
        2 => lru(64),
        3 => hashlink(64),
        4 => Arc::new(quick_cache::sync::Cache::<StoreKey, Record>::new(capacity)),
        5 => Arc::new(moka::sync::Cache::<StoreKey, Record>::new(SESSIONS)),
        6 => Arc::new(dashmap::DashMap::<StoreKey, Record>::new()),
        _ => Arc::new(MemoryStore::builder().capacity(capacity).sweep_interval(None).build()),
    }
}

/// Well spread keys, the same in each run.
fn key(n: u64) -> StoreKey {
    let mut bytes = [0; 32];
    let mut state = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in bytes.chunks_exact_mut(8) {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    StoreKey::from_bytes(bytes)
}

fn record() -> Record {
    Record::new(Timestamp::default(), FAR)
}

fn fill(candidate: &dyn Candidate) {
    (0..SESSIONS).for_each(|n| candidate.insert(key(n), record()));
}

/// Millions of operations a second.
fn mixed(candidate: &Arc<dyn Candidate>, threads: u64) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut state = 0x2545_f491_4f6c_dd1d ^ (thread << 40);
                for n in 0..OPERATIONS / threads {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let key = key(state % SESSIONS);
                    if n % 10 == 0 {
                        candidate.update(&key);
                    } else {
                        candidate.load(&key);
                    }
                }
            });
        }
    });
    rate(OPERATIONS, start.elapsed())
}

fn evicting(candidate: &Arc<dyn Candidate>) -> f64 {
    let start = Instant::now();
    (0..INSERTS).for_each(|n| candidate.insert(key(SESSIONS + n), record()));
    rate(INSERTS, start.elapsed())
}

fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64() / 1e6
}

fn resident_bytes() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.expect("a number of pages") * 4096.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    if let Some(index) = env::args().nth(1) {
        let candidate = make(index.parse().expect("a number"));
        let before = resident_bytes();
        fill(&*candidate);
        println!("{}", (resident_bytes() - before) / SESSIONS as f64);
        return;
    }
    let filled: Vec<_> = (0..CANDIDATES.len()).map(make).collect();
    filled.iter().for_each(|candidate| fill(&**candidate));
    let mut results = vec![[const { Vec::new() }; 3]; CANDIDATES.len()];
    for _ in 0..ROUNDS {
        for (candidate, results) in filled.iter().zip(&mut results) {
            results[0].push(mixed(candidate, 1));
            results[1].push(mixed(candidate, 2));
        }
        for (index, results) in results.iter_mut().enumerate() {
            let full = make(index);
            fill(&*full);
            results[2].push(evicting(&full));
        }
    }
    println!(
        "| map | 1 thread, M/s | 2 threads, M/s | new when full, M/s | bytes per session | least recently used goes first | a new one is refused |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (index, ((name, order, refuses), [one, two, new])) in
        CANDIDATES.iter().zip(results).enumerate()
    {
        let program = env::current_exe().expect("this program");
        let output = Command::new(program).arg(index.to_string()).output().expect("it runs");
        let bytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {bytes:.0} | {order} | {refuses} |",
            median(one),
            median(two),
            median(new),
        );
    }
}
