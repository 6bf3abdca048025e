//! The system calls of each call of a file store, and its processor time: see the README.
//!
//! `file_calls` prints the tables. It starts itself as `file_calls FOLDER DURABILITY CALL TIMES`,
//! in strace, and subtracts what opening and seeding the store costs.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command, time::Duration};

use actix_typed_session::{
    Clock as _, Durability, FileStore, SystemClock, Timestamp,
    store::{Grace, LoadOptions, OldIdReads, Patch, SessionStore as _, StoreKey},
};
use actix_typed_session_benches::{processor_time, rules::COUNTER, site::record};
use serde_json::value::to_raw_value;
use tempfile::TempDir;

const CALLS: [&str; 6] = ["load", "create", "update", "touch", "destroy", "rotate"];
const DURABILITIES: [&str; 2] = ["process", "power"];
/// How often a call is counted.
const TIMES: u16 = 200;
/// System calls of the runtime's threads, which depend on chance.
const OF_THREADS: [&str; 8] =
    ["futex", "epoll_wait", "epoll_pwait", "sched_yield", "madvise", "mprotect", "munmap", "mmap"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => print_tables(),
        [folder, durability, call, times] => {
            let times: u16 = times.parse().expect("a number");
            let taken = run(Path::new(folder), durability, call, times).await;
            println!("{:.1}", taken.as_secs_f64() * 1e6 / f64::from(times.max(1)));
        }
        _ => panic!("unknown arguments {arguments:?}"),
    }
}

fn print_tables() {
    for durability in DURABILITIES {
        println!("\nDurability `{durability}`\n");
        println!("| call | system calls | CPU, us | |\n| --- | --- | --- | --- |");
        for call in CALLS {
            let [few, many] = [0, TIMES].map(|times| count(durability, call, times));
            let mut per_call = Vec::new();
            let mut sum = 0.0;
            for (name, calls) in many {
                let more = calls.saturating_sub(few.get(&name).copied().unwrap_or_default());
                let each = more as f64 / f64::from(TIMES);
                if each >= 0.1 && !OF_THREADS.contains(&name.as_str()) {
                    sum += each;
                    per_call.push(format!("{name} {each:.1}"));
                }
            }
            let micros = start(&[], durability, call, TIMES);
            println!("| {call} | {sum:.1} | {micros} | {} |", per_call.join(", "));
        }
    }
}

/// How often the process makes each system call.
fn count(durability: &str, call: &str, times: u16) -> BTreeMap<String, u64> {
    let folder = TempDir::new().expect("a temporary folder");
    let log = folder.path().join("log");
    let log_name = log.display().to_string();
    start(&["strace", "-f", "-c", "-U", "calls,name", "-o", &log_name], durability, call, times);
    let log = fs::read_to_string(&log).expect("strace is there: apt-get install strace");
    let row = |line: &str| {
        let (calls, name) = line.trim().split_once(char::is_whitespace)?;
        Some((name.trim().to_owned(), calls.parse().ok()?)).filter(|(name, _)| name != "total")
    };
    log.lines().filter_map(row).collect()
}

/// Runs the calls in a process, and returns what it prints.
fn start(wrapper: &[&str], durability: &str, call: &str, times: u16) -> String {
    let folder = TempDir::new().expect("a temporary folder");
    let program = env::current_exe().expect("a path");
    let program = program.to_str().expect("UTF-8");
    let command = [wrapper, &[program]].concat();
    let output = Command::new(command[0])
        .args(&command[1..])
        .arg(folder.path().join("sessions"))
        .args([durability, call, &times.to_string()])
        .output()
        .expect("strace is there: apt-get install strace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Seeds one session per call, all in one subfolder, and makes the calls.
async fn run(folder: &Path, durability: &str, call: &str, times: u16) -> Duration {
    let durability = match durability {
        "process" => Durability::Process,
        "power" => Durability::Power,
        other => panic!("unknown durability {other}"),
    };
    let store = FileStore::builder(folder).durability(durability).sweep_interval(None);
    let store = store.build().expect("a writable folder");
    let new = record(1);
    // The first calls create the subfolder, learn and start threads, also if nothing is counted.
    for n in TIMES..=TIMES + 8 {
        store.create(&key(0, n), &new).await.expect("a writable folder");
        store.load(&key(0, n), &LoadOptions::default()).await.expect("a session");
    }
    for n in 0..TIMES {
        if call != "create" {
            store.create(&key(0, n), &new).await.expect("a writable folder");
        }
    }
    let now = SystemClock.now();
    let later = now.saturating_add(Duration::from_secs(100_000));
    let before = processor_time();
    for n in 0..times {
        make(&store, call, n, later).await;
    }
    processor_time() - before
}

async fn make(store: &FileStore, call: &str, n: u16, later: Timestamp) {
    let (key, new_key) = (key(0, n), key(1, n));
    match call {
        "load" => {
            let found = store.load(&key, &LoadOptions::default()).await;
            assert!(found.expect("a readable folder").is_some());
        }
        "create" => drop(store.create(&key, &record(1)).await.expect("a writable folder")),
        "update" => drop(store.update(&key, &patch()).await.expect("a writable folder")),
        "touch" => assert!(store.touch(&key, later).await.expect("a writable folder")),
        "destroy" => assert!(store.destroy(&key).await.expect("a writable folder")),
        "rotate" => {
            let grace = Grace::new(later, OldIdReads::Snapshot);
            let rotated = store.rotate(&key, &new_key, &patch(), grace).await;
            drop(rotated.expect("a writable folder"));
        }
        other => panic!("unknown call {other}"),
    }
}

fn patch() -> Patch {
    let mut patch = Patch::default();
    patch.set(COUNTER.into(), to_raw_value(&1).expect("a number").into());
    patch
}

fn key(kind: u8, n: u16) -> StoreKey {
    let mut bytes = [0; 32];
    let [high, low] = n.to_be_bytes();
    (bytes[1], bytes[2], bytes[3]) = (kind, high, low);
    StoreKey::from_bytes(bytes)
}
