//! Real servers, which tests start on free ports. They stop with the test.
//!
//! A test whose server is not installed fails, and says what to install.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use redis::Value;
use tempfile::TempDir;

use crate::{folder::temporary_folder, proxy::Proxy};

/// How long a server may take to start, to stop, or to agree with others.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until no thread of a process runs. The signal that stops it takes a moment, in which it
/// may still answer.
pub(crate) fn wait_until_stopped(process: u32) {
    let start = Instant::now();
    while runs(process) {
        assert!(start.elapsed() < PATIENCE, "the process does not stop");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a thread of the process is neither stopped nor at its end.
fn runs(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| state_and_parent(&thread.path()))
        .any(|(state, _)| !["T", "t", "Z", "X"].contains(&&*state))
}

/// The state of a process or thread, and its parent. `None`: it has ended.
pub(crate) fn state_and_parent(folder: &Path) -> Option<(String, String)> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name of the program, in parentheses, may have spaces.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

/// What to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The Redis of the Debian package.
    Redis,
    /// The oldest Redis that the library works with.
    Redis62,
    /// Valkey.
    Valkey,
}

impl Server {
    fn program(self) -> PathBuf {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers");
        match self {
            Self::Redis => "redis-server".into(),
            Self::Redis62 => installed.join("redis-server-6.2"),
            Self::Valkey => installed.join("valkey-server"),
        }
    }

    fn how_to_install(self) -> &'static str {
        match self {
            Self::Redis => "`redis-server` is missing: apt-get install redis-server",
            Self::Redis62 | Self::Valkey => {
                "Redis 6.2 and Valkey are missing in target/servers: `./tests/run` puts them there"
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Plainly,
    Tls,
}

type Authority = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

/// What a client presents to a server that asks for a certificate, as PEM.
pub struct ClientIdentity {
    /// Its certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// A running Redis, Valkey or Sentinel.
#[derive(Debug)]
pub struct RedisServer {
    server: Server,
    arguments: Vec<String>,
    port: u16,
    speaks: Speaks,
    folder: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// A server without sessions that keeps nothing on disk.
    pub fn start(server: Server) -> Self {
        Self::start_with(server, &[])
    }

    /// A server with further arguments.
    pub fn start_with(server: Server, arguments: &[&str]) -> Self {
        let mut started = Self::prepare(server);
        started.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        started.restart();
        started
    }

    /// A server that answers TLS only, with a certificate of a new authority, whose PEM is
    /// returned too.
    pub fn start_tls(server: Server) -> (Self, String) {
        let (started, authority) = Self::start_with_authority(server, "no");
        (started, authority.pem())
    }

    /// [`start_tls`](Self::start_tls) for a server that lets in only clients with a certificate of
    /// the authority. Such a certificate is returned too.
    pub fn start_mutual_tls(server: Server) -> (Self, String, ClientIdentity) {
        let (started, authority) = Self::start_with_authority(server, "yes");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::default();
        // A certificate with the name of its authority counts as one that signs itself.
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "client");
        let certificate = parameters.signed_by(&key, &authority).expect("a certificate");
        let client = ClientIdentity { certificate: certificate.pem(), key: key.serialize_pem() };
        (started, authority.pem(), client)
    }

    fn start_with_authority(server: Server, auth_clients: &str) -> (Self, Authority) {
        let mut started = Self::prepare(server);
        let authority = rcgen::CertifiedIssuer::self_signed(
            authority_parameters(),
            rcgen::KeyPair::generate().expect("a key"),
        )
        .expect("a certificate");
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names)
            .and_then(|parameters| parameters.signed_by(&key, &authority))
            .expect("a certificate");
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("cert.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            fs::write(started.folder.path().join(name), text).expect("a writable folder");
        }
        started.arguments.extend(
            [
                ["--tls-cert-file", "cert.pem"],
                ["--tls-key-file", "key.pem"],
                ["--tls-ca-cert-file", "ca.pem"],
                ["--tls-auth-clients", auth_clients],
            ]
            .concat()
            .into_iter()
            .map(str::to_owned),
        );
        started.speaks = Speaks::Tls;
        started.spawn();
        started.wait_until("it listens", || {
            std::net::TcpStream::connect(("127.0.0.1", started.port)).is_ok()
        });
        (started, authority)
    }

    fn prepare(server: Server) -> Self {
        let folder = temporary_folder();
        let arguments = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
        Self {
            server,
            arguments: arguments.map(str::to_owned).to_vec(),
            port: free_port(),
            speaks: Speaks::Plainly,
            folder,
            child: None,
        }
    }

    /// A sentinel that watches a master.
    fn sentinel(master: u16) -> Self {
        let mut sentinel = Self::prepare(Server::Redis);
        let file = sentinel.folder.path().join("sentinel.conf");
        let settings = format!(
            "sentinel monitor {MASTER_NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER_NAME} 500\n\
             sentinel failover-timeout {MASTER_NAME} 2000\n"
        );
        fs::write(&file, settings).expect("a writable folder");
        sentinel.arguments = [&file.display().to_string(), "--sentinel", "--bind", "127.0.0.1"]
            .map(str::to_owned)
            .to_vec();
        sentinel.restart();
        sentinel
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The URL of database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the server again, on the same port.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until("it answers", || {
            matches!(self.try_command(&["PING"]), Ok(Value::SimpleString(pong)) if pong == "PONG")
        });
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server is running");
        let program = self.server.program();
        let mut command = dying_with_us(&program);
        let port = self.port.to_string();
        command.args(&self.arguments).args(match self.speaks {
            // A server built without TLS does not accept `--tls-port`.
            Speaks::Plainly => vec!["--port", &port],
            Speaks::Tls => vec!["--port", "0", "--tls-port", &port],
        });
        let log = fs::File::create(self.folder.path().join("log")).expect("a writable folder");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        assert!(
            Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_ok(),
            "{}",
            self.server.how_to_install()
        );
        self.child = Some(spawn(command));
    }

    /// Kills the server: what it has not written is lost, and its connections break.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
    }

