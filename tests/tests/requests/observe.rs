//! What is counted, and what observers get.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_typed_session::{
    AllSessions, CookieStore, IndexKey, Key, MemoryStore, OverLimit, Session, SessionError,
    SessionHandle, SessionMiddleware, SessionMiddlewareBuilder, Sessions, StoreError, TypedSession,
    import::{ForeignId, ForeignSession, Importer},
    observe::{Event, EventKind, EventRequest, Metric, Observer, Operation, SessionStats},
    testing::{Fault, FaultyStore},
};
use actix_typed_session_tests::{Client, Gate, Site, exchange, get, wait::until};
use actix_web::{App, HttpRequest, test, web};
use futures_util::FutureExt as _;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Session, Debug)]
struct Visitor {
    #[session(privilege, index)]
    user_id: Option<i64>,
    name: String,
    #[session(merge = "max")]
    best: u32,
    #[session(merge = "reject")]
    balance: i64,
}

/// Does what the path says.
async fn act(
    steps: web::Path<String>,
    session: TypedSession<Visitor>,
    gate: web::Data<Gate>,
) -> Result<String, SessionError> {
    let mut session = session;
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        match verb {
            "read" => {}
            "name" => session.set_name(value.to_owned()),
            "user" => session.set_user_id(value.parse().ok()),
            "best" => session.set_best(value.parse().expect("a number")),
            "balance" => session.set_balance(value.parse().expect("a number")),
            "renew" => session.renew(),
            "regenerate" => session.regenerate(),
            "destroy" => session.destroy(),
            "save" => session.save().await?,
            "verify" => session.verify_csrf(value)?,
            "gate" => gate.pass().await,
            other => panic!("no such step: {other}"),
        }
    }
    Ok(format!("{:?} {}", session.status(), session.name))
}

/// Asks twice, and does not mind a refusal.
async fn ask_twice(
    one: Option<TypedSession<Visitor>>,
    other: Option<SessionHandle>,
) -> &'static str {
    assert!(one.is_none() && other.is_none(), "both are refused");
    "refused"
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/plain", web::get().to(async || "no session here"))
        .route("/twice", web::post().to(ask_twice))
        .route("/do/{steps}", web::route().to(act));
}

/// Keeps a line for each event.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Observer for Seen {
    fn observe(&self, event: &Event<'_>) {
        let what = match event.kind {
            EventKind::Renewed(why) => format!("renewed {why:?}"),
            EventKind::Destroyed(by) => format!("destroyed {by:?}"),
            EventKind::ConflictGivenUp { field } => format!("conflict_given_up {field:?}"),
            EventKind::StoreFailed { operation, .. } => format!("store_failed {operation:?}"),
            _ => event.name().to_owned(),
        };
        let path = event.request().map_or("-", EventRequest::path);
        let mark = if event.public_id().is_some() { " indexed" } else { "" };
        self.0.lock().expect("no panic").push(format!("{what} {path}{mark}"));
    }
}

impl Seen {
    /// The lines since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

/// The counters that are not zero.
fn counts(stats: &SessionStats) -> String {
    let totals = stats.totals();
    let counters = Metric::ALL.iter().map(|it| (it.name(), totals.count(*it)));
    let lines =
        counters.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}"));
    lines.collect::<Vec<_>>().join(", ")
}

/// The calls that were counted.
fn calls(stats: &SessionStats) -> String {
    let totals = stats.totals();
    let calls = Operation::ALL.iter().map(|it| (it.name(), totals.calls(*it).count()));
    let lines =
        calls.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}"));
    lines.collect::<Vec<_>>().join(", ")
}

/// A site that is watched.
struct Watched<S = FaultyStore<MemoryStore>> {
    site: Site<S>,
    seen: Seen,
    stats: SessionStats,
}

fn watched() -> Watched {
    with(|settings| settings)
}

fn with(settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder) -> Watched {
    let (seen, stats) = (Seen::default(), SessionStats::new());
    let site = Site::in_memory()
        .settings(|it| settings(it.observer(seen.clone()).stats(&stats)))
        .configure(routes)
        .start();
    Watched { site, seen, stats }
}

fn unwatched_store(middleware: SessionMiddlewareBuilder) -> Watched<()> {
    let (seen, stats) = (Seen::default(), SessionStats::new());
    let middleware = middleware.observer(seen.clone()).stats(&stats);
    let site = Site::unwatched(middleware).configure(routes).start();
    Watched { site, seen, stats }
}

