//! Facts that stand in two places because they must, held together.

use std::{collections::BTreeSet, fs, path::Path};

use actix_typed_session_log_watch as _;
use actix_typed_session_tests::sources::read;

#[test]
fn what_each_test_logs_is_watched() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for file in fs::read_dir(tests).expect("a folder") {
        let path = file.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a text");
        assert!(text.contains("use actix_typed_session_log_watch"), "{}", path.display());
    }
    assert!(read("session/src/lib.rs").contains("use actix_typed_session_log_watch as _;"));
}

#[test]
fn the_readme_is_short_and_opens_with_the_example_and_the_two_commands() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 150);
    let places: Vec<_> =
        ["# actix-typed-session", "```rust", "cargo run --example counter", "./tests/run", "## "]
            .iter()
            .map(|text| readme.find(text).unwrap_or_else(|| panic!("{text} is missing")))
            .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn each_line_of_the_requirements_is_proven_by_tests_that_exist() {
    let mut tests = String::new();
    for folder in ["session/src", "session/src/transport", "session/src/conformance", "tests/tests"]
    {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        for file in fs::read_dir(folder).expect("a folder") {
            let path = file.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                tests += &fs::read_to_string(path).expect("a text");
            }
        }
    }
    let assert_proven = |names: &[&str]| {
        for name in names {
            let is_there = [format!("fn {name}("), format!("fn {name}<")]
                .iter()
                .any(|start| tests.contains(start.as_str()));
            assert!(is_there, "there is no test `{name}`");
        }
    };
    let table = read("session/src/guide/asvs.md");
    let lines = table.lines().filter(|line| line.starts_with("| 3.3.") || line.starts_with("| 7."));
    let mut count = 0;
    for line in lines {
        count += 1;
        let proof = line.trim_end_matches('|').rsplit('|').next().expect("a column");
        let names: Vec<_> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || proof.trim() == "–", "{line}");
        assert_proven(&names);
    }
    assert_eq!(count, 19 + 5, "chapter V7 and section V3.3 have so many lines");

    let related = table.split("Related:").nth(1).expect("what other chapters ask for");
    // Sentences, and not the names of methods.
    let quoted = related.split('`').skip(1).step_by(2);
    let names: Vec<_> = quoted.filter(|name| name.matches('_').count() > 2).collect();
    assert!(names.len() > 3, "{names:?}");
    assert_proven(&names);
}
