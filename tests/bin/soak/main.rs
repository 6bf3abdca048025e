//! Under load and over time: `soak [--minutes 15] [--seed N] [memory|file|redis …]`.
//!
//! Each store has its own server process. All of them are loaded side by side, as fast as they
//! answer. The users do everything that can be done with a session, while connections are reset and
//! Redis is killed and started again.
//!
//! [`checker`] replays each user's log against what the library promises, and [`watch`] looks at
//! what the servers hold. The report is printed and kept in `target/soak/report.md`. The run fails
//! if anything was lost, revived, mixed up or piled up. It ends about a minute after the given
//! time: the last sessions have expired by then.

mod checker;
mod client;
mod log;
mod server;
mod watch;

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use actix_typed_session_tests::{
    folder::temporary_folder,
    servers::{RedisServer, Server, dying_with_us, spawn},
};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

use checker::Outages;
use client::{Client, Connection, SLOWEST, Totals};
use log::ABSOLUTE;
use watch::{Holds, Watched};

/// The users of each store.
const CLIENTS: u64 = 100;
/// What a run must last for its memory to be judged: sessions live up to 40 s, so that they are as
/// many as they get in the first fifth of it.
const LONG_ENOUGH: Duration = Duration::from_secs(250);
const USAGE: &str = "soak [--minutes 15] [--seed N] [memory|file|redis …]";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [role, store, place] = &arguments[..]
        && role == "serve"
    {
        server::serve(store, place);
        return ExitCode::SUCCESS;
    }
    let mut minutes = 15.0;
    let mut seed: u64 = 20_260_101;
    let mut stores = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--minutes" => {
                minutes = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE);
            }
            "--seed" => seed = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE),
            "memory" => stores.push("memory"),
            "file" => stores.push("file"),
            "redis" => stores.push("redis"),
            _ => panic!("{USAGE}"),
        }
    }
    if stores.is_empty() {
        stores = vec!["memory", "file", "redis"];
    }
    let time = Duration::from_secs_f64(60.0 * minutes);
    println!(
        "{minutes} minutes with the seed {seed}, and one more until the last sessions have expired"
    );
    let results: Vec<Outcome> = thread::scope(|scope| {
        let soaked: Vec<_> =
            stores.into_iter().map(|store| scope.spawn(move || soak(store, time, seed))).collect();
        soaked.into_iter().map(|soaked| soaked.join().expect("it gives its outcome")).collect()
    });
    let report = report(&results, minutes, seed);
    println!("{report}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/soak");
    fs::create_dir_all(&folder).expect("a writable target folder");
    fs::write(folder.join("report.md"), &report).expect("a writable target folder");
    match results.iter().all(|result| result.complaints.is_empty()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What a store's run came to.
struct Outcome {
    store: &'static str,
    time: Duration,
    totals: Totals,
    checks: u64,
    ids: usize,
    watched: Watched,
    /// Before the first client, and after the last session has expired.
    idle: (Holds, Holds),
    left: String,
    complaints: Vec<String>,
}

/// The server of one store.
struct Site {
    process: Child,
    address: SocketAddr,
    redis: Option<RedisServer>,
    folder: TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        // OK because it may have ended by itself; the report says how it answered.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Site {
    fn start(store: &str) -> Self {
        let folder = temporary_folder();
        let persistent = ["--appendonly", "yes", "--appendfsync", "always"];
        let redis = (store == "redis").then(|| RedisServer::start_with(Server::Redis, &persistent));
        let place = match &redis {
            Some(redis) => redis.url(),
            None => folder.path().display().to_string(),
        };
        let mut command = dying_with_us(&env::current_exe().expect("a program has a path"));
        command.args(["serve", store, &place]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = spawn(command);
        let mut port = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut port).expect("it prints its port");
        let address = ([127, 0, 0, 1], port.trim().parse().expect("a port")).into();
        Self { process, address, redis, folder }
    }

    fn holds(&self) -> Holds {
        Holds::of(self.process.id(), self.redis.as_ref())
    }

    /// The sessions that the store holds, and what else there is.
    async fn left(&self, store: &str) -> (usize, String) {
        match (store, &self.redis) {
            (_, Some(redis)) => {
                let keys: Vec<String> =
                    redis::from_redis_value(redis.command(&["KEYS", "*"])).expect("names");
                let sets = keys.iter().filter(|key| key.starts_with("session:@")).count();
                let left = keys.len() - sets;
                (left, format!("{left} sessions, {sets} sets of the index"))
            }
            ("file", None) => {
                let (mut left, mut others) = (0, 0);
                let mut folders = vec![self.folder.path().to_owned()];
                while let Some(folder) = folders.pop() {
                    for entry in fs::read_dir(folder).expect("our own folder") {
                        let entry = entry.expect("our own folder");
                        let name = entry.file_name();
                        if entry.file_type().expect("our own folder").is_dir() {
                            folders.push(entry.path());
                        } else if name.to_string_lossy().len() == 62 {
                            left += 1;
                        } else {
                            others += 1;
                        }
                    }
                }
                (left, format!("{left} sessions, {others} other files"))
            }
            _ => {
                let mut connection = Connection::open(self.address).await.expect("it listens");
                let held = connection.ask("GET /held HTTP/1.1\r\nHost: soak\r\n\r\n").await;
                let left = held.expect("it answers").body.parse().expect("a number");
                (left, format!("{left} sessions"))
            }
        }
    }
}

fn soak(store: &'static str, time: Duration, seed: u64) -> Outcome {
    let mut site = Site::start(store);
    let (process, address) = (site.process.id(), site.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("threads and sockets");
    runtime.block_on(call_every_worker(address));
    let before = site.holds();
    let start = Instant::now();
    let outages = if site.redis.is_some() { Outages::Expected } else { Outages::None };
    let clients = (1..=CLIENTS).map(|n| Client::new(n, seed, address, start, outages));
    let interval = (time / 4).clamp(Duration::from_secs(4), Duration::from_secs(60));
    let until = start + time;
    let redis = site.redis.as_mut();
    let (clients, watched) = thread::scope(|scope| {
        let watching = scope.spawn(|| watch::watch(process, redis, interval, until));
        let clients = runtime.block_on(all(clients.map(|client| client.run(until))));
        (clients, watching.join().expect("the server runs"))
    });
    let time = start.elapsed();
    // After the last restart of Redis.
    let clients = runtime.block_on(all(clients.into_iter().map(Client::finish)));
    thread::sleep(ABSOLUTE + 2 * server::SWEEP);
    let (sessions_left, left) = runtime.block_on(site.left(store));
    thread::sleep(Duration::from_secs(1));
    let idle = (before, site.holds());

    let mut complaints: Vec<String> =
        clients.iter().filter_map(|client| client.violation.clone()).collect();
    let mut totals = Totals::new();
    let mut checks = 0;
    let mut ids = std::collections::HashSet::new();
    for client in &clients {
        checks += client.checker.checks;
        for (what, n) in &client.totals {
            let total = totals.entry(*what).or_default();
            *total = if *what == SLOWEST { (*total).max(*n) } else { *total + n };
        }
        if client.checker.known.iter().any(|id| !ids.insert(*id)) {
            complaints.push("an id was handed out to two clients".to_owned());
        }
    }
    if sessions_left > 0 {
        complaints.push(format!("sessions are left when all have expired: {left}"));
    }
    if idle.1.files > idle.0.files || idle.1.connections > idle.0.connections {
        complaints.push(format!("files or connections pile up: {idle:?}"));
    }
    if time >= LONG_ENOUGH
        && let Err((begin, end)) = watch::memory(&watched.holds)
    {
        complaints.push(format!("memory grows: {begin} KiB -> {end} KiB"));
    }
    Outcome { store, time, totals, checks, ids: ids.len(), watched, idle, left, complaints }
}

/// Runs clients side by side.
async fn all(
    running: impl Iterator<Item = impl Future<Output = Client> + Send + 'static>,
) -> Vec<Client> {
    running.collect::<JoinSet<_>>().join_all().await
}

/// What a worker opens with its first request is open before the first look at what is.
async fn call_every_worker(address: SocketAddr) {
    let mut connections = Vec::new();
    for _ in 0..32 {
        let mut connection = Connection::open(address).await.expect("it listens");
        let request = "GET /act?act=Add&number=1&user=0 HTTP/1.1\r\nHost: soak\r\n\r\n";
        assert_eq!(connection.ask(request).await.expect("it answers").status, 200);
        connections.push(connection);
    }
    drop(connections);
    sleep(Duration::from_secs(1)).await;
}

fn report(results: &[Outcome], minutes: f64, seed: u64) -> String {
    let mut report =
        format!("Soak of {minutes} minutes, seed {seed}, {CLIENTS} users of each store.\n\n");
    let mut row = |name: &str, cell: &dyn Fn(&Outcome) -> String| {
        let cells: Vec<String> = results.iter().map(cell).collect();
        writeln!(report, "| {name} | {} |", cells.join(" | ")).expect("a text takes all");
    };
    row("", &|result| result.store.to_owned());
    row("---", &|_| "---:".to_owned());
    row("requests/s", &|result| {
        let requests = result.totals.get("requests").copied().unwrap_or_default();
        format!("{:.0}", requests as f64 / result.time.as_secs_f64())
    });
    let names: std::collections::BTreeSet<_> =
        results.iter().flat_map(|result| result.totals.keys().copied()).collect();
    for name in names {
        row(name, &|result| result.totals.get(name).copied().unwrap_or_default().to_string());
    }
    row("ids handed out, all different", &|result| result.ids.to_string());
    row("answers checked", &|result| result.checks.to_string());
    row("restarts of Redis", &|result| result.watched.restarts.to_string());
    row("all connections of Redis broken", &|result| result.watched.kills.to_string());
    row("memory under load, MiB, second and last fifth", &|result| {
        let (Ok((begin, end)) | Err((begin, end))) = watch::memory(&result.watched.holds);
        format!("{:.1} -> {:.1}", begin as f64 / 1024.0, end as f64 / 1024.0)
    });
    let ends = |result: &Outcome, what: fn(&Holds) -> u64| {
        let most = result.watched.holds.iter().map(what).max().unwrap_or_default();
        format!("{} -> {} (at most {most})", what(&result.idle.0), what(&result.idle.1))
    };
    row("open files, before and after", &|result| ends(result, |holds| holds.files));
    row("threads, before and after", &|result| ends(result, |holds| holds.threads));
    row("connections to Redis, before and after", &|result| {
        ends(result, |holds| holds.connections)
    });
    row("left when all have expired", &|result| result.left.clone());
    row("broken promises", &|result| result.complaints.len().to_string());
    for result in results {
        for complaint in &result.complaints {
            write!(report, "\n{}, seed {seed}: {complaint}\n", result.store)
                .expect("a text takes all");
        }
    }
    report
}
