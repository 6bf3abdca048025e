//! Fields whose value ends while the session goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock, FakeClock, FileStore, MemoryStore, Session, SessionError, SessionHandle, SessionId,
    SessionMiddleware, SessionStore, StoreKey, Timestamp, TypedSession,
    conformance::{FaultyStore, Operation},
};
use actix_typed_session_log_watch as _;
use actix_typed_session_tests::{Browser, Gate, serve};
use actix_web::{App, FromRequest as _, HttpRequest, HttpResponse, http::StatusCode, web};

const MINUTE: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

#[derive(Session)]
struct Account {
    name: String,
    /// The password was given again a moment ago.
    #[session(privilege, ttl = "15m")]
    sure: bool,
    #[session(ttl = "10m", merge = "reject")]
    code: Option<String>,
    #[session(ttl = "1m 30s", default = 3, rename = "left", alias = "tries")]
    tries_left: u32,
    #[session(ttl = "1d")]
    score: f64,
}

/// A clock that can be set back.
#[derive(Clone, Default)]
struct Watch {
    ms: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
}

impl Watch {
    fn set(&self, to: u64) {
        self.ms.store(to, Ordering::SeqCst);
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Timestamp::from_unix_ms(self.ms.load(Ordering::SeqCst))
    }
}

fn show(account: &Account) -> String {
    format!(
        "{} {} {} {}",
        account.name,
        if account.sure { "sure" } else { "unsure" },
        account.code.as_deref().unwrap_or("none"),
        account.tries_left,
    )
}

/// Does what the steps in the path say, one after the other, and tells what the session looks like then.
async fn act(
    steps: web::Path<String>,
    mut session: TypedSession<Account>,
    request: HttpRequest,
    gate: web::Data<Gate>,
    watch: Option<web::Data<Watch>>,
) -> Result<HttpResponse, SessionError> {
    let mut status = StatusCode::OK;
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        match verb {
            "read" => {}
            "name" => session.set_name(value.to_owned()),
            "sure" => session.set_sure(value != "no"),
            "code" => session.set_code(Some(value.to_owned())),
            "no_code" => session.set_code(None),
            "take" => drop(session.take_code()),
            "tries" => session.set_tries_left(value.parse().expect("a number")),
            "nan" => session.set_score(f64::NAN),
            "edit" => session.code_mut().get_or_insert_default().push_str(value),
            "look" => {
                let same = session.tries_left;
                *session.tries_left_mut() = same;
                session.modify(|account| account.sure |= false);
                *session.code_mut() = session.code.clone();
            }
            "modify" => session.modify(|account| account.name = value.to_owned()),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "renew" => session.renew(),
            "handle_renew" => SessionHandle::extract(&request).await?.renew(),
            "again" => session = TypedSession::<Account>::extract(&request).await?,
            "gate" => gate.pass().await,
            "clock" => watch.as_ref().expect("a watch").set(value.parse().expect("a number")),
            "status" => status = value.parse().expect("a status"),
            other => panic!("the site does not know the step `{other}`"),
        }
    }
    Ok(HttpResponse::build(status).body(show(&session)))
}

struct Site {
    store: FaultyStore<MemoryStore>,
    clock: FakeClock,
    gate: Gate,
    browser: Browser,
}

impl Site {
    fn start() -> Self {
        let clock = FakeClock::default();
        let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
        let sessions = SessionMiddleware::builder(store.clone()).clock(clock.clone());
        let sessions = sessions.build().expect("valid settings");
        let gate = Gate::default();
        let data = web::Data::new(gate.clone());
        let address = serve!(
            App::new()
                .app_data(data.clone())
                .wrap(sessions.clone())
                .route("/do/{steps}", web::get().to(act))
                .route("/old/{step}", web::get().to(old))
                .route("/strict", web::get().to(strict))
        );
        Self { store, clock, gate, browser: Browser::new(address) }
    }

    async fn act(&mut self, steps: &str) -> String {
        self.browser.act(steps).await.text()
    }

