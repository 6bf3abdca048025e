//! Sessions of the program that served the site before, which go on here.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    ConfigError, CookieStore, FileStore, Key, MemoryStore, OnOutage, Session, SessionError,
    SessionMiddleware, SessionMiddlewareBuilder, Sessions, StoreError, TypedSession,
    import::{ForeignCookie, ForeignId, ForeignSession, Importer},
    testing::{Fault, Operation},
};
use actix_typed_session_tests::{Client, Gate, Response, Site, get, steps, wait::until};
use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, COOKIE},
};

const OURS: &str = "__Host-session";
const OLD: &str = "old";
/// Ann's session at the other program.
const ANN: &str = r#"{"name":"ann","user":7,"views":3,"cart":["tea"]}"#;

/// The program that served the site before.
#[derive(Clone, Default)]
struct OldSite(Arc<OldState>);

#[derive(Default)]
struct OldState {
    sessions: Mutex<HashMap<String, String>>,
    finds: AtomicUsize,
    gate: Option<Gate>,
    /// Whether it looks for a session only behind the gate.
    looks_late: bool,
    fault: Mutex<Option<fn() -> StoreError>>,
}

impl OldSite {
    fn with(id: &str, json: &str) -> Self {
        let old = Self::default();
        old.0.sessions.lock().expect("no panic").insert(id.to_owned(), json.to_owned());
        old
    }

    /// Its store answers only when the test lets it.
    fn at(gate: &Gate) -> Self {
        let sessions = Mutex::new([("ann".to_owned(), ANN.to_owned())].into());
        let gate = Some(gate.clone());
        Self(Arc::new(OldState { sessions, gate, ..OldState::default() }))
    }

    /// The same, but it looks for the session after that.
    fn behind(gate: &Gate) -> Self {
        let sessions = Mutex::new([("ann".to_owned(), ANN.to_owned())].into());
        let gate = Some(gate.clone());
        Self(Arc::new(OldState { sessions, gate, looks_late: true, ..OldState::default() }))
    }

    fn has(&self, id: &str) -> bool {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    fn finds(&self) -> usize {
        self.0.finds.load(Ordering::SeqCst)
    }

    fn fails(&self, fault: Option<fn() -> StoreError>) {
        *self.0.fault.lock().expect("no panic") = fault;
    }

    fn check(&self) -> Result<(), StoreError> {
        self.0.fault.lock().expect("no panic").map_or(Ok(()), |fault| Err(fault()))
    }
}

impl Importer for OldSite {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
        let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
        let id = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("old="))?;
        Some(ForeignId::new(id))
    }

    async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
        self.0.finds.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        let look = || self.0.sessions.lock().expect("no panic").get(id.as_str()).cloned();
        let mut json = look();
        if let Some(gate) = &self.0.gate {
            gate.pass().await;
            json = if self.0.looks_late { look() } else { json };
        }
        json.map(|json| ForeignSession::from_json(json.as_bytes())).transpose()
    }

    async fn forget(&self, id: &ForeignId) -> Result<(), StoreError> {
        self.check()?;
        self.0.sessions.lock().expect("no panic").remove(id.as_str());
        Ok(())
    }

    fn cookie(&self) -> Option<ForeignCookie> {
        Some(ForeignCookie::new(OLD))
    }
}

/// The site that takes over from it.
fn site(old: &OldSite) -> Site {
    Site::with(|settings| settings.import(old.clone()))
}

/// A visitor with a session at the other program.
fn visitor(site: &Site, id: &str) -> Client {
    let mut client = site.client();
    client.cookies.insert(OLD.to_owned(), id.to_owned());
    client
}

/// The names of the cookies that a response sets and, after a minus, removes.
fn cookies(response: &Response) -> Vec<String> {
    let short = |cookie: &str| {
        let name = cookie.split('=').next().expect("a name");
        format!("{}{name}", if cookie.contains("Max-Age=0") { "-" } else { "+" })
    };
    response.all("set-cookie").map(short).collect()
}

