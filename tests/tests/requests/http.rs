//! Sessions over real sockets.

use std::time::Duration;

use actix_typed_session::{
    MemoryStore, SameSite, SessionHandle, SessionId, SessionMiddlewareBuilder, TypedSession,
    store::StoreKey,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{
    Client, Response, Site, exchange, get,
    steps::{self, Visitor},
};

const HOUR: Duration = Duration::from_secs(3600);

// What a request costs.

#[actix_web::test]
async fn a_route_without_a_session_costs_nothing() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    let calls = site.store_calls();
    let response = browser.get("/plain").await;
    assert_eq!(response.text(), "200 no session here");
    assert_eq!(response.header("vary"), None);
    assert_eq!(response.set_cookie(), None);
    assert_eq!(site.store_calls(), calls);
}

#[actix_web::test]
async fn a_session_that_was_never_written_is_never_stored() {
    let site = Site::start();
    let mut browser = site.client();
    for steps in ["read", "look", "touch", "age=5000", "persist", "renew", "views=0", "name="] {
        let response = browser.act(steps).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.set_cookie(), None, "{steps}");
        assert_eq!(response.header("vary"), Some("Cookie"), "{steps}");
    }
    assert_eq!(site.store_calls(), "");
}

#[actix_web::test]
async fn each_request_costs_one_load_and_at_most_one_more_call() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    assert_eq!(site.store_calls(), "create 1");
    browser.act("read").await;
    assert_eq!(site.store_calls(), "create 1, load 1");
    browser.act("view,name=ann,cart=a").await;
    assert_eq!(site.store_calls(), "create 1, load 2, update 1");
    browser.act("renew,view").await;
    assert_eq!(site.store_calls(), "create 1, load 3, update 1, rotate 1");
    browser.act("destroy").await;
    assert_eq!(site.store_calls(), "create 1, load 4, update 1, destroy 1, rotate 1");
}

#[actix_web::test]
async fn an_equal_value_is_not_a_change() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view,name=ann,cart=a").await;
    for steps in ["name=ann", "look", "view,unview", "cart=b,uncart", "name=bob,name=ann"] {
        browser.act(steps).await;
    }
    assert_eq!(site.store_calls(), "create 1, load 5", "a change that is undone is none");
}

// What a session keeps.

#[actix_web::test]
async fn what_was_written_is_there_at_the_next_request() {
    let site = Site::start();
    let mut browser = site.client();
    assert_eq!(browser.act("view,name=ann,cart=a").await.text(), "200 New views=1 name=ann cart=a");
    assert_eq!(browser.act("view,cart=b").await.text(), "200 Loaded views=2 name=ann cart=a+b");
    assert_eq!(browser.act("modify=bob").await.text(), "200 Loaded views=3 name=bob cart=a+b+bob");
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=3 name=bob cart=a+b+bob");
    assert_eq!(site.client().act("read").await.text(), "200 New", "another browser's session");
}

#[actix_web::test]
async fn a_value_that_cannot_be_stored_is_a_500_and_stores_nothing() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    for steps in ["name=bob,nan", "nan,name=bob", "nan,name=bob,save"] {
        let response = browser.act(steps).await;
        assert_eq!(response.text(), "500 ", "{steps}");
        assert_eq!(response.set_cookie(), None, "{steps}");
    }
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

// Server errors.

