//! Limits that a session sets for itself: how long it lives, and whether its cookie outlives the
//! browser.

use std::time::Duration;

use actix_typed_session::{
    Backend, CookieStore, EncryptedStore, FakeClock, Key, RedisStore, Session, SessionError,
    SessionMiddleware, Sessions, TypedSession,
    store::{DeleteExpired, FindByIndex},
};
use actix_typed_session_tests::{Site, stores};
use actix_web::{HttpResponse, web::Path};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Session)]
struct Visitor {
    #[session(privilege)]
    user: Option<i64>,
    name: String,
}

#[derive(Session)]
struct Listed {
    #[session(privilege, index)]
    user: Option<i64>,
}

/// Takes steps, and shows the session, its limits in seconds, and whether its cookie stays.
async fn act(
    steps: Path<String>,
    mut session: TypedSession<Visitor>,
) -> Result<String, SessionError> {
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        let seconds = || Duration::from_secs(value.parse().expect("seconds"));
        match verb {
            "read" => {}
            "user" => session.set_user(value.parse().ok()),
            "name" => session.set_name(value.to_owned()),
            "remember" => session.handle().remember_for(seconds()),
            "age" => session.set_max_age(seconds()),
            "absolute" => session.handle().set_absolute_lifetime(seconds()),
            "persist" => session.set_persistent(true),
            "regenerate" => session.regenerate(),
            "renew" => session.renew(),
            "destroy" => session.destroy(),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            other => panic!("there is no step `{other}`"),
        }
    }
    let (max_age, absolute) = (session.max_age(), session.handle().absolute_lifetime());
    let user = session.user.map_or("nobody".to_owned(), |user| user.to_string());
    let (max_age, absolute) = (max_age.as_secs(), absolute.as_secs());
    Ok(format!("{user} {max_age} {absolute} {}", session.is_persistent()))
}

/// The middleware's limits are an hour, and ten days.
fn site(store: impl Backend, clock: FakeClock) -> Site<()> {
    Site::unwatched(SessionMiddleware::builder(store))
        .clock(clock)
        .settings(|builder| builder.max_age(HOUR).absolute_lifetime(10 * DAY))
        .route("/{steps}", act)
        .route("/listed/{how}", log_in)
        .route("/fail/now", fail)
        .start()
}

async fn fail(session: TypedSession<Visitor>) -> HttpResponse {
    session.handle().remember_for(90 * DAY);
    HttpResponse::InternalServerError().finish()
}

fn in_memory() -> Site<()> {
    let (store, clock) = stores::memory();
    site(store, clock)
}

/// A site on each kind of store whose clock can stand still.
fn sites() -> Vec<(&'static str, Site<()>)> {
    let ((memory, one), (files, two), (inner, three)) =
        (stores::memory(), stores::files_and_clock(), stores::memory());
    let encrypted = EncryptedStore::new(inner, [Key::generate()]).expect("there is a key");
    let cookie = CookieStore::new([Key::generate()]).expect("there is a key");
    vec![
        ("memory", site(memory, one)),
        ("file", site(files, two)),
        ("encrypted", site(encrypted, three)),
        ("cookie", site(cookie, FakeClock::default())),
    ]
}

fn max_age_of(cookie: Option<&str>) -> Option<u64> {
    let (_, rest) = cookie?.split_once("Max-Age=")?;
    rest.split(';').next()?.parse().ok()
}

#[actix_web::test]
async fn a_remembered_client_is_known_to_the_end_of_its_time_and_not_longer() {
    for (store, site) in sites() {
        let mut browser = site.client();
        let response = browser.get("/user=7,remember=7776000").await;
        assert_eq!(response.body, "7 7776000 7776000 true", "{store}");
        assert_eq!(max_age_of(response.set_cookie()), Some(90 * 24 * 3600), "{store}");
        site.clock().advance(89 * DAY);
        let response = browser.get("/read").await;
        assert_eq!(response.body, "7 86400 7776000 true", "{store}: a day is left");
        site.clock().advance(DAY - Duration::from_millis(1));
        assert!(browser.get("/read").await.body.starts_with("7 0 "), "{store}");
        site.clock().advance(Duration::from_millis(1));
        let response = browser.get("/read").await;
        assert_eq!(response.body, "nobody 3600 864000 false", "{store}");
        assert!(response.removes_cookie(), "{store}");
    }
}

