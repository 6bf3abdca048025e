//! Messages that are shown once, on every store.

use std::time::Duration;

use actix_typed_session::{
    Backend, CookieStore, EncryptedStore, FakeClock, Key, MemoryStore, Session, SessionError,
    SessionMiddleware, SessionMiddlewareBuilder, Sessions, TypedSession,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{Client, Gate, Site, steps, stores, with_every_store};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path, ServiceConfig},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Notice {
    Info(String),
    Error { code: u16, text: String },
}

#[derive(Session)]
struct Visitor {
    #[session(flash)]
    notices: Vec<Notice>,
    #[session(merge = "add")]
    views: u64,
    #[session(privilege, index)]
    user: Option<i64>,
    name: String,
}

fn info(text: &str) -> Notice {
    Notice::Info(text.to_owned())
}

fn show(notices: &[Notice]) -> String {
    let text = |notice: &Notice| match notice {
        Notice::Info(text) => text.clone(),
        Notice::Error { code, text } => format!("{code}:{text}"),
    };
    notices.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// Takes steps, and shows the messages that were taken.
async fn act(
    steps: Path<String>,
    mut session: TypedSession<Visitor>,
    gate: Data<Gate>,
) -> Result<HttpResponse, SessionError> {
    let (mut shown, mut status) = (Vec::new(), StatusCode::OK);
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        match verb {
            "add" => session.notices_mut().push(info(value)),
            "error" => {
                let text = value.to_owned();
                session.notices_mut().push(Notice::Error { code: 7, text });
            }
            "take" => shown.extend(session.take_notices().await?),
            "peek" => shown.extend(session.notices.iter().cloned()),
            "remove" => shown.extend(std::mem::take(&mut *session.notices_mut())),
            "set" => session.set_notices(vec![info(value)]),
            "modify" => session.modify(|visitor| visitor.notices.push(info(value))),
            "view" => session.add_views(1),
            "name" => session.set_name(value.to_owned()),
            "user" => session.set_user(value.parse().ok()),
            "regenerate" => session.regenerate(),
            "renew" => session.renew(),
            "destroy" => session.destroy(),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "views" => return Ok(HttpResponse::Ok().body(session.views.to_string())),
            "gate" => gate.pass().await,
            "status" => status = value.parse().expect("a status"),
            "nothing" => {}
            other => panic!("there is no step `{other}`"),
        }
    }
    Ok(HttpResponse::build(status).body(show(&shown)))
}

fn routes(config: &mut ServiceConfig) {
    config.route("/{steps}", actix_web::web::route().to(act));
}

fn site_of(builder: SessionMiddlewareBuilder, clock: Option<FakeClock>) -> Site<()> {
    let builder = Site::unwatched(builder).configure(routes);
    match clock {
        Some(clock) => builder.clock(clock).start(),
        None => builder.start(),
    }
}

fn site(store: impl Backend, clock: Option<FakeClock>) -> Site<()> {
    site_of(SessionMiddleware::builder(store), clock)
}

fn in_memory() -> Site<FaultyStore<MemoryStore>> {
    Site::in_memory().configure(routes).configure(steps::routes).start()
}

async fn take(client: &mut Client) -> String {
    client.get("/take").await.body
}

async fn a_message_is_shown_once(store: impl Backend, clock: Option<FakeClock>) {
    let site = site(store, clock);
    let mut browser = site.client();
    browser.post("/add=saved,error=full").await;
    assert_eq!(browser.get("/peek").await.body, "saved 7:full", "reading shows, and keeps");
    assert_eq!(take(&mut browser).await, "saved 7:full");
    assert_eq!(take(&mut browser).await, "");
    browser.post("/add=again").await;
    browser.post("/add=again").await;
    assert_eq!(take(&mut browser).await, "again again", "two messages with one text are two");
}

