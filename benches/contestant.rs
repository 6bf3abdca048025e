//! The servers that are compared: how each is started, seeded, loaded and measured.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use actix_typed_session_tests::{
    folder::temporary_folder,
    postgres::PostgresServer,
    servers::{RedisServer, Server},
};
use tempfile::TempDir;

/// The core that servers run on when they have one thread; the load and the databases run on the
/// other.
pub const SERVER_CORE: &str = "0";
/// The core of everything else.
pub const LOAD_CORE: &str = "1";

/// The program that Node.js runs.
pub const EXPRESS: &str = "express";
/// The folder of that program.
const EXPRESS_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/servers/express");
/// The workspace of the programs on axum.
const AXUM_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/axum");

/// A server, and what it is called in the tables.
#[derive(Clone, Copy, Debug)]
pub struct Contestant {
    /// Its name in the tables.
    pub name: &'static str,
    /// The program.
    pub program: &'static str,
    /// What it keeps sessions in, as the program calls it.
    pub store: &'static str,
}

/// The one that all others are compared with.
pub const BARE: Contestant = Contestant { name: "bare Actix", program: "bare", store: "" };

/// All of them.
pub const ALL: [Contestant; 24] = [
    BARE,
    Contestant { name: "here, memory", program: "typed", store: "memory" },
    Contestant { name: "here, file", program: "typed", store: "file" },
    Contestant {
        name: "here, file, `Durability::Process`",
        program: "typed",
        store: "file-process",
    },
    Contestant { name: "here, Redis", program: "typed", store: "redis" },
    Contestant { name: "here, Redis, local cache", program: "typed", store: "redis-cache" },
    Contestant { name: "actix-session, memory", program: "actix_session", store: "memory" },
    Contestant { name: "actix-session, cookie", program: "actix_session", store: "cookie" },
    Contestant { name: "actix-session, Redis", program: "actix_session", store: "redis" },
    Contestant { name: "tower-sessions, memory", program: "tower_sessions", store: "memory" },
    Contestant { name: "tower-sessions, Redis", program: "tower_sessions", store: "redis" },
    Contestant { name: "express-session, session-file-store", program: EXPRESS, store: "file" },
    Contestant { name: "here, PostgreSQL", program: "typed", store: "postgres" },
    Contestant {
        name: "here, PostgreSQL, untested connections",
        program: "typed",
        store: "postgres-untested",
    },
    Contestant {
        name: "here, PostgreSQL, local cache",
        program: "typed",
        store: "postgres-cached",
    },
    Contestant { name: "tower-sessions, PostgreSQL", program: "tower_sessions", store: "postgres" },
    Contestant {
        name: "tower-sessions, PostgreSQL, untested connections",
        program: "tower_sessions",
        store: "postgres-untested",
    },
    Contestant { name: "axum_session, PostgreSQL", program: "axum_session", store: "postgres" },
    Contestant {
        name: "axum_session, PostgreSQL, no copies in memory",
        program: "axum_session",
        store: "postgres-fresh",
    },
    Contestant { name: "express-session, connect-pg-simple", program: EXPRESS, store: "postgres" },
    Contestant { name: "here, SQLite", program: "typed", store: "sqlite" },
    Contestant { name: "tower-sessions, SQLite", program: "tower_sessions", store: "sqlite" },
    Contestant { name: "axum_session, SQLite", program: "axum_session", store: "sqlite" },
    Contestant {
        name: "axum_session, SQLite, no copies in memory",
        program: "axum_session",
        store: "sqlite-fresh",
    },
];

impl Contestant {
    /// Whether it keeps sessions in a SQL database.
    pub fn is_sql(&self) -> bool {
        ["postgres", "sqlite"].iter().any(|database| self.store.starts_with(database))
    }

    /// Whether its name or that of its store has this in it.
    pub fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.name.to_lowercase().contains(&name) || self.store.contains(&name)
    }
}

/// This library on a store.
pub fn here(store: &'static str) -> Contestant {
    let here = |contestant: &Contestant| contestant.program == "typed" && contestant.store == store;
    ALL.into_iter().find(here).expect("one of the stores that are compared")
}

/// A contestant that runs.
#[derive(Debug)]
pub struct Running {
    /// Which.
    pub contestant: Contestant,
    child: Child,
    port: u16,
    folder: TempDir,
    /// Its Redis, if it has one.
    pub redis: Option<RedisServer>,
    /// Stops with this.
    _postgres: Option<PostgresServer>,
}

impl Running {
    /// Starts a contestant with this number of threads.
    pub fn start(contestant: Contestant, threads: usize) -> Self {
        Self::start_under(&[], contestant, threads)
    }

