//! MariaDB, which a test starts on a free port.

use std::{net::SocketAddr, path::Path, process::Command};

use crate::database::{DatabaseServer, Program};

/// MariaDB of the Debian package.
#[derive(Debug)]
pub struct MariaDb;

/// A running MariaDB, with the database `sessions`.
pub type MariaDbServer = DatabaseServer<MariaDb>;

impl MariaDbServer {
    /// The URL for a user who may do everything.
    pub fn url(&self) -> String {
        url("owner", self.address())
    }
}

/// The URL of the database behind an address, for a user.
pub fn url(user: &str, address: SocketAddr) -> String {
    format!("mysql://{user}@{address}/sessions")
}

/// What the server does first: a user who may do everything. Each statement has a line.
const FIRST: &str = "CREATE DATABASE IF NOT EXISTS sessions;
CREATE USER IF NOT EXISTS 'owner'@'%';
GRANT ALL ON *.* TO 'owner'@'%' WITH GRANT OPTION;
";

impl Program for MariaDb {
    const TITLE: &'static str = "MariaDB (apt-get install mariadb-server)";

    fn init(folder: &Path) -> Command {
        let mut init = Command::new("mariadb-install-db");
        init.arg("--no-defaults").arg(format!("--datadir={}", folder.join("data").display()));
        init.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        init.arg(format!("--tmpdir={}", folder.display()));
        init
    }

    fn serve(folder: &Path, port: u16, settings: &[&str]) -> Command {
        let first = folder.join("first.sql");
        std::fs::write(&first, FIRST).expect("a writable folder");
        let path = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new(program());
        command.arg("--no-defaults").arg(format!("--datadir={}", path("data")));
        command.arg(format!("--socket={}", path("socket")));
        command.arg(format!("--pid-file={}", path("pid")));
        command.arg(format!("--tmpdir={}", path("")));
        command.arg(format!("--init-file={}", first.display()));
        command.arg(format!("--port={port}"));
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=200"]);
        command.args(settings);
        command
    }

    fn answers(port: u16) -> bool {
        let mut ping = Command::new("mariadb-admin");
        ping.args(["--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-u", "owner"]);
        ping.args(["-P", &port.to_string(), "--connect-timeout=2", "ping"]);
        ping.output().expect("`mariadb-admin` starts").status.success()
    }
}

/// The server of the Debian package, which an ordinary user does not have in the path.
fn program() -> &'static str {
    "/usr/sbin/mariadbd"
}