    /// What the store has under this name for the browser.
    async fn stored(&self, name: &str) -> Option<String> {
        let id = SessionId::new(self.browser.cookie()).expect("the cookie is the id");
        let record = self.store.load(&StoreKey::from(&id)).await.expect("the store works");
        let record = record.expect("the session is live");
        record.field(name).map(|json| json.get().to_owned())
    }
}

#[actix_web::test]
async fn a_value_ends_while_its_session_goes_on() {
    let mut site = Site::start();
    site.act("name=ann,code=123,tries=1").await;
    site.clock.advance(90_000 * MS - MS);
    assert_eq!(site.act("read").await, "200 ann unsure 123 1", "each to the millisecond");
    site.clock.advance(MS);
    assert_eq!(site.act("read").await, "200 ann unsure 123 3");
    site.clock.advance(10 * MINUTE - 90_000 * MS - MS);
    assert_eq!(site.act("read").await, "200 ann unsure 123 3");
    site.clock.advance(MS);
    assert_eq!(site.act("read").await, "200 ann unsure none 3");
    site.clock.advance(600 * MINUTE);
    assert_eq!(site.act("read").await, "200 ann unsure none 3", "no use brings it back");
}

#[actix_web::test]
async fn a_repeated_step_up_lasts_longer_though_its_value_is_equal() {
    let mut site = Site::start();
    site.act("name=ann,sure").await;
    site.clock.advance(10 * MINUTE);
    site.act("sure").await;
    site.clock.advance(15 * MINUTE - MS);
    assert_eq!(site.act("read").await, "200 ann sure none 3");
    site.clock.advance(MS);
    assert_eq!(site.act("read").await, "200 ann unsure none 3");
}

#[actix_web::test]
async fn what_changes_nothing_leaves_the_end_alone() {
    let mut site = Site::start();
    site.act("name=ann,code=123,sure,tries=1").await;
    site.clock.advance(MINUTE);
    let cookies = site.browser.cookies.clone();
    assert_eq!(site.act("look").await, "200 ann sure 123 1");
    site.clock.advance(MINUTE);
    assert_eq!(site.act("look").await, "200 ann sure 123 3");
    site.clock.advance(13 * MINUTE);
    assert_eq!(site.act("look").await, "200 ann unsure none 3");
    assert_eq!((site.store.calls(Operation::Update), site.store.calls(Operation::Rotate)), (0, 0));
    assert_eq!(site.browser.cookies, cookies);
}

#[actix_web::test]
async fn a_guard_that_changes_the_value_begins_its_time_anew() {
    let mut site = Site::start();
    site.act("code=1").await;
    site.clock.advance(9 * MINUTE);
    site.act("edit=2").await;
    site.clock.advance(9 * MINUTE);
    assert_eq!(site.act("read").await, "200  unsure 12 3");
    site.clock.advance(MINUTE);
    assert_eq!(site.act("read").await, "200  unsure none 3");
}

#[actix_web::test]
async fn a_default_over_an_absent_value_is_no_change() {
    const DEFAULTS: &str = "sure=no,no_code,take,tries=3";
    let mut site = Site::start();
    site.act(DEFAULTS).await;
    site.act("code=1,take,sure,sure=no,tries=1,tries=3").await;
    assert!(site.browser.cookies.is_empty(), "there is nothing to store");
    site.act("name=ann,code=123,sure,tries=1").await;
    site.clock.advance(15 * MINUTE);
    let cookies = site.browser.cookies.clone();
    assert_eq!(site.act(DEFAULTS).await, "200 ann unsure none 3");
    assert_eq!(site.act("sure,sure=no,code=4,no_code").await, "200 ann unsure none 3");
    assert_eq!((site.store.calls(Operation::Update), site.store.calls(Operation::Rotate)), (0, 0));
    assert_eq!(site.browser.cookies, cookies);
}

