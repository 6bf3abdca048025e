//! Everything that is set reads back: every attribute of a field, through every way to write it,
//! whatever happens to the session afterwards, on every store.
//!
//! `tests/CROSSINGS.md` lists which test covers which pair of features.

use std::collections::{BTreeMap, BTreeSet};

use actix_typed_session::{
    CookieStore, EncryptedStore, FakeClock, Key, MemoryStore, Session, SessionError, SessionHandle,
    SessionId, SessionMiddleware, SessionMiddlewareBuilder, Sessions, TypedSession,
    store::{FindByIndex, SessionStore},
    testing::{TestSession, TestSessions},
};
use actix_typed_session_tests::{Client, Site, stores};
use actix_web::{
    FromRequest as _, HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Path, ServiceConfig},
};
use serde::{Deserialize, Serialize};

/// A field for every attribute, and for the pairs that meet in one field.
#[derive(Session, Clone, Debug, PartialEq)]
struct All {
    plain: String,
    #[session(default = 7)]
    defaulted: u32,
    #[session(rename = "r", alias = "old_renamed")]
    renamed: Vec<Item>,
    #[session(ttl = "1h")]
    timed: Option<String>,
    #[session(ttl = "1h", alias = "old_timed", default = 3, merge = "reject")]
    timed_best: u64,
    #[session(index)]
    indexed: Option<i64>,
    #[session(index, rename = "uid", alias = "old_moved")]
    moved: Option<i64>,
    #[session(privilege)]
    level: u8,
    #[session(privilege, index, alias = "old_user")]
    user: Option<i64>,
    #[session(privilege, ttl = "15m")]
    step_up: bool,
    #[session(privilege, merge = "add")]
    rank: i64,
    #[session(privilege, merge = "union", alias = "old_roles")]
    roles: BTreeSet<String>,
    #[session(merge = "add", alias = "old_count")]
    count: u64,
    #[session(merge = "add", default = 10)]
    balance: i64,
    #[session(merge = "add")]
    weight: f64,
    #[session(merge = "max")]
    best: i128,
    #[session(merge = "max")]
    most: u128,
    #[session(merge = "min", default = 100)]
    least: i64,
    #[session(merge = "union")]
    tags: BTreeMap<String, Item>,
    #[session(merge = "reject", lenient)]
    step: (u8, String),
    #[session(merge_with = later)]
    note: Option<Option<u8>>,
    ratio: f64,
    small: f32,
    letter: char,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    price: f64,
    parent: Option<Box<Item>>,
}

fn later(
    _: &Option<Option<u8>>,
    _: Option<Option<u8>>,
    ours: Option<Option<u8>>,
) -> Option<Option<u8>> {
    ours
}

/// The release before: the same fields under their old names.
#[derive(Session)]
struct Before {
    old_renamed: Vec<Item>,
    #[session(ttl = "1h")]
    old_timed: u64,
    #[session(index)]
    old_moved: Option<i64>,
    #[session(privilege, index)]
    old_user: Option<i64>,
    #[session(privilege, merge = "union")]
    old_roles: BTreeSet<String>,
    #[session(merge = "add")]
    old_count: u64,
    plain: String,
}

/// A struct of another part of the application, which shares two fields.
#[derive(Session)]
struct Other {
    plain: String,
    count: u64,
    other: String,
}