async fn of_parallel_requests_one_shows_each_message(
    store: impl Backend,
    clock: Option<FakeClock>,
) {
    let site = site(store, clock);
    for round in 0..5 {
        let mut browser = site.client();
        for n in 0..3 {
            browser.post(&format!("/add={round}-{n}")).await;
        }
        // Writers of other fields and of messages are in the way.
        let path = |n: usize| match n % 4 {
            0 => "/view".to_owned(),
            1 => format!("/add=new-{round}-{n}"),
            _ => "/take".to_owned(),
        };
        let responses = site.storm(&browser, path).await;
        assert!(responses.iter().all(|response| response.status == 200));
        let left = take(&mut browser).await;
        let mut shown: Vec<&str> = responses
            .iter()
            .map(|it| &*it.body)
            .chain([&*left])
            .flat_map(str::split_whitespace)
            .collect();
        shown.sort_unstable();
        let added = (0..responses.len()).filter(|n| n % 4 == 1);
        let mut all: Vec<String> = added.map(|n| format!("new-{round}-{n}")).collect();
        all.extend((0..3).map(|n| format!("{round}-{n}")));
        all.sort_unstable();
        assert_eq!(shown, all, "each exactly once");
        let views = (0..responses.len()).filter(|n| n % 4 == 0).count();
        assert_eq!(browser.get("/views").await.body, views.to_string(), "no other write is lost");
    }
}

async fn messages_that_are_added_at_once_are_all_shown(
    store: impl Backend,
    clock: Option<FakeClock>,
) {
    let site = site(store, clock);
    let mut browser = site.client();
    browser.post("/name=ann").await;
    let responses = site.storm(&browser, |n| format!("/add=m{n}")).await;
    let body = take(&mut browser).await;
    let mut shown: Vec<&str> = body.split_whitespace().collect();
    shown.sort_unstable();
    let mut all: Vec<String> = (0..responses.len()).map(|n| format!("m{n}")).collect();
    all.sort_unstable();
    assert_eq!(shown, all);
}

async fn a_message_survives_a_login(store: impl Backend, clock: Option<FakeClock>) {
    let site = site(store, clock);
    let mut browser = site.client();
    browser.post("/add=before").await;
    let old = browser.clone();
    browser.post("/user=7,add=welcome").await;
    assert_eq!(take(&mut old.clone()).await, "", "the old id shows nothing");
    browser.post("/renew,add=renewed").await;
    assert_eq!(take(&mut browser).await, "before welcome renewed");
    browser.post("/add=lost,regenerate,add=fresh").await;
    assert_eq!(take(&mut browser).await, "fresh");
}

with_every_store! {
    a_message_is_shown_once,
    of_parallel_requests_one_shows_each_message,
    messages_that_are_added_at_once_are_all_shown,
    a_message_survives_a_login,
}

/// A session in a cookie has no other place that says which of several responses came first.
#[actix_web::test]
async fn a_message_in_a_cookie_is_shown_by_requests_that_follow_each_other_once() {
    let store = CookieStore::new([Key::generate()]).expect("there is a key");
    let site = site_of(SessionMiddleware::builder(store), Some(FakeClock::default()));
    let mut browser = site.client();
    browser.post("/add=one").await;
    browser.post("/add=two").await;
    assert_eq!(browser.get("/take,status=500").await.body, "one two");
    assert_eq!(browser.get("/take,add=three").await.body, "one two");
    assert_eq!(take(&mut browser).await, "three");
    assert_eq!(take(&mut browser).await, "");
}

#[actix_web::test]
async fn messages_are_encrypted_like_other_fields() {
    let (inner, clock) = stores::memory();
    let store = EncryptedStore::new(inner, [Key::generate()]).expect("there is a key");
    a_message_is_shown_once(store.clone(), Some(clock.clone())).await;
    of_parallel_requests_one_shows_each_message(store, Some(clock)).await;
}

#[actix_web::test]
async fn what_the_same_request_adds_is_taken_too_and_stores_nothing() {
    let site = in_memory();
    let mut browser = site.client();
    assert_eq!(browser.get("/add=one,take").await.body, "one");
    assert_eq!(browser.get("/take").await.body, "");
    assert_eq!(site.store_calls(), "", "a visitor without messages has no session");
    browser.post("/add=stored").await;
    assert_eq!(browser.get("/add=own,take,add=later,take").await.body, "stored own later");
    assert_eq!(take(&mut browser).await, "");
}

#[actix_web::test]
async fn a_page_without_messages_makes_no_call() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/name=ann").await;
    for _ in 0..3 {
        assert_eq!(take(&mut browser).await, "");
    }
    assert_eq!(site.store_calls(), "create 1, load 3");
}

#[actix_web::test]
async fn messages_that_a_failed_response_has_taken_are_shown_by_the_next_one() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one").await;
    assert_eq!(browser.get("/take,add=lost,status=500").await.body, "one");
    browser.post("/add=two").await;
    assert_eq!(browser.get("/take,status=503").await.body, "one two");
    assert_eq!(take(&mut browser).await, "one two");
    assert_eq!(take(&mut browser).await, "");
    browser.post("/add=three").await;
    browser.get("/take,destroy,status=500").await;
    assert_eq!(take(&mut browser).await, "", "destroyed stays destroyed");
}

