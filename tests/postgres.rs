//! PostgreSQL, which a test starts on a free port.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::database::{DatabaseServer, Program};

/// PostgreSQL of the Debian package.
#[derive(Debug)]
pub struct PostgresProgram;

/// A running PostgreSQL.
pub type PostgresServer = DatabaseServer<PostgresProgram>;

impl PostgresServer {
    /// The URL for a user who may do everything.
    pub fn url(&self) -> String {
        url("postgres", self.address())
    }
}

/// The URL of the database behind an address, for a user.
pub fn url(user: &str, address: SocketAddr) -> String {
    format!("postgres://{user}@{address}/postgres")
}

impl Program for PostgresProgram {
    const TITLE: &'static str = "PostgreSQL (apt-get install postgresql)";

    fn init(folder: &Path) -> Command {
        let mut init = Command::new(program("initdb"));
        init.arg("-D").arg(folder.join("data")).args(["-U", "postgres", "-A", "trust"]);
        init.args(["-N", "-E", "UTF8", "--locale=C"]);
        init
    }

    fn serve(folder: &Path, port: u16, settings: &[&str]) -> Command {
        let mut command = Command::new(program("postgres"));
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
        command.arg("-p").arg(port.to_string());
        let fixed = ["listen_addresses=127.0.0.1", "max_connections=200"];
        for setting in fixed.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        command
    }

    fn answers(port: u16) -> bool {
        let mut ready = Command::new(program("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        ready.status().expect("`pg_isready` starts").success()
    }
}

/// A program of the Debian package, which puts them outside of the path.
pub fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is missing: apt-get install postgresql")
}