/// The values of a session: the defaults for 0, and all different for 1 and 2.
fn values(n: u32) -> All {
    let item = |name: &str, price| Item {
        name: name.to_owned(),
        price,
        parent: Some(Box::new(Item {
            name: "\u{0}\"\\\u{2028}".to_owned(),
            price: -0.5,
            parent: None,
        })),
    };
    let some = |n: u32| (n > 0).then_some(i64::from(n));
    match n {
        0 => All {
            plain: String::new(),
            defaulted: 7,
            renamed: Vec::new(),
            timed: None,
            timed_best: 3,
            indexed: None,
            moved: None,
            level: 0,
            user: None,
            step_up: false,
            rank: 0,
            roles: BTreeSet::new(),
            count: 0,
            balance: 10,
            best: 0,
            most: 0,
            weight: 0.0,
            least: 100,
            tags: BTreeMap::new(),
            step: Default::default(),
            note: None,
            ratio: 0.0,
            small: 0.0,
            letter: '\0',
        },
        n => All {
            plain: format!("žluťoučký 🦀 {n}"),
            defaulted: n,
            renamed: vec![item("pear", 0.1 + 0.2), item("plum", 1e300 / f64::from(n))],
            timed: Some(format!("code {n}")),
            timed_best: u64::MAX - u64::from(n),
            indexed: some(n),
            moved: some(n + 10),
            level: n as u8,
            user: some(n + 20),
            step_up: n == 1,
            rank: i64::from(n) - 5,
            roles: ["admin".to_owned(), format!("role {n}")].into(),
            count: u64::MAX / u64::from(n),
            balance: i64::MIN + i64::from(n),
            best: i128::MIN + i128::from(n),
            most: u128::MAX - u128::from(n),
            weight: 0.1 * f64::from(n),
            least: i64::MIN + i64::from(n),
            tags: [(format!("tag {n}"), item("apple", f64::MIN_POSITIVE / 3.0))].into(),
            step: (n as u8, "step".to_owned()),
            note: Some(Some(n as u8)),
            ratio: 1.0 / (2.0 + f64::from(n)),
            small: 0.1 * n as f32,
            letter: '\u{10ffff}',
        },
    }
}

/// Writes all fields with their setters.
fn set(session: &mut TypedSession<All>, v: All) {
    session.set_plain(v.plain);
    session.set_defaulted(v.defaulted);
    session.set_renamed(v.renamed);
    session.set_timed(v.timed);
    session.set_timed_best(v.timed_best);
    session.set_indexed(v.indexed);
    session.set_moved(v.moved);
    session.set_level(v.level);
    session.set_user(v.user);
    session.set_step_up(v.step_up);
    session.set_rank(v.rank);
    session.set_roles(v.roles);
    session.set_count(v.count);
    session.set_balance(v.balance);
    session.set_best(v.best);
    session.set_most(v.most);
    session.set_weight(v.weight);
    session.set_least(v.least);
    session.set_tags(v.tags);
    session.set_step(v.step);
    session.set_note(v.note);
    session.set_ratio(v.ratio);
    session.set_small(v.small);
    session.set_letter(v.letter);
}

/// Writes all fields in place.
fn edit(session: &mut TypedSession<All>, v: All) {
    *session.plain_mut() = v.plain;
    *session.defaulted_mut() = v.defaulted;
    *session.renamed_mut() = v.renamed;
    *session.timed_mut() = v.timed;
    *session.timed_best_mut() = v.timed_best;
    *session.indexed_mut() = v.indexed;
    *session.moved_mut() = v.moved;
    *session.level_mut() = v.level;
    *session.user_mut() = v.user;
    *session.step_up_mut() = v.step_up;
    *session.rank_mut() = v.rank;
    *session.roles_mut() = v.roles;
    *session.count_mut() = v.count;
    *session.balance_mut() = v.balance;
    *session.best_mut() = v.best;
    *session.most_mut() = v.most;
    *session.weight_mut() = v.weight;
    *session.least_mut() = v.least;
    *session.tags_mut() = v.tags;
    *session.step_mut() = v.step;
    *session.note_mut() = v.note;
    *session.ratio_mut() = v.ratio;
    *session.small_mut() = v.small;
    *session.letter_mut() = v.letter;
}