#[actix_web::test]
async fn a_session_of_another_program_goes_on_under_a_new_id() {
    let old = OldSite::with("ann", ANN);
    let site = site(&old);
    let mut ann = visitor(&site, "ann");
    let response = ann.act("read").await;
    assert_eq!(response.text(), "200 Loaded views=3 name=ann user=7 cart=tea");
    assert_eq!(cookies(&response), ["-old", "+__Host-session"]);
    assert_eq!(ann.cookies.keys().collect::<Vec<_>>(), [OURS]);
    assert!(!old.has("ann"), "the other program has forgotten it");
    assert_eq!(site.store_calls(), "create 2, load 1");
    let again = ann.act("view").await;
    assert_eq!(again.text(), "200 Loaded views=4 name=ann user=7 cart=tea");
    assert_eq!((cookies(&again), old.finds()), (vec![], 1), "it is asked once");
}

#[actix_web::test]
async fn a_route_without_a_session_asks_nothing() {
    let old = OldSite::with("ann", ANN);
    let site = site(&old);
    let response = visitor(&site, "ann").get("/plain").await;
    assert_eq!((response.set_cookie(), response.header("vary")), (None, None));
    assert_eq!((old.finds(), site.store_calls().as_str()), (0, ""));
}

#[actix_web::test]
async fn a_visitor_without_a_session_at_either_costs_no_call() {
    let old = OldSite::with("ann", ANN);
    let site = site(&old);
    assert_eq!(site.client().act("read").await.text(), "200 New");
    assert_eq!((old.finds(), site.store_calls().as_str()), (0, ""));
}

#[actix_web::test]
async fn an_id_that_the_other_program_does_not_know_is_a_new_visitor() {
    let old = OldSite::default();
    let site = site(&old);
    let mut eve = visitor(&site, "eve");
    let response = eve.act("read").await;
    assert_eq!(
        (response.text().as_str(), cookies(&response)),
        ("200 New", vec!["-old".to_owned()])
    );
    assert_eq!(eve.act("name=eve").await.text(), "200 New name=eve");
    assert_ne!(eve.cookie(), "eve");
}

#[actix_web::test]
async fn a_failed_request_takes_the_session_over_too() {
    let site = site(&OldSite::with("ann", ANN));
    let mut ann = visitor(&site, "ann");
    assert_eq!(ann.act("name=bob,status=500").await.status, 500);
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=3 name=ann user=7 cart=tea");
}

#[actix_web::test]
async fn what_the_first_request_writes_is_stored() {
    for steps in ["view,name=bob", "view,name=bob,save", "view,name=bob,renew"] {
        let site = site(&OldSite::with("ann", ANN));
        let mut ann = visitor(&site, "ann");
        ann.act(steps).await;
        let read = ann.act("read").await.text();
        assert_eq!(read, "200 Loaded views=4 name=bob user=7 cart=tea", "{steps}");
    }
}

#[actix_web::test]
async fn the_other_program_can_keep_its_session() {
    let old = OldSite::with("ann", ANN);
    let site = Site::with(|settings| settings.import(old.clone().keep_old()));
    let mut ann = visitor(&site, "ann");
    assert_eq!(cookies(&ann.act("read").await), ["+__Host-session"]);
    assert!(old.has("ann"));
    assert_eq!(cookies(&ann.act("view").await), [""; 0]);
    assert_eq!(old.finds(), 1, "the present session wins");
}

#[actix_web::test]
async fn a_logout_ends_both_sessions() {
    for steps in ["destroy", "destroy,save", "regenerate,name=eve", "destroy,name=eve"] {
        let old = OldSite::with("ann", ANN);
        let site = Site::with(|settings| settings.import(old.clone().keep_old()));
        let mut ann = visitor(&site, "ann");
        ann.act("read").await;
        let late = ann.clone();
        let response = ann.act(steps).await;
        assert!(cookies(&response).contains(&"-old".to_owned()), "{steps}: {response:?}");
        assert!(!old.has("ann"), "{steps}");
        assert!(!ann.act("read").await.body.contains("ann"), "{steps}");
        // A request that was sent before the answer, and one without the present cookie.
        assert!(!late.clone().act("read").await.body.contains("ann"), "{steps}");
        assert!(!visitor(&site, "ann").act("read").await.body.contains("ann"), "{steps}");
    }
}

