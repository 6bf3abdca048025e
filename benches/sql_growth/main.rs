//! How the stores in SQL databases do as sessions become many: time per call, bytes per session,
//! HOT updates, pages of the user index, and what writers see of a clean-up.
//!
//! `cargo run --release -p actix-typed-session-benches --features sql --bin sql_growth
//! [postgres|sqlite] [sessions …]`; the defaults are both, and 1 000, 100 000 and 1 000 000.

mod databases;
mod site;

use std::env;

use actix_typed_session::FakeClock;
use databases::{Database, Postgres, Sqlite};
use site::Site;

const SESSIONS: [usize; 3] = [1_000, 100_000, 1_000_000];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut sessions: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    if sessions.is_empty() {
        sessions.extend(SESSIONS);
    }
    sessions.sort_unstable();
    let names = || arguments.iter().filter(|argument| argument.parse::<usize>().is_err());
    let is_wanted = |name: &str| names().count() == 0 || names().any(|argument| argument == name);
    let clock = FakeClock::default();
    if is_wanted("postgres") {
        measure("PostgreSQL", Postgres::start(&clock).await, &clock, &sessions).await;
    }
    if is_wanted("sqlite") {
        measure("SQLite", Sqlite::open(&clock), &clock, &sessions).await;
    }
}

async fn measure<D: Database>(name: &str, database: D, clock: &FakeClock, sessions: &[usize]) {
    let mut site = Site::new(database, clock);
    for all in sessions {
        eprintln!("{name} with {all} sessions");
        site.measure(*all).await;
    }
    let sessions: Vec<String> = sessions.iter().map(usize::to_string).collect();
    println!("\n| {name} | {} |", sessions.join(" | "));
    println!("| --- {}|", "| --- ".repeat(sessions.len()));
    for (row, cells) in site.report() {
        println!("| {row} | {} |", cells.join(" | "));
    }
}