#[actix_web::test]
async fn the_time_begins_with_the_call_and_not_with_the_session() {
    for (store, site) in sites() {
        let mut browser = site.client();
        browser.get("/name=ann,age=864000").await;
        site.clock().advance(9 * DAY);
        let response = browser.get("/user=7,remember=2592000").await;
        assert_eq!(max_age_of(response.set_cookie()), Some(30 * 24 * 3600), "{store}");
        site.clock().advance(30 * DAY - HOUR);
        assert_eq!(browser.get("/read").await.body, "7 3600 3369600 true", "{store}");
        site.clock().advance(HOUR);
        assert!(browser.get("/read").await.body.starts_with("nobody"), "{store}");
    }
}

#[actix_web::test]
async fn a_session_may_live_shorter_than_the_middlewares_absolute_lifetime() {
    for (store, site) in sites() {
        let mut browser = site.client();
        let response = browser.get("/user=7,absolute=5400").await;
        assert_eq!(response.body, "7 3600 5400 false", "{store}");
        site.clock().advance(HOUR - Duration::from_secs(1));
        assert_eq!(browser.get("/read").await.body, "7 1801 5400 false", "{store}");
        site.clock().advance(HOUR / 2);
        assert_eq!(browser.get("/renew").await.body, "7 1 5400 false", "{store}");
        site.clock().advance(Duration::from_secs(1));
        assert!(browser.get("/read").await.body.starts_with("nobody"), "{store}");
    }
}

#[actix_web::test]
async fn max_age_is_at_most_what_is_left_of_the_absolute_lifetime() {
    for (store, site) in sites() {
        let mut browser = site.client();
        let response = browser.get("/user=7,age=8640000,persist").await;
        assert_eq!(response.body, "7 864000 864000 true", "{store}");
        assert_eq!(max_age_of(response.set_cookie()), Some(864_000), "{store}");
        site.clock().advance(4 * DAY);
        let response = browser.get("/name=ann").await;
        assert_eq!(response.body, "7 518400 864000 true", "{store}");
        site.clock().advance(6 * DAY);
        assert!(browser.get("/read").await.body.starts_with("nobody"), "{store}");
    }
}

#[actix_web::test]
async fn limits_that_were_set_before_regenerate_hold_for_the_new_session() {
    for steps in [
        "remember=7776000,regenerate,user=7",
        "remember=7776000,user=7,save,regenerate,user=7",
        "persist,age=7776000,absolute=7776000,regenerate,user=7",
        "absolute=7776000,regenerate,age=7776000,regenerate,persist,user=7",
        "regenerate,remember=7776000,user=7",
        "regenerate,user=7,remember=7776000",
    ] {
        for (store, site) in sites() {
            let mut browser = site.client();
            // The session has the limits already, or others.
            for before in ["name=ann", "user=1,remember=7776000", "user=1,age=60,absolute=61"] {
                browser.get(&format!("/destroy,{before}")).await;
                site.clock().advance(Duration::from_secs(30));
                let context = format!("{store}: {steps} after {before}");
                let response = browser.get(&format!("/{steps}")).await;
                assert_eq!(response.body, "7 7776000 7776000 true", "{context}");
                assert_eq!(max_age_of(response.set_cookie()), Some(7_776_000), "{context}");
                let next = browser.clone().get("/read").await.body;
                assert_eq!(next, "7 7776000 7776000 true", "{context}");
            }
        }
    }
}

