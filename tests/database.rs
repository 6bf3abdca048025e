//! Servers of SQL databases, which a test starts on a free port. They stop with the test.

use std::{
    fs,
    marker::PhantomData,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    folder::temporary_folder,
    servers::{dying_with_us, spawn, state_and_parent, wait_until_stopped},
};

/// The user `nobody`: the servers refuse to run as root.
const NOBODY: u32 = 65_534;
/// How long the server may take to start, also after a crash.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that serves a database.
pub trait Program {
    /// Its name, and how to install it.
    const TITLE: &'static str;

    /// The command that makes an empty database in a folder.
    fn init(folder: &Path) -> Command;

    /// The command that starts the server.
    fn serve(folder: &Path, port: u16, settings: &[&str]) -> Command;

    /// Whether a server answers there.
    fn answers(port: u16) -> bool;
}

/// A server without data.
#[derive(Debug)]
pub struct DatabaseServer<P: Program> {
    port: u16,
    child: Option<Child>,
    is_root: bool,
    settings: Vec<&'static str>,
    folder: TempDir,
    program: PhantomData<P>,
}

impl<P: Program> DatabaseServer<P> {
    /// Starts a server with settings of its command line.
    pub fn start(settings: &[&'static str]) -> Self {
        Self::start_from(P::init, settings)
    }

    /// Starts a server whose data a command makes in a folder.
    pub fn start_from(init: impl FnOnce(&Path) -> Command, settings: &[&'static str]) -> Self {
        let folder = temporary_folder();
        let is_root = fs::metadata(folder.path()).expect("our own folder").uid() == 0;
        if is_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let mut init = as_ordinary_user(&init(folder.path()), is_root);
        let output = init.current_dir(folder.path()).output().expect(P::TITLE);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let (settings, program) = (settings.to_vec(), PhantomData);
        let mut server = Self { port, child: None, is_root, settings, folder, program };
        server.restart();
        server
    }

    /// Starts the server after [`kill`](Self::kill), on the same port.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server is running");
        let start = Instant::now();
        while !P::answers(self.port) {
            // A server that was killed leaves children, and the new one does not start beside them.
            let has_ended = self
                .child
                .as_mut()
                .is_none_or(|child| child.try_wait().expect("our own child").is_some());
            if has_ended {
                self.child = Some(spawn(self.command()));
            }
            assert!(start.elapsed() < PATIENCE, "{} does not start:\n{}", P::TITLE, self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let serve = P::serve(folder, self.port, &self.settings);
        let mut command = as_ordinary_user(&serve, self.is_root);
        let log = fs::File::create(folder.join("log")).expect("a writable folder");
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
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
        let Some(child) = &self.child else { return };
        children(child.id()).into_iter().chain([child.id()]).for_each(wait_until_stopped);
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
}

impl<P: Program> Drop for DatabaseServer<P> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = state_and_parent(Path::new(&format!("/proc/{id}")));
        stat.is_some_and(|(_, its_parent)| its_parent == parent.to_string())
    })
    .collect()
}

/// A command that dies with this process, and that root starts as another user.
fn as_ordinary_user(command: &Command, is_root: bool) -> Command {
    let mut dying = if is_root {
        let id = NOBODY.to_string();
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
        setpriv.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(command.get_program());
        setpriv
    } else {
        dying_with_us(Path::new(command.get_program()))
    };
    dying.args(command.get_args());
    dying
}