#[actix_web::test]
async fn a_server_error_discards_the_changes_of_its_request() {
    let site = Site::start();
    let mut browser = site.client();
    assert_eq!(browser.act("name=ann,status=500").await.set_cookie(), None);
    browser.act("name=ann").await;
    let before = browser.clone();
    for steps in ["name=bob", "regenerate,name=bob", "renew", "user=1"] {
        let response = browser.act(&format!("{steps},status=503")).await;
        assert_eq!(response.set_cookie(), None, "{steps}");
    }
    assert_eq!(browser.cookies, before.cookies);
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn a_client_error_keeps_the_changes() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann,status=404").await;
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn a_server_error_keeps_the_changes_if_told_so() {
    let site = Site::with(|builder| builder.save_on_server_error(true));
    let mut browser = site.client();
    browser.act("name=ann,status=500").await;
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn a_destroy_is_carried_out_even_on_a_server_error() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let thief = browser.clone();
    let response = browser.act("destroy,status=500").await;
    assert!(response.removes_cookie(), "{response:?}");
    assert_eq!(thief.clone().act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn what_was_saved_before_a_server_error_stays_saved() {
    let site = Site::start();
    let mut browser = site.client();
    let response = browser.act("name=ann,save,name=bob,status=500").await;
    assert!(response.set_cookie().is_some(), "a stored session needs its cookie: {response:?}");
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

// A store that fails.

#[actix_web::test]
async fn a_store_that_fails_is_an_empty_503_and_never_a_cookie() {
    let site = Site::start();
    let mut browser = site.client();
    let fails = async |operation, browser: &mut Client, steps: &str| {
        let cookies = browser.cookies.clone();
        site.store.inject(operation, Fault::ErrorBefore);
        let response = browser.act(steps).await;
        site.store.heal();
        assert_eq!(response.text(), "503 ", "{steps}");
        assert_eq!(response.set_cookie(), None, "{steps}");
        assert_eq!(browser.cookies, cookies, "{steps}");
    };
    fails(Operation::Create, &mut browser, "name=ann").await;
    browser.act("name=ann").await;
    fails(Operation::Load, &mut browser, "read").await;
    fails(Operation::Update, &mut browser, "name=bob").await;
    fails(Operation::Update, &mut browser, "name=bob,save").await;
    fails(Operation::Rotate, &mut browser, "renew").await;
    fails(Operation::Rotate, &mut browser, "regenerate,name=bob").await;
    fails(Operation::Destroy, &mut browser, "destroy").await;
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn a_touch_that_fails_does_not_fail_a_request_that_only_reads() {
    let site = Site::with(|builder| builder.cookie_persistent(true));
    let mut browser = site.client();
    browser.act("name=ann").await;
    for fault in [Fault::ErrorBefore, Fault::ErrorAfter] {
        site.clock().advance(HOUR);
        site.store.inject(Operation::Touch, fault);
        let response = browser.act("read").await;
        assert_eq!(response.text(), "200 Loaded name=ann");
        assert_eq!(response.set_cookie(), None, "nothing is known to be extended");
        site.clock().advance(HOUR);
        assert_eq!(browser.act("touch").await.text(), "200 Loaded name=ann");
        site.clock().advance(HOUR);
        assert_eq!(browser.act("touch,save").await.text(), "503 ", "`save` says what it did");
        site.store.heal();
        site.clock().advance(HOUR);
        assert!(browser.act("touch").await.set_cookie().is_some());
    }
}

#[actix_web::test]
async fn a_save_that_fails_can_be_tried_again() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    site.store.inject(Operation::Update, Fault::ErrorBefore);
    assert_eq!(browser.act("view,save").await.status, 503);
    site.store.heal();
    assert_eq!(browser.act("view").await.text(), "200 Loaded views=2");
}

#[actix_web::test]
async fn a_closing_call_that_has_begun_outlives_the_client() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    site.store.inject(Operation::Update, Fault::Delay(Duration::from_millis(200)));
    let request = format!(
        "GET /do/name=bob HTTP/1.1\r\nHost: test\r\nCookie: {}={}\r\n\r\n",
        browser.cookies.keys().next().expect("a cookie"),
        browser.cookie(),
    );
    let stream = std::net::TcpStream::connect(site.address).expect("the server listens");
    std::io::Write::write_all(&mut &stream, request.as_bytes()).expect("the server reads");
    for _ in 0..2_000 {
        if site.store.calls(Operation::Update) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Closing with unread options set resets the connection, which drops the request's future.
    tokio::net::TcpStream::from_std({
        stream.set_nonblocking(true).expect("a socket");
        stream
    })
    .and_then(|stream| stream.set_zero_linger())
    .expect("a socket");
    for _ in 0..2_000 {
        if browser.act("read").await.text() == "200 Loaded name=bob" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the update that had begun was cut off");
}

// The cookie.

#[actix_web::test]
async fn the_cookie_says_what_the_settings_say() {
    let site = Site::start();
    let response = site.client().act("view").await;
    let cookie = response.set_cookie().expect("a new session");
    let (name_and_id, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/");
    assert_eq!(name_and_id.len(), "__Host-session=".len() + 43);
    assert!(name_and_id.starts_with("__Host-session="));
    let caching: Vec<_> = response.all("cache-control").collect();
    assert_eq!(caching, ["no-cache=\"Set-Cookie\""]);

    let site = Site::with(|builder| {
        builder
            .cookie_name("sid")
            .cookie_path("/do")
            .cookie_domain("example.com")
            .cookie_same_site(SameSite::None)
            .cookie_http_only(false)
            .cookie_partitioned(true)
            .cookie_persistent(true)
            .max_age(HOUR)
    });
    let response = site.client().act("view").await;
    let cookie = response.set_cookie().expect("a new session");
    for attribute in [
        "sid=",
        "Path=/do",
        "Domain=example.com",
        "SameSite=None",
        "Partitioned",
        "Max-Age=3600",
        "Secure",
    ] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("HttpOnly"), "{cookie}");

    let site =
        Site::with(|builder| builder.cookie_secure(false).cookie_same_site(SameSite::Strict));
    let response = site.client().act("view").await;
    let cookie = response.set_cookie().expect("a new session");
    assert!(cookie.starts_with("session=") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("Secure"), "{cookie}");
}

#[actix_web::test]
async fn a_removal_names_the_cookie_as_it_was_set() {
    let site = Site::with(|builder| {
        builder.cookie_name("sid").cookie_path("/do").cookie_domain("example.com")
    });
    let mut browser = site.client();
    let set = browser.act("view").await;
    let removal = browser.act("destroy").await;
    let attributes = |response: &Response| {
        let cookie = response.set_cookie().expect("a cookie").to_owned();
        let parts = cookie.split("; ").skip(1).map(str::to_owned);
        let mut parts: Vec<String> = parts
            .filter(|part| !part.starts_with("Max-Age") && !part.starts_with("Expires"))
            .collect();
        parts.sort();
        parts
    };
    assert_eq!(attributes(&set), attributes(&removal));
    assert!(removal.removes_cookie());
    assert!(browser.cookies.is_empty());
}

#[actix_web::test]
async fn a_read_or_an_update_sends_no_cookie() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    for steps in ["read", "view", "touch"] {
        assert_eq!(browser.act(steps).await.set_cookie(), None, "{steps}");
    }
}

// Expiry.

#[actix_web::test]
async fn an_idle_session_ends_and_its_cookie_is_removed() {
    let site = Site::with(|builder| builder.max_age(HOUR));
    let mut browser = site.client();
    browser.act("view").await;
    site.clock().advance(HOUR - Duration::from_millis(1));
    assert_eq!(browser.clone().act("read").await.text(), "200 Loaded views=1");
    site.clock().advance(HOUR);
    let response = browser.act("read").await;
    assert_eq!(response.text(), "200 New");
    assert!(response.removes_cookie());
}

#[actix_web::test]
async fn every_use_extends_a_session_up_to_its_absolute_lifetime() {
    let site = Site::with(|builder| builder.max_age(HOUR).absolute_lifetime(5 * HOUR));
    let mut browser = site.client();
    browser.act("view").await;
    for _ in 0..9 {
        site.clock().advance(HOUR / 2);
        assert_eq!(browser.act("read").await.text(), "200 Loaded views=1");
    }
    // A use or a new id does not restart its absolute lifetime.
    browser.act("renew").await;
    site.clock().advance(HOUR / 2);
    assert_eq!(browser.act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn a_shorter_absolute_lifetime_holds_for_sessions_that_are_there() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    // Exactly its lifetime.
    site.clock().advance(HOUR);
    browser.address = site.beside(|builder| builder.absolute_lifetime(HOUR)).address;
    assert_eq!(browser.act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn a_touch_is_made_once_in_a_sixtieth_of_the_idle_time() {
    let site = Site::with(|builder| builder.max_age(HOUR));
    let mut browser = site.client();
    browser.act("view").await;
    for _ in 0..59 {
        site.clock().advance(Duration::from_secs(1));
        browser.act("read").await;
    }
    assert_eq!(site.store.calls(Operation::Touch), 0);
    site.clock().advance(Duration::from_secs(1));
    browser.act("read").await;
    assert_eq!(site.store.calls(Operation::Touch), 1);
}

#[actix_web::test]
async fn a_touch_that_is_asked_for_is_made_at_once() {
    let site = Site::with(|builder| builder.max_age(HOUR).touch_interval(HOUR / 2));
    let mut browser = site.client();
    browser.act("view").await;
    site.clock().advance(Duration::from_secs(1));
    browser.act("read").await;
    assert_eq!(site.store.calls(Operation::Touch), 0);
    browser.act("touch").await;
    assert_eq!(site.store.calls(Operation::Touch), 1);
}

#[actix_web::test]
async fn a_session_that_is_used_outlives_its_own_short_max_age() {
    let minute = Duration::from_secs(60);
    for site in [
        Site::with(|builder| builder.touch_interval(HOUR)),
        Site::with(|builder| builder.touch_interval(15 * minute)),
        Site::with(|builder| builder.touch_interval(minute)),
    ] {
        for ms in [1_000, 60_000, 600_000, 901_000] {
            let mut browser = site.client();
            browser.act(&format!("name=ann,age={ms}")).await;
            for _ in 0..8 {
                site.clock().advance(Duration::from_millis(ms / 2));
                assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann", "{ms}");
            }
            site.clock().advance(Duration::from_millis(ms));
            assert_eq!(browser.act("read").await.text(), "200 New", "{ms}");
        }
    }
}

/// A site whose page polls, in the ways that there are.
fn polling(
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> Site<FaultyStore<MemoryStore>> {
    Site::in_memory()
        .configure(steps::routes)
        .route("/poll", async |session: TypedSession<Visitor>| {
            session.handle().keep_expiry();
            session.name.clone()
        })
        .route("/poll/write", async |mut session: TypedSession<Visitor>| {
            session.handle().keep_expiry();
            session.set_views(session.views + 1);
            session.name.clone()
        })
        .route("/poll/renew", async |mut session: TypedSession<Visitor>| {
            session.renew();
            session.handle().keep_expiry();
            session.name.clone()
        })
        .route("/chosen", async |session: TypedSession<Visitor>| session.name.clone())
        .route("/touch", async |mut session: TypedSession<Visitor>| {
            session.handle().keep_expiry();
            session.touch();
            session.name.clone()
        })
        .settings(|it| settings(it.max_age(HOUR).keep_expiry_if(|it| it.path() == "/chosen")))
        .start()
}

#[actix_web::test]
async fn a_request_that_keeps_the_expiry_does_not_extend_the_session() {
    for path in ["/poll", "/poll/write", "/poll/renew", "/chosen"] {
        for persistent in [false, true] {
            let site = polling(|it| it.cookie_persistent(persistent));
            let mut browser = site.client();
            browser.act("name=ann").await;
            for _ in 0..3 {
                site.clock().advance(HOUR / 4);
                assert_eq!(browser.get(path).await.body, "ann", "{path}");
            }
            site.clock().advance(HOUR / 4);
            assert_eq!(browser.act("read").await.text(), "200 New", "{path}");
        }
    }
}

#[actix_web::test]
async fn a_chosen_request_does_not_extend_the_session_while_it_loads_it() {
    let site = polling(|it| it.touch_interval(Duration::ZERO));
    let mut browser = site.client();
    browser.act("name=ann").await;
    site.clock().advance(HOUR / 2);
    assert_eq!(browser.get("/chosen").await.body, "ann");
    site.clock().advance(HOUR / 2);
    assert_eq!(browser.act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn a_touch_that_is_asked_for_extends_a_session_whose_expiry_is_kept() {
    let site = polling(|it| it);
    let mut browser = site.client();
    browser.act("name=ann").await;
    for _ in 0..4 {
        site.clock().advance(HOUR / 2);
        assert_eq!(browser.get("/touch").await.body, "ann");
    }
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn the_same_max_age_again_is_not_a_change() {
    for max_age in [
        Duration::from_nanos(60_000_500_000),
        Duration::from_nanos(60_000_999_999),
        Duration::new(u64::MAX, 999_999_999),
    ] {
        let site = Site::in_memory()
            .route("/", move |mut session: SessionHandle| async move {
                session.set_max_age(max_age);
                "ok"
            })
            .configure(steps::routes)
            .start();
        let mut browser = site.client();
        browser.act("name=ann").await;
        for _ in 0..3 {
            browser.post("/").await;
        }
        assert_eq!(site.store.calls(Operation::Update), 1, "{max_age:?}");
    }
}

#[actix_web::test]
async fn a_save_finds_out_that_the_session_has_ended_also_if_it_only_extends_it() {
    let site = Site::start();
    for steps in ["touch,save", "touch,save,save", "name=eve,save"] {
        let mut browser = site.client();
        browser.act("name=ann").await;
        site.clock().advance(HOUR);
        let held = site.held(&browser, &format!("gate,{steps}")).await;
        browser.act("destroy").await;
        assert_eq!(site.release(held).await.text(), "409 ", "{steps}");
    }
}

#[actix_web::test]
async fn a_persistent_cookie_and_the_store_are_extended_together() {
    let site = Site::with(|builder| builder.max_age(HOUR).cookie_persistent(true));
    let mut browser = site.client();
    browser.act("view").await;
    site.clock().advance(Duration::from_secs(59));
    assert_eq!(browser.act("read").await.set_cookie(), None);
    assert_eq!(browser.act("view").await.set_cookie(), None);
    assert_eq!(site.store.calls(Operation::Touch), 0);
    site.clock().advance(Duration::from_secs(1));
    let response = browser.act("read").await;
    assert!(response.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=3600")));
    assert_eq!(site.store.calls(Operation::Touch), 1);
    site.clock().advance(Duration::from_secs(60));
    let response = browser.act("view").await;
    assert!(response.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=3600")));
}

#[actix_web::test]
async fn a_sessions_own_limits_survive_later_requests() {
    let site = Site::with(|builder| builder.max_age(HOUR));
    let mut browser = site.client();
    let response = browser.act("view,age=7200000,persist").await;
    assert!(response.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=7200")));
    site.clock().advance(HOUR + HOUR / 2);
    let response = browser.act("view").await;
    assert_eq!(response.text(), "200 Loaded views=2");
    assert!(response.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=7200")));
    site.clock().advance(HOUR + HOUR / 2);
    assert_eq!(browser.act("age=60000,persist=no").await.text(), "200 Loaded views=2");
    site.clock().advance(Duration::from_secs(60));
    assert_eq!(browser.act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn an_age_of_zero_destroys_the_session() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    let thief = browser.clone();
    let response = browser.act("age=0").await;
    assert_eq!(response.text(), "200 Destroyed");
    assert!(response.removes_cookie());
    assert_eq!(thief.clone().act("read").await.text(), "200 New");
}

// A new id.

#[actix_web::test]
async fn a_renewed_session_has_another_id_and_the_same_data() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let old = browser.clone();
    assert_eq!(browser.act("renew").await.text(), "200 Renewed name=ann");
    assert_ne!(browser.cookie(), old.cookie());
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn requests_with_the_old_id_read_the_snapshot_and_change_nothing() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let old = browser.clone();
    browser.act("renew,name=bob").await;
    for steps in ["read", "name=eve", "renew", "age=1000", "persist", "touch", "cart=x"] {
        let response = old.clone().act(steps).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.set_cookie(), None, "{steps}");
    }
    assert_eq!(old.clone().act("read").await.text(), "200 Retired name=ann");
    assert_eq!(old.clone().act("name=eve,save").await.status, 409);
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=bob");
    site.clock().advance(Duration::from_secs(10));
    let response = old.clone().act("read").await;
    assert_eq!(response.text(), "200 New", "after the grace the old id is unknown");
    assert!(response.removes_cookie());
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=bob");
}

#[actix_web::test]
async fn a_changed_privilege_renews_the_id_and_hides_the_session_from_the_old_one() {
    let site = Site::start();
    for login in ["user=7", "name=x,user=7", "user=7,user=8,user=7"] {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let planted = browser.clone();
        browser.act(login).await;
        assert_ne!(browser.cookie(), planted.cookie(), "{login}");
        for steps in ["read", "name=eve", "user=666", "destroy", "renew"] {
            let mut attacker = planted.clone();
            let response = attacker.act(steps).await;
            assert!(!response.body.contains("user=7"), "{steps}: {response:?}");
            assert!(!response.body.contains("ann"), "{steps}: {response:?}");
            if steps == "user=666" {
                let own = attacker.act("read").await;
                assert_eq!(own.body, "Loaded user=666", "a session of its own, with nothing else");
            } else {
                assert!(response.set_cookie().is_none() || response.removes_cookie(), "{steps}");
            }
        }
        assert!(browser.act("read").await.body.contains("user=7"));
        let before = browser.clone();
        browser.act("leave").await;
        assert_ne!(browser.cookie(), before.cookie(), "logging out changes the rights too");
    }
}

#[actix_web::test]
async fn a_privilege_that_is_changed_back_renews_nothing() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("user=7").await;
    let before = browser.clone();
    browser.act("user=8,user=7").await;
    browser.act("user=7,name=ann").await;
    assert_eq!(browser.cookies, before.cookies);
}

#[actix_web::test]
async fn a_slow_request_with_the_old_id_never_overwrites_the_new_cookie() {
    let site = Site::start();
    for renewal in ["renew", "user=7", "regenerate,name=new"] {
        let mut browser = site.client();
        browser.act("name=ann").await;
        for steps in ["read", "name=slow", "renew", "user=9", "regenerate,name=slow"] {
            let request = site.held(&browser, &format!("gate,{steps}")).await;
            let mut fast = browser.clone();
            fast.act(renewal).await;
            let (response, _) = site.release_both(request).await;
            if steps.starts_with("regenerate") || steps.starts_with("user") {
                // A login does not depend on the session that is gone, so it begins another.
                assert!(response.set_cookie().is_some());
            } else {
                assert_eq!(response.set_cookie(), None, "{renewal} against {steps}");
            }
            let text = fast.act("read").await.text();
            assert!(!text.contains("slow"), "{renewal} against {steps}: {text}");
            browser = site.client();
            browser.act("name=ann").await;
        }
    }
}

// Destroyed stays destroyed.

#[actix_web::test]
async fn a_slower_request_does_not_revive_a_destroyed_session() {
    let site = Site::start();
    for steps in
        ["read", "name=slow", "view,cart=x", "renew", "user=9", "touch", "age=9000000", "save"]
    {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let request = site.held(&browser, &format!("gate,{steps}")).await;
        let mut fast = browser.clone();
        assert!(fast.act("destroy").await.removes_cookie());
        let response = site.release(request).await;
        assert_eq!(response.status, 200, "{steps}: the response is kept");
        assert_eq!(response.set_cookie(), None, "{steps}");
        assert_eq!(browser.act("read").await.text(), "200 New", "{steps}");
    }
}

#[actix_web::test]
async fn after_a_save_changes_are_measured_against_what_was_saved() {
    let site = Site::start();
    let mut browser = site.client();
    for saved in ["name=bob,save", "renew,name=bob,save"] {
        browser.act("name=ann").await;
        // Setting the name that the request has read is a change again.
        browser.act(&format!("{saved},name=ann")).await;
        let read = browser.act("read").await;
        assert!(read.text().contains("ann"), "{saved}: {}", read.text());
    }
}

#[actix_web::test]
async fn a_save_after_a_destroy_elsewhere_is_an_error() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let request = site.held(&browser, "gate,name=slow,save").await;
    browser.act("destroy").await;
    let response = site.release(request).await;
    assert_eq!(response.status, 409);
    assert_eq!(response.set_cookie(), None);
}

#[actix_web::test]
async fn a_session_that_began_and_ended_within_a_request_gets_no_cookie() {
    for begin in ["name=ann,save", "name=ann,save,renew,save", "persist,name=ann,save"] {
        for steps in ["name=bob", "name=bob,save", "read", "touch", "renew", "reload"] {
            let site = Site::with(|builder| builder.max_age(HOUR));
            let path = format!("{begin},gate,{steps}");
            let request = site.held(&site.client(), &path).await;
            site.clock().advance(HOUR);
            let (response, slow) = site.release_both(request).await;
            assert_eq!(response.set_cookie(), None, "{begin}, {steps}: {response:?}");
            assert!(slow.cookies.is_empty());
        }
    }
}

#[actix_web::test]
async fn a_logout_that_a_renewal_overtook_is_a_logout() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let request = site.held(&browser, "gate,destroy").await;
    browser.act("renew").await;
    assert!(site.release(request).await.removes_cookie());
    assert_eq!(browser.act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn what_is_written_after_a_destroy_begins_a_new_session() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann,user=7").await;
    let old = browser.clone();
    assert_eq!(browser.act("destroy,name=goodbye").await.text(), "200 Destroyed name=goodbye");
    assert_ne!(browser.cookie(), old.cookie());
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=goodbye");
    assert_eq!(old.clone().act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn what_was_written_before_a_destroy_is_gone() {
    let site = Site::start();
    let mut browser = site.client();
    assert_eq!(browser.act("name=ann,destroy").await.text(), "200 Destroyed");
    assert!(browser.cookies.is_empty());
    assert_eq!(site.store_calls(), "");
}

// Bad input.

/// No 5xx, no panic, no store call for a malformed id, and no adopted id.
#[actix_web::test]
async fn bad_cookies_are_answered_and_never_adopted() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let live = browser.cookie().to_owned();
    let stored_key = StoreKey::from(&SessionId::new(live.as_str()).expect("an id")).to_hex();
    let unknown = SessionId::random().as_str().to_owned();
    let mut ended = site.client();
    ended.act("name=eve").await;
    let destroyed = ended.cookie().to_owned();
    ended.act("destroy").await;
    ended.act("name=eve").await;
    let expired = ended.cookie().to_owned();
    site.clock().advance(19 * HOUR);
    browser.act("touch").await;
    site.clock().advance(2 * HOUR);

    let megabyte = "a".repeat(1_000_000);
    let malformed: Vec<Vec<u8>> = vec![
        b"".into(),
        b"\xff\xfe\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92"
            .into(),
        b"%2e%2e%2f%2e%2e%2fetc%2fpasswd%00".into(),
        format!("\"{live}").into(),
        format!("{live}%00").into(),
        format!("{live}\\").into(),
        live[..21].into(),
        b"../../etc/passwd".into(),
        b"../../../../../../../../etc/passwd".into(),
        "a".repeat(129).into(),
        "a".repeat(60_000).into(),
    ];
    let well_formed = [&unknown, &expired, &stored_key, &destroyed];
    let calls_before = site.store.all_calls();
    for value in &malformed {
        let header = [b"Cookie: __Host-session=", value.as_slice(), b"\r\n"].concat();
        let response = get(site.address, "/do/read", &header).await;
        assert_eq!(response.text(), "200 New", "{}", String::from_utf8_lossy(value));
        assert!(response.removes_cookie());
    }
    assert_eq!(site.store.all_calls(), calls_before, "a malformed id costs no store call");
    for value in well_formed {
        let header = format!("Cookie: __Host-session={value}\r\n");
        let response = get(site.address, "/do/read", header.as_bytes()).await;
        assert_eq!(response.text(), "200 New");
        assert!(response.removes_cookie());
        let response = get(site.address, "/do/name=eve", header.as_bytes()).await;
        let cookie = response.set_cookie().expect("a new session");
        assert!(!cookie.contains(value.as_str()), "an id that the client made up is never adopted");
    }
    // Actix itself refuses a head of this size.
    let header = format!("Cookie: __Host-session={megabyte}\r\n");
    let refused = exchange(
        site.address,
        format!("GET /do/read HTTP/1.1\r\nHost: test\r\n{header}\r\n").as_bytes(),
    )
    .await;
    assert!(refused.iter().all(|response| (400..500).contains(&response.status)), "{refused:?}");
    let no_cookie = get(site.address, "/do/read", b"").await;
    assert_eq!((no_cookie.text().as_str(), no_cookie.set_cookie()), ("200 New", None));
    let header = format!("Cookie: __Host-session={unknown}; __Host-session={live}\r\n");
    let doubled = get(site.address, "/do/read", header.as_bytes()).await;
    assert_eq!(doubled.text(), "200 Loaded name=ann", "of doubled cookies the live one counts");
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn a_forged_header_costs_a_bounded_number_of_look_ups() {
    let site = Site::start();
    let cookies: Vec<String> =
        (0..200).map(|_| format!("__Host-session={}", SessionId::random().as_str())).collect();
    let header = format!("Cookie: {}\r\n", cookies.join("; "));
    assert_eq!(get(site.address, "/do/read", header.as_bytes()).await.text(), "200 New");
    assert_eq!(site.store.calls(Operation::Load), 4);
}

// The connection.

#[actix_web::test]
async fn pipelined_requests_are_answered_in_order_each_with_its_session() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    let cookie = format!("Cookie: __Host-session={}\r\n", browser.cookie());
    let mut request = String::new();
    for n in 0..10 {
        let cookie = if n % 2 == 0 { cookie.as_str() } else { "" };
        request += &format!("GET /do/view HTTP/1.1\r\nHost: test\r\n{cookie}\r\n");
    }
    request += &format!("GET /do/read HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{cookie}\r\n");
    let responses = exchange(site.address, request.as_bytes()).await;
    let texts: Vec<_> = responses.iter().map(Response::text).collect();
    let expected: Vec<_> = (0..10)
        .map(|n| match n % 2 {
            0 => format!("200 Loaded views={}", n / 2 + 2),
            _ => "200 New views=1".to_owned(),
        })
        .chain(["200 Loaded views=6".to_owned()])
        .collect();
    assert_eq!(texts, expected);
}

#[actix_web::test]
async fn two_hundred_concurrent_increments_all_count() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    for _ in 0..25 {
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let mut browser = browser.clone();
                actix_web::rt::spawn(async move { browser.act("gate,view").await.status })
            })
            .collect();
        for _ in 0..8 {
            site.gate.arrival().await;
        }
        // All eight have read the same number.
        (0..8).for_each(|_| site.gate.open());
        for request in requests {
            assert_eq!(request.await.expect("the request ends"), 200);
        }
    }
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=200 name=ann");
}

#[actix_web::test]
async fn concurrent_requests_that_change_different_fields_lose_nothing() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("view").await;
    let requests: Vec<_> = ["name=ann", "cart=a", "view", "age=9000000"]
        .into_iter()
        .map(|steps| {
            let mut browser = browser.clone();
            actix_web::rt::spawn(async move { browser.act(&format!("gate,{steps}")).await.status })
        })
        .collect();
    for _ in 0..4 {
        site.gate.arrival().await;
    }
    (0..4).for_each(|_| site.gate.open());
    for request in requests {
        assert_eq!(request.await.expect("the request ends"), 200);
    }
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=2 name=ann cart=a");
}

// Anything in any order.

#[actix_web::test]
async fn no_order_of_calls_panics_or_leaves_a_cookie_that_points_to_nothing() {
    const STEPS: [&str; 22] = [
        "read",
        "view",
        "unview",
        "views=0",
        "name=ann",
        "name=",
        "user=7",
        "leave",
        "cart=a",
        "uncart",
        "modify=x",
        "regenerate",
        "renew",
        "destroy",
        "touch",
        "save",
        "reload",
        "age=60000",
        "age=0",
        "persist",
        "persist=no",
        "status=500",
    ];
    let site = Site::start();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % bound
    };
    let mut browser = site.client();
    for _ in 0..600 {
        let steps: Vec<_> = (0..=random(6)).map(|_| STEPS[random(STEPS.len())]).collect();
        let steps = steps.join(",");
        let before = browser.clone();
        let response = browser.act(&steps).await;
        assert!([200, 409, 500].contains(&response.status), "{steps}: {response:?}");
        assert!(response.all("set-cookie").count() <= 1, "{steps}: {response:?}");
        if browser.cookies.is_empty() {
            // The client's session has ended, or did not exist.
            if !before.cookies.is_empty() {
                let old = before.clone().act("read").await.text();
                assert!(old == "200 New" || old.starts_with("200 Retired"), "{steps}: {old}");
            }
        } else {
            let read = browser.act("read").await.text();
            assert!(
                read.starts_with("200 Loaded"),
                "{steps}: the cookie points to nothing: {read}"
            );
        }
    }
}
