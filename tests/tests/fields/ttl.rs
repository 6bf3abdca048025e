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
    SessionMiddleware, Timestamp, TypedSession,
    store::{LoadOptions, SessionStore, StoreKey},
    testing::Operation,
};
use actix_typed_session_tests::{Client, Gate, Site};
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, http::StatusCode, web};

const MINUTE: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

#[derive(Session)]
struct Account {
    name: String,
    /// The user has just given the password again.
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

/// Takes the steps in the path one after the other, and shows the session as it is then.
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

/// A site, and the client that visits it.
struct Visit {
    site: Site,
    browser: Client,
}

impl Visit {
    fn start() -> Self {
        let site = Site::in_memory()
            .route("/do/{steps}", act)
            .route("/old/{step}", old)
            .route("/older", older)
            .route("/strict", strict)
            .start();
        Self { browser: site.client(), site }
    }

    fn clock(&self) -> &FakeClock {
        self.site.clock()
    }

    async fn act(&mut self, steps: &str) -> String {
        self.browser.act(steps).await.text()
    }

    /// What the store has under this name.
    async fn stored(&self, name: &str) -> Option<String> {
        let id = SessionId::new(self.browser.cookie()).expect("the cookie is the id");
        let record = self
            .site
            .store
            .load(&StoreKey::from(&id), &LoadOptions::default())
            .await
            .expect("the store works");
        let record = record.expect("the session is live");
        record.field(name).map(|json| json.get().to_owned())
    }

    /// How often the stored session was changed.
    fn changes(&self) -> u64 {
        let store = &self.site.store;
        store.calls(Operation::Update) + store.calls(Operation::Rotate)
    }
}

#[actix_web::test]
async fn a_value_ends_while_its_session_goes_on() {
    let mut visit = Visit::start();
    visit.act("name=ann,code=123,tries=1").await;
    visit.clock().advance(90_000 * MS - MS);
    assert_eq!(visit.act("read").await, "200 ann unsure 123 1", "each to the millisecond");
    visit.clock().advance(MS);
    assert_eq!(visit.act("read").await, "200 ann unsure 123 3");
    visit.clock().advance(10 * MINUTE - 90_000 * MS - MS);
    assert_eq!(visit.act("read").await, "200 ann unsure 123 3");
    visit.clock().advance(MS);
    assert_eq!(visit.act("read").await, "200 ann unsure none 3");
    visit.clock().advance(600 * MINUTE);
    assert_eq!(visit.act("read").await, "200 ann unsure none 3", "no use brings it back");
}

#[actix_web::test]
async fn a_repeated_step_up_lasts_longer_though_its_value_is_equal() {
    let mut visit = Visit::start();
    visit.act("name=ann,sure").await;
    visit.clock().advance(10 * MINUTE);
    visit.act("sure").await;
    visit.clock().advance(15 * MINUTE - MS);
    assert_eq!(visit.act("read").await, "200 ann sure none 3");
    visit.clock().advance(MS);
    assert_eq!(visit.act("read").await, "200 ann unsure none 3");
}

#[actix_web::test]
async fn what_changes_nothing_leaves_the_end_alone() {
    let mut visit = Visit::start();
    visit.act("name=ann,code=123,sure,tries=1").await;
    visit.clock().advance(MINUTE);
    let cookies = visit.browser.cookies.clone();
    assert_eq!(visit.act("look").await, "200 ann sure 123 1");
    visit.clock().advance(MINUTE);
    assert_eq!(visit.act("look").await, "200 ann sure 123 3");
    visit.clock().advance(13 * MINUTE);
    assert_eq!(visit.act("look").await, "200 ann unsure none 3");
    assert_eq!(visit.changes(), 0);
    assert_eq!(visit.browser.cookies, cookies);
}

#[actix_web::test]
async fn a_guard_that_changes_the_value_begins_its_time_anew() {
    let mut visit = Visit::start();
    visit.act("code=1").await;
    visit.clock().advance(9 * MINUTE);
    visit.act("edit=2").await;
    visit.clock().advance(9 * MINUTE);
    assert_eq!(visit.act("read").await, "200  unsure 12 3");
    visit.clock().advance(MINUTE);
    assert_eq!(visit.act("read").await, "200  unsure none 3");
}

#[actix_web::test]
async fn a_default_over_an_absent_value_is_no_change() {
    const DEFAULTS: &str = "sure=no,no_code,take,tries=3";
    let mut visit = Visit::start();
    visit.act(DEFAULTS).await;
    visit.act("code=1,take,sure,sure=no,tries=1,tries=3").await;
    assert!(visit.browser.cookies.is_empty(), "there is nothing to store");
    visit.act("name=ann,code=123,sure,tries=1").await;
    visit.clock().advance(15 * MINUTE);
    let cookies = visit.browser.cookies.clone();
    assert_eq!(visit.act(DEFAULTS).await, "200 ann unsure none 3");
    assert_eq!(visit.act("sure,sure=no,code=4,no_code").await, "200 ann unsure none 3");
    assert_eq!(visit.changes(), 0);
    assert_eq!(visit.browser.cookies, cookies);
}

#[actix_web::test]
async fn the_default_ends_a_value_and_stores_nothing() {
    for end in ["no_code", "take", "code=other,save,take"] {
        let mut visit = Visit::start();
        visit.act("name=ann,code=123,tries=1").await;
        let until = visit.clock().now().saturating_add(10 * MINUTE).as_unix_ms();
        assert_eq!(visit.stored("code").await, Some(format!("[{until},\"123\"]")));
        assert_eq!(visit.act(&format!("{end},tries=3")).await, "200 ann unsure none 3");
        assert_eq!((visit.stored("code").await, visit.stored("left").await), (None, None), "{end}");
        assert_eq!(visit.act("take").await, "200 ann unsure none 3");
    }
}

#[actix_web::test]
async fn of_two_requests_that_take_a_code_at_once_one_fails() {
    let mut visit = Visit::start();
    visit.act("name=ann,code=123").await;
    let requests: Vec<_> = (0..2)
        .map(|_| {
            let mut browser = visit.browser.clone();
            actix_web::rt::spawn(async move { browser.act("gate,take").await.status })
        })
        .collect();
    for _ in &requests {
        visit.site.gate.arrival().await;
    }
    requests.iter().for_each(|_| visit.site.gate.open());
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(request.await.expect("the request ends"));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(visit.act("read").await, "200 ann unsure none 3");
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
        let mut visit = Visit::start();
        visit.act("name=ann,code=123,sure,tries=1").await;
        visit.clock().advance(15 * MINUTE);
        let text = visit.act(steps).await;
        assert!(text.ends_with("unsure none 3"), "{steps}: {text}");
        let text = visit.act("read").await;
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
        let mut visit = Visit::start();
        visit.act("name=ann,code=123,sure,tries=1").await;
        let path = format!("gate,{steps}");
        let request = visit.site.held(&visit.browser, &path).await;
        visit.clock().advance(15 * MINUTE);
        let (response, slow) = visit.site.release_both(request).await;
        assert!(response.text().ends_with(seen), "{steps}: {response:?}");
        visit.browser = slow;
        let text = visit.act("read").await;
        assert!(text.ends_with("unsure none 3"), "{steps}: {text}");
    }
}