#[actix_web::test]
async fn what_was_saved_is_not_put_back() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one").await;
    assert_eq!(browser.get("/take,save,status=500").await.body, "one");
    assert_eq!(take(&mut browser).await, "");
}

#[actix_web::test]
async fn taking_messages_stores_no_other_change() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one,name=ann").await;
    assert_eq!(browser.get("/name=eve,view,take,status=500").await.body, "one");
    assert_eq!(browser.get("/views").await.body, "0");
    assert_eq!(browser.get("/view,take,name=eve").await.body, "one");
    assert_eq!(browser.get("/views").await.body, "1");
}

#[actix_web::test]
async fn a_store_that_fails_loses_no_message() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one").await;
    site.store.inject(Operation::Update, Fault::ErrorBefore);
    assert_eq!(browser.get("/take").await.status, 503);
    site.store.heal();
    assert_eq!(take(&mut browser).await, "one");
}

#[actix_web::test]
async fn the_messages_of_a_destroyed_session_are_not_shown() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one").await;
    let held = site.held_at(&browser, "/gate,take").await;
    browser.post("/destroy").await;
    assert_eq!(site.release(held).await.body, "");
}

#[actix_web::test]
async fn a_request_that_comes_second_shows_what_came_since() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one").await;
    let held = site.held_at(&browser, "/gate,take").await;
    assert_eq!(take(&mut browser.clone()).await, "one");
    browser.post("/add=two").await;
    assert_eq!(site.release(held).await.body, "two");
    assert_eq!(take(&mut browser).await, "");
}

/// The slow request has read a number that is outdated, and must not write it.
#[actix_web::test]
async fn a_request_that_took_messages_merges_its_other_changes() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one,view").await;
    let held = site.held_at(&browser, "/gate,take,add=own,view").await;
    browser.post("/add=two,view").await;
    assert_eq!(site.release(held).await.body, "one two");
    assert_eq!(browser.get("/views").await.body, "3");
    assert_eq!(take(&mut browser).await, "own");
}

#[actix_web::test]
async fn all_accessors_add_and_remove_messages() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one").await;
    browser.post("/modify=two").await;
    assert_eq!(browser.get("/peek").await.body, "one two");
    assert_eq!(browser.get("/remove,take").await.body, "one two");
    assert_eq!(take(&mut browser).await, "");
    browser.post("/add=three").await;
    browser.post("/set=four").await;
    assert_eq!(browser.get("/take,reload,peek").await.body, "four");
}

#[actix_web::test]
async fn a_message_can_be_sent_to_a_user_from_outside() {
    let (store, clock) = stores::memory();
    let sessions = Sessions::<Visitor>::new(store.clone());
    let site = site(store, Some(clock));
    let mut browser = site.client();
    browser.post("/user=7,add=own").await;
    let by = Visitor::by_user(&Some(7));
    let page = sessions.list(&by, None, 10).await.expect("the store answers");
    let id = page.sessions[0].public_id();
    let send = |visitor: &mut Visitor| visitor.notices.push(info("shipped"));
    sessions.update(&by, id, send).await.expect("the store answers");
    assert_eq!(take(&mut browser).await, "own shipped");
}

#[derive(Session)]
struct Plain {
    notices: Vec<Notice>,
}

/// A deploy adds `flash` to a field.
#[actix_web::test]
async fn what_was_stored_without_flash_reads_as_no_messages_and_is_replaced() {
    let add = |mut session: TypedSession<Plain>| async move {
        session.set_notices(vec![info("old")]);
        "ok"
    };
    let site = Site::in_memory().route("/plain/add", add).configure(routes).start();
    for steps in ["/take", "/add=new"] {
        let mut browser = site.client();
        browser.post("/plain/add").await;
        let response = browser.get(steps).await;
        assert_eq!((response.status, &*response.body), (200, ""), "{steps}");
        assert_eq!(take(&mut browser).await, if steps == "/take" { "" } else { "new" });
    }
}

#[actix_web::test]
async fn messages_end_with_their_session() {
    let site = in_memory();
    let mut browser = site.client();
    browser.post("/add=one").await;
    site.clock().advance(Duration::from_secs(21 * 3600));
    assert_eq!(take(&mut browser).await, "");
}
