//! Values that are nested deep, large, or many: given by a client and stored by a handler, or
//! planted in the store. They do not end the process, and they do not harm other sessions or
//! fields.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix_typed_session::{
    Clock as _, Durability, EncryptedStore, FileStore, Key, MemoryStore, Session, SessionError,
    SessionId, SessionMiddleware, SystemClock, TypedSession,
    store::{CreateOutcome, LoadOptions, Patch, Record, SessionStore, StoreKey, UpdateOutcome},
};
use actix_typed_session_tests::{
    Client, Gate, Site,
    json::json,
    on,
    stores::{files, redis},
};
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// The nesting that `serde_json` still reads.
const MOST_LEVELS: usize = 127;

#[derive(Session)]
struct Notes {
    name: String,
    tree: Value,
    list: Vec<Value>,
    #[session(merge = "union")]
    tags: BTreeMap<String, Value>,
    #[session(merge = "reject")]
    step: Value,
    #[session(ttl = "1h")]
    draft: Value,
    large: Large,
    raw: Option<Box<RawValue>>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Large {
    number: u128,
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::from(1), |inner, _| Value::Array(vec![inner]))
}

/// JSON of nested objects, with this character as its innermost value.
fn nested_json(levels: usize, which: char) -> Arc<RawValue> {
    json(&format!("{}\"{which}\"{}", "{\"a\":".repeat(levels), "}".repeat(levels)))
}

async fn act(
    steps: web::Path<String>,
    mut session: TypedSession<Notes>,
    gate: web::Data<Gate>,
) -> Result<HttpResponse, SessionError> {
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        let levels = || nested(value.parse().expect("a number"));
        match verb {
            "read" => {}
            "name" => session.set_name(value.to_owned()),
            "fill" => session.set_name("x".repeat(value.parse().expect("a number"))),
            "tree" => session.set_tree(levels()),
            "edit" => *session.tree_mut() = levels(),
            "modify" => session.modify(|notes| notes.tree = levels()),
            "push" => session.list_mut().push(levels()),
            "tag" => drop(session.tags_mut().insert(value.to_owned(), Value::Null)),
            "tag_tree" => drop(session.tags_mut().insert("tree".to_owned(), levels())),
            "step" => session.set_step(value.into()),
            "draft" => session.set_draft(levels()),
            "number" => session.set_large(Large { number: value.parse().expect("a number") }),
            "raw" => session.set_raw(Some((*json(value)).to_owned())),
            "destroy" => session.destroy(),
            "save" => session.save().await?,
            "gate" => gate.pass().await,
            other => panic!("the site does not know the step `{other}`"),
        }
    }
    let tags: Vec<_> = session.tags.keys().map(String::as_str).collect();
    let raw = session.raw.as_deref().map_or("", RawValue::get);
    Ok(HttpResponse::Ok().body(format!(
        "name={} levels={} list={} tags={} number={} raw={raw}",
        session.name.get(..20).unwrap_or(&session.name),
        levels(&session.tree).max(levels(&session.draft)),
        session.list.len(),
        tags.join("+"),
        session.large.number,
    )))
}

fn levels(mut value: &Value) -> usize {
    let mut levels = 0;
    while let Some(inner) = value.get(0) {
        value = inner;
        levels += 1;
    }
    levels
}

/// A site, and its store as another process opens it.
struct Planted<S> {
    site: Site<()>,
    store: S,
}

impl<S: SessionStore> Planted<S> {
    fn on(open: impl Fn() -> S) -> Self {
        let site = Site::unwatched(SessionMiddleware::builder(open()))
            .route("/do/{steps:.*}", act)
            .start();
        Self { site, store: open() }
    }

    /// A browser whose session was planted in the store.
    async fn session(&self, fields: &[(&str, Arc<RawValue>)]) -> (Client, StoreKey) {
        let id = SessionId::random();
        let now = SystemClock.now();
        let record = Record::new(now, now.saturating_add(Duration::from_secs(3600)));
        let record = patch(fields).apply_to(&record).expect("a new record takes a patch");
        let created = self.store.create(&StoreKey::from(&id), &record).await;
        assert_eq!(created.expect("the store takes it"), CreateOutcome::Stored);
        let mut browser = self.site.client();
        browser.cookies.insert("__Host-session".to_owned(), id.as_str().to_owned());
        (browser, StoreKey::from(&id))
    }