#[actix_web::test]
async fn the_default_ends_a_value_and_stores_nothing() {
    for end in ["no_code", "take", "code=other,save,take"] {
        let mut site = Site::start();
        site.act("name=ann,code=123,tries=1").await;
        let until = site.clock.now().saturating_add(10 * MINUTE).as_unix_ms();
        assert_eq!(site.stored("code").await, Some(format!("[{until},\"123\"]")));
        assert_eq!(site.act(&format!("{end},tries=3")).await, "200 ann unsure none 3");
        assert_eq!((site.stored("code").await, site.stored("left").await), (None, None), "{end}");
        assert_eq!(site.act("take").await, "200 ann unsure none 3");
    }
}

#[actix_web::test]
async fn of_two_requests_that_take_a_code_at_once_one_fails() {
    let mut site = Site::start();
    site.act("name=ann,code=123").await;
    let requests: Vec<_> = (0..2)
        .map(|_| {
            let mut browser = site.browser.clone();
            actix_web::rt::spawn(async move { browser.act("gate,take").await.status })
        })
        .collect();
    for _ in &requests {
        site.gate.arrival().await;
    }
    requests.iter().for_each(|_| site.gate.open());
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(request.await.expect("the request ends"));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(site.act("read").await, "200 ann unsure none 3");
}

#[actix_web::test]
async fn nothing_that_a_request_does_brings_an_ended_value_back() {
    for steps in [
        "read",
        "reload",
        "again",
        "modify=ann",
        "modify=bob",
        "look",
        "name=bob",
        "name=bob,save,again",
        "save,reload",
        "renew,name=bob",
        "handle_renew",
        "status=500",
    ] {
        let mut site = Site::start();
        site.act("name=ann,code=123,sure,tries=1").await;
        site.clock.advance(15 * MINUTE);
        let text = site.act(steps).await;
        assert!(text.ends_with("unsure none 3"), "{steps}: {text}");
        let text = site.act("read").await;
        assert!(text.ends_with("unsure none 3"), "{steps}: {text}");
    }
}

#[actix_web::test]
async fn a_request_that_has_seen_a_value_keeps_it_to_itself() {
    for (steps, seen) in [
        ("name=bob", "sure 123 1"),
        ("modify=bob", "sure 123 1"),
        ("look", "sure 123 1"),
        ("name=bob,renew", "sure 123 1"),
        ("take", "sure none 1"),
        ("again", "unsure none 3"),
        ("reload", "unsure none 3"),
        ("name=bob,save,again", "unsure none 3"),
    ] {
        let mut site = Site::start();
        site.act("name=ann,code=123,sure,tries=1").await;
        let mut slow = site.browser.clone();
        let path = format!("gate,{steps}");
        let request = actix_web::rt::spawn(async move {
            let response = slow.act(&path).await;
            (response, slow)
        });
        site.gate.arrival().await;
        site.clock.advance(15 * MINUTE);
        site.gate.open();
        let (response, slow) = request.await.expect("the request ends");
        assert!(response.text().ends_with(seen), "{steps}: {response:?}");
        site.browser = slow;
        let text = site.act("read").await;
        assert!(text.ends_with("unsure none 3"), "{steps}: {text}");
    }
}

#[actix_web::test]
async fn a_clock_that_is_set_back_revives_nothing_that_a_request_has_seen_end() {
    let watch = Watch::default();
    watch.set(1_000_000);
    let store = MemoryStore::builder().clock(watch.clone()).build();
    let sessions = SessionMiddleware::builder(store).clock(watch.clone());
    let sessions = sessions.build().expect("valid settings");
    let data = (web::Data::new(watch.clone()), web::Data::new(Gate::default()));
    let mut browser = Browser::new(serve!(
        App::new()
            .app_data(data.0.clone())
            .app_data(data.1.clone())
            .wrap(sessions.clone())
            .route("/do/{steps}", web::get().to(act))
    ));
    browser.act("name=ann,code=123").await;
    for steps in ["again", "reload", "name=bob,again", "again,reload,take,again"] {
        watch.set(1_600_000);
        let text = browser.act(&format!("clock=1500000,{steps}")).await.text();
        assert!(text.ends_with("unsure none 3"), "{steps}: {text}");
    }
    watch.set(1_600_000);
    browser.act("clock=1500000,code=456").await;
    watch.set(2_199_999);
    assert!(browser.act("read").await.text().ends_with("456 3"), "from the latest time on");
    watch.set(2_200_000);
    assert!(browser.act("read").await.text().ends_with("none 3"));
}