#[actix_web::test]
async fn a_regenerated_session_takes_over_no_limits_of_the_old_one() {
    for steps in
        ["regenerate,user=8", "remember=60,destroy,user=8", "remember=60,reload,regenerate,user=8"]
    {
        for (store, site) in sites() {
            let mut browser = site.client();
            browser.get("/user=7,remember=7776000").await;
            let response = browser.get(&format!("/{steps}")).await;
            assert_eq!(response.body, "8 3600 864000 false", "{store}: {steps}");
            assert_eq!(max_age_of(response.set_cookie()), None, "{store}: {steps}");
        }
    }
}

/// The answer to the first login was lost.
#[actix_web::test]
async fn a_login_with_an_old_id_gets_no_limits_of_the_renewed_session() {
    let site = in_memory();
    let mut browser = site.client();
    browser.get("/name=ann,age=864000").await;
    let mut old = browser.clone();
    browser.get("/user=7,remember=7776000").await;
    let response = old.get("/user=7,persist").await;
    assert_eq!(max_age_of(response.set_cookie()), Some(3600));
    assert_eq!(old.get("/read").await.body, "7 3600 864000 true");
}

#[actix_web::test]
async fn the_same_limits_again_are_not_a_change() {
    let (store, clock) = stores::memory();
    let site = Site::new(store)
        .clock(clock)
        .settings(|builder| builder.max_age(HOUR).absolute_lifetime(10 * DAY))
        .route("/{steps}", act)
        .start();
    let mut browser = site.client();
    browser.get("/user=7,absolute=7776000,age=60,persist").await;
    for _ in 0..3 {
        let response = browser.get("/absolute=7776000,age=60,persist").await;
        assert_eq!(response.set_cookie(), None);
    }
    assert!(!site.store_calls().contains("update"), "{}", site.store_calls());
}

#[actix_web::test]
async fn limits_that_were_set_by_a_failed_request_are_dropped() {
    let (store, clock) = stores::memory();
    let site = site(store, clock);
    let mut browser = site.client();
    browser.get("/user=7").await;
    assert_eq!(browser.get("/fail/now").await.status, 500);
    assert_eq!(browser.get("/read").await.body, "7 3600 864000 false");
}

#[actix_web::test]
async fn no_time_at_all_destroys_the_session() {
    for step in ["remember=0", "absolute=0"] {
        let site = in_memory();
        let mut browser = site.client();
        browser.get("/user=7").await;
        assert!(browser.get(&format!("/{step}")).await.removes_cookie(), "{step}");
        assert!(browser.get("/read").await.body.starts_with("nobody"), "{step}");
    }
}

#[actix_web::test]
async fn a_lifetime_that_is_longer_than_time_is_kept() {
    for (store, site) in sites() {
        let mut browser = site.client();
        let endless = u64::MAX;
        browser.get("/name=ann").await;
        site.clock().advance(HOUR / 2);
        assert_eq!(browser.get(&format!("/remember={endless}")).await.status, 200, "{store}");
        site.clock().advance(20_000 * DAY);
        assert!(browser.get("/read").await.body.ends_with("true"), "{store}");
    }
}

/// A password change must end them.
async fn a_session_that_outlives_the_middlewares_lifetime_is_found<S>(store: S, clock: FakeClock)
where
    S: FindByIndex + DeleteExpired + Clone,
{
    for steps in ["first", "later", "regenerate", "renew"] {
        let sessions = Sessions::<Listed>::new(store.clone());
        let site = site(store.clone(), clock.clone());
        let mut browser = site.client();
        browser.get("/name=ann").await;
        browser.get(&format!("/listed/{steps}")).await;
        if steps == "later" || steps == "renew" {
            browser.get(&format!("/listed/then-{steps}")).await;
        }
        clock.advance(100 * DAY);
        store.delete_expired().await.expect("the store answers");
        // Other logins of the user clean up the index.
        for _ in 0..20 {
            site.client().get("/listed/short").await;
        }
        assert!(browser.get("/read").await.body.starts_with('7'), "{steps}");
        let by = Listed::by_user(&Some(7));
        let destroyed = sessions.destroy_all(&by).await.expect("the store answers");
        assert_eq!(destroyed, 21, "{steps}");
        assert!(browser.get("/read").await.body.starts_with("nobody"), "{steps}");
    }
}