    async fn plant(&self, key: &StoreKey, fields: &[(&str, Arc<RawValue>)]) {
        let updated = self.store.update(key, &patch(fields)).await.expect("the store takes it");
        assert!(matches!(updated, UpdateOutcome::Applied { .. }));
    }
}

fn patch(fields: &[(&str, Arc<RawValue>)]) -> Patch {
    let mut patch = Patch::default();
    for (name, json) in fields {
        patch.set((*name).to_owned().into(), Arc::clone(json));
    }
    patch
}

async fn a_value_too_deep_to_be_read_back_is_a_500_and_stores_nothing<S: SessionStore>(
    open: impl Fn() -> S,
) {
    let planted = Planted::on(open);
    let mut browser = planted.site.client();
    browser.act("name=ann").await;
    // A list and a map are one level more.
    for (way, most) in [
        ("tree", MOST_LEVELS),
        ("edit", MOST_LEVELS),
        ("modify", MOST_LEVELS),
        ("draft", MOST_LEVELS),
        ("push", MOST_LEVELS - 1),
        ("tag_tree", MOST_LEVELS - 1),
    ] {
        for levels in [most + 1, most + 2, 1_000] {
            for steps in
                [format!("name=eve,{way}={levels}"), format!("name=eve,{way}={levels},save")]
            {
                let response = browser.act(&steps).await;
                assert_eq!(response.text(), "500 ", "{steps}");
                let now = browser.act("read").await.text();
                assert_eq!(now, "200 name=ann levels=0 list=0 tags= number=0 raw=", "{steps}");
            }
        }
    }
    for (way, most) in [("tree", MOST_LEVELS), ("draft", MOST_LEVELS), ("push", MOST_LEVELS - 1)] {
        assert_eq!(browser.act(&format!("{way}={most}")).await.status, 200, "{way}");
    }
    let now = browser.act("read").await.text();
    assert_eq!(now, "200 name=ann levels=127 list=1 tags= number=0 raw=", "no deeper than allowed");
}

async fn stored_values_nested_ten_thousand_deep_end_no_request_and_lose_nothing<S: SessionStore>(
    open: impl Fn() -> S,
) {
    let planted = Planted::on(open);
    let deep = || nested_json(10_000, 'a');
    for field in ["name", "tree", "list", "tags", "step", "draft", "large", "raw", "unknown"] {
        let fields = [("kept", json("\"as it was\"")), (field, deep())];
        let (mut browser, key) = planted.session(&fields).await;
        for steps in ["read", "name=ann", "push=1", "tag=a", "step=a", "number=1", "draft=1"] {
            assert_eq!(browser.act(steps).await.status, 200, "{field}: {steps}");
        }
        let record = planted
            .store
            .load(&key, &LoadOptions::default())
            .await
            .expect("an answer")
            .expect("it is there");
        assert_eq!(record.field("kept").map(RawValue::get), Some("\"as it was\""), "{field}");
        if ["unknown", "raw"].contains(&field) {
            assert_eq!(record.field(field).map(RawValue::get), Some(deep().get()), "{field}");
        }
        assert_eq!(browser.act("destroy").await.status, 200, "{field}");
    }
}

async fn stored_values_too_deep_to_compare_are_no_reason_to_lose_a_conflict<S: SessionStore>(
    open: impl Fn() -> S,
) {
    let planted = Planted::on(open);
    for (field, steps, status) in [
        ("step", "gate,step=mine", 409),
        ("tags", "gate,tag=mine", 200),
        ("tree", "gate,tree=1", 200),
    ] {
        let (mut browser, key) = planted.session(&[(field, nested_json(10_000, 'a'))]).await;
        let request = planted.site.held(&browser, steps).await;
        // As long as the one before, so that only their content differs.
        planted.plant(&key, &[(field, nested_json(10_000, 'b'))]).await;
        assert_eq!(planted.site.release(request).await.status, status, "{field}");
        assert_eq!(browser.act("read").await.status, 200, "{field}");
    }
}