#[actix_web::test]
async fn a_struct_without_such_fields_does_not_ask_for_the_time() {
    #[derive(Session)]
    struct Plain {
        views: u64,
    }
    let watch = Watch::default();
    let sessions = SessionMiddleware::builder(MemoryStore::new()).clock(watch.clone());
    let sessions = sessions.build().expect("valid settings");
    let mut browser = Browser::new(serve!(
        App::new()
            .wrap(sessions.clone())
            .route(
                "/once",
                web::get().to(async |mut session: TypedSession<Plain>| {
                    session.set_views(session.views + 1);
                    "ok"
                })
            )
            .route(
                "/often",
                web::get().to(
                    async |mut session: TypedSession<Plain>,
                           _a: TypedSession<Plain>,
                           _b: TypedSession<Plain>| {
                        session.set_views(session.views + 1);
                        session.modify(|plain| plain.views += 1);
                        *session.views_mut() += 1;
                        "ok"
                    }
                )
            )
    ));
    browser.get("/once").await;
    let mut reads = Vec::new();
    for path in ["/once", "/often"] {
        let before = watch.reads.load(Ordering::SeqCst);
        browser.get(path).await;
        reads.push(watch.reads.load(Ordering::SeqCst) - before);
    }
    assert_eq!(reads[0], reads[1]);
}

/// The same session in a release that knows of no `ttl`.
#[derive(Session)]
struct Old {
    name: String,
    code: Option<String>,
    tries: u32,
}

async fn old(step: web::Path<String>, mut session: TypedSession<Old>) -> String {
    match step.as_str() {
        "write" => {
            session.set_name("ann".to_owned());
            session.set_code(Some("123".to_owned()));
            session.set_tries(7);
        }
        "name" => session.set_name("bob".to_owned()),
        _ => {}
    }
    format!("{} {:?} {}", session.name, session.code, session.tries)
}

#[derive(Session)]
#[session(strict)]
struct Strict {
    #[session(ttl = "10m")]
    code: Option<String>,
}

async fn strict(session: TypedSession<Strict>) -> String {
    format!("{:?}", session.code)
}

#[actix_web::test]
async fn a_value_from_before_the_field_had_a_ttl_reads_as_absent() {
    let mut site = Site::start();
    site.browser.get("/old/write").await;
    assert_eq!(site.act("read").await, "200 ann unsure none 3");
    assert_eq!(site.browser.get("/strict").await.text(), "200 None");
    site.act("name=bob").await;
    assert_eq!(site.browser.get("/old/read").await.body, "bob Some(\"123\") 7", "nothing is lost");
    // A code that was revoked must not come back with the old release.
    site.act("no_code").await;
    assert_eq!(site.browser.get("/old/read").await.body, "bob None 7");
    site.act("code=456,tries=1").await;
    assert_eq!(site.act("read").await, "200 bob unsure 456 1");
    assert_eq!(site.stored("tries").await, None, "the alias is gone with the write");
}

#[actix_web::test]
async fn a_value_with_an_end_does_not_decode_without_the_ttl_and_is_not_harmed() {
    let mut site = Site::start();
    site.act("name=ann,code=123").await;
    assert_eq!(site.browser.get("/old/read").await.body, " None 0", "the struct reads as fresh");
    assert_eq!(site.browser.get("/old/name").await.body, "bob None 0");
    assert_eq!(site.act("read").await, "200 bob unsure 123 3");
}

