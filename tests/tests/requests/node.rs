//! What Node's file-backed session middleware does, row by row, and its equivalent here.

use std::{collections::BTreeMap, time::Duration};

use actix_typed_session::{
    Clock as _, FakeClock, FileStore, Session, SessionHandle, SessionId, SessionMiddleware,
    TypedSession,
    store::{
        CreateOutcome, LoadOptions, Patch, Record, SessionStore as _, StoreKey, UpdateOutcome,
    },
    testing::Operation,
};
use actix_typed_session_tests::{Client, Site, serve};
use actix_web::{App, HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[actix_web::test]
async fn genid_is_id_generator_and_is_given_the_request() {
    let site = Site::with(|builder| {
        builder.id_generator(|request: &HttpRequest| {
            let prefix = request.path().rsplit('=').next().unwrap_or_default();
            SessionId::new(format!("{prefix}.{}", SessionId::random().as_str()))
                .expect("letters and digits")
        })
    });
    let mut browser = site.client();
    browser.act("name=ann").await;
    assert!(browser.cookie().starts_with("ann."), "{}", browser.cookie());
    let old = browser.cookie().to_owned();
    browser.act("renew,name=bob").await;
    assert!(browser.cookie().starts_with("bob."), "renewed ids come from the generator too");
    browser.act("renew,save,name=eve").await;
    assert!(browser.cookie().starts_with("eve."), "and so do those of `save`");
    assert_ne!(browser.cookie(), old);
}

#[actix_web::test]
async fn genid_makes_as_many_ids_as_a_request_saves() {
    for steps in [
        "name=ann,save,destroy,save,name=bob,save",
        "name=ann,save,renew,save",
        "name=ann,save,regenerate,name=bob,save",
        "name=ann,save,user=7,save,user=8,save,user=9,save",
    ] {
        let site = Site::with(|builder| {
            builder.id_generator(|_| {
                SessionId::new(format!("own.{}", SessionId::random().as_str())).expect("an id")
            })
        });
        let mut browser = site.client();
        assert_eq!(browser.act(steps).await.status, 200, "{steps}");
        assert!(browser.cookie().starts_with("own."), "{steps}");
        assert!(browser.act("read").await.text().starts_with("200 Loaded name="), "{steps}");
    }
}

#[actix_web::test]
async fn a_destroy_is_carried_out_even_if_genid_makes_no_further_id() {
    let site = Site::with(|builder| {
        builder.id_generator(|_| SessionId::new("x".repeat(32)).expect("letters"))
    });
    for logout in ["destroy,name=eve", "destroy,name=eve,save"] {
        let mut browser = site.client();
        browser.act("name=ann").await;
        assert_eq!(browser.act(logout).await.status, 500);
        assert_eq!(browser.act("read").await.text(), "200 New", "{logout}");
    }
}

#[actix_web::test]
async fn genid_defaults_to_256_random_bits_and_uuid_v4_is_ready_made() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    assert_eq!(browser.cookie().len(), 43, "256 bits in base64url");

    let site = Site::with(|builder| builder.id_generator(|_| SessionId::uuid()));
    let mut browser = site.client();
    browser.act("name=ann").await;
    let id: Vec<usize> = browser.cookie().split('-').map(str::len).collect();
    assert_eq!(id, [8, 4, 4, 4, 12]);
    assert_eq!(browser.cookie().as_bytes()[14], b'4', "version 4");
}

