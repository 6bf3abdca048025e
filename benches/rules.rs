//! What all contestants have in common: their arguments, their data and their pools.
//!
//! Only the standard library is used, because the servers in `axum/` are a workspace of their own.

use std::{env, io::Write as _};

/// What the untouched route answers.
pub const UNTOUCHED: &str = "untouched";
/// The name under which every contestant keeps the counter.
pub const COUNTER: &str = "views";
/// The fields of a session of which the route `read_8` reads all.
pub const SOME: usize = 8;
/// The fields of a large session, which is 8 KiB.
pub const WIDE: usize = 52;

/// The most connections to a SQL database: the default of sqlx and of node-postgres.
pub const POOL: u32 = 10;

/// The fields of a session besides the counter.
pub fn padding(fields: usize) -> impl Iterator<Item = (String, String)> {
    (1..fields).map(|n| (format!("field{n:03}"), "x".repeat(158)))
}

/// The server's arguments; one that is missing is empty.
pub fn arguments<const N: usize>() -> [String; N] {
    let mut arguments = env::args().skip(1);
    std::array::from_fn(|_| arguments.next().unwrap_or_default())
}

/// Prints where the server listens, for the program that started it.
pub fn announce(port: u16) {
    println!("{port}");
    std::io::stdout().flush().expect("stdout is read");
}
