//! A site moves from files to Redis while visitors use it, and one of its processes is killed.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock as _, Durability, FileStore, SystemClock,
    store::{ListAll, SessionStore as _, StoreKey},
};
use actix_typed_session_tests::{
    Client, Response, client::whole_response, concurrency::field, json::record, stores,
};
use futures_util::future::join;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

const VISITORS: u32 = 16;
/// Sessions of visitors who do not come.
const ABSENT: u32 = 2_500;

/// A process of the site, which ends with the test.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        // OK because it has ended then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the sessions are, and the processes that take requests.
struct Deployment {
    folder: TempDir,
    prefix: String,
    open: Mutex<Vec<SocketAddr>>,
    requests: AtomicU64,
    /// Requests without a whole response, because their process was killed.
    cut_off: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Deployment {
    fn start(&self, phase: &str) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moving_process"));
        command.arg(self.folder.path().join("sessions")).arg(stores::redis_url());
        command.args([&self.prefix, phase]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it was built");
        let output = child.stdout.take().expect("it is piped");
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port).expect("it prints its port");
        let address = ([127, 0, 0, 1], port.trim().parse().expect("a port")).into();
        Process { child, address }
    }

    fn open(&self, process: &Process) {
        self.open.lock().expect("no panic with it").push(process.address);
    }

    fn close(&self, process: &Process) {
        self.open.lock().expect("no panic with it").retain(|open| *open != process.address);
    }

    /// Replaces a process by one of another phase, as a rolling deploy does.
    async fn replace(&self, before: Process, phase: &str) -> Process {
        let next = self.start(phase);
        self.open(&next);
        self.close(&before);
        // It ends what it has begun.
        let pid = before.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("a program `kill`");
        let mut before = before;
        tokio::task::spawn_blocking(move || before.child.wait()).await.expect("no panic").ok();
        next
    }

    fn address(&self, number: u64) -> SocketAddr {
        let open = self.open.lock().expect("no panic with it");
        open[number as usize % open.len()]
    }

    fn report(&self, what: String) {
        self.wrong.lock().expect("no panic with it").push(what);
    }

    /// Sends a request to any process. `None`: the process went away in the middle.
    async fn try_once(&self, client: &Client, path: &str) -> Option<Response> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let cookies: Vec<_> = client.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let cookies = match cookies.is_empty() {
            true => String::new(),
            false => format!("Cookie: {}\r\n", cookies.join("; ")),
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{cookies}\r\n");
        let exchange = async {
            let mut stream = TcpStream::connect(self.address(number)).await.ok()?;
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.ok()?;
            Some(whole_response(&bytes)?.0)
        };
        let response = timeout(Duration::from_secs(60), exchange).await.expect("an answer");
        match &response {
            None => drop(self.cut_off.fetch_add(1, Ordering::SeqCst)),
            Some(response) if response.status != 200 => {
                self.report(format!("{path}: {}", response.text()));
            }
            Some(_) => {}
        }
        response
    }

