//! A proxy for Redis that speaks RESP2 only.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    folder::temporary_folder,
    servers::{RedisServer, dying_with_us, free_port, spawn},
    wait::PATIENCE,
};

/// Twemproxy in front of a server. It closes a connection at a command that it does not know, such
/// as `HELLO`.
#[derive(Debug)]
pub struct Twemproxy {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Twemproxy {
    /// Starts the proxy.
    ///
    /// # Panics
    /// It is not installed.
    pub fn start(server: &RedisServer) -> Self {
        let (folder, port) = (temporary_folder(), free_port());
        let file = folder.path().join("conf.yml");
        let settings = format!(
            "sessions:\n  listen: 127.0.0.1:{port}\n  redis: true\n  servers:\n   - {}:1\n",
            server.address(),
        );
        fs::write(&file, settings).expect("a writable folder");
        let known = Command::new("nutcracker").arg("--version").stderr(Stdio::null()).status();
        assert!(known.is_ok(), "`nutcracker` is missing: apt-get install nutcracker");
        let mut command = dying_with_us("nutcracker".as_ref());
        command.arg("--conf-file").arg(file).args(["--stats-port", &free_port().to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (child, start) = (spawn(command), Instant::now());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < PATIENCE, "the proxy does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Self { port, child, _folder: folder }
    }

    /// The URL of the server behind the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Twemproxy {
    fn drop(&mut self) {
        // OK because it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
