//! Programs in Node.js that sites are switched from. Their packages come from the npm registry,
//! with the versions of `node/package-lock.json`.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node");

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
    /// Node.js is not installed, or the script does not print a port.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let mut command = command(script, arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it is installed");
        let mut port = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut port).expect("it prints its port");
        let port: u16 = port.trim().parse().expect("it prints its port");
        Self { address: ([127, 0, 0, 1], port).into(), child }
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
/// Node.js is not installed, or the script fails.
pub fn run(script: &str, arguments: &[&str]) {
    let status = command(script, arguments).status().expect("it is installed");
    assert!(status.success(), "{script} fails");
}

fn command(script: &str, arguments: &[&str]) -> Command {
    install();
    let mut command = Command::new("node");
    command.arg(script).args(arguments).current_dir(FOLDER);
    command
}

/// Installs the packages, once for all tests of a process.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let installed = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", FOLDER])
            .stdout(Stdio::null())
            .status()
            .expect("npm is there: apt-get install nodejs npm");
        assert!(installed.success(), "npm does not install the packages of {FOLDER}");
    });
}