    /// Stops the server's process: connections stay open, but requests get no answer.
    pub fn pause(&self) {
        self.signal("STOP");
        wait_until_stopped(self.child.as_ref().expect("the server is running").id());
    }

    /// Continues a paused server.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("the server is running");
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(child.id().to_string());
        assert!(kill.status().expect("`kill` is everywhere").success());
    }

    /// Sends a command and returns the answer.
    pub fn command(&self, command: &[&str]) -> Value {
        self.try_command(command).expect("the server answers")
    }

    fn try_command(&self, command: &[&str]) -> redis::RedisResult<Value> {
        let client = redis::Client::open(self.url())?;
        let limit = Duration::from_secs(2);
        let mut connection = client.get_connection_with_timeout(limit)?;
        connection.set_read_timeout(Some(limit))?;
        let mut request = redis::cmd(command[0]);
        request.arg(&command[1..]).query(&mut connection)
    }

    /// The value of a name in `INFO`.
    pub fn info(&self, section: &str, name: &str) -> Option<String> {
        let info = self.command(&["INFO", section]);
        let info: String = redis::from_redis_value(info).expect("`INFO` is a text");
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::to_owned)
    }

    /// How often it ran a command, also inside scripts, since its counts were set to zero.
    pub fn calls(&self, command: &str) -> u64 {
        let line = self.info("commandstats", &format!("cmdstat_{command}"));
        let calls = line.as_deref().and_then(|line| line.strip_prefix("calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse().expect("a number"))
    }

    fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(
                start.elapsed() < PATIENCE,
                "{:?} on port {} does not get there: {what}\n{}",
                self.server,
                self.port,
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default(),
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn authority_parameters() -> rcgen::CertificateParams {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters
}

/// A free port. The system does not give ports of this range to outgoing connections, so it stays
/// free while a server is started again. Nodes of a cluster need a second port, 10 000 above.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time start at different ports.
    let start = u16::try_from(process::id() % 10_000).expect("less than 10 000");
    loop {
        let next = NEXT.fetch_add(1, Ordering::SeqCst) % 10_000;
        let port = 10_000 + (start + next) % 10_000;
        if [port, port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        {
            return port;
        }
    }
}

/// A command whose process is killed when this process ends, even if this process is killed. Start
/// it with [`spawn`].
pub fn dying_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts a child from a thread that lives as long as the process. The child dies with the thread
/// that started it, and a test's thread may end before other tests stop using the server.
pub fn spawn(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<Child>);
    static STARTER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let child = command.spawn().expect("`setpriv` comes with every Debian");
                // OK because the receiver waits below.
                let _ = answer.send(child);
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::channel();
    let orders = starter.lock().unwrap_or_else(PoisonError::into_inner);
    orders.send((command, answer)).expect("the starter lasts");
    child.recv().expect("the starter starts it")
}

/// The sentinels' name for the master.
pub const MASTER_NAME: &str = "main";

/// A master, a replica, and three sentinels that watch them.
#[derive(Debug)]
pub struct SentinelSetup {
    /// The master, and the replica that follows it.
    pub servers: [RedisServer; 2],
    /// The sentinels.
    pub sentinels: [RedisServer; 3],
}

impl SentinelSetup {
    /// Starts all five and waits until they have found each other.
    pub fn start() -> Self {
        let master = RedisServer::start(Server::Redis);
        let port = master.port().to_string();
        let replica = RedisServer::start_with(Server::Redis, &["--replicaof", "127.0.0.1", &port]);
        replica.wait_until("it follows the master", || {
            replica.info("replication", "master_link_status").as_deref() == Some("up")
        });
        let sentinels = [(); 3].map(|()| RedisServer::sentinel(master.port()));
        for sentinel in &sentinels {
            sentinel.wait_until("it knows the others", || {
                let known = sentinel.info("sentinel", "master0").unwrap_or_default();
                known.contains("slaves=1") && known.contains("sentinels=3")
            });
        }
        Self { servers: [master, replica], sentinels }
    }

    /// The URLs of the sentinels.
    pub fn urls(&self) -> [String; 3] {
        [0, 1, 2].map(|n| self.sentinels[n].url())
    }

    /// Waits until all sentinels call another server the master.
    pub fn wait_for_other_master(&self, than: u16) {
        for sentinel in &self.sentinels {
            sentinel.wait_until("it names another master", || {
                let known = sentinel.info("sentinel", "master0").unwrap_or_default();
                known.contains("status=ok") && !known.contains(&format!("127.0.0.1:{than},"))
            });
        }
    }
}

/// Three masters that share the slots.
#[derive(Debug)]
pub struct ClusterSetup {
    /// The nodes.
    pub nodes: [RedisServer; 3],
}

impl ClusterSetup {
    /// Starts the nodes and waits until they agree.
    pub fn start(server: Server) -> Self {
        Self::start_with(server, &[])
    }

    /// A cluster whose nodes still have their sessions after a restart.
    pub fn start_persistent(server: Server) -> Self {
        Self::start_with(server, &["--appendonly", "yes", "--appendfsync", "always"])
    }

    fn start_with(server: Server, settings: &[&str]) -> Self {
        let mut all = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        all.extend(settings);
        let nodes = [(); 3].map(|()| RedisServer::start_with(server, &all));
        for (node, slots) in nodes.iter().zip([0..5461_u16, 5461..10_923, 10_923..16_384]) {
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let mut command = vec!["CLUSTER", "ADDSLOTS"];
            command.extend(slots.iter().map(String::as_str));
            node.command(&command);
        }
        for node in &nodes[1..] {
            let port = node.port().to_string();
            nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let setup = Self { nodes };
        setup.wait_until_whole();
        setup
    }

    /// Waits until all nodes see each other and all slots.
    pub fn wait_until_whole(&self) {
        for node in &self.nodes {
            node.wait_until("the cluster is whole", || {
                let info = node.command(&["CLUSTER", "INFO"]);
                let info: String = redis::from_redis_value(info).expect("a text");
                ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"]
                    .iter()
                    .all(|line| info.contains(line))
            });
        }
    }

    /// The URLs of the nodes.
    pub fn urls(&self) -> [String; 3] {
        [0, 1, 2].map(|n| self.nodes[n].url())
    }

    /// A proxy to each node. Clients that ask for the slots are sent to the proxies.
    pub fn proxies(&self) -> [Proxy; 3] {
        let proxies = [0, 1, 2].map(|n| Proxy::to(self.nodes[n].address()));
        for (node, proxy) in self.nodes.iter().zip(&proxies) {
            let bus = (node.port() + 10_000).to_string();
            let port = proxy.address().port().to_string();
            for (name, value) in [("bus-port", &bus), ("port", &port)] {
                let name = format!("cluster-announce-{name}");
                assert_eq!(node.command(&["CONFIG", "SET", &name, value]), Value::Okay);
            }
        }
        for node in &self.nodes {
            node.wait_until("it names the proxies", || {
                let nodes = node.command(&["CLUSTER", "NODES"]);
                let nodes: String = redis::from_redis_value(nodes).expect("a text");
                proxies.iter().all(|it| nodes.contains(&format!("{}@", it.address())))
            });
        }
        proxies
    }
}