    /// Starts a contestant under another program, such as Valgrind.
    pub fn start_under(wrapper: &[&str], contestant: Contestant, threads: usize) -> Self {
        let folder = temporary_folder();
        let redis =
            contestant.store.starts_with("redis").then(|| RedisServer::start(Server::Redis));
        // With its default settings, so that what was answered is on the disk.
        let postgres = contestant.store.starts_with("postgres").then(|| PostgresServer::start(&[]));
        let place = match (&redis, &postgres) {
            (Some(redis), _) => redis.url(),
            (_, Some(postgres)) => postgres.url(),
            _ => folder.path().join("sessions").display().to_string(),
        };
        let cores =
            if threads == 1 { SERVER_CORE.to_owned() } else { format!("0-{}", threads - 1) };
        let mut child = Command::new("taskset")
            .args(["-c", &cores])
            .args(wrapper)
            .args(command(contestant.program))
            .env("NODE_ENV", "production")
            .args([&threads.to_string(), contestant.store, &place])
            .stdout(Stdio::piped())
            .stderr(if wrapper.is_empty() { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .expect("taskset is there: apt-get install util-linux");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("the server says where it listens");
        let port = line.trim().parse().expect("a port");
        Self { contestant, child, port, folder, redis, _postgres: postgres }
    }

    /// Begins sessions of this number of fields, and returns the file with their cookies; `None` if
    /// the contestant refuses sessions of that size.
    pub fn seed(&self, fields: usize, sessions: usize) -> Option<PathBuf> {
        let mut cookies = String::new();
        for _ in 0..sessions {
            let seed = ureq::post(format!("http://127.0.0.1:{}/seed/{fields}", self.port));
            let response = match seed.send_empty() {
                Err(ureq::Error::StatusCode(500)) => return None,
                response => response.expect("the site is seeded"),
            };
            let pairs = response.headers().get_all("set-cookie").iter().map(|cookie| {
                cookie.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned()
            });
            let pairs: Vec<String> = pairs.collect();
            match pairs[..] {
                // It has no sessions, and is sent a cookie of the same length all the same.
                [] => cookies += &format!("session={}", "x".repeat(50)),
                _ => cookies += &pairs.join("; "),
            }
            cookies.push('\n');
        }
        let file = tempfile::Builder::new().prefix("cookies").tempfile_in(self.folder.path());
        let (_, file) = file.expect("a writable folder").keep().expect("a writable folder");
        fs::write(&file, cookies).expect("a writable folder");
        Some(file)
    }

    /// Begins this number of small sessions.
    pub fn fill(&self, sessions: usize) {
        let fill = ureq::post(format!("http://127.0.0.1:{}/fill/{sessions}", self.port));
        let limit = Some(Duration::from_secs(600));
        let fill = fill.config().timeout_global(limit).build();
        fill.send_empty().expect("the store takes all of them");
    }

    /// The bytes that the sessions take: of this server's memory, of its Redis', or of its files'
    /// blocks.
    pub fn held(&self) -> u64 {
        if let Some(redis) = &self.redis {
            let used = redis.info("memory", "used_memory").expect("a number");
            return used.parse().expect("a number");
        }
        if self.contestant.store.starts_with("file") {
            let output = Command::new("du").arg("-sB1").arg(self.folder.path()).output();
            let output = output.expect("du is there").stdout;
            let bytes = String::from_utf8_lossy(&output);
            return bytes.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kilobytes = resident.split_whitespace().next().expect("a number");
        kilobytes.parse::<u64>().expect("a number") * 1024
    }

    /// Loads a route over this number of connections.
    pub fn load(&self, route: &str, cookies: &Path, connections: usize, seconds: u32) -> Load {
        let before = self.usage();
        let output = Command::new("taskset")
            .args(["-c", LOAD_CORE, "wrk", "--threads", "1"])
            .args(["--connections", &connections.to_string()])
            .args(["--duration", &seconds.to_string()])
            .args(["--script", concat!(env!("CARGO_MANIFEST_DIR"), "/wrk.lua")])
            .arg(format!("http://127.0.0.1:{}/{route}", self.port))
            .arg("--")
            .arg(cookies)
            .output()
            .expect("wrk is there: apt-get install wrk");
        let after = self.usage();
        let text = String::from_utf8_lossy(&output.stdout);
        let result: Vec<f64> = text
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))
            .unwrap_or_else(|| panic!("wrk: {text} {}", String::from_utf8_lossy(&output.stderr)))
            .split(' ')
            .map(|number| number.parse().expect("a number"))
            .collect();
        let [requests, micros, errors, p50, p99] = result[..] else { panic!("wrk: {text}") };
        let is_fine = errors == 0.0 || self.contestant.is_sql();
        assert!(is_fine, "{}: {errors} of {requests} failed", self.contestant.name);
        let per_request = |before: u64, after: u64| (after - before) as f64 / requests;
        Load {
            per_second: (requests - errors) / micros * 1e6,
            failed: errors / requests,
            p50,
            p99,
            cpu: per_request(before.cpu, after.cpu),
            bytes_in: per_request(before.bytes_in, after.bytes_in),
            bytes_out: per_request(before.bytes_out, after.bytes_out),
        }
    }

    /// Sends this number of requests one after the other over one connection, with one session.
    pub fn send(&self, route: &str, cookies: &Path, requests: usize) {
        let cookies = fs::read_to_string(cookies).expect("it was seeded");
        let cookie = cookies.lines().next().expect("a session");
        let agent = ureq::agent();
        for _ in 0..requests {
            let request = agent.get(format!("http://127.0.0.1:{}/{route}", self.port));
            let mut response = request.header("cookie", cookie).call().expect("an answer");
            response.body_mut().read_to_string().expect("a text");
        }
    }

    /// How often its Redis is asked for one request, if it has one. A server that is asked for one
    /// thing after the other reads from its connections once for each.
    pub fn round_trips(&self, route: &str, cookies: &Path) -> Option<f64> {
        const REQUESTS: usize = 100;
        let redis = self.redis.as_ref()?;
        let reads_of = |requests| {
            let before = redis_stats(redis, "total_reads_processed");
            self.send(route, cookies, requests);
            redis_stats(redis, "total_reads_processed") - before
        };
        // Scripts are known and connections made after these.
        reads_of(4);
        // Looking is counted too.
        let of_looking = reads_of(0);
        Some((reads_of(REQUESTS) - of_looking) as f64 / REQUESTS as f64)
    }

    fn usage(&self) -> Usage {
        // Fields 14 and 15, in hundredths of a second; the name before them may hold blanks.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum();
        let stats = |name| self.redis.as_ref().map_or(0, |redis| redis_stats(redis, name));
        Usage {
            cpu: ticks * 10_000,
            bytes_in: stats("total_net_input_bytes"),
            bytes_out: stats("total_net_output_bytes"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A number that a Redis counts.
fn redis_stats(redis: &RedisServer, name: &str) -> u64 {
    redis.info("stats", name).expect("it is counted").parse().expect("a number")
}

struct Usage {
    /// Microseconds.
    cpu: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// What a route did under load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Successful requests per second.
    pub per_second: f64,
    /// The share of the requests that failed.
    pub failed: f64,
    /// The median of the times until the answer, in microseconds.
    pub p50: f64,
    /// What 99 of 100 answers took at most, in microseconds.
    pub p99: f64,
    /// Microseconds of the server's processor time per request.
    pub cpu: f64,
    /// Bytes that Redis got per request.
    pub bytes_in: f64,
    /// Bytes that Redis sent per request.
    pub bytes_out: f64,
}

/// The command that starts a program.
fn command(program: &str) -> Vec<PathBuf> {
    match program {
        EXPRESS => vec!["node".into(), Path::new(EXPRESS_FOLDER).join("server.js")],
        _ => vec![std::env::current_exe().expect("a path").with_file_name(program)],
    }
}

/// How often a contestant allocates for one request, counted by Valgrind; `None` if it refuses
/// sessions of that size.
pub fn allocations(contestant: Contestant, route: &str, fields: usize) -> Option<f64> {
    const FEW: usize = 20;
    const MANY: usize = 120;
    let of = |requests| {
        let folder = temporary_folder();
        let log = folder.path().join("log");
        let to_log = format!("--log-file={}", log.display());
        let running = Running::start_under(&["valgrind", &to_log], contestant, 1);
        let cookies = running.seed(fields, 1)?;
        running.send(route, &cookies, requests);
        drop(running);
        let log = fs::read_to_string(&log).expect("valgrind is there: apt-get install valgrind");
        let (_, usage) = log.split_once("total heap usage: ").expect("a summary");
        let count = usage.split(' ').next().expect("a number").replace(',', "");
        Some(count.parse::<f64>().expect("a number"))
    };
    Some((of(MANY)? - of(FEW)?) / (MANY - FEW) as f64)
}

/// Builds the servers, and installs the packages of the one in Node.js.
pub fn build() {
    let program = std::env::current_exe().expect("a path");
    // Two above, in `release`.
    let target = program.ancestors().nth(2).expect("a folder of builds");
    for manifest in [env!("CARGO_MANIFEST_DIR"), AXUM_FOLDER] {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--locked", "--bins", "--all-features"])
            .arg("--manifest-path")
            .arg(Path::new(manifest).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the servers in {manifest} do not build"
        );
    }
    let installed = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", EXPRESS_FOLDER])
        .status()
        .expect("npm is there: apt-get install nodejs npm");
    assert!(installed.success(), "npm does not install the packages of {EXPRESS_FOLDER}");
}

/// Moves this process to the core of the load, and with it the databases that it starts.
pub fn stay_off_the_servers_core() {
    let moved =
        Command::new("taskset").args(["-cp", LOAD_CORE, &std::process::id().to_string()]).output();
    assert!(moved.is_ok_and(|output| output.status.success()), "two cores are needed");
}

/// The median.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