#[actix_web::test]
async fn a_clock_that_is_set_back_revives_nothing_that_a_request_has_seen_end() {
    let watch = Watch::default();
    watch.set(1_000_000);
    let store = MemoryStore::builder().clock(watch.clone()).build();
    let site = Site::unwatched(SessionMiddleware::builder(store).clock(watch.clone()))
        .data(watch.clone())
        .route("/do/{steps}", act)
        .start();
    let mut browser = site.client();
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
    let site = Site::unwatched(SessionMiddleware::builder(MemoryStore::new()).clock(watch.clone()))
        .route("/once", async |mut session: TypedSession<Plain>| {
            session.set_views(session.views + 1);
            "ok"
        })
        .route(
            "/often",
            async |mut session: TypedSession<Plain>,
                   _a: TypedSession<Plain>,
                   _b: TypedSession<Plain>| {
                session.set_views(session.views + 1);
                session.modify(|plain| plain.views += 1);
                *session.views_mut() += 1;
                "ok"
            },
        )
        .start();
    let mut browser = site.client();
    browser.get("/once").await;
    let mut reads = Vec::new();
    for path in ["/once", "/often"] {
        let before = watch.reads.load(Ordering::SeqCst);
        browser.get(path).await;
        reads.push(watch.reads.load(Ordering::SeqCst) - before);
    }
    assert_eq!(reads[0], reads[1]);
}