/// Takes the steps in the path one after the other, and shows the struct as it is then. `second`
/// shows the one that another extractor gets.
async fn act(
    steps: Path<String>,
    mut session: TypedSession<All>,
    request: HttpRequest,
) -> Result<HttpResponse, SessionError> {
    let mut status = StatusCode::OK;
    let mut shown = None;
    for step in steps.split(',') {
        let (verb, n) = step.split_once('=').unwrap_or((step, "0"));
        let n: u32 = n.parse().expect("a number");
        match verb {
            "read" => {}
            "set" => set(&mut session, values(n)),
            "edit" => edit(&mut session, values(n)),
            "modify" => session.modify(|all| *all = values(n)),
            "add" => session.add_count(u64::from(n)),
            "before" => before(&request, &values(n)).await?,
            "other" => {
                let mut other = TypedSession::<Other>::extract(&request).await?;
                other.set_plain(values(n).plain);
                other.set_other("kept".to_owned());
            }
            "second" => {
                let second = TypedSession::<All>::extract(&request).await?;
                shown = Some(format!("{:#?}", *second));
            }
            "handle_save" => SessionHandle::extract(&request).await?.save().await?,
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "renew" => session.renew(),
            "regenerate" => session.regenerate(),
            "destroy" => session.destroy(),
            "touch" => session.touch(),
            "age" => session.set_max_age(std::time::Duration::from_secs(u64::from(n))),
            "persist" => session.set_persistent(true),
            "csrf" => drop(session.csrf_token()),
            "status" => status = StatusCode::from_u16(n as u16).expect("a status"),
            other => panic!("the site does not know the step `{other}`"),
        }
    }
    let shown = shown.unwrap_or_else(|| format!("{:#?}", *session));
    Ok(HttpResponse::build(status).body(shown))
}

async fn before(request: &HttpRequest, v: &All) -> Result<(), SessionError> {
    let mut session = TypedSession::<Before>::extract(request).await?;
    session.set_old_renamed(v.renamed.clone());
    session.set_old_timed(v.timed_best);
    session.set_old_moved(v.moved);
    session.set_old_user(v.user);
    session.set_old_roles(v.roles.clone());
    session.set_old_count(v.count);
    session.set_plain(v.plain.clone());
    Ok(())
}

async fn read_other(session: TypedSession<Other>) -> String {
    format!("{} {} {}", session.plain, session.count, session.other)
}

fn routes(config: &mut ServiceConfig) {
    config.route("/do/{steps}", web::get().to(act)).route("/other", web::get().to(read_other));
}

/// Compares what was read, and names the lines that differ.
#[track_caller]
fn assert_shows(read: &str, n: u32, what: &str) {
    let expected = format!("{:#?}", values(n));
    let differ: Vec<_> =
        read.lines().zip(expected.lines()).filter(|(one, other)| one != other).collect();
    assert!(read == expected, "{what} (read, expected): {differ:#?}");
}

/// What happens between a write and the read, and which values are read then. `W` is the way to
/// write.
const EVENTS: &[(&[&str], u32)] = &[
    (&["W=1"], 1),
    (&["W=1,save"], 1),
    (&["W=1,handle_save"], 1),
    (&["W=1,save,W=2"], 2),
    (&["W=1,save,W=2,save,W=1"], 1),
    (&["W=1", "W=2"], 2),
    (&["W=1", "W=2,W=1"], 1),
    (&["W=1", "W=0"], 0),
    (&["W=1", "W=0,save,W=2"], 2),
    (&["W=1", "W=2,reload"], 1),
    (&["W=1", "W=2,save,reload"], 2),
    (&["W=1", "W=2,status=500"], 1),
    (&["W=1", "W=2,status=404"], 2),
    (&["W=1", "W=2,save,status=500"], 2),
    (&["W=1", "renew"], 1),
    (&["W=1", "renew,W=2"], 2),
    (&["W=1", "W=2,renew,save"], 2),
    (&["W=1", "regenerate,W=2"], 2),
    (&["W=1", "regenerate,save,W=2"], 2),
    (&["W=1", "W=2,regenerate"], 0),
    (&["W=1", "destroy,W=2"], 2),
    (&["W=1", "destroy,save,W=2,save"], 2),
    (&["W=1", "destroy"], 0),
    (&["W=1", "touch", "age=600", "persist", "csrf"], 1),
    (&["W=1,age=600,persist", "W=2"], 2),
    (&["W=1", "other=1"], 1),
    (&["W=2", "other=1", "W=1"], 1),
    (&["before=1", "W=2"], 2),
    (&["before=2", "W=1", "W=2"], 2),
    (&["before=1", "W=0"], 0),
    (&["before=2,W=1"], 1),
    (&["csrf", "W=1"], 1),
];

