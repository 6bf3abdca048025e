//! Asks for the log watcher in the unit tests. Runs in this repository only: packages exclude it.

fn main() {
    println!("cargo::rerun-if-changed=watch_logs.rs");
    println!("cargo::rustc-cfg=watch_logs");
}
