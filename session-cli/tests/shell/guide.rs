//! The guide shows what the program prints.

use std::{env, fs};

use crate::fixture::{folder, run_in};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../session/src/guide/command_line.md");

/// With the environment variable `UPDATE_GUIDE`, the test writes the output into the guide.
#[tokio::test]
async fn each_output_in_the_guide_is_what_the_program_prints() {
    const PROMPT: &str = "$ typed-sessions ";
    let guide = fs::read_to_string(GUIDE).expect("the guide");
    let mut shown = String::new();
    let mut commands = 0;
    for (number, part) in guide.split("```console\n").enumerate() {
        if number == 0 {
            shown += part;
            continue;
        }
        let (block, rest) = part.split_once("```").expect("a block ends");
        // The commands of a block follow each other on the same sessions.
        let root = folder().await;
        shown += "```console\n";
        for line in block.lines().filter(|line| line.starts_with(PROMPT)) {
            let ran = run_in(root.path(), "sessions", &line[PROMPT.len()..]);
            shown += &format!("{line}\n{}{}", ran.stdout, ran.stderr);
            commands += 1;
        }
        shown += "```";
        shown += rest;
    }
    if env::var_os("UPDATE_GUIDE").is_some() {
        fs::write(GUIDE, &shown).expect("a writable guide");
    }
    assert!(shown == guide, "run this test with UPDATE_GUIDE=1; the guide should be:\n{shown}");
    assert!(commands > 8, "the guide shows each command: {commands}");
}