#[actix_web::test]
async fn a_request_without_a_session_is_neither_counted_nor_reported() {
    let Watched { site, seen, stats } = watched();
    let mut ann = site.client();
    ann.act("name=ann").await;
    let (before, _) = (stats.totals(), seen.take());
    assert_eq!(ann.get("/plain").await.status, 200);
    assert_eq!((stats.totals(), seen.take()), (before, vec![]));
}

#[actix_web::test]
async fn a_request_that_only_reads_is_counted_and_not_reported() {
    let Watched { site, seen, stats } = watched();
    assert_eq!(site.client().act("read").await.status, 200);
    assert_eq!((counts(&stats).as_str(), calls(&stats).as_str()), ("", ""), "a new visitor");
    let mut ann = site.client();
    ann.act("name=ann").await;
    seen.take();
    ann.act("read").await;
    assert_eq!(counts(&stats), "created 1, loaded 1");
    assert_eq!((calls(&stats).as_str(), seen.take()), ("create 1, load 1", vec![]));
}

/// What a visitor does, and what is reported of it.
const LIFE: [(&str, &[&str]); 9] = [
    ("name=ann", &["created"]),
    ("read", &[]),
    ("name=bob", &[]),
    ("user=7", &["renewed Privilege"]),
    ("renew,name=ann", &["renewed Renew"]),
    ("regenerate,name=bob", &["renewed Regenerate"]),
    ("destroy,name=eve", &["destroyed OwnRequest", "created"]),
    ("regenerate", &["destroyed OwnRequest"]),
    ("destroy", &[]),
];

async fn live<S>(watched: &Watched<S>, then: &str) {
    let mut ann = watched.site.client();
    for (steps, kinds) in LIFE {
        let steps = format!("{steps}{then}");
        assert_eq!(ann.act(&steps).await.status, 200, "{steps}");
        let seen = watched.seen.take();
        let lines = seen.iter().map(|line| line.trim_end_matches(" indexed"));
        let expected = kinds.iter().map(|kind| format!("{kind} /do/{steps}"));
        assert!(lines.eq(expected), "{steps}: {seen:?}");
    }
    let life = "created 2, loaded 7, renewed 3, destroyed 2";
    assert_eq!(counts(&watched.stats), life, "{then}");
}

#[actix_web::test]
async fn what_happens_to_a_session_is_reported_once_with_its_request() {
    live(&watched(), "").await;
    live(&watched(), ",save").await;
}

#[actix_web::test]
async fn the_same_is_reported_of_every_kind_of_store() {
    let in_cookie = || CookieStore::new([Key::generate()]).expect("a key");
    live(&unwatched_store(SessionMiddleware::builder(MemoryStore::new())), "").await;
    live(&unwatched_store(SessionMiddleware::builder(MemoryStore::new())), ",save").await;
    live(&unwatched_store(SessionMiddleware::builder(in_cookie())), "").await;
    let files = tempfile::TempDir::new().expect("a temporary folder");
    let files = actix_typed_session::FileStore::new(files.path()).expect("a folder");
    live(&unwatched_store(SessionMiddleware::builder(files)), "").await;
}

#[actix_web::test]
async fn a_session_with_an_index_has_its_public_id_in_its_events() {
    let Watched { site, seen, .. } = watched();
    let mut ann = site.client();
    for (steps, line) in [
        ("user=7", "created /do/user=7 indexed"),
        ("renew", "renewed Renew /do/renew indexed"),
        ("verify=x", "csrf_token_refused /do/verify=x indexed"),
        ("regenerate,name=x", "renewed Regenerate /do/regenerate,name=x"),
        ("user=8", "renewed Privilege /do/user=8 indexed"),
        ("destroy", "destroyed OwnRequest /do/destroy indexed"),
    ] {
        ann.act(steps).await;
        assert_eq!(seen.take(), [line]);
    }
}

#[actix_web::test]
async fn an_id_that_names_no_live_session_is_unknown() {
    let Watched { site, seen, stats } = watched();
    let mut ann = site.client();
    ann.act("name=ann").await;
    let destroyed = ann.clone();
    site.clock().advance(21 * HOUR);
    seen.take();
    ann.act("read").await;
    assert_eq!(seen.take(), ["unknown_id /do/read"], "it has expired");
    destroyed.clone().act("name=new").await;
    assert_eq!(seen.take(), ["unknown_id /do/name=new", "created /do/name=new"]);
    for garbage in ["short", "..%2f", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let header = format!("Cookie: __Host-session={garbage}\r\n");
        get(site.address, "/do/read", header.as_bytes()).await;
        assert_eq!(seen.take(), ["unknown_id /do/read"], "{garbage}");
    }
    assert_eq!(counts(&stats), "created 2, unknown_ids 5");
}

