//! Programs in Node.js that sites are switched from. Their packages come from the npm registry,
//! with the versions of `node/package-lock.json`.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    servers::{dying_with_us, spawn},
    wait::PATIENCE,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node");
/// Far above what an installation takes on a slow network.
const INSTALLATION: Duration = Duration::from_secs(5 * 60);

/// A running server in Node.js. It stops when it is dropped.
#[derive(Debug)]
pub struct NodeServer {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl NodeServer {
    /// Starts a script, which prints its port.
    ///
    /// # Panics
    /// Node.js is not installed, or the script does not print a port in time.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let mut command = command(script, arguments);
        command.stdout(Stdio::piped());
        let mut child = spawn(command);
        let output = child.stdout.take().expect("it is piped");
        // With an address that is replaced, so that a script that prints nothing is stopped too.
        let mut server = Self { address: ([127, 0, 0, 1], 0).into(), child };
        let port = first_line(output).expect("it prints its port in time");
        server.address.set_port(port.trim().parse().expect("it prints its port"));
        server
    }
}

impl Drop for NodeServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script to its end.
///
/// # Panics
/// Node.js is not installed, or the script fails or does not end.
pub fn run(script: &str, arguments: &[&str]) {
    end(script, spawn(command(script, arguments)), PATIENCE);
}

fn command(script: &str, arguments: &[&str]) -> Command {
    install();
    let mut command = dying_with_us(Path::new("node"));
    command.arg(script).args(arguments).current_dir(FOLDER);
    command
}

/// Installs the packages, once for all tests of a process.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // It is a Node.js program: apt-get install nodejs npm.
        let mut npm = dying_with_us(Path::new("npm"));
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", FOLDER]);
        npm.stdout(Stdio::null());
        end("npm", spawn(npm), INSTALLATION);
    });
}

/// Waits until a program has succeeded.
fn end(what: &str, mut child: Child, limit: Duration) {
    let start = Instant::now();
    loop {
        match child.try_wait().expect("our own child") {
            Some(status) => return assert!(status.success(), "{what} fails: {status}"),
            None if start.elapsed() < limit => thread::sleep(Duration::from_millis(20)),
            None => {
                let _ = child.kill();
                panic!("{what} does not end within {limit:?}");
            }
        }
    }
}

/// The first line of an output. `None`: there is none in time.
fn first_line(output: impl Read + Send + 'static) -> Option<String> {
    let (sender, line) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        // OK because the receiver may have given up.
        let _ = sender.send(read.map(|_| line));
    });
    line.recv_timeout(PATIENCE).ok()?.ok()
}