#[actix_web::test]
async fn genid_that_repeats_itself_overwrites_no_session() {
    let site = Site::with(|builder| {
        builder.id_generator(|_| SessionId::new("x".repeat(32)).expect("letters"))
    });
    let mut first = site.client();
    first.act("name=ann").await;
    let second = site.client().act("name=eve").await;
    assert_eq!(second.text(), "500 ");
    assert_eq!(second.set_cookie(), None);
    assert_eq!(first.act("renew").await.status, 500, "a renewal needs a new id");
    assert_eq!(first.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn store_defaults_to_a_file_store() {
    let middleware = format!("{:?}", SessionMiddleware::default());
    assert!(middleware.contains("__Host-session"), "{middleware}");
    let folder = FileStore::default().path().to_owned();
    assert!(folder.is_absolute() && folder.ends_with("sessions"), "{folder:?}");
    assert!(!std::path::Path::new("sessions").exists(), "nothing is written before a session is");
}

#[actix_web::test]
async fn max_age_defaults_to_72000000_ms() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let key = StoreKey::from(&SessionId::new(browser.cookie()).expect("an id"));
    let record = site
        .store
        .inner()
        .load(&key, &LoadOptions::default())
        .await
        .expect("a store in memory")
        .expect("live");
    let lifetime = record.expires_at().saturating_since(record.created_at());
    assert_eq!(lifetime, Duration::from_millis(72_000_000));
    site.clock().advance(Duration::from_millis(72_000_000));
    assert_eq!(browser.act("read").await.text(), "200 New");
}

#[derive(Session)]
struct Profile {
    address: Address,
    tags: BTreeMap<String, Vec<u32>>,
}

#[derive(Serialize, Deserialize, Default, Debug)]
struct Address {
    street: String,
    geo: Option<(f64, f64)>,
}

#[actix_web::test]
async fn session_values_are_fields_nested_ones_too() {
    let site = Site::in_memory()
        .route("/write", async |mut session: TypedSession<Profile>| {
            session.address_mut().street = "Main Street".to_owned();
            session.address_mut().geo = Some((1.5, -2.0));
            session.tags_mut().entry("a".to_owned()).or_default().extend([1, 2]);
            HttpResponse::Ok().finish()
        })
        .route("/read", async |session: TypedSession<Profile>| {
            format!("{:?} {:?}", session.address, session.tags)
        })
        .start();
    let mut browser = site.client();
    browser.get("/write").await;
    assert_eq!(
        browser.get("/read").await.body,
        "Address { street: \"Main Street\", geo: Some((1.5, -2.0)) } {\"a\": [1, 2]}"
    );
}

#[actix_web::test]
async fn regenerate_gives_a_new_id_and_a_new_empty_instance_and_the_old_one_is_gone() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann,cart=a").await;
    let old = browser.clone();
    assert_eq!(
        browser.act("regenerate,view").await.text(),
        "200 Regenerated views=1",
        "the new instance is empty"
    );
    assert_ne!(browser.cookie(), old.cookie());
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=1");
    assert_eq!(old.clone().act("read").await.text(), "200 Retired", "nothing is left to read");
    assert_eq!(old.clone().act("name=eve").await.set_cookie(), None);
    site.clock().advance(Duration::from_secs(10));
    assert!(old.clone().act("read").await.removes_cookie());

    browser.act("name=ann").await;
    assert_eq!(browser.act("regenerate,name=ann").await.text(), "200 Regenerated name=ann");
    assert_eq!(
        browser.act("read").await.text(),
        "200 Loaded name=ann",
        "what equals the old instance is still new to this one"
    );

    let response = browser.act("regenerate").await;
    assert!(response.removes_cookie(), "an empty session is not stored: {response:?}");
    assert!(site.store.inner().len() <= 1, "only what is in its grace is left");
}

#[actix_web::test]
async fn destroy_removes_the_session_from_the_store_and_the_cookie() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    assert_eq!(site.store.inner().len(), 1);
    let response = browser.act("destroy").await;
    assert_eq!(response.text(), "200 Destroyed");
    assert!(response.removes_cookie());
    assert!(site.store.inner().is_empty());
}

#[actix_web::test]
async fn reload_replaces_unsaved_changes_by_the_stored_state() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    assert_eq!(browser.act("name=bob,view,reload").await.text(), "200 Loaded name=ann");
    assert_eq!(site.store_calls(), "create 1, load 2", "nothing is left to store");
    assert_eq!(site.client().act("name=bob,reload").await.text(), "200 New");

    let request = site.held(&browser, "gate,reload").await;
    browser.act("name=carl").await;
    let response = site.release(request).await;
    assert_eq!(response.text(), "200 Loaded name=carl", "what others stored meanwhile");
}