#[actix_web::test]
async fn an_id_without_a_valid_signature_is_refused_and_not_only_unknown() {
    let Watched { site, seen, stats } = with(|it| it.signing_keys([Key::generate()]));
    let mut ann = site.client();
    ann.act("name=ann").await;
    seen.take();
    let signed = ann.cookie().to_owned();
    let (id, mac) = signed.rsplit_once('.').expect("a signature");
    let turned: String = mac.chars().rev().collect();
    for forged in [format!("{id}.{turned}"), id.to_owned()] {
        let header = format!("Cookie: __Host-session={forged}\r\n");
        get(site.address, "/do/read", header.as_bytes()).await;
        assert_eq!(seen.take(), ["signature_refused /do/read"]);
        // Beside a good one, it is refused all the same.
        let header = format!("Cookie: __Host-session={forged}; __Host-session={signed}\r\n");
        assert_eq!(get(site.address, "/do/read", header.as_bytes()).await.body, "Loaded ann");
        assert_eq!(seen.take(), ["signature_refused /do/read"]);
    }
    get(site.address, "/do/read", b"Cookie: __Host-session=x\r\n").await;
    assert_eq!(seen.take(), ["unknown_id /do/read"]);
    assert_eq!(counts(&stats), "created 1, loaded 2, unknown_ids 1, refused_signatures 4");
}

#[actix_web::test]
async fn a_request_of_another_origin_is_refused_once() {
    let Watched { site, seen, stats } = watched();
    let request = b"POST /twice HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                    Content-Length: 0\r\nSec-Fetch-Site: cross-site\r\n\r\n";
    let answers = exchange(site.address, request).await;
    assert_eq!(answers[0].text(), "200 refused");
    assert_eq!(seen.take(), ["cross_origin_refused /twice"]);
    assert_eq!((counts(&stats).as_str(), calls(&stats).as_str()), ("refused_cross_origin 1", ""));
}

#[actix_web::test]
async fn a_form_with_a_wrong_token_is_refused() {
    let Watched { site, seen, stats } = watched();
    let mut ann = site.client();
    ann.act("name=ann").await;
    seen.take();
    assert_eq!(ann.act("verify=wrong").await.status, 403);
    assert_eq!(seen.take(), ["csrf_token_refused /do/verify=wrong"]);
    assert_eq!(counts(&stats), "created 1, loaded 1, refused_csrf_tokens 1");
}

async fn two_writes(watched: &Watched, field: &str) -> u16 {
    let mut ann = watched.site.client();
    ann.act(&format!("{field}=1")).await;
    let held = watched.site.held(&ann, &format!("gate,{field}=3")).await;
    ann.act(&format!("{field}=2")).await;
    watched.seen.take();
    watched.site.release(held).await.status
}

#[actix_web::test]
async fn a_conflict_that_is_merged_is_counted_and_one_that_is_not_is_reported() {
    let watched = watched();
    assert_eq!(two_writes(&watched, "best").await, 200);
    assert_eq!(watched.seen.take(), Vec::<String>::new());
    assert_eq!(counts(&watched.stats), "created 1, loaded 2, conflicts 1");
    assert_eq!(two_writes(&watched, "balance").await, 409);
    let given_up = "conflict_given_up Some(\"balance\") /do/gate,balance=3";
    assert_eq!(watched.seen.take(), [given_up]);
    let all = "created 2, loaded 4, conflicts 2, conflicts_given_up 1";
    assert_eq!(counts(&watched.stats), all);
}

#[actix_web::test]
async fn a_failure_of_the_store_is_reported_and_what_was_not_stored_is_not() {
    let Watched { site, seen, stats } = watched();
    let mut ann = site.client();
    for (operation, steps) in [
        (Operation::Create, "name=ann"),
        (Operation::Load, "read"),
        (Operation::Update, "name=bob"),
        (Operation::Rotate, "user=7"),
        (Operation::Destroy, "destroy"),
    ] {
        site.store.inject(operation, Fault::ErrorBefore);
        assert_eq!(ann.act(steps).await.status, 503);
        assert_eq!(seen.take(), [format!("store_failed {operation:?} -")]);
        site.store.heal();
        let failed = stats.totals();
        let of_it = failed.calls(operation);
        assert_eq!((of_it.failures(), failed.store_failures() > 0), (1, true), "{operation:?}");
        if operation == Operation::Create {
            ann.act(steps).await;
            seen.take();
        }
    }
    assert_eq!(stats.totals().store_failures(), 5);
    assert_eq!(counts(&stats), "created 1, loaded 3");
}