async fn values_that_no_float_tells_apart_are_different<S: SessionStore>(open: impl Fn() -> S) {
    let planted = Planted::on(open);
    let max = u128::MAX;
    for (one, other) in [
        (format!("number={max}"), format!("number={}", max - 1)),
        (r#"raw={"a":1e400}"#.to_owned(), r#"raw={"a":2e400}"#.to_owned()),
        (r#"raw={"a":1.00000000000000001}"#.into(), r#"raw={"a":1.00000000000000002}"#.into()),
        (r#"raw=[{"a":"\ud800x"}]"#.to_owned(), r#"raw=[{"a":"\ud800y"}]"#.to_owned()),
    ] {
        let mut browser = planted.site.client();
        browser.get(&encoded(&one)).await;
        browser.get(&encoded(&other)).await;
        let now = browser.act("read").await.body;
        assert!(now.contains(&other), "{one}, then {other}: {now}");
    }
}

fn encoded(step: &str) -> String {
    let bytes: Vec<String> = step.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/do/{}", bytes.concat())
}

async fn ten_megabytes_are_stored_or_refused_and_nothing_else_changes<S: SessionStore>(
    open: impl Fn() -> S,
) {
    let planted = Planted::on(open);
    let mut browser = planted.site.client();
    browser.act("name=ann,tag=kept").await;
    let response = browser.act("fill=10000000,tag=new").await;
    let now = browser.act("read").await.body;
    match response.status {
        200 => assert!(now.starts_with("name=xxx") && now.contains("tags=kept+new"), "{now}"),
        500 => assert!(now.starts_with("name=ann") && now.contains("tags=kept "), "{now}"),
        other => panic!("{other}"),
    }
    assert_eq!(browser.act("name=bob").await.status, 200);
    assert!(browser.act("read").await.body.starts_with("name=bob"));
}

async fn a_hundred_thousand_fields_and_a_name_of_a_megabyte_are_a_session<S: SessionStore>(
    open: impl Fn() -> S,
) {
    let planted = Planted::on(open);
    let names: Vec<String> = (0..100_000).map(|n| format!("f{n}")).collect();
    let one = json("1");
    let mut fields: Vec<_> = names.iter().map(|name| (&**name, Arc::clone(&one))).collect();
    let long = "n".repeat(1_000_000);
    fields.push((&long, json("2")));
    let (mut browser, key) = planted.session(&fields).await;
    assert_eq!(browser.act("name=ann,tag=a").await.status, 200);
    assert!(browser.act("read").await.body.starts_with("name=ann"));
    let record = planted
        .store
        .load(&key, &LoadOptions::default())
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(record.fields().len(), 100_000 + 1 + 2);
    assert_eq!(record.field(&long).map(RawValue::get), Some("2"));
}

/// Makes a test of each claim on each store.
macro_rules! on_each {
    ($($claim:ident,)*) => {
        mod memory {
            use super::*;
            on!({
                let store = MemoryStore::new();
                move || store.clone()
            }; $($claim,)*);
        }

        mod file {
            use super::*;
            on!({
                let store = files();
                move || store.clone()
            }; $($claim,)*);
        }

        mod redis_server {
            use super::*;
            on!({
                let store = redis();
                move || store.clone()
            }; $($claim,)*);
        }

        mod encrypted {
            use super::*;
            on!({
                let store = files();
                let key = Key::generate();
                move || EncryptedStore::new(store.clone(), [key.clone()]).expect("there is a key")
            }; $($claim,)*);
        }
    };
}

on_each!(
    a_value_too_deep_to_be_read_back_is_a_500_and_stores_nothing,
    stored_values_nested_ten_thousand_deep_end_no_request_and_lose_nothing,
    stored_values_too_deep_to_compare_are_no_reason_to_lose_a_conflict,
    values_that_no_float_tells_apart_are_different,
    ten_megabytes_are_stored_or_refused_and_nothing_else_changes,
);

mod many_fields {
    use super::*;

    mod memory {
        use super::*;
        on!({
            let store = MemoryStore::new();
            move || store.clone()
        }; a_hundred_thousand_fields_and_a_name_of_a_megabyte_are_a_session,);
    }

    mod file {
        use super::*;
        on!({
            let folder = tempfile::tempdir().expect("a temporary folder");
            move || {
                let store = FileStore::builder(folder.path()).durability(Durability::Process);
                store.max_record_bytes(8 << 20).build().expect("a writable folder")
            }
        }; a_hundred_thousand_fields_and_a_name_of_a_megabyte_are_a_session,);
    }

    mod redis_server {
        use super::*;
        on!({
            let store = redis();
            move || store.clone()
        }; a_hundred_thousand_fields_and_a_name_of_a_megabyte_are_a_session,);
    }
}
