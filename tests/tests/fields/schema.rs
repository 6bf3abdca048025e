//! The check that a release reads what earlier ones have stored.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use actix_typed_session::{Session, testing::StoredSchema};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// The file of a check, in an empty folder.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("visitor.session.json")
    }

    fn check<T: Session>(&self, variable: &str) -> Result<Vec<String>, String> {
        StoredSchema::at(self.file()).of::<T>().check_as(variable)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("a file")
    }
}

/// Lets a release follow another one. Returns the faults.
fn deploy<Before: Session, Now: Session>() -> Vec<String> {
    let (before, now) = (StoredSchema::at("").of::<Before>(), StoredSchema::at("").of::<Now>());
    now.faults_after(before)
}

fn faults(checked: Result<Vec<String>, String>) -> Vec<String> {
    let failure = checked.err().unwrap_or_default();
    failure.lines().filter_map(|line| line.strip_prefix("- ")).map(ToOwned::to_owned).collect()
}

/// Lets a release of a struct follow another one. Returns the faults.
macro_rules! deploy {
    ({ $($before:tt)* } then { $($now:tt)* }) => {{
        #[allow(dead_code, reason = "only its description is used")]
        mod before {
            use super::*;
            #[derive(Session)]
            $($before)*
        }
        #[allow(dead_code, reason = "only its description is used")]
        mod now {
            use super::*;
            #[derive(Session)]
            $($now)*
        }
        deploy::<before::Visitor, now::Visitor>()
    }};
}