/// Another program, which knows ann.
struct Former;

impl Importer for Former {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
        request.headers().contains_key("x-old").then(|| ForeignId::new("ann"))
    }

    async fn find(&self, _: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
        ForeignSession::from_json(br#"{"name":"ann"}"#).map(Some)
    }

    async fn forget(&self, _: &ForeignId) -> Result<(), StoreError> {
        Ok(())
    }
}

#[actix_web::test]
async fn a_session_of_another_program_is_imported_once() {
    let Watched { site, seen, stats } = with(|it| it.import(Former));
    for _ in 0..2 {
        let answer = get(site.address, "/do/read", b"X-Old: yes\r\n").await;
        assert_eq!(answer.body, "Loaded ann");
    }
    assert_eq!(seen.take(), ["imported /do/read"]);
    assert_eq!(counts(&stats), "imported 1");
}

// From outside of a request.

type Users = web::Data<Sessions<Visitor>>;

fn ann() -> IndexKey<Visitor> {
    Visitor::by_user_id(&Some(7))
}

async fn others(session: SessionHandle, sessions: Users) -> Result<String, SessionError> {
    Ok(sessions.destroy_others(&ann(), &session).await?.to_string())
}

async fn limit(session: SessionHandle, sessions: Users) -> Result<String, SessionError> {
    let over = OverLimit::DestroyOldest;
    Ok(sessions.enforce_limit(&ann(), 1, over, &session).await?.to_string())
}

#[actix_web::test]
async fn who_destroyed_a_session_is_reported() {
    let (seen, stats) = (Seen::default(), SessionStats::new());
    let shared = Arc::new(seen.clone());
    let site = Site::in_memory()
        .settings(|it| it.observer(Arc::clone(&shared)).stats(&stats))
        .data_of(|store| {
            Sessions::<Visitor>::new(store.clone()).stats(&stats).observer(Arc::clone(&shared))
        })
        .configure(routes)
        .route("/others", others)
        .route("/limit", limit)
        .start();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..2 {
        let mut client = site.client();
        client.act("user=7").await;
        clients.push(client);
    }
    seen.take();
    assert_eq!(clients[0].get("/others").await.body, "1");
    assert_eq!(seen.take(), ["destroyed Sessions /others indexed"]);
    let mut other = site.client();
    other.act("user=7").await;
    seen.take();
    assert_eq!(other.get("/limit").await.body, "1");
    assert_eq!(seen.take(), ["destroyed Limit /limit indexed"]);

    // A job has no request.
    let sessions =
        Sessions::<Visitor>::new(site.store.clone()).stats(&stats).observer(seen.clone());
    let page = sessions.list(&ann(), None, 10).await.expect("a working store");
    let id = page.sessions[0].public_id();
    assert!(sessions.destroy(&ann(), id).await.expect("a working store"));
    assert!(!sessions.destroy(&ann(), id).await.expect("a working store"));
    assert_eq!(seen.take(), ["destroyed Sessions - indexed"], "it was there once");
    site.client().act("user=7").await;
    seen.take();
    assert_eq!(sessions.clone().destroy_all(&ann()).await.expect("a working store"), 1);
    assert_eq!(seen.take(), ["destroyed Sessions - indexed"]);
    site.client().act("user=7").await;
    seen.take();
    assert_eq!(sessions.destroy_where(&ann(), |_| true).await.expect("a working store"), 1);
    assert_eq!(seen.take(), ["destroyed Sessions - indexed"]);
    site.client().act("user=7").await;
    seen.take();
    let all = AllSessions::<Visitor>::new(site.store.inner().clone());
    let all = all.stats(&stats).observer(seen.clone());
    assert_eq!(all.destroy_where(|_| true).await.expect("a working store").destroyed, 1);
    assert_eq!(seen.take(), ["destroyed Sessions - indexed"]);
    assert_eq!(stats.totals().count(Metric::Destroyed), 6);
    assert!(stats.totals().calls(Operation::Find).count() > 4);
    site.store.inject(Operation::Find, Fault::ErrorBefore);
    assert!(sessions.list(&ann(), None, 10).await.is_err());
    assert_eq!(seen.take(), ["store_failed Find -"]);
}

