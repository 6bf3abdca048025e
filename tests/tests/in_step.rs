//! Facts that stand in two places because they must, held together.

use std::collections::BTreeSet;

use actix_typed_session_tests::sources::{read, rust_files};

#[test]
fn the_derive_knows_every_method_that_hides_an_accessor() {
    let typed = read("session/src/typed.rs");
    let methods = typed.split("macro_rules! __session_methods").nth(1).expect("the macro");
    let methods = methods.split("\n}\n").next().expect("its end");
    let methods: BTreeSet<&str> = methods
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let rest = line.strip_prefix("pub fn ").or(line.strip_prefix("pub async fn "))?;
            rest.split(['(', '<']).next()
        })
        .collect();
    let model = read("session-derive/src/model.rs");
    let hiding = model.split("const HIDING: &[&str] = &[").nth(1).expect("the list");
    let hiding: BTreeSet<&str> =
        hiding.split("];").next().expect("its end").split('"').skip(1).step_by(2).collect();
    assert_eq!(methods, hiding);
    assert!(methods.len() > 10);
}

#[test]
fn the_kit_runs_every_claim() {
    let laws = read("session/src/conformance/laws.rs");
    let claims: BTreeSet<&str> = laws
        .lines()
        .filter_map(|line| line.strip_prefix("pub async fn ")?.split('<').next())
        .collect();
    let kit = read("session/src/conformance/mod.rs");
    let missing: Vec<_> =
        claims.iter().filter(|claim| !kit.contains(&format!(" {claim},"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(claims.len() > 30);
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