/// The same session in a release without `ttl`.
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
    let mut visit = Visit::start();
    visit.browser.get("/old/write").await;
    assert_eq!(visit.act("read").await, "200 ann unsure none 3");
    assert_eq!(visit.browser.get("/strict").await.text(), "200 None");
    visit.act("name=bob").await;
    assert_eq!(visit.browser.get("/old/read").await.body, "bob Some(\"123\") 7", "nothing is lost");
    // A code that was revoked must not come back with the old release.
    visit.act("no_code").await;
    assert_eq!(visit.browser.get("/old/read").await.body, "bob None 7");
    visit.act("code=456,tries=1").await;
    assert_eq!(visit.act("read").await, "200 bob unsure 456 1");
    assert_eq!(visit.stored("tries").await, None, "the alias is gone with the write");
}

#[actix_web::test]
async fn a_value_with_an_end_does_not_decode_without_the_ttl_and_is_not_harmed() {
    let mut visit = Visit::start();
    visit.act("name=ann,code=123").await;
    assert_eq!(visit.browser.get("/old/read").await.body, "ann None 0", "the others stay");
    assert_eq!(visit.browser.get("/old/name").await.body, "bob None 0");
    assert_eq!(visit.act("read").await, "200 bob unsure 123 3");
}

/// A release that still has the older name, and another `ttl`.
#[derive(Session)]
struct Older {
    #[session(ttl = "1h")]
    tries: u32,
}

async fn older(mut session: TypedSession<Older>) -> &'static str {
    session.set_tries(2);
    "ok"
}

#[actix_web::test]
async fn an_ended_value_does_not_uncover_one_under_an_older_name() {
    let mut visit = Visit::start();
    visit.act("name=ann,tries=1").await;
    visit.browser.get("/older").await;
    visit.clock().advance(2 * MINUTE);
    assert_eq!(visit.act("read").await, "200 ann unsure none 3");
    visit.act("tries=1,tries=3").await;
    assert_eq!(visit.act("read").await, "200 ann unsure none 3");
    visit.act("tries=1").await;
    assert_eq!(visit.act("tries=3").await, "200 ann unsure none 3");
    assert_eq!(visit.act("read").await, "200 ann unsure none 3", "removing it uncovers nothing");
}

#[actix_web::test]
async fn a_value_that_cannot_be_stored_is_a_500_and_stores_nothing() {
    let mut visit = Visit::start();
    visit.act("name=ann").await;
    assert_eq!(visit.act("code=1,nan").await, "500 ");
    assert_eq!(visit.act("read").await, "200 ann unsure none 3");
    assert_eq!(visit.act("code=1,sure,status=500").await, "500 ann sure 1 3");
    assert_eq!(visit.act("read").await, "200 ann unsure none 3", "a server error discards it");
}

#[actix_web::test]
async fn a_step_up_renews_the_id_and_its_end_does_not() {
    let mut visit = Visit::start();
    visit.act("name=ann").await;
    for step_up in ["sure", "sure", "sure=no", "sure"] {
        let planted = visit.browser.clone();
        visit.act(step_up).await;
        assert_ne!(visit.browser.cookies, planted.cookies, "{step_up}");
        for steps in ["read", "name=eve", "code=1", "take", "renew", "handle_renew"] {
            let response = planted.clone().act(steps).await;
            assert!(response.text().starts_with("200 "), "{steps}: {response:?}");
            assert!(!response.body.contains("ann"), "{steps}: {response:?}");
            assert_eq!(response.set_cookie(), None, "{steps}");
        }
        let mut other = planted.clone();
        assert!(other.act("sure").await.set_cookie().is_some(), "a session of its own");
        assert_eq!(other.act("read").await.text(), "200  sure none 3");
        visit.clock().advance(Duration::from_secs(10));
        assert!(planted.clone().act("sure,read").await.set_cookie().is_some(), "a new session");
        assert!(planted.clone().act("read").await.removes_cookie(), "the old id is unknown");
    }
    let cookies = visit.browser.cookies.clone();
    assert_eq!(visit.act("read").await, "200 ann sure none 3");
    visit.clock().advance(15 * MINUTE);
    assert_eq!(visit.act("name=ann").await, "200 ann unsure none 3");
    assert_eq!(visit.browser.cookies, cookies);
}

#[actix_web::test]
async fn an_end_holds_in_another_process_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = FakeClock::default();
    let start = || {
        let store = FileStore::builder(folder.path()).clock(clock.clone()).build();
        let store = store.expect("a file store");
        let middleware = SessionMiddleware::builder(store).clock(clock.clone());
        Site::unwatched(middleware).route("/do/{steps}", act).start().address
    };
    let mut browser = Client::new(start());
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
