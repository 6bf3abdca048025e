//! A PostgreSQL that a test starts on a free port. It stops with the test.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::servers::{dying_with_us, spawn};

/// The user `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;
/// How long the server may take to start, also after a crash.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running PostgreSQL.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    child: Option<Child>,
    is_root: bool,
    settings: Vec<&'static str>,
    folder: TempDir,
}

impl PostgresServer {
    /// Starts a server without data that does not wait for its disk.
    pub fn start() -> Self {
        Self::start_with(&["fsync=off"])
    }

    /// Starts a server without data, with further settings.
    pub fn start_with(settings: &[&'static str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let is_root = fs::metadata(folder.path()).expect("our own folder").uid() == 0;
        if is_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let mut init = as_ordinary_user(&program("initdb"), is_root);
        init.arg("-D").arg(folder.path().join("data")).args(["-U", "postgres", "-A", "trust"]);
        init.args(["-N", "-E", "UTF8", "--locale=C"]).current_dir(folder.path());
        let output = init.output().expect("`initdb` starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let settings = settings.to_vec();
        let mut server = Self { port, child: None, is_root, settings, folder };
        server.restart();
        server
    }

    /// Starts the server after [`kill`](Self::kill), on the same port.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server is running");
        let start = Instant::now();
        while !self.answers() {
            // A server that was killed leaves children, and the new one does not start beside them.
            let has_ended = self
                .child
                .as_mut()
                .is_none_or(|child| child.try_wait().expect("our own child").is_some());
            if has_ended {
                self.child = Some(spawn(self.command()));
            }
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not start:\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let mut command = as_ordinary_user(&program("postgres"), self.is_root);
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
        command.arg("-p").arg(self.port.to_string());
        let fixed = ["listen_addresses=127.0.0.1", "max_connections=200"];
        for setting in fixed.iter().chain(&self.settings) {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(folder.join("log")).expect("a writable folder");
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn answers(&self) -> bool {
        let mut ready = Command::new(program("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        ready.status().expect("`pg_isready` starts").success()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Kills all processes of the server at once.
    pub fn kill(&mut self) {
        self.signal("KILL");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("our own child");
        }
    }

    /// Stops all processes of the server: connections stay open, and get no answer.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Continues a paused server.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let Some(child) = &self.child else { return };
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(child.id().to_string());
        kill.args(children(child.id()).iter().map(u32::to_string)).stderr(Stdio::null());
        // OK because a child may have ended meanwhile.
        let _ = kill.status().expect("`kill` is everywhere");
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        url(self.address())
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The URL of the database behind an address.
pub fn url(address: SocketAddr) -> String {
    format!("postgres://postgres@{address}/postgres")
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name of the program, in parentheses, may have spaces. State and parent follow it.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    })
    .collect()
}

/// A command that dies with this process, and that root starts as another user.
fn as_ordinary_user(program: &Path, is_root: bool) -> Command {
    if !is_root {
        return dying_with_us(program);
    }
    let id = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
    command.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A program of the Debian package, which puts them outside of the path.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is missing: apt-get install postgresql")
}