async fn everything_that_is_set_reads_back_at(name: &str, middleware: SessionMiddlewareBuilder) {
    let site = Site::unwatched(middleware).configure(routes).start();
    for way in ["set", "edit", "modify"] {
        for (requests, n) in EVENTS {
            let mut browser = site.client();
            for steps in *requests {
                let response = browser.act(&steps.replace('W', way)).await;
                assert!([200, 404, 500].contains(&response.status), "{name}, {way}: {requests:?}");
            }
            let read = browser.act("read").await;
            assert_shows(&read.body, *n, &format!("{name}, {way}: {requests:?}"));
        }
    }
}

#[actix_web::test]
async fn everything_that_is_set_reads_back_in_memory() {
    let memory = || SessionMiddleware::builder(stores::memory().0).clock(FakeClock::default());
    everything_that_is_set_reads_back_at("memory", memory()).await;
    let generator = |builder: SessionMiddlewareBuilder| {
        builder.id_generator(|_| SessionId::uuid()).session::<All>()
    };
    everything_that_is_set_reads_back_at("own ids", generator(memory())).await;
    let signed = memory().signing_keys([Key::generate()]).cookie_persistent(true);
    everything_that_is_set_reads_back_at("signed", signed).await;
    let eager = memory().touch_interval(std::time::Duration::ZERO);
    everything_that_is_set_reads_back_at("touched by every request", eager).await;
}

#[actix_web::test]
async fn everything_that_is_set_reads_back_in_files() {
    let builder = SessionMiddleware::builder(stores::files());
    everything_that_is_set_reads_back_at("files", builder).await;
}

#[actix_web::test]
async fn everything_that_is_set_reads_back_in_redis() {
    let builder = SessionMiddleware::builder(stores::redis());
    everything_that_is_set_reads_back_at("redis", builder).await;
}

#[actix_web::test]
async fn everything_that_is_set_reads_back_in_a_redis_cluster() {
    let builder = SessionMiddleware::builder(stores::redis_cluster());
    everything_that_is_set_reads_back_at("cluster", builder).await;
}

#[actix_web::test]
async fn everything_that_is_set_reads_back_encrypted() {
    let memory = EncryptedStore::new(stores::memory().0, [Key::generate()]).expect("a key");
    everything_that_is_set_reads_back_at("encrypted", SessionMiddleware::builder(memory)).await;
    let redis = EncryptedStore::new(stores::redis(), [Key::generate()]).expect("a key");
    everything_that_is_set_reads_back_at("encrypted in redis", SessionMiddleware::builder(redis))
        .await;
}

#[actix_web::test]
async fn everything_that_is_set_reads_back_in_the_cookie() {
    let store = CookieStore::new([Key::generate()]).expect("a key");
    everything_that_is_set_reads_back_at("cookie", SessionMiddleware::builder(store)).await;
}

#[actix_web::test]
async fn two_extractors_of_a_request_read_the_same() {
    let site = Site::unwatched(SessionMiddleware::builder(stores::memory().0)).configure(routes);
    let site = site.start();
    for way in ["set", "edit", "modify"] {
        for (steps, n) in [
            ("W=1,second", 1),
            ("W=1,save,second", 1),
            ("W=1,save,W=2,second", 2),
            ("before=1,W=2,second", 2),
            ("W=1,regenerate,second", 0),
            ("W=1,destroy,W=2,second", 2),
            ("other=2,W=1,second", 1),
        ] {
            let response = site.client().act(&steps.replace('W', way)).await;
            assert_shows(&response.body, n, &format!("{way}: {steps}"));
        }
    }
}

/// What `Sessions` reads and writes is what requests do, also of sessions of the release before.
async fn sessions_read_and_write_what_requests_do<S>(name: &str, store: S)
where
    S: SessionStore + FindByIndex + Clone,
{
    let site = Site::unwatched(SessionMiddleware::builder(store.clone())).configure(routes).start();
    let sessions = Sessions::<All>::new(store);
    for requests in
        [&["set=1"][..], &["before=1", "set=1"], &["before=1,set=1"], &["set=2", "edit=1"]]
    {
        let mut browser: Client = site.client();
        for steps in requests {
            browser.act(steps).await;
        }
        for by in [All::by_indexed(&Some(1)), All::by_moved(&Some(11)), All::by_user(&Some(21))] {
            let page = sessions.list(&by, None, 10).await.expect("a store");
            assert_eq!(page.sessions.len(), 1, "{name}: {requests:?}");
            assert_eq!(*page.sessions[0], values(1), "{name}: {requests:?}");
        }
        let by = All::by_user(&Some(21));
        let page = sessions.list(&by, None, 10).await.expect("a store");
        let id = page.sessions[0].public_id();
        let change = |all: &mut All| {
            *all = All { user: all.user, indexed: all.indexed, ..values(2) };
        };
        assert!(sessions.update(&by, id, change).await.expect("a store").is_some());
        let expected = All { user: Some(21), indexed: Some(1), ..values(2) };
        assert_eq!(
            browser.act("read").await.body,
            format!("{expected:#?}"),
            "{name}: {requests:?}"
        );
        assert_eq!(sessions.destroy_all(&All::by_moved(&Some(12))).await.expect("a store"), 1);
        assert_shows(&browser.act("read").await.body, 0, &format!("{name}: {requests:?}"));
    }
}