    /// The same, again and again until there is an answer.
    async fn send(&self, client: &Client, path: &str) -> Response {
        loop {
            if let Some(response) = self.try_once(client, path).await {
                return response;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A visitor, and what their session must have.
struct Visitor {
    client: Client,
    number: u32,
    count: u64,
    name: String,
    user: u32,
    /// Ids of sessions that the visitor has ended.
    ended: Vec<Client>,
    logins: u32,
    abandoned: u32,
}

impl Visitor {
    fn new(number: u32) -> Self {
        let client = Client::new(([127, 0, 0, 1], 0).into());
        let (name, ended) = (String::new(), Vec::new());
        Self { client, number, count: 0, name, user: 0, ended, logins: 0, abandoned: 0 }
    }

    async fn come(mut self, site: Arc<Deployment>, stop: Arc<AtomicBool>) -> Self {
        self.log_in(&site).await;
        for turn in 1_u32.. {
            match turn % 40 {
                0 => self.log_out(&site).await,
                10 | 25 => self.log_in(&site).await,
                _ => self.count(&site, turn).await,
            }
            self.check(&site).await;
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
        self
    }

    /// Two requests at once: both add 1, and one writes a name.
    async fn count(&mut self, site: &Deployment, turn: u32) {
        if self.client.cookies.is_empty() {
            return;
        }
        let name = format!("v{}t{turn}", self.number);
        let path = format!("/do/count,name={name}");
        let requests =
            join(site.try_once(&self.client, &path), site.try_once(&self.client, "/do/count"));
        let (first, second) = requests.await;
        self.count += u64::from(first.is_some()) + u64::from(second.is_some());
        if first.is_some() {
            self.name = name;
        }
        if first.is_none() || second.is_none() {
            self.accept_unknown(site, first.is_none(), second.is_none()).await;
        }
    }

    /// Takes over what became of requests that were cut off. It may be either.
    async fn accept_unknown(&mut self, site: &Deployment, first: bool, second: bool) {
        // One that a killed process has sent may still be on its way to the store.
        sleep(Duration::from_millis(300)).await;
        let seen = site.send(&self.client, "/do/read").await;
        let count: u64 = field(&seen.body, "count").parse().expect("a number");
        let most = self.count + u64::from(first) + u64::from(second);
        if !(self.count..=most).contains(&count) {
            site.report(format!("visitor {} has {count}, not {}", self.number, self.count));
        }
        self.count = count;
        if first {
            self.name = field(&seen.body, "name");
        }
    }

    /// Renews the id. If that is cut off, the new id is lost, and the visitor begins again.
    async fn log_in(&mut self, site: &Deployment) {
        self.logins += 1;
        let user = self.number * 1_000 + self.logins;
        match site.try_once(&self.client, &format!("/do/user={user}")).await {
            Some(response) => {
                self.client.keep_cookies(&response);
                self.user = user;
            }
            None => {
                self.abandoned += 1;
                *self = Self {
                    ended: std::mem::take(&mut self.ended),
                    logins: self.logins,
                    abandoned: self.abandoned,
                    ..Self::new(self.number)
                };
            }
        }
    }

    async fn log_out(&mut self, site: &Deployment) {
        let before = self.client.clone();
        // The answer may be lost: it is sent until one comes.
        let response = site.send(&before, "/do/destroy").await;
        self.client.keep_cookies(&response);
        self.client.cookies.clear();
        (self.count, self.user) = (0, 0);
        self.name.clear();
        self.ended.push(before);
        self.log_in(site).await;
    }

    /// Compares the session with what it must be.
    async fn check(&self, site: &Deployment) {
        let seen = site.send(&self.client, "/do/read").await;
        let got = ["count", "name", "user"].map(|name| field(&seen.body, name));
        let expected = [self.count.to_string(), self.name.clone(), self.user.to_string()];
        if got != expected {
            site.report(format!("visitor {}: {got:?} and not {expected:?}", self.number));
        }
        if let Some(ended) = self.ended.last() {
            let seen = site.send(ended, "/do/read").await;
            if field(&seen.body, "user") != "0" || field(&seen.body, "count") != "0" {
                site.report(format!("visitor {}: a session came back", self.number));
            }
        }
    }
}

#[actix_web::test]
async fn a_site_moves_to_redis_under_load_although_a_process_is_killed() {
    let folder = TempDir::new().expect("a temporary folder");
    let files = FileStore::builder(folder.path().join("sessions"));
    let files = files.durability(Durability::Process).build().expect("a writable folder");
    let now = SystemClock.now();
    for n in 0..ABSENT {
        let record = record(now, &[("count", &n.to_string()), ("user", "7")]);
        files.create(&absent(n), &record).await.expect("a writable folder");
    }
    let site = Arc::new(Deployment {
        folder,
        prefix: stores::prefix(),
        open: Mutex::default(),
        requests: AtomicU64::new(0),
        cut_off: AtomicU64::new(0),
        wrong: Mutex::default(),
    });
    let (first, second) = (site.start("ready"), site.start("ready"));
    site.open(&first);
    site.open(&second);
    let (stop, mut visitors) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for number in 1..=VISITORS {
        visitors.spawn(Visitor::new(number).come(Arc::clone(&site), Arc::clone(&stop)));
    }
    let pause = || sleep(Duration::from_secs(1));
    pause().await;
    let first = site.replace(first, "moving").await;
    pause().await;
    let mut second = site.replace(second, "moving").await;
    let moves = |process: &Process| {
        let (site, address) = (Arc::clone(&site), process.address);
        tokio::spawn(async move { move_all(address, &site).await })
    };
    let (of_first, of_second) = (moves(&first), moves(&second));
    // Both are in the middle of the files then.
    pause().await;
    let left = count(&files).await;
    assert!((1..ABSENT as usize).contains(&left), "it is killed in the middle: {left} are left");
    second.child.kill().expect("our own process");
    site.close(&second);
    let second = site.start("moving");
    site.open(&second);
    drop(of_second.await);
    let again = moves(&second).await.expect("no panic").expect("it was not killed");
    let done = of_first.await.expect("no panic").expect("it was not killed");
    println!("moved by the first process: {done}; by the second one after its restart: {again}");
    assert_eq!(count(&files).await, 0, "nothing is left");
    pause().await;
    // The new store alone.
    let first = site.replace(first, "new").await;
    let second = site.replace(second, "new").await;
    pause().await;
    stop.store(true, Ordering::SeqCst);
    let visitors = visitors.join_all().await;

    let redis = stores::redis_with_prefix(&site.prefix);
    for n in 0..ABSENT {
        let record = redis.load(&absent(n), &Default::default()).await.expect("it is up");
        let count = record.and_then(|it| it.field("count").map(|json| json.get().to_owned()));
        if count != Some(n.to_string()) {
            site.report(format!("absent visitor {n}: {count:?}"));
        }
    }
    let mut ended = 0;
    for visitor in &visitors {
        visitor.check(&site).await;
        for client in &visitor.ended {
            ended += 1;
            let seen = site.send(client, "/do/read").await;
            assert_eq!(field(&seen.body, "user"), "0", "a logged-out session stays ended");
        }
    }
    let wrong = site.wrong.lock().expect("no panic with it");
    println!(
        "{} requests served, {} cut off by the kill, {} logins, {ended} logouts, {} renewals \
         whose answer was cut off, {} wrong",
        site.requests.load(Ordering::SeqCst) - site.cut_off.load(Ordering::SeqCst),
        site.cut_off.load(Ordering::SeqCst),
        visitors.iter().map(|visitor| visitor.logins).sum::<u32>(),
        visitors.iter().map(|visitor| visitor.abandoned).sum::<u32>(),
        wrong.len(),
    );
    assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(10)]);
    drop((first, second));
}

fn absent(n: u32) -> StoreKey {
    let mut bytes = [7; 32];
    bytes[0] = n as u8;
    bytes[1..5].copy_from_slice(&n.to_le_bytes());
    StoreKey::from_bytes(bytes)
}

/// Asks a process to move all. `None`: it was killed.
async fn move_all(address: SocketAddr, site: &Deployment) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = "GET /move HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let response = whole_response(&bytes)?.0;
    if response.status != 200 {
        site.report(format!("/move: {}", response.text()));
    }
    Some(response.body)
}

/// How many sessions are in the old store, without ids that were renewed.
async fn count(store: &FileStore) -> usize {
    let (mut count, mut next) = (0, None);
    loop {
        let page = store.list(next.as_ref(), 1_000).await.expect("a readable folder");
        count += page.sessions.iter().filter(|(_, record)| !record.is_retired()).count();
        next = page.next;
        if next.is_none() {
            return count;
        }
    }
}