#[actix_web::test]
async fn a_logout_with_the_first_request_ends_both_sessions() {
    let old = OldSite::with("ann", ANN);
    let site = site(&old);
    let mut ann = visitor(&site, "ann");
    let response = ann.act("destroy").await;
    assert_eq!(cookies(&response), ["-old", "-__Host-session"]);
    assert_eq!(visitor(&site, "ann").act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn a_session_that_has_ended_here_does_not_come_back_from_there() {
    let old = OldSite::with("ann", ANN);
    let site = Site::with(|settings| settings.import(old.clone().keep_old()));
    let mut ann = visitor(&site, "ann");
    ann.act("read").await;
    site.clock().advance(Duration::from_secs(21 * 3_600));
    let response = ann.act("read").await;
    assert_eq!(response.text(), "200 New", "it was not used for longer than `max_age`");
    assert_eq!(cookies(&response), ["-old", "-__Host-session"]);
}

#[actix_web::test]
async fn requests_at_the_same_time_end_in_one_session() {
    let gate = Gate::default();
    let old = OldSite::at(&gate);
    let first = site(&old);
    // Another process.
    let second = first.beside(|settings| settings.import(old.clone()));
    let asks = [&first, &second, &first, &second].map(|site| {
        let mut ann = visitor(site, "ann");
        actix_web::rt::spawn(async move {
            let response = ann.act("view").await;
            (response.text(), ann.cookies)
        })
    });
    for _ in &asks {
        gate.arrival().await;
    }
    asks.iter().for_each(|_| gate.open());
    let mut jars = Vec::new();
    for ask in asks {
        let (text, jar) = ask.await.expect("a response");
        assert!(text.starts_with("200 Loaded views="), "{text}");
        jars.push(jar);
    }
    assert_eq!(jars[0].keys().collect::<Vec<_>>(), [OURS]);
    assert!(jars.iter().all(|jar| *jar == jars[0]), "all got one id");
    let mut ann = first.client();
    ann.cookies.clone_from(&jars[0]);
    let read = ann.act("read").await.text();
    assert_eq!(read, "200 Loaded views=7 name=ann user=7 cart=tea", "no write is lost");
    assert_eq!(first.store.inner().len(), 2, "one session, and the claim on it");
}

#[actix_web::test]
async fn a_request_that_looks_when_the_old_session_is_gone_gets_the_new_one() {
    let gate = Gate::default();
    let old = OldSite::behind(&gate);
    let site = site(&old);
    let [slow, fast] = [(); 2].map(|()| {
        let mut ann = visitor(&site, "ann");
        actix_web::rt::spawn(async move {
            let response = ann.act("view").await;
            (response, ann)
        })
    });
    gate.arrival().await;
    gate.arrival().await;
    // One goes on to its end before the other looks.
    gate.open();
    until("the session is taken over", || !old.has("ann")).await;
    gate.open();
    let (slow, fast) = (slow.await.expect("a response"), fast.await.expect("a response"));
    assert_eq!(slow.1.cookies, fast.1.cookies);
    assert_eq!(site.store.inner().len(), 2, "one session, and the claim on it");
    let read = fast.1.clone().act("read").await.text();
    assert_eq!(read, "200 Loaded views=5 name=ann user=7 cart=tea");
}

#[actix_web::test]
async fn processes_that_share_files_end_in_one_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = Gate::default();
    let old = OldSite::at(&gate);
    let process = || {
        let store = FileStore::new(folder.path()).expect("a folder");
        let settings = SessionMiddleware::builder(store).import(old.clone());
        Site::unwatched(settings).configure(steps::routes).start()
    };
    let processes = [process(), process()];
    let asks = processes.each_ref().map(|site| {
        let mut ann = site.client();
        ann.cookies.insert(OLD.to_owned(), "ann".to_owned());
        actix_web::rt::spawn(async move {
            ann.act("view").await;
            ann
        })
    });
    for _ in &asks {
        gate.arrival().await;
    }
    asks.iter().for_each(|_| gate.open());
    let [one, other] = asks;
    let (mut one, other) = (one.await.expect("a response"), other.await.expect("a response"));
    assert_eq!(one.cookies, other.cookies);
    assert_eq!(one.act("read").await.text(), "200 Loaded views=5 name=ann user=7 cart=tea");
}

#[actix_web::test]
async fn a_client_that_did_not_get_the_answer_gets_its_session_with_the_next() {
    let old = OldSite::with("ann", ANN);
    let site = site(&old);
    let mut lost = visitor(&site, "ann");
    lost.act("view").await;
    site.clock().advance(Duration::from_secs(4 * 60));
    let mut ann = visitor(&site, "ann");
    let response = ann.act("read").await;
    assert_eq!(response.text(), "200 Loaded views=4 name=ann user=7 cart=tea");
    assert_eq!(cookies(&response), ["-old", "+__Host-session"]);
    assert_eq!((ann.cookie(), old.finds()), (lost.cookie(), 1));
    site.clock().advance(Duration::from_secs(2 * 60));
    let late = visitor(&site, "ann").act("read").await;
    assert_eq!(late.text(), "200 New", "an old id opens nothing for long");
}

#[actix_web::test]
async fn a_late_request_does_not_bring_an_ended_session_back() {
    let gate = Gate::default();
    let old = OldSite::at(&gate);
    let site = site(&old);
    let ask = |steps: &'static str| {
        let mut ann = visitor(&site, "ann");
        actix_web::rt::spawn(async move {
            ann.act(steps).await;
            ann
        })
    };
    // Both have found the session at the other program.
    let asks = [ask("destroy"), ask("view")];
    for _ in &asks {
        gate.arrival().await;
    }
    asks.iter().for_each(|_| gate.open());
    for ask in asks {
        let mut ann = ask.await.expect("a response");
        assert!(!ann.act("read").await.body.contains("ann"));
    }
    assert_eq!(visitor(&site, "ann").act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn a_login_after_the_takeover_renews_the_id_and_ends_the_foreign_one() {
    let site = site(&OldSite::with("ann", ANN));
    let mut ann = visitor(&site, "ann");
    ann.act("read").await;
    let before = ann.clone();
    ann.act("user=8").await;
    assert_ne!(ann.cookie(), before.cookie(), "`user` is a privilege");
    let mut thief = visitor(&site, "ann");
    assert!(!thief.act("read").await.body.contains("ann"), "the old id reads nothing");
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=3 name=ann user=8 cart=tea");
}

#[actix_web::test]
async fn a_value_that_does_not_fit_is_left_out_and_the_others_are_not() {
    for (json, text) in [
        (r#"{"name":7,"user":7,"views":3}"#, "200 Loaded views=3 user=7"),
        (r#"{"name":"ann","user":7,"views":-1,"cart":{"a":1}}"#, "200 Loaded name=ann user=7"),
        (r#"{"name":null,"user":null,"views":3,"more":[]}"#, "200 Loaded views=3"),
        (r#"{"name":"ann","user":"admin","views":3}"#, "200 Loaded views=3 name=ann"),
        (r#"{"":1,"a\u0000b":2,"@v":3,"name":"ann"}"#, "200 Loaded name=ann"),
    ] {
        let site = site(&OldSite::with("ann", json));
        let mut ann = visitor(&site, "ann");
        assert_eq!(ann.act("read").await.text(), text, "{json}");
        assert_eq!(ann.act("read").await.text(), text, "{json}: stored");
    }
}

#[actix_web::test]
async fn a_damaged_session_is_a_new_visitor() {
    for json in ["", "{", "null", "[1]", "\"text\"", "{\"name\":\"ann\""] {
        let site = site(&OldSite::with("ann", json));
        let response = visitor(&site, "ann").act("read").await;
        assert_eq!(response.text(), "200 New", "{json:?}");
        assert_eq!(cookies(&response), [""; 0], "the other program may be writing it");
    }
}

#[actix_web::test]
async fn an_outage_of_the_other_program_loses_no_session() {
    let old = OldSite::with("ann", ANN);
    let site = site(&old);
    let mut ann = visitor(&site, "ann");
    old.fails(Some(|| StoreError::unavailable("down")));
    let response = ann.act("name=eve").await;
    assert_eq!((response.status, cookies(&response)), (503, vec![]));
    assert_eq!(site.client().act("name=bob").await.status, 200, "others are not affected");
    old.fails(None);
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=3 name=ann user=7 cart=tea");
}

#[actix_web::test]
async fn visitors_read_as_new_during_an_outage_if_the_site_wants_that() {
    let old = OldSite::with("ann", ANN);
    let site = Site::with(|settings| settings.import(old.clone()).on_outage(OnOutage::Anonymous));
    let mut ann = visitor(&site, "ann");
    old.fails(Some(|| StoreError::unavailable("down")));
    let response = ann.act("name=eve").await;
    assert_eq!(
        (response.text().as_str(), cookies(&response)),
        ("200 Unavailable name=eve", vec![])
    );
    old.fails(None);
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=3 name=ann user=7 cart=tea");
}

#[actix_web::test]
async fn an_outage_of_the_own_store_loses_no_session() {
    for (operation, fault) in [
        (Operation::Load, Fault::ErrorBefore),
        (Operation::Create, Fault::ErrorBefore),
        (Operation::Create, Fault::ErrorAfter),
    ] {
        let old = OldSite::with("ann", ANN);
        let site = site(&old);
        let mut ann = visitor(&site, "ann");
        site.store.inject(operation, fault);
        assert_eq!(ann.act("read").await.status, 503);
        assert!(old.has("ann"));
        site.store.heal();
        assert_eq!(ann.act("read").await.text(), "200 Loaded views=3 name=ann user=7 cart=tea");
    }
}

#[derive(Session)]
struct Account {
    #[session(privilege, index, rename = "uid", alias = "passport.user")]
    user_id: Option<i64>,
    #[session(alias = "isAdmin", privilege)]
    admin: bool,
    #[session(flash)]
    notices: Vec<String>,
    #[session(ttl = "15m")]
    code: Option<String>,
}

#[derive(Session)]
struct Basket {
    #[session(alias = "basket")]
    items: Vec<String>,
}

async fn account(mut account: TypedSession<Account>) -> Result<String, SessionError> {
    let notices = account.take_notices().await?;
    Ok(format!("{:?} {} {notices:?} {:?}", account.user_id, account.admin, account.code))
}

async fn basket(mut basket: TypedSession<Basket>) -> String {
    basket.items_mut().push("tea".to_owned());
    basket.items.join("+")
}

/// A site with two structs.
fn shop(old: &OldSite, settings: fn(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder) -> Site {
    Site::in_memory()
        .route("/account", account)
        .route("/basket", basket)
        .settings(|builder| settings(builder.import(old.clone())))
        .start()
}

const BOB: &str = r#"{"passport.user": 7, "isAdmin":true, "notices":["hi", "ho"], "code":"x",
    "basket":["milk"]}"#;

#[actix_web::test]
async fn fields_take_values_over_by_their_aliases_with_all_that_they_declare() {
    for first in ["/account", "/basket"] {
        let site = shop(&OldSite::with("bob", BOB), |settings| settings.session::<Account>());
        let sessions = Sessions::<Account>::new(site.store.clone());
        let mut bob = visitor(&site, "bob");
        bob.get(first).await;
        let of_bob = sessions.list(&Account::by_user_id(&Some(7)), None, 10).await;
        assert_eq!(of_bob.expect("the store works").sessions.len(), 1, "{first}: it is listed");
        if first == "/basket" {
            let all = r#"200 Some(7) true ["hi", "ho"] Some("x")"#;
            assert_eq!(bob.get("/account").await.text(), all);
        }
        assert_eq!(bob.get("/account").await.text(), r#"200 Some(7) true [] Some("x")"#);
        site.clock().advance(Duration::from_secs(16 * 60));
        assert_eq!(bob.get("/account").await.text(), "200 Some(7) true [] None", "{first}");
        let items = bob.get("/basket").await.text();
        assert!(items.starts_with("200 milk+tea"), "{first}: {items}");
    }
}

#[actix_web::test]
async fn a_privilege_that_does_not_fit_takes_the_others_of_its_struct_with_it() {
    let json = r#"{"uid":"seven","isAdmin":true,"notices":["hi"],"basket":["milk"]}"#;
    let site = shop(&OldSite::with("bob", json), |settings| settings);
    let mut bob = visitor(&site, "bob");
    assert_eq!(bob.get("/account").await.text(), r#"200 None false ["hi"] None"#);
    assert_eq!(bob.get("/basket").await.text(), "200 milk+tea");
}

#[actix_web::test]
async fn the_other_programs_cookie_may_have_the_name_of_ours() {
    struct SameName(OldSite);

    impl Importer for SameName {
        fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
            let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
            Some(ForeignId::new(cookies.strip_prefix("__Host-session=")?))
        }

        async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
            self.0.find(id).await
        }

        async fn forget(&self, id: &ForeignId) -> Result<(), StoreError> {
            self.0.forget(id).await
        }

        fn cookie(&self) -> Option<ForeignCookie> {
            Some(ForeignCookie::new(OURS))
        }
    }

    for id in ["7e57d004-2b97-4e7a-b45f-5387367791cd", "s%3Ano-id-of-ours"] {
        let old = OldSite::with(id, ANN);
        let site = Site::with(|settings| settings.import(SameName(old.clone())));
        let mut ann = site.client();
        ann.cookies.insert(OURS.to_owned(), id.to_owned());
        let response = ann.act("read").await;
        assert_eq!(response.text(), "200 Loaded views=3 name=ann user=7 cart=tea");
        assert_eq!(cookies(&response), ["+__Host-session"]);
        assert_ne!(ann.cookie(), id);
        assert_eq!(ann.act("view").await.text(), "200 Loaded views=4 name=ann user=7 cart=tea");
    }
}

#[actix_web::test]
async fn sessions_in_cookies_take_over_too() {
    let old = OldSite::with("ann", ANN);
    let store = CookieStore::new([Key::generate()]).expect("a key");
    let settings = SessionMiddleware::builder(store).import(old.clone());
    let site = Site::unwatched(settings).configure(steps::routes).start();
    let mut ann = site.client();
    ann.cookies.insert(OLD.to_owned(), "ann".to_owned());
    let response = ann.act("view").await;
    assert_eq!(response.text(), "200 Loaded views=4 name=ann user=7 cart=tea");
    assert_eq!(cookies(&response), ["-old", "+__Host-session"]);
    assert!(old.has("ann"), "requests at the same time must find it too");
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=4 name=ann user=7 cart=tea");
    assert_eq!(cookies(&ann.act("destroy").await), ["-__Host-session"]);
    let mut ann = site.client();
    ann.cookies.insert(OLD.to_owned(), "ann".to_owned());
    assert_eq!(cookies(&ann.act("destroy").await), ["-old", "-__Host-session"]);
    assert!(!old.has("ann"), "a logout ends it");
}

#[actix_web::test]
async fn a_client_that_sends_a_header_gets_no_session_of_a_cookie() {
    let old = OldSite::with("ann", ANN);
    let site = Site::with(|settings| settings.import(old.clone()).bearer());
    let headers = format!("{AUTHORIZATION}: Bearer\r\n{COOKIE}: old=ann\r\n");
    let path = "/do/read";
    let response = get(site.address, path, headers.as_bytes()).await;
    assert_eq!(response.text(), "200 New");
    assert_eq!((response.header("session-token"), old.finds()), (None, 0));
}

#[actix_web::test]
async fn an_old_session_that_cannot_be_deleted_fails_no_request() {
    struct Stubborn(OldSite);

    impl Importer for Stubborn {
        fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
            self.0.identify(request)
        }

        async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
            self.0.find(id).await
        }

        async fn forget(&self, _: &ForeignId) -> Result<(), StoreError> {
            Err(StoreError::unavailable("read-only"))
        }
    }

    let old = OldSite::with("ann", ANN);
    let site = Site::with(|settings| settings.import(Stubborn(old)));
    let mut ann = visitor(&site, "ann");
    let response = ann.act("read").await;
    assert_eq!(response.text(), "200 Loaded views=3 name=ann user=7 cart=tea");
    assert_eq!(cookies(&response), ["+__Host-session"], "it names no cookie to remove");
    assert_eq!(ann.act("destroy").await.status, 200);
}

#[actix_web::test]
async fn a_cookie_that_browsers_would_refuse_is_a_configuration_error() {
    struct Bad(ForeignCookie);

    impl Importer for Bad {
        fn identify(&self, _: &HttpRequest) -> Option<ForeignId> {
            None
        }

        async fn find(&self, _: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
            Ok(None)
        }

        async fn forget(&self, _: &ForeignId) -> Result<(), StoreError> {
            Ok(())
        }

        fn cookie(&self) -> Option<ForeignCookie> {
            Some(self.0.clone())
        }
    }

    let build = |cookie| SessionMiddleware::builder(MemoryStore::new()).import(Bad(cookie)).build();
    assert!(matches!(build(ForeignCookie::new("a b")), Err(ConfigError::CookieName(_))));
    let path = ForeignCookie::new("sid").path("app");
    assert!(matches!(build(path), Err(ConfigError::CookieAttribute { attribute: "path", .. })));
    assert!(build(ForeignCookie::new("sid").path("/app").domain("example.com")).is_ok());
}

#[actix_web::test]
async fn the_own_id_generator_makes_the_new_id() {
    let old = OldSite::with("ann", ANN);
    let site = Site::with(|settings| {
        let id = |_: &HttpRequest| actix_typed_session::SessionId::uuid();
        settings.import(old.clone()).id_generator(id)
    });
    let mut ann = visitor(&site, "ann");
    ann.act("read").await;
    assert_eq!(ann.cookie().len(), 36);
}