#[actix_web::test]
async fn a_session_in_memory_that_outlives_the_middlewares_lifetime_is_found() {
    let (store, clock) = stores::memory();
    a_session_that_outlives_the_middlewares_lifetime_is_found(store, clock).await;
}

#[actix_web::test]
async fn a_session_in_files_that_outlives_the_middlewares_lifetime_is_found() {
    let (store, clock) = stores::files_and_clock();
    a_session_that_outlives_the_middlewares_lifetime_is_found(store, clock).await;
}

/// The clock of Redis cannot be moved, but the index says how long it keeps the session.
async fn the_index_keeps_a_session_for_as_long_as_it_may_live(store: RedisStore) {
    let sessions = Sessions::<Listed>::new(store.clone());
    let site = Site::unwatched(SessionMiddleware::builder(store))
        .settings(|builder| builder.absolute_lifetime(10 * DAY))
        .route("/listed/{how}", log_in)
        .start();
    for then in ["later", "renew"] {
        let mut browser = site.client();
        browser.get("/listed/later").await;
        let by = Listed::by_user(&Some(7));
        let before = sessions.list(&by, None, 10).await.expect("the store answers");
        let shown = before.sessions[0].public_id();
        browser.get(&format!("/listed/then-{then}")).await;
        let after = sessions.list(&by, None, 10).await.expect("the store answers");
        assert_eq!(after.sessions.len(), 1, "{then}");
        let until = after.sessions[0].public_id().until();
        assert!(until >= shown.began().saturating_add(3_000 * DAY), "{then}: {until}");
        // A page that was shown before still reaches it.
        assert!(sessions.destroy(&by, shown).await.expect("the store answers"), "{then}");
        assert!(browser.get("/listed/read").await.body.is_empty(), "{then}");
    }
}

async fn log_in(how: Path<String>, mut session: TypedSession<Listed>) -> String {
    let remember = Duration::from_secs(2_000 * 24 * 3600);
    match how.as_str() {
        "first" => {
            session.set_user(Some(7));
            session.handle().remember_for(remember);
        }
        "regenerate" => {
            session.regenerate();
            session.set_user(Some(7));
            session.handle().remember_for(remember);
        }
        "later" | "renew" | "short" => session.set_user(Some(7)),
        "then-later" => session.handle().remember_for(remember),
        "then-renew" => {
            session.renew();
            session.handle().remember_for(remember);
        }
        _ => {}
    }
    session.user.map(|user| user.to_string()).unwrap_or_default()
}

#[actix_web::test]
async fn the_index_of_redis_keeps_a_session_for_as_long_as_it_may_live() {
    the_index_keeps_a_session_for_as_long_as_it_may_live(stores::redis()).await;
}

#[actix_web::test]
async fn the_index_of_a_cluster_keeps_a_session_for_as_long_as_it_may_live() {
    the_index_keeps_a_session_for_as_long_as_it_may_live(stores::redis_cluster()).await;
}

#[actix_web::test]
async fn redis_extends_a_session_by_its_own_limits_when_it_loads_it() {
    let site = Site::unwatched(SessionMiddleware::builder(stores::redis()))
        .settings(|builder| {
            builder
                .max_age(2 * HOUR)
                .absolute_lifetime(Duration::from_secs(2))
                .touch_interval(Duration::ZERO)
        })
        .route("/{steps}", act)
        .start();
    let mut browser = site.client();
    browser.get("/user=7,remember=7776000").await;
    let mut short = site.client();
    short.get("/user=8").await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert!(browser.get("/read").await.body.starts_with("7 777599"));
    assert!(short.get("/read").await.body.starts_with("nobody"));
}