#[actix_web::test]
async fn sessions_read_and_write_what_requests_do_on_every_store() {
    sessions_read_and_write_what_requests_do("memory", MemoryStore::new()).await;
    sessions_read_and_write_what_requests_do("files", stores::files()).await;
    sessions_read_and_write_what_requests_do("redis", stores::redis()).await;
    sessions_read_and_write_what_requests_do("cluster", stores::redis_cluster()).await;
}

#[actix_web::test]
async fn fields_of_another_struct_survive_every_write() {
    let site = Site::unwatched(SessionMiddleware::builder(stores::memory().0)).configure(routes);
    let site = site.start();
    for way in ["set", "edit", "modify"] {
        for steps in ["W=1", "W=1,renew", "W=1,save,W=0", "before=1,W=2", "add=3"] {
            let mut browser = site.client();
            browser.act("other=2").await;
            browser.act(&steps.replace('W', way)).await;
            assert!(browser.get("/other").await.body.ends_with(" kept"), "{way}: {steps}");
        }
    }
}

#[actix_web::test]
async fn everything_that_a_test_prepares_reads_back() {
    for n in 0..3 {
        let test = TestSession::of(values(n)).and(Other {
            plain: values(n).plain,
            count: values(n).count,
            other: "another".to_owned(),
        });
        assert_eq!(*test.session(), values(n));
        assert!(test.is_unchanged());
        for (m, write) in [(0, set as fn(&mut _, _)), (1, edit), (2, set), (1, set), (0, edit)] {
            write(&mut test.session(), values(m));
            assert_eq!(test.stored(), Some(values(m)), "{n} then {m}");
        }
        set(&mut test.session(), values(1));
        assert_eq!(test.written().len(), 24, "every field differs from its default");
        assert_eq!(test.stored_as::<Other>().expect("a session").other, "another");
    }
}

#[actix_web::test]
async fn everything_that_a_test_prepares_reads_back_through_every_kind_of_store() {
    let key = || [Key::from_bytes([7; 32])];
    let encrypted = |store| EncryptedStore::new(store, key()).expect("a key");
    let cookie = || CookieStore::new(key()).expect("a key");
    for sessions in [
        TestSessions::new(SessionMiddleware::new),
        TestSessions::new(|store| SessionMiddleware::new(encrypted(store))),
        TestSessions::new(|_| SessionMiddleware::new(cookie())),
    ] {
        for n in 0..3 {
            let client = sessions.client_with(values(n)).await;
            assert_eq!(sessions.session_of::<All>(&client).await, Some(values(n)), "{sessions:?}");
        }
    }
}

#[test]
fn a_test_prepares_the_session_of_the_release_before() {
    let test = TestSession::of(Before {
        old_renamed: values(1).renamed,
        old_timed: 5,
        old_moved: Some(6),
        old_user: Some(7),
        old_roles: values(1).roles,
        old_count: 8,
        plain: "plain".to_owned(),
    });
    let mut session = test.session_as::<All>();
    assert_eq!((session.timed_best, session.moved, session.user), (5, Some(6), Some(7)));
    session.add_count(1);
    drop(session);
    assert_eq!(test.written_as::<All>(), ["count"]);
    let all = test.stored_as::<All>().expect("a session");
    assert_eq!((all.count, all.renamed, all.roles), (9, values(1).renamed, values(1).roles));
}
