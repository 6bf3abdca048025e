//! Facts that stand in two places because they must, held together.

use std::{collections::BTreeSet, fs, path::Path};

use actix_typed_session_log_watch as _;
use actix_typed_session_tests::sources::{read, rust_files};

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

/// How long a comparison takes tells how much of a guess is right, if it ends at the first difference. So what an
/// attacker could guess bit by bit is compared by `subtle` or by its cryptographic library, and nothing else:
///
/// - ids: `SessionId` has an equality of its own, and no order and no hash, so no map can look for one;
/// - signatures: `Mac::verify_slice`;
/// - the secret of a CSRF token: `ct_eq`;
/// - seals: the cipher's tag, checked by `decrypt`.
///
/// A store looks for the SHA-256 of an id with any comparison it likes: which of its bits a guess has right, the one who
/// guesses cannot choose.
#[test]
fn what_could_be_guessed_bit_by_bit_is_compared_in_constant_time() {
    let code = |path: &str| {
        let file = read(path);
        let code = file.split("#[cfg(test)]\nmod tests").next().expect("the code before the tests");
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let id = code("session/src/id.rs");
    let (declared, _) = id.split_once("pub struct SessionId(").expect("the id");
    assert!(declared.ends_with("#[derive(Clone)]\n"), "no derived equality, order or hash");
    let equality = "impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}";
    assert!(id.contains(equality));
    for (path, comparison, times) in [
        ("session/src/id.rs", ".ct_eq(", 1),
        ("session/src/csrf.rs", "unmasked.ct_eq(&secret(id)).into()", 1),
        ("session/src/transport/sign.rs", "expected.verify_slice(mac).is_ok()", 1),
        ("session/src/seal.rs", "key.cipher.decrypt(", 1),
    ] {
        assert_eq!(code(path).matches(comparison).count(), times, "{comparison} in {path}");
    }
    // What else these files compare is public: lengths, characters, versions, and the id of a sealing key.
    for (path, public) in [
        (
            "session/src/id.rs",
            &["(byte == b'-')", "(byte == b'.')", "(byte == b'_')", "(byte == b'~')"][..],
        ),
        ("session/src/csrf.rs", &["token.len() != TOKEN_LEN"]),
        ("session/src/transport/sign.rs", &[]),
        (
            "session/src/seal.rs",
            &["key.id == *id", "*byte == b'.'", "matches!(first, b'1'..=b'9')"],
        ),
        ("session/src/key.rs", &[]),
    ] {
        let mut code = code(path);
        for comparison in public {
            assert!(code.contains(comparison), "{comparison} in {path}");
            code = code.replace(comparison, "");
        }
        for operator in [" == ", " != ", ".eq(", ".ne(", ".cmp(", "starts_with(", "matches!("] {
            let line = code.lines().find(|line| line.contains(operator));
            assert_eq!(line, None, "{path} compares something else");
        }
    }
    // Text is compared as text, so the text of an id is only written, never compared.
    for entry in rust_files("session/src") {
        for line in code(&entry).lines().filter(|line| line.contains("as_str()")) {
            let is_compared = ["==", "!=", ".eq(", "starts_with", "contains(", "match "]
                .iter()
                .any(|comparison| line.contains(comparison));
            assert!(!is_compared || !line.contains("id.as_str()"), "{entry}: {line}");
        }
    }
}