#[actix_web::test]
async fn reload_is_an_error_if_the_session_is_gone() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let request = site.held(&browser, "gate,reload").await;
    browser.act("destroy").await;
    assert_eq!(site.release(request).await.status, 409);
    browser.act("name=ann").await;
    assert_eq!(browser.act("destroy,reload").await.status, 409);
}

#[actix_web::test]
async fn save_has_stored_when_it_returns() {
    let site = Site::start();
    let mut browser = site.client();
    let request = site.held(&browser, "name=ann,save,gate").await;
    assert_eq!(site.store.calls(Operation::Create), 1);
    assert_eq!(site.store.inner().len(), 1);
    let (response, slow) = site.release_both(request).await;
    assert_eq!(response.text(), "200 Loaded name=ann");
    browser = slow;
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
    browser.act("view,save,view,save,view").await;
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=3 name=ann");
}

#[actix_web::test]
async fn touch_is_done_by_the_middleware_and_callable() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    site.clock().advance(Duration::from_secs(1));
    browser.act("touch").await;
    assert_eq!(site.store.calls(Operation::Touch), 1);
    site.clock().advance(Duration::from_secs(20 * 60));
    browser.act("read").await;
    assert_eq!(site.store.calls(Operation::Touch), 2);
}

#[actix_web::test]
async fn session_id_is_readable_with_a_struct_and_without() {
    let site = Site::in_memory()
        .route("/typed", async |mut session: TypedSession<Profile>| {
            session.address_mut().street += "x";
            let before = session.id().map(|id| id.as_str().to_owned());
            session.save().await?;
            let after = session.id().map(|id| id.as_str().to_owned());
            Ok::<_, actix_web::Error>(format!("{before:?} {after:?}"))
        })
        .route("/untyped", async |session: SessionHandle| {
            format!("{:?}", session.id().map(|id| id.as_str().to_owned()))
        })
        .start();
    let mut browser = site.client();
    assert_eq!(browser.get("/untyped").await.body, "None");
    let body = browser.get("/typed").await.body;
    assert_eq!(body, format!("None Some({:?})", browser.cookie()));
    assert_eq!(browser.get("/untyped").await.body, format!("Some({:?})", browser.cookie()));
}

#[tokio::test]
async fn store_get_set_touch_and_destroy_take_a_missing_file_for_no_session() {
    let folder = TempDir::new().expect("a temporary folder");
    let clock = FakeClock::default();
    let store = FileStore::builder(folder.path()).clock(clock.clone()).build().expect("a folder");
    let key = StoreKey::from(&SessionId::random());
    let later = clock.now().saturating_add(Duration::from_secs(60));
    assert!(store.load(&key, &LoadOptions::default()).await.expect("a miss is no error").is_none());
    assert!(!store.touch(&key, later).await.expect("a miss is no error"));
    assert!(!store.destroy(&key).await.expect("a miss is no error"));
    let update = store.update(&key, &Patch::default()).await.expect("a miss is no error");
    assert!(matches!(update, UpdateOutcome::Gone));
    let record = Record::new(clock.now(), later);
    assert_eq!(store.create(&key, &record).await.expect("a folder"), CreateOutcome::Stored);
    assert!(store.load(&key, &LoadOptions::default()).await.expect("a folder").is_some());
    assert!(store.destroy(&key).await.expect("a folder"));
    assert!(store.load(&key, &LoadOptions::default()).await.expect("a miss is no error").is_none());
}

#[actix_web::test]
async fn a_middleware_wrapped_twice_does_the_work_once() {
    let site = Site::start();
    let sessions = SessionMiddleware::new(site.store.clone());
    let address = serve!(App::new().wrap(sessions.clone()).wrap(sessions.clone()).route(
        "/",
        web::get().to(async |mut session: TypedSession<Profile>| {
            session.address_mut().street += "x";
            session.address.street.clone()
        })
    ));
    let mut browser = Client::new(address);
    let response = browser.get("/").await;
    assert!(response.set_cookie().is_some(), "one cookie: {response:?}");
    assert_eq!(browser.get("/").await.body, "xx");
    assert_eq!(site.store_calls(), "create 1, load 1, update 1");
}
