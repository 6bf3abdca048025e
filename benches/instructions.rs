//! How many instructions a request costs beyond bare Actix. callgrind counts them, so they hardly
//! depend on the machine and have bounds.
//!
//! `cargo run --release -p actix-typed-session-benches --bin instructions`

use std::{
    env,
    process::{Command, ExitCode},
};

use actix_typed_session_benches::rules::WIDE;

/// The rows: what they are called, the route, the fields of the session, and the bound.
///
/// 3 370 of each request with a session are the SHA-256 of its id, because Valgrind does not
/// support the SHA instructions. A processor that has them takes about 200.
const ROWS: [(&str, &str, usize, u64); 5] = [
    ("untouched", "/untouched", 1, 1_000),
    ("read", "/read", 1, 8_000),
    ("write", "/write", 1, 11_000),
    ("read 1 of 52", "/read", WIDE, 8_300),
    ("write 1 of 52", "/write", WIDE, 12_200),
];

/// How many requests are answered; what starting costs is the same for both.
const FEW: u64 = 500;
const MANY: u64 = 2_500;

fn main() -> ExitCode {
    println!("| | bare Actix | here, memory | more | at most | allocations more |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut is_within = true;
    for (name, route, fields, most) in ROWS {
        let (bare, typed) = (count("bare", fields, route), count("memory", fields, route));
        let more = typed.instructions.saturating_sub(bare.instructions);
        is_within &= more <= most;
        println!(
            "| {name} | {} | {} | {more} | {most} | {:.0} |",
            bare.instructions,
            typed.instructions,
            typed.allocations - bare.allocations,
        );
    }
    if !is_within {
        eprintln!("a request costs more than it may");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What one request costs.
struct Cost {
    instructions: u64,
    allocations: f64,
}

fn count(site: &str, fields: usize, route: &str) -> Cost {
    let (few, _) = run(site, fields, route, FEW);
    let (many, allocations) = run(site, fields, route, MANY);
    Cost { instructions: (many - few) / (MANY - FEW), allocations }
}

/// All instructions of a run, and how often each of its requests allocates.
fn run(site: &str, fields: usize, route: &str, requests: u64) -> (u64, f64) {
    let program = env::current_exe().expect("a path").with_file_name("in_process");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([site, &fields.to_string(), route, &requests.to_string()])
        .output()
        .expect("valgrind is there: apt-get install valgrind");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let instructions = err.lines().find_map(|line| line.split_once("Collected : ")?.1.parse().ok());
    let allocations = out.split(' ').next().and_then(|number| number.parse().ok());
    match (instructions, allocations) {
        (Some(instructions), Some(allocations)) => (instructions, allocations),
        _ => panic!("`in_process` does not run, build it with `--bins`: {out} {err}"),
    }
}