#[actix_web::test]
async fn what_a_request_does_is_reported_if_its_client_goes_away() {
    let (seen, store) = (Seen::default(), FaultyStore::new(MemoryStore::new()));
    let sessions = SessionMiddleware::builder(store.clone()).observer(seen.clone());
    let sessions = sessions.build().expect("valid settings");
    let app = App::new().app_data(web::Data::new(Gate::default())).configure(routes).wrap(sessions);
    let app = test::init_service(app).await;
    store.inject(Operation::Create, Fault::Delay(Duration::from_millis(20)));
    let request = test::TestRequest::get().uri("/do/name=ann").to_request();
    let mut answer = Box::pin(test::call_service(&app, request));
    assert!((&mut answer).now_or_never().is_none(), "the store takes its time");
    drop(answer);
    assert_eq!(seen.take(), Vec::<String>::new());
    let mut lines = Vec::new();
    until("it is reported", || {
        lines.extend(seen.take());
        !lines.is_empty()
    })
    .await;
    assert_eq!((lines, store.inner().len()), (vec!["created /do/name=ann".to_owned()], 1));
}

struct Broken;

impl Observer for Broken {
    fn observe(&self, _: &Event<'_>) {
        panic!("an observer of this test");
    }
}

#[actix_web::test]
async fn an_observer_that_panics_harms_neither_the_request_nor_the_other_observers() {
    let (first, last) = (Seen::default(), Seen::default());
    let site = Site::in_memory()
        .settings(|it| it.observer(first.clone()).observer(Broken).observer(last.clone()))
        .configure(routes)
        .start();
    let mut ann = site.client();
    assert_eq!(ann.act("name=ann").await.text(), "200 New ann");
    assert_eq!(ann.act("user=7").await.text(), "200 Loaded ann");
    assert_eq!(ann.act("read").await.text(), "200 Loaded ann");
    let lines = ["created /do/name=ann", "renewed Privilege /do/user=7 indexed"];
    assert_eq!(
        (first.take(), last.take()),
        (lines.map(Into::into).into(), lines.map(Into::into).into())
    );
}

#[actix_web::test]
async fn the_time_of_a_call_is_measured_where_the_store_may_wait() {
    let Watched { site, stats, .. } = watched();
    let wait = Duration::from_millis(30);
    site.store.inject(Operation::Create, Fault::Delay(wait));
    let mut ann = site.client();
    ann.act("name=ann").await;
    ann.act("read").await;
    let totals = stats.totals();
    let created = totals.calls(Operation::Create);
    assert!(created.total_time() >= wait, "{created:?}");
    let below: Vec<_> = created.buckets().filter(|(bound, _)| *bound < wait).collect();
    assert!(below.iter().all(|(_, calls)| *calls == 0), "{below:?}");
    assert_eq!(created.buckets().last(), Some((Duration::from_secs(10), 1)));
    assert!(totals.calls(Operation::Load).total_time() > Duration::ZERO);

    let at_once = unwatched_store(SessionMiddleware::builder(MemoryStore::new()));
    at_once.site.client().act("name=ann").await;
    let totals = at_once.stats.totals();
    let created = totals.calls(Operation::Create);
    assert_eq!((created.count(), created.total_time()), (1, Duration::ZERO));
}

/// Keeps what an audit log would print of the request.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Observer for Lines {
    fn observe(&self, event: &Event<'_>) {
        let request = event.request().expect("a request");
        let line = format!(
            "{} {} {:?} {:?} {:?}",
            request.method(),
            request.path(),
            request.peer_addr().map(|peer| peer.ip().is_loopback()),
            request.realip_remote_addr(),
            request.user_agent(),
        );
        self.0.lock().expect("no panic").push(line);
    }
}

#[actix_web::test]
async fn an_event_has_what_an_audit_log_needs_of_its_request() {
    let lines = Lines::default();
    let site =
        Site::in_memory().settings(|it| it.observer(lines.clone())).configure(routes).start();
    let headers = b"User-Agent: Tester/1.0\r\nX-Forwarded-For: 203.0.113.7\r\n";
    for steps in ["name=ann", "name=ann,save"] {
        get(site.address, &format!("/do/{steps}?token=secret"), headers).await;
        let line = format!("GET /do/{steps} Some(true) Some(\"203.0.113.7\") Some(\"Tester/1.0\")");
        assert_eq!(*lines.0.lock().expect("no panic"), [line]);
        lines.0.lock().expect("no panic").clear();
    }
}