#[actix_web::test]
async fn an_ended_value_does_not_uncover_one_under_an_older_name() {
    let mut site = Site::start();
    site.act("name=ann,tries=1").await;
    // A release that still has the older name, with a `ttl` of its own.
    #[derive(Session)]
    struct Older {
        #[session(ttl = "1h")]
        tries: u32,
    }
    let sessions = SessionMiddleware::builder(site.store.clone()).clock(site.clock.clone());
    let sessions = sessions.build().expect("valid settings");
    let mut older = site.browser.clone();
    older.address = serve!(App::new().wrap(sessions.clone()).route(
        "/",
        web::get().to(async |mut session: TypedSession<Older>| {
            session.set_tries(2);
            "ok"
        })
    ));
    older.get("/").await;
    site.clock.advance(2 * MINUTE);
    assert_eq!(site.act("read").await, "200 ann unsure none 3");
    site.act("tries=1,tries=3").await;
    assert_eq!(site.act("read").await, "200 ann unsure none 3");
    site.act("tries=1").await;
    assert_eq!(site.act("tries=3").await, "200 ann unsure none 3");
    assert_eq!(site.act("read").await, "200 ann unsure none 3", "removing it uncovers nothing");
}

#[actix_web::test]
async fn a_value_that_cannot_be_stored_is_a_500_and_stores_nothing() {
    let mut site = Site::start();
    site.act("name=ann").await;
    assert_eq!(site.act("code=1,nan").await, "500 ");
    assert_eq!(site.act("read").await, "200 ann unsure none 3");
    assert_eq!(site.act("code=1,sure,status=500").await, "500 ann sure 1 3");
    assert_eq!(site.act("read").await, "200 ann unsure none 3", "a server error discards it");
}

#[actix_web::test]
async fn a_step_up_renews_the_id_and_its_end_does_not() {
    let mut site = Site::start();
    site.act("name=ann").await;
    for step_up in ["sure", "sure", "sure=no", "sure"] {
        let planted = site.browser.clone();
        site.act(step_up).await;
        assert_ne!(site.browser.cookies, planted.cookies, "{step_up}");
        for steps in ["read", "sure", "name=eve", "code=1", "take", "renew", "handle_renew"] {
            let response = planted.clone().act(steps).await;
            assert!(response.text().starts_with("200 "), "{steps}: {response:?}");
            assert!(!response.body.contains("ann"), "{steps}: {response:?}");
            assert_eq!(response.set_cookie(), None, "{steps}");
        }
        site.clock.advance(Duration::from_secs(10));
        assert!(planted.clone().act("sure,read").await.set_cookie().is_some(), "a new session");
        assert!(planted.clone().act("read").await.removes_cookie(), "the old id is unknown");
    }
    let cookies = site.browser.cookies.clone();
    assert_eq!(site.act("read").await, "200 ann sure none 3");
    site.clock.advance(15 * MINUTE);
    assert_eq!(site.act("name=ann").await, "200 ann unsure none 3");
    assert_eq!(site.browser.cookies, cookies);
}

#[actix_web::test]
async fn an_end_holds_in_another_process_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = FakeClock::default();
    let start = || {
        let store = FileStore::builder(folder.path()).clock(clock.clone()).build();
        let store = store.expect("a file store");
        let sessions = SessionMiddleware::builder(store).clock(clock.clone());
        let sessions = sessions.build().expect("valid settings");
        let gate = web::Data::new(Gate::default());
        serve!(
            App::new()
                .app_data(gate.clone())
                .wrap(sessions.clone())
                .route("/do/{steps}", web::get().to(act))
        )
    };
    let mut browser = Browser::new(start());
    browser.act("name=ann,code=123,sure").await;
    let large = "x".repeat(50_000);
    browser.act(&format!("code={large}")).await;
    clock.advance(10 * MINUTE - MS);
    browser.address = start();
    assert_eq!(browser.act("read").await.text(), format!("200 ann sure {large} 3"));
    clock.advance(MS);
    browser.address = start();
    assert_eq!(browser.act("name=bob").await.text(), "200 bob sure none 3");
    browser.address = start();
    assert_eq!(browser.act("read").await.text(), "200 bob sure none 3");
}
