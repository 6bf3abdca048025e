//! The examples, built and started as their readers start them.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use crate::servers::dying_with_us;

/// A running example. It is killed when this is dropped.
#[derive(Debug)]
pub struct Example {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has printed.
    pub printed: Vec<String>,
}

impl Drop for Example {
    fn drop(&mut self) {
        self.child.kill().expect("the example runs");
        self.child.wait().expect("the example ends");
    }
}

/// Builds an example with the toolchain that runs the tests, once in this process.
pub fn build(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().expect("all examples are built so far");
    built.entry(name.to_owned()).or_insert_with(|| build_now(name)).clone()
}

fn build_now(name: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // Cargo describes a test's package in variables, which the build script of `ring` watches. With
    // them, it and most of the workspace would be built again, here and in the next build.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| text.starts_with(prefix)) {
            build.env_remove(name);
        }
    }
    let output = build
        // The packages and features of `tests/run`.
        .args(["build", "--workspace", "--exclude", "actix-typed-session-benches"])
        .args(["--all-features", "--example", name, "--message-format", "json-render-diagnostics"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the example `{name}` does not build");
    let messages = String::from_utf8(output.stdout).expect("JSON");
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable")
}

/// Starts an example that was built, on a free port.
pub fn start(program: &Path, folder: &Path) -> Example {
    start_with(program, folder, &[])
}

/// Starts an example with arguments.
pub fn start_with(program: &Path, folder: &Path, arguments: &[&str]) -> Example {
    let mut child = dying_with_us(program)
        .args(arguments)
        .current_dir(folder)
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("`setpriv` comes with every Debian");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut printed = Vec::new();
    let mut address = None;
    for line in lines {
        let line = line.expect("text");
        let found = line.split_once("http://").and_then(|(_, rest)| rest.split(' ').next());
        address = address.or(found.and_then(|found| found.parse().ok()));
        printed.push(line);
        if address.is_some() && (printed.len() == 2 || program.ends_with("shop")) {
            break;
        }
    }
    let address = address.unwrap_or_else(|| panic!("no address in {printed:?}"));
    Example { child, address, printed }
}