/// Lets a field's type follow another one. Returns the faults.
macro_rules! retype {
    ($before:ty => $now:ty) => {
        deploy!(
            { pub(super) struct Visitor { #[session(default = super::any())] a: $before } }
            then { pub(super) struct Visitor { #[session(default = super::any())] a: $now } }
        )
    };
}

/// A default that does not matter.
fn any<V: Example>() -> V {
    V::example()
}

trait Example {
    fn example() -> Self;
}

impl<V: serde::de::DeserializeOwned> Example for V {
    fn example() -> V {
        ["null", "0", "\"\"", "[]", "{}", "\"c\"", "[0,0]", "\"Light\""]
            .into_iter()
            .find_map(|json| serde_json::from_str(json).ok())
            .expect("one of them fits")
    }
}

#[test]
fn a_new_field_and_a_new_order_pass() {
    let faults = deploy!(
        { pub(super) struct Visitor { a: u8, b: Option<String> } }
        then {
            pub(super) struct Visitor {
                /// Documented.
                b: std::option::Option<String>,
                #[session(alias = "older")]
                c: Vec<u8>,
                a: u8,
            }
        }
    );
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_renamed_field_needs_an_alias() {
    let faults = deploy!(
        { pub(super) struct Visitor { user: Option<i64>, name: String } }
        then { pub(super) struct Visitor { user_id: Option<i64>, name: String } }
    );
    assert_eq!(
        faults,
        ["`Visitor::user` is gone, so the values that are stored as `user` are lost. \
          `Visitor::user_id` is new and has the same type. If it is the same field, write \
          `#[session(alias = \"user\")]` above it."]
    );
    let faults = deploy!(
        { pub(super) struct Visitor { user: Option<i64>, name: String } }
        then {
            pub(super) struct Visitor {
                #[session(alias = "user")]
                user_id: Option<i64>,
                name: String,
            }
        }
    );
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_new_namespace_needs_an_alias_for_each_field() {
    let faults = deploy!(
        { pub(super) struct Visitor { a: u8, #[session(rename = "bee")] b: u8 } }
        then {
            #[session(namespace = "shop")]
            pub(super) struct Visitor { a: u8, #[session(rename = "bee")] b: u8 }
        }
    );
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults[0].contains("`Visitor::a` is stored as `shop.a`, and no longer as `a`"));
    assert!(faults[1].contains("Write `#[session(alias = \"bee\")]` above it"));
    let faults = deploy!(
        { pub(super) struct Visitor { a: u8 } }
        then {
            #[session(namespace = "shop")]
            pub(super) struct Visitor { #[session(alias = "a")] a: u8 }
        }
    );
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_field_that_is_skipped_or_removed_is_gone() {
    let faults = deploy!(
        { pub(super) struct Visitor { a: u8, b: String } }
        then { pub(super) struct Visitor { #[session(skip)] a: u8 } }
    );
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.contains("is gone")));
}

#[test]
fn each_attribute_that_changes_stored_values_has_its_sentence() {
    let faults = deploy!(
        {
            pub(super) struct Visitor {
                #[session(merge = "add")]
                views: u64,
                #[session(privilege, index)]
                user: Option<i64>,
                code: Option<String>,
                #[session(ttl = "1m")]
                sure: bool,
                #[session(lenient)]
                theme: String,
                #[session(default = 100)]
                credit: i64,
            }
        }
        then {
            #[session(strict, cookie = "admin")]
            pub(super) struct Visitor {
                views: u64,
                user: Option<i64>,
                #[session(ttl = "1m")]
                code: Option<String>,
                sure: bool,
                theme: String,
                #[session(default = 50)]
                credit: i64,
            }
        }
    );
    let expected = [
        "`Visitor` was a part of the innermost session",
        "`Visitor` is `strict` now",
        "`Visitor::code` has a `ttl` now",
        "The default of `Visitor::credit` was `100` and is `50`",
        "`Visitor::sure` has no `ttl` any more",
        "`Visitor::theme` is not `lenient` any more",
        "`Visitor::user` is not a `privilege` any more",
        "`Visitor::user` is not an `index` any more",
        "The merge rule of `Visitor::views` was `add` and is `last_write`",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.starts_with(expected), "{fault}");
    }
}

#[test]
fn another_length_of_a_ttl_passes() {
    let faults = deploy!(
        { pub(super) struct Visitor { #[session(ttl = "1m")] a: u8 } }
        then { pub(super) struct Visitor { #[session(ttl = "1h")] a: u8 } }
    );
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_type_that_reads_every_earlier_value_passes() {
    for faults in [
        retype!(u32 => u64),
        retype!(u32 => i64),
        retype!(u32 => f64),
        retype!(f32 => f64),
        retype!(i64 => i128),
        retype!(String => Cow<'static, str>),
        retype!(String => Option<String>),
        retype!(String => PathBuf),
        retype!(Vec<u8> => VecDeque<u8>),
        retype!(BTreeSet<u8> => Vec<u8>),
        retype!(Box<u8> => u8),
        retype!(HashMap<String, u8> => BTreeMap<String, u8>),
        retype!(::std::vec::Vec<u8> => Vec<u8>),
    ] {
        assert_eq!(faults, [""; 0]);
    }
    let faults = deploy!(
        { pub(super) struct Visitor { #[session(default = Theme::Light)] a: Theme } }
        then { pub(super) struct Visitor { #[session(default = "Light".to_owned())] a: String } }
    );
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_type_that_does_not_read_every_earlier_value_is_a_fault() {
    for (index, faults) in [
        retype!(u64 => u32),
        retype!(u64 => i64),
        retype!(i64 => u64),
        retype!(u64 => f64),
        retype!(f64 => f32),
        retype!(f64 => u64),
        retype!(u8 => String),
        retype!(String => Vec<String>),
        retype!(Option<u8> => u8),
        retype!(Vec<u8> => HashSet<u8>),
        retype!(Vec<u8> => [u8; 2]),
        retype!(Vec<u8> => Vec<bool>),
        retype!(BTreeMap<String, u8> => BTreeMap<u8, u8>),
        retype!(String => Theme),
        retype!(Option<Option<u8>> => Option<u8>),
        retype!(String => char),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(faults.len(), 1, "{index}: {faults:#?}");
        assert!(faults[0].contains("does not read what an earlier release has stored"));
    }
}

#[derive(Serialize, Deserialize, PartialEq)]
enum Theme {
    Light,
    Dark,
}

/// Lets the items of a list change inside. Returns the faults.
macro_rules! change_inside {
    ({ $($before:tt)* } then { $($now:tt)* }) => {
        deploy!(
            {
                pub(super) struct Visitor { cart: Vec<Item> }
                #[derive(Serialize, Deserialize, Clone)]
                $($before)*
            }
            then {
                pub(super) struct Visitor { cart: Vec<Item> }
                #[derive(Serialize, Deserialize, Clone)]
                $($now)*
            }
        )
    };
}

#[test]
fn a_change_deep_inside_a_type_is_found() {
    let renamed = change_inside!(
        { pub(super) struct Item { name: String, count: u32 } }
        then { pub(super) struct Item { name: String, quantity: u32 } }
    );
    assert!(renamed[0].contains("missing field `quantity`"), "{renamed:#?}");
    assert!(renamed[0].contains("the type `Vec<Item>` has changed"), "{renamed:#?}");
    let removed = change_inside!(
        { pub(super) struct Item { name: String, count: u32 } }
        then { pub(super) struct Item { name: String } }
    );
    assert!(removed[0].contains("`[0].count` is lost"), "{removed:#?}");
    let added = change_inside!(
        { pub(super) struct Item { name: String } }
        then { pub(super) struct Item { name: String, count: u32 } }
    );
    assert!(added[0].contains("missing field `count`"), "{added:#?}");
    let variant = change_inside!(
        { pub(super) enum Item { Book, Lamp { watts: u8 }, Other(String) } }
        then { pub(super) enum Item { Book, Lamp { watts: u8 } } }
    );
    assert!(variant[0].contains("unknown variant `Other`"), "{variant:#?}");
    let narrowed = change_inside!(
        { pub(super) enum Item { Book, Lamp { watts: u16 } } }
        then { pub(super) enum Item { Book, Lamp { watts: u8 } } }
    );
    assert!(narrowed[0].contains("65535"), "{narrowed:#?}");
    let retagged = change_inside!(
        { pub(super) enum Item { A { x: u8 }, B { x: u8 } } }
        then { #[serde(tag = "kind")] pub(super) enum Item { A { x: u8 }, B { x: u8 } } }
    );
    assert_eq!(retagged.len(), 1, "{retagged:#?}");
}

#[test]
fn a_change_inside_a_type_that_reads_earlier_values_passes() {
    for faults in [
        change_inside!(
            { pub(super) struct Item { name: String } }
            then { pub(super) struct Item { name: String, #[serde(default)] count: u32 } }
        ),
        change_inside!(
            { pub(super) struct Item { name: String, count: u32 } }
            then { pub(super) struct Item { count: u64, name: String } }
        ),
        change_inside!(
            { pub(super) struct Item { count: u32 } }
            then { pub(super) struct Item { #[serde(alias = "count")] quantity: u32 } }
        ),
        change_inside!(
            { pub(super) enum Item { Book, Lamp } }
            then { pub(super) enum Item { Lamp, Book, Chair { legs: u8 } } }
        ),
        change_inside!(
            { pub(super) struct Item { children: Vec<Item>, next: Option<Box<Item>> } }
            then { pub(super) struct Item { next: Option<Box<Item>>, children: Vec<Item> } }
        ),
    ] {
        assert_eq!(faults, [""; 0]);
    }
}

/// Stores a number as text.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod renamed {
    pub(super) use super::as_text::{deserialize, serialize};
}

#[test]
fn fields_with_a_module_are_compared_by_what_the_module_writes() {
    #[derive(Session)]
    struct Plain {
        a: u8,
    }
    #[derive(Session)]
    struct AsText {
        #[session(with = "as_text")]
        a: u8,
    }
    #[derive(Session)]
    struct Renamed {
        #[session(with = "renamed")]
        a: u8,
    }
    let added = deploy::<Plain, AsText>();
    assert_eq!(added.len(), 1, "{added:#?}");
    assert!(added[0].contains("its type was `u8` and is `u8` with `as_text`"), "{added:#?}");
    assert_eq!(deploy::<AsText, Plain>().len(), 1);
    assert_eq!(deploy::<AsText, Renamed>(), [""; 0]);
}

#[test]
fn a_generic_struct_is_checked_with_its_parameter() {
    #[derive(Session)]
    struct Visitor<T: 'static> {
        a: Vec<T>,
    }
    assert_eq!(deploy::<Visitor<u8>, Visitor<u16>>(), [""; 0]);
    assert_eq!(deploy::<Visitor<u16>, Visitor<u8>>().len(), 1);
    let folder = Folder::new();
    let both = StoredSchema::at(folder.file()).of::<Visitor<u8>>().of::<Visitor<Vec<Theme>>>();
    let faults = faults(both.check_as("1"));
    assert!(faults[0].contains("`Visitor<u8>::a` and `Visitor<Vec<Theme>>::a`"), "{faults:#?}");
}

mod tagged {
    use super::*;

    /// No example can be made of it, because the name of its tag is not known.
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "kind")]
    pub(super) enum Delivery {
        Pickup,
        Parcel { street: String },
    }

    #[derive(Session)]
    pub(super) struct Visitor {
        pub(super) delivery: Option<Delivery>,
    }

    pub(super) mod later {
        use super::*;

        #[derive(Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub(in super::super) enum Delivery {
            Pickup,
            Parcel { address: String },
        }

        #[derive(Session)]
        pub(in super::super) struct Visitor {
            pub(in super::super) delivery: Option<Delivery>,
        }
    }
}

#[test]
fn samples_show_what_the_type_alone_does_not() {
    let folder = Folder::new();
    let notes = folder.check::<tagged::Visitor>("1").expect("nothing to lose").join("\n");
    assert!(notes.contains("the examples do not show all of `Visitor::delivery`"), "{notes}");
    assert_eq!(faults(folder.check::<tagged::later::Visitor>("")), [""; 0]);

    let parcel = tagged::Delivery::Parcel { street: "Mill Lane".to_owned() };
    let samples = [tagged::Delivery::Pickup, parcel]
        .map(|delivery| tagged::Visitor { delivery: Some(delivery) });
    let schema = StoredSchema::at(folder.file()).samples(samples);
    assert_eq!(schema.check_as("1").expect("nothing to lose").len(), 1);
    let faults = faults(folder.check::<tagged::later::Visitor>(""));
    assert!(faults[0].contains("missing field `address`"), "{faults:#?}");
    assert!(faults[0].contains(r#"`{"kind":"Parcel","street":"Mill Lane"}`"#), "{faults:#?}");
}

/// Releases of one struct, one after the other.
mod releases {
    use super::*;

    macro_rules! releases {
        ($($release:ident { $($fields:tt)* })*) => {$(
            pub(super) mod $release {
                use super::*;
                #[derive(Session)]
                #[allow(dead_code, reason = "only its description is used")]
                pub(in super::super) struct Visitor { $($fields)* }
            }
        )*};
    }

    releases! {
        first { user: Option<i64> }
        second { #[session(alias = "user")] user_id: Option<i64> }
        without_alias { user_id: Option<i64> }
        removed { views: u64 }
        reused { views: u64, user: Vec<String> }
        back { views: u64, user: Option<i64> }
        wide { user: Option<i128> }
        narrow { user: Option<i32> }
    }
}

#[test]
fn an_alias_that_is_removed_later_is_missed() {
    use releases::{first, second, without_alias};

    let folder = Folder::new();
    folder.check::<first::Visitor>("1").expect("nothing to lose");
    folder.check::<second::Visitor>("1").expect("nothing to lose");
    let found = faults(folder.check::<without_alias::Visitor>("1"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("`Visitor::user_id` has lost its alias `user`"), "{found:#?}");
    assert_eq!(faults(folder.check::<second::Visitor>("locked")), [""; 0], "nothing was written");
}

#[test]
fn a_loss_is_recorded_only_when_it_is_accepted_and_is_printed_then() {
    use releases::{first, removed};

    let folder = Folder::new();
    folder.check::<first::Visitor>("1").expect("nothing to lose");
    let before = folder.text();
    let failure = folder.check::<removed::Visitor>("1").expect_err("a loss");
    assert!(failure.contains("run `UPDATE_SESSION_SCHEMA=accept cargo test`"), "{failure}");
    assert_eq!(folder.text(), before);
    let notes = folder.check::<removed::Visitor>("accept").expect("it is accepted").join("\n");
    assert!(notes.contains("- `Visitor::user` is gone"), "{notes}");
    assert_eq!(folder.check::<removed::Visitor>("locked"), Ok(vec![]));
}

#[test]
fn a_name_that_was_removed_is_remembered_until_it_is_deleted_from_the_file() {
    use releases::{back, first, removed, reused};

    let folder = Folder::new();
    folder.check::<first::Visitor>("1").expect("nothing to lose");
    folder.check::<removed::Visitor>("accept").expect("it is accepted");
    assert_eq!(faults(folder.check::<back::Visitor>("")), [""; 0]);
    let found = faults(folder.check::<reused::Visitor>(""));
    assert!(found[0].starts_with("`Visitor::user` reads the name `user`, under"), "{found:#?}");
    let mut file: serde_json::Value = serde_json::from_str(&folder.text()).expect("JSON");
    file["structs"]["Visitor"].as_object_mut().expect("an object").remove("removed");
    fs::write(folder.file(), file.to_string()).expect("a folder");
    assert_eq!(faults(folder.check::<reused::Visitor>("")), [""; 0]);
}

#[test]
fn values_of_the_release_before_the_last_are_still_checked() {
    use releases::{first, narrow, wide};

    let folder = Folder::new();
    folder.check::<first::Visitor>("1").expect("nothing to lose");
    folder.check::<wide::Visitor>("1").expect("it reads all values");
    let found = faults(folder.check::<first::Visitor>(""));
    assert_eq!(found.len(), 1, "the earlier type does not read what the later one stores");
    let found = faults(folder.check::<narrow::Visitor>(""));
    assert!(found[0].contains("-9223372036854775808"), "the first release's: {found:#?}");
}

#[test]
fn the_file_is_the_same_for_the_same_struct_and_ends_its_last_line() {
    use releases::{first, second};

    let folder = Folder::new();
    folder.check::<first::Visitor>("1").expect("nothing to lose");
    assert_eq!(
        folder.text(),
        r#"{
  "format": 1,
  "structs": {
    "Visitor": {
      "fields": {
        "user": {
          "field": "user",
          "type": "Option<i64>",
          "merge": "last_write",
          "default": null,
          "examples": [
            null,
            -9223372036854775808
          ]
        }
      }
    }
  }
}
"#
    );
    let before = folder.text();
    assert_eq!(folder.check::<first::Visitor>("1"), Ok(vec![]), "there is nothing to write");
    assert_eq!(folder.text(), before);
    folder.check::<second::Visitor>("1").expect("nothing to lose");
    let renamed = folder.text();
    assert_eq!(folder.check::<second::Visitor>("1"), Ok(vec![]));
    assert_eq!(folder.text(), renamed);
    // Windows checks text out with other line ends, and a formatter may indent it.
    fs::write(folder.file(), renamed.replace('\n', "\r\n\t")).expect("a folder");
    assert_eq!(folder.check::<second::Visitor>("locked"), Ok(vec![]));
}

#[test]
fn a_default_that_differs_each_time_is_not_compared() {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::SystemTime,
    };

    static CALLS: AtomicU64 = AtomicU64::new(0);

    fn seconds() -> u64 {
        SystemTime::UNIX_EPOCH.elapsed().expect("a time since 1970").as_secs()
    }
    #[derive(Session)]
    struct Visitor {
        #[session(default = CALLS.fetch_add(1, Ordering::Relaxed))]
        number: u64,
        #[session(default = seconds())]
        since: u64,
    }
    let folder = Folder::new();
    folder.check::<Visitor>("1").expect("nothing to lose");
    let earlier = folder.text().replace(&seconds().to_string()[..5], "12345");
    fs::write(folder.file(), earlier).expect("a folder");
    assert_eq!(faults(folder.check::<Visitor>("1")), [""; 0]);
    assert!(!folder.text().contains("default"), "{}", folder.text());
}

#[test]
fn a_check_that_is_not_up_to_date_passes_unless_the_file_is_locked() {
    use releases::{first, second};

    let folder = Folder::new();
    folder.check::<first::Visitor>("1").expect("nothing to lose");
    let before = folder.text();
    assert_eq!(folder.check::<second::Visitor>(""), Ok(vec![]));
    let failure = folder.check::<second::Visitor>("locked").expect_err("it is not up to date");
    assert!(failure.contains("does not describe this release. Nothing is lost"), "{failure}");
    assert_eq!(folder.text(), before);
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    use releases::first::Visitor;

    let folder = Folder::new();
    for variable in ["", "0", "locked"] {
        let failure = folder.check::<Visitor>(variable).expect_err("there is no file");
        assert!(failure.contains("`UPDATE_SESSION_SCHEMA=1 cargo test`"), "{failure}");
        assert!(!folder.file().exists());
    }
    for (text, expected) in [
        ("", "is not a schema file"),
        ("[]", "is not a schema file"),
        (r#"{"format":2,"classes":[]}"#, "has the format 2, and this release"),
        (r#"{"format":1,"structs":{"Visitor":{"fields":{"a":{}}}}}"#, "is not a valid schema file"),
        (r#"{"format":1,"structs":{},"struct":{}}"#, "is not a valid schema file"),
        ("{\n<<<<<<< HEAD\n", "has a merge conflict"),
    ] {
        fs::write(folder.file(), text).expect("a folder");
        for variable in ["", "1", "accept"] {
            let failure = folder.check::<Visitor>(variable).expect_err(text);
            assert!(failure.contains(expected), "{failure}");
            assert_eq!(folder.text(), text, "nothing is written over it");
        }
    }
    let failure = folder.check::<Visitor>("yes").expect_err("not a value");
    assert!(failure.contains("UPDATE_SESSION_SCHEMA=yes is not valid; write `1`"), "{failure}");
}

#[test]
fn a_file_that_cannot_be_written_says_why() {
    use releases::{first, second};

    let folder = Folder::new();
    let nowhere = folder.file().join("a.json");
    let failure = StoredSchema::at(nowhere).of::<first::Visitor>().check_as("1").expect_err("none");
    assert!(failure.contains("does not exist. Create it"), "{failure}");
    let failure = StoredSchema::at(folder.folder.path()).of::<first::Visitor>().check_as("1");
    assert!(failure.expect_err("a folder").contains("cannot be read"));

    folder.check::<first::Visitor>("1").expect("nothing to lose");
    let mut permissions = fs::metadata(folder.file()).expect("a file").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(folder.file(), permissions).expect("our file");
    let failure = folder.check::<second::Visitor>("1").expect_err("it is read-only");
    assert!(failure.contains("because it is read-only"), "{failure}");
    assert_eq!(folder.check::<second::Visitor>(""), Ok(vec![]), "it can be read");
    let left: Vec<_> = fs::read_dir(folder.folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "no draft is left: {left:?}");
}

#[test]
fn structs_of_one_session_are_checked_together() {
    #[derive(Session)]
    struct Account {
        #[session(privilege, index)]
        user: Option<i64>,
        views: u64,
    }
    #[derive(Session)]
    struct Counter {
        #[session(merge = "add")]
        views: u64,
    }
    #[derive(Session)]
    struct Views {
        views: u64,
    }
    let folder = Folder::new();
    let at = || StoredSchema::at(folder.file());
    let found = faults(at().of::<Account>().of::<Counter>().check_as("1"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("the merge rules are `last_write` and `add`"), "{found:#?}");
    assert_eq!(faults(at().of::<Account>().of::<Counter>().check_as("accept")), found);

    at().of::<Account>().of::<Views>().check_as("1").expect("they agree");
    assert_eq!(at().of::<Views>().of::<Account>().check_as("locked"), Ok(vec![]));
    let found = faults(at().of::<Views>().check_as(""));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("`Account::user` is gone"), "{found:#?}");
    let found = faults(StoredSchema::at(folder.file()).check_as(""));
    assert!(found[0].contains("is not checked any more"), "{found:#?}");
}

/// Is run by the next test, with the variable and the folder in the environment.
#[test]
#[ignore = "the next test runs it"]
fn the_method_checks_as_the_environment_says() {
    use releases::{first, second};

    let Some(path) = std::env::var_os("SCHEMA_TEST_FILE") else { return };
    if Path::new(&path).exists() {
        second::Visitor::check_stored_schema(path);
    } else {
        first::Visitor::check_stored_schema_with(path, []);
    }
}

#[test]
fn the_environment_decides_what_is_written() {
    let folder = Folder::new();
    let run = |variable: &str| {
        let program = std::env::current_exe().expect("this program");
        let output = std::process::Command::new(program)
            .args(["--ignored", "--exact"])
            .arg("schema::the_method_checks_as_the_environment_says")
            .env("UPDATE_SESSION_SCHEMA", variable)
            .env("SCHEMA_TEST_FILE", folder.file())
            .output()
            .expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (passed, text) = run("0");
    assert!(!passed && text.contains("does not exist"), "{text}");
    let (passed, text) = run("1");
    assert!(passed && text.contains("was written; commit it"), "it is printed: {text}");
    let first = folder.text();
    let (passed, text) = run("");
    assert!(passed && folder.text() == first, "{text}");
    let (passed, text) = run("1");
    assert!(passed && folder.text() != first, "{text}");
}
