//! The fixtures for users' tests: what they say is what the site does.

use std::{panic::AssertUnwindSafe, time::Duration};

use actix_typed_session::{
    Clock as _, ConfigError, CookieStore, EncryptedStore, FakeClock, FileStore, IndexKey, Key,
    MemoryStore, Session, SessionError, SessionHandle, SessionMiddleware, Sessions, Status,
    TypedSession,
    store::SessionStore,
    testing::{
        Fault, FaultyStore, Operation, Outcome, TestRequestExt as _, TestSession, TestSessions,
    },
};
use actix_web::{
    App, HttpRequest, HttpResponse, Responder,
    error::ErrorBadGateway,
    http::header::{COOKIE, HeaderValue, SET_COOKIE},
    test::{self, TestRequest, call_and_read_body},
    web,
};
use futures_util::{
    FutureExt as _,
    future::{join, join_all},
};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Session, Default, Debug, PartialEq)]
struct Visitor {
    #[session(merge = "add")]
    views: u64,
    #[session(privilege, index)]
    user_id: Option<i64>,
    cart: Vec<String>,
    #[session(ttl = "15m")]
    code: Option<u32>,
    #[session(merge = "max")]
    best: u32,
    #[session(merge = "reject")]
    balance: i64,
    #[session(default = 3)]
    lives: u8,
    #[session(skip)]
    unsaved: bool,
}

#[derive(Session, Default, Debug, PartialEq)]
#[session(namespace = "account")]
struct Account {
    #[session(alias = "name")]
    full_name: String,
    #[session(privilege)]
    admin: bool,
}

#[derive(Session, Default, Debug, PartialEq)]
#[session(strict)]
struct Strict {
    cart: u8,
}

fn ann() -> Visitor {
    Visitor { user_id: Some(7), ..Visitor::default() }
}

async fn add_to_cart(
    mut session: TypedSession<Visitor>,
    item: web::Path<String>,
) -> impl Responder {
    session.cart_mut().push(item.into_inner());
    "added"
}

async fn view(mut session: TypedSession<Visitor>) -> String {
    session.add_views(1);
    session.views.to_string()
}

async fn log_in(mut session: TypedSession<Visitor>) -> HttpResponse {
    session.set_user_id(Some(7));
    HttpResponse::Ok().finish()
}

async fn log_out(mut session: SessionHandle) -> HttpResponse {
    session.destroy();
    HttpResponse::NoContent().finish()
}

async fn verify(session: SessionHandle, token: String) -> Result<&'static str, SessionError> {
    session.verify_csrf(&token)?;
    Ok("done")
}

async fn fail(mut session: TypedSession<Visitor>) -> HttpResponse {
    session.set_best(9);
    HttpResponse::InternalServerError().finish()
}

/// The function with which a site makes its middleware.
fn shop(store: impl SessionStore) -> Result<SessionMiddleware, ConfigError> {
    SessionMiddleware::builder(store)
        .cookie_name("__Host-shop")
        .signing_keys([Key::generate()])
        .max_age(HOUR)
        .cookie_persistent(true)
        .session::<Visitor>()
        .build()
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/add/{item}", web::post().to(add_to_cart))
        .route("/view", web::get().to(view))
        .route("/login", web::post().to(log_in))
        .route("/logout", web::post().to(log_out))
        .route("/verify", web::post().to(verify))
        .route("/fail", web::post().to(fail));
}

/// The app of the site, in the middleware of these sessions.
macro_rules! app {
    ($sessions:expr) => {
        test::init_service(App::new().wrap($sessions.middleware()).configure(routes)).await
    };
}

/// The middleware of a site for each way in which its clients have their sessions.
fn transports() -> Vec<(&'static str, TestSessions)> {
    fn built(
        store: FaultyStore<MemoryStore>,
        set: impl FnOnce(
            actix_typed_session::SessionMiddlewareBuilder,
        ) -> actix_typed_session::SessionMiddlewareBuilder,
    ) -> Result<SessionMiddleware, ConfigError> {
        set(SessionMiddleware::builder(store)).build()
    }
    vec![
        ("default", TestSessions::new(SessionMiddleware::new)),
        ("shop", TestSessions::new(shop)),
        ("old key", {
            let (old, new) = ([1; 32], [2; 32]);
            TestSessions::new(|store| {
                built(store, |it| it.signing_keys([new, old].map(Key::from_bytes)))
            })
        }),
        ("auto", TestSessions::new(|store| built(store, |it| it.cookie_secure_auto()))),
        ("bearer", TestSessions::new(|store| built(store, |it| it.bearer()))),
        ("header", TestSessions::new(|store| built(store, |it| it.header("X-Session")))),
        (
            "path",
            TestSessions::new(|store| {
                built(store, |it| it.cookie_name("a").cookie_path("/shop").stripped_prefix("/shop"))
            }),
        ),
        (
            "in the cookie",
            TestSessions::new(|_| {
                let store = CookieStore::new([Key::generate()]).expect("a key");
                SessionMiddleware::builder(store).build()
            }),
        ),
        (
            "encrypted",
            TestSessions::new(|store| {
                let store = EncryptedStore::new(store, [Key::generate()]).expect("a key");
                SessionMiddleware::builder(store).build()
            }),
        ),
        (
            "touched by each load",
            TestSessions::new(|store| {
                built(store, |it| it.touch_interval(Duration::ZERO).cookie_persistent(true))
            }),
        ),
    ]
}

fn panic_of<R>(act: impl FnOnce() -> R) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(act)).err();
    text_of(&*panic.expect("it panics"))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .expect("a panic with a text")
}

// TestSession

#[actix_web::test]
async fn a_handler_reads_what_was_prepared_and_the_test_reads_what_it_wrote() {
    let visitor = Visitor { views: 4, cart: vec!["pear".into()], lives: 0, ..ann() };
    let test = TestSession::of(visitor);
    assert_eq!(view(test.session()).await, "5");
    assert_eq!(test.written(), ["views"]);
    assert_eq!(test.outcome(), Outcome::Kept);
    let stored = test.stored().expect("a session");
    assert_eq!((stored.views, stored.user_id, stored.lives), (5, Some(7), 0));
    assert_eq!(stored.cart, ["pear"]);
    let _ = add_to_cart(test.session(), "fig".to_owned().into()).await;
    let _ = add_to_cart(test.session(), "nut".to_owned().into()).await;
    assert_eq!(test.written(), ["cart"]);
    assert_eq!(test.stored().expect("a session").cart, ["pear", "fig", "nut"]);
}

#[test]
fn a_fixture_needs_no_runtime() {
    let test = TestSession::of(ann());
    test.session().set_best(4);
    assert_eq!(test.stored(), Some(Visitor { best: 4, ..ann() }));
    assert_eq!(test.written(), ["best"]);
}

#[test]
fn a_session_with_defaults_is_stored_and_a_new_visitor_has_none() {
    let test = TestSession::of(Strict::default());
    assert_eq!(test.session().status(), Status::Loaded);
    assert_eq!(test.stored(), Some(Strict::default()));
    let test = TestSession::<Strict>::new_visitor();
    assert_eq!(test.session().status(), Status::New);
    assert_eq!((test.stored(), test.outcome()), (None, Outcome::NoSession));
    assert!(test.is_unchanged());
    test.session().set_cart(1);
    assert_eq!((test.outcome(), test.written()), (Outcome::Began, vec!["cart"]));
    assert_eq!(test.session().status(), Status::Loaded, "the client has its cookie");
}

#[test]
fn a_default_of_the_session_can_be_prepared_away() {
    let test = TestSession::of(Visitor { lives: 3, ..ann() });
    assert_eq!(test.session().lives, 3);
    assert_eq!(TestSession::<Visitor>::new_visitor().session().lives, 3);
    assert_eq!(TestSession::of(Visitor { lives: 0, ..ann() }).session().lives, 0);
}

#[test]
fn a_skipped_field_begins_with_its_default() {
    let test = TestSession::of(Visitor { unsaved: true, ..ann() });
    let mut session = test.session();
    assert!(!session.unsaved);
    session.set_unsaved(true);
    drop(session);
    assert!(test.is_unchanged() && test.written().is_empty());
}

#[actix_web::test]
async fn what_becomes_of_the_id_is_the_outcome() {
    let test = TestSession::of(Visitor::default());
    let outcome = |act: fn(&mut TypedSession<Visitor>)| {
        act(&mut test.session());
        (test.outcome(), test.written())
    };
    assert_eq!(outcome(|_| ()), (Outcome::Kept, vec![]));
    assert!(test.is_unchanged());
    assert_eq!(outcome(|it| it.set_user_id(Some(7))), (Outcome::Renewed, vec!["user_id"]));
    assert_eq!(outcome(|it| it.renew()), (Outcome::Renewed, vec![]));
    let login = |it: &mut TypedSession<Visitor>| {
        it.regenerate();
        it.set_user_id(Some(8));
    };
    assert_eq!(outcome(login), (Outcome::Regenerated, vec!["user_id"]));
    let after_logout = |it: &mut TypedSession<Visitor>| {
        it.destroy();
        it.set_best(1);
    };
    assert_eq!(outcome(after_logout), (Outcome::Regenerated, vec!["best"]));
    assert_eq!(outcome(|it| it.destroy()), (Outcome::Destroyed, vec![]));
    assert_eq!(outcome(|it| it.destroy()), (Outcome::NoSession, vec![]));
    assert_eq!(outcome(|it| it.set_best(2)), (Outcome::Began, vec!["best"]));
    assert_eq!(outcome(|it| it.set_max_age(Duration::ZERO)), (Outcome::Destroyed, vec![]));
}

#[actix_web::test]
async fn a_handler_that_saves_has_the_same_outcome() {
    let test = TestSession::of(ann());
    let mut session = test.session();
    session.set_best(4);
    session.save().await.expect("it is stored");
    session.set_best(5);
    session.reload().await.expect("it is there");
    assert_eq!(session.best, 4);
    drop(session);
    assert_eq!((test.outcome(), test.written()), (Outcome::Kept, vec!["best"]));
    let mut session = test.session();
    session.regenerate();
    session.set_user_id(Some(9));
    session.save().await.expect("it is stored");
    drop(session);
    assert_eq!((test.outcome(), test.written()), (Outcome::Regenerated, vec!["user_id"]));
    let mut session = test.session();
    session.destroy();
    session.save().await.expect("it is gone");
    drop(session);
    assert_eq!((test.outcome(), test.stored()), (Outcome::Destroyed, None));
}

#[actix_web::test]
async fn what_a_handler_extracts_together_is_one_request() {
    async fn both(mut session: TypedSession<Visitor>, mut handle: SessionHandle) {
        session.set_best(4);
        handle.renew();
        handle.set_persistent(true);
    }
    let test = TestSession::of(ann());
    both(test.session(), test.handle()).await;
    assert_eq!((test.outcome(), test.written()), (Outcome::Renewed, vec!["best"]));
    assert!(test.is_persistent());
    let request = test.extract::<HttpRequest>().expect("a request");
    let session = test.session();
    assert_eq!(
        TypedSession::<Visitor>::extract_from(&request).await.best,
        session.best,
        "the request of the session",
    );
}

/// Extracts from a request, as a guard or an error page does.
trait ExtractFrom: Sized {
    async fn extract_from(request: &HttpRequest) -> Self;
}

impl<T: actix_web::FromRequest> ExtractFrom for T {
    async fn extract_from(request: &HttpRequest) -> Self {
        let extracted = T::from_request(request, &mut actix_web::dev::Payload::None).await;
        extracted.unwrap_or_else(|_| panic!("it is extracted"))
    }
}

#[actix_web::test]
async fn two_structs_are_one_session() {
    let account = Account { full_name: "Ann".into(), admin: false };
    let test = TestSession::of(ann()).and(account);
    let (mut visitor, mut account) = (test.session(), test.session_as::<Account>());
    assert_eq!((visitor.user_id, &*account.full_name), (Some(7), "Ann"));
    visitor.set_best(2);
    account.set_admin(true);
    drop((visitor, account));
    assert_eq!(test.written(), ["best"]);
    assert_eq!(test.written_as::<Account>(), ["admin"]);
    assert_eq!(test.outcome(), Outcome::Renewed, "a privilege was changed");
    assert_eq!(test.stored_as::<Account>().map(|account| account.admin), Some(true));
}

#[test]
fn values_and_sessions_end_when_the_clock_says_so() {
    let test = TestSession::of(Visitor { code: Some(123), ..ann() });
    assert_eq!(test.session().code, Some(123));
    test.clock().advance(Duration::from_secs(15 * 60));
    assert_eq!(test.session().code, None);
    assert_eq!(test.stored().map(|it| (it.code, it.user_id)), Some((None, Some(7))));
    test.clock().advance(21 * HOUR);
    assert_eq!(test.stored(), None);
    assert_eq!(test.session().status(), Status::New);
    assert_eq!(test.outcome(), Outcome::NoSession);
}

#[test]
fn what_is_prepared_begins_before_time_passes() {
    let test = TestSession::of(Visitor { code: Some(123), ..ann() });
    test.clock().advance(Duration::from_secs(15 * 60));
    assert_eq!(test.session().code, None);
    let test = TestSession::of(ann());
    test.clock().advance(21 * HOUR);
    assert_eq!(test.stored(), None);
    assert_eq!(TestSession::of(ann()).store().inner().len(), 1);
}

#[actix_web::test]
async fn a_request_ends_before_time_passes_and_before_the_store_is_asked() {
    let test = TestSession::<Visitor>::new_visitor();
    log_in(test.session()).await;
    assert_eq!(test.store().calls(Operation::Create), 1);
    log_in(test.session()).await;
    test.clock().advance(21 * HOUR);
    assert_eq!(test.stored(), None, "the login was 21 hours ago");
    log_in(test.session()).await;
    test.clock().advance(HOUR);
    assert_eq!(test.outcome(), Outcome::Began);
    let mut session = test.session();
    test.clock().advance(21 * HOUR);
    assert_eq!(session.user_id, Some(7));
    session.set_best(1);
    drop(session);
    assert_eq!(test.outcome(), Outcome::Destroyed, "it expired while the handler ran");
}

#[test]
fn a_ttl_that_is_written_again_was_written() {
    let test = TestSession::of(Visitor { code: Some(123), ..ann() });
    test.session();
    test.clock().advance(Duration::from_secs(60));
    test.session().set_code(Some(123));
    assert_eq!(test.written(), ["code"]);
}

#[test]
fn limits_and_the_expiry_are_what_the_site_would_have() {
    let test = TestSession::of(ann()).middleware(shop);
    assert_eq!((test.max_age(), test.is_persistent()), (HOUR, true));
    let began = test.clock().now();
    assert_eq!(test.expires_at(), Some(began.saturating_add(HOUR)));
    test.clock().advance(HOUR / 2);
    test.session().handle().keep_expiry();
    assert_eq!(test.expires_at(), Some(began.saturating_add(HOUR)));
    test.session();
    assert!(test.is_unchanged(), "an extension is not a change");
    assert_eq!(test.expires_at(), Some(began.saturating_add(HOUR * 3 / 2)));
    test.session().set_max_age(HOUR / 6);
    assert!(!test.is_unchanged() && test.written().is_empty());
    assert_eq!(test.max_age(), HOUR / 6);
}

#[test]
fn asking_extends_nothing() {
    let often = |store| SessionMiddleware::builder(store).touch_interval(Duration::ZERO).build();
    let test = TestSession::of(ann()).middleware(often);
    let expires_at = test.expires_at();
    test.clock().advance(HOUR);
    assert!(test.stored().is_some());
    assert_eq!(test.expires_at(), expires_at);
    assert_eq!(test.store().all_calls(), 0, "the fixture's calls are not counted");
}

#[actix_web::test]
async fn tokens_are_those_of_the_session() {
    let test = TestSession::<Visitor>::new_visitor();
    let token = test.csrf_token();
    assert_eq!(test.outcome(), Outcome::Began);
    assert!(verify(test.handle(), token.clone()).await.is_ok());
    assert!(verify(test.handle(), "forged".into()).await.is_err());
    log_in(test.session()).await;
    assert!(verify(test.handle(), token).await.is_err(), "the login has renewed the id");
    assert!(verify(test.handle(), test.csrf_token_of_its_page()).await.is_ok());
}

/// A page and its form in two requests.
trait Page {
    fn csrf_token_of_its_page(&self) -> String;
}

impl Page for TestSession<Visitor> {
    fn csrf_token_of_its_page(&self) -> String {
        self.session().csrf_token()
    }
}

#[actix_web::test]
async fn the_handler_gets_the_request_of_the_test() {
    struct Tenant(String);

    impl actix_web::FromRequest for Tenant {
        type Error = actix_web::Error;
        type Future = std::future::Ready<Result<Self, Self::Error>>;

        fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
            let tenant = request.app_data::<String>().expect("the test has set it").clone();
            std::future::ready(Ok(Self(tenant)))
        }
    }
    let test = TestSession::of(ann());
    let request = TestRequest::post().uri("/x").app_data("books".to_owned());
    let Tenant(tenant) = test.request(request).extract().expect("it is extracted");
    assert_eq!(tenant, "books");
    assert_eq!(test.session().user_id, Some(7), "the request has the session too");
    let session = test.session();
    let why = panic_of(|| test.request(TestRequest::get()).is_unchanged());
    assert!(why.contains("a request is open; drop what was extracted"), "{why}");
    drop(session);
    let request = test.request(TestRequest::get().uri("/y")).extract::<HttpRequest>();
    assert_eq!(request.expect("a request").path(), "/y");
}

#[actix_web::test]
async fn what_another_request_does_meanwhile_is_merged_as_on_the_site() {
    let test = TestSession::of(Visitor { views: 5, best: 3, balance: 10, ..ann() });
    let session = test.session();
    test.meanwhile(|other| {
        other.add_views(1);
        other.set_best(9);
        other.set_cart(vec!["pear".to_owned()]);
    });
    assert_eq!(session.best, 3, "it was loaded before");
    let mut session = session;
    session.add_views(1);
    session.set_best(4);
    session.set_balance(8);
    drop(session);
    assert_eq!((test.outcome(), test.written()), (Outcome::Kept, vec!["views", "balance"]));
    let visitor = test.stored().expect("a session");
    assert_eq!((visitor.views, visitor.best, visitor.balance), (7, 9, 8));
    assert_eq!(visitor.cart, ["pear"]);

    let mut session = test.session();
    test.store().inject(Operation::Load, Fault::ErrorBefore);
    test.meanwhile(|other| other.set_balance(1));
    session.set_balance(2);
    assert!(matches!(session.save().await, Err(SessionError::Conflict { .. })));
    drop(session);
    assert_eq!(test.finish("not stored").await.status(), 409);
    assert!(test.is_unchanged());
    test.store().heal();

    let mut session = test.session();
    test.meanwhile(|other| other.destroy());
    session.set_best(10);
    assert!(matches!(session.save().await, Err(SessionError::Gone)));
    drop(session);
    assert_eq!((test.outcome(), test.stored()), (Outcome::NoSession, None));

    test.meanwhile(|other| other.set_user_id(Some(8)));
    assert_eq!(test.session().user_id, Some(8), "also between two requests");
    let why =
        panic_of(|| TestSession::of(Score { score: 1.0 }).meanwhile(|it| it.set_score(f64::NAN)));
    assert!(why.contains("the other request cannot be stored; it gets a 500"), "{why}");
}

#[test]
fn a_test_may_have_any_number_of_requests() {
    let test = TestSession::of(Visitor::default());
    for n in 1..=1_000 {
        let mut session = test.session();
        session.add_views(1);
        session.set_best(n);
        session.set_balance(n.into());
    }
    let visitor = test.stored().expect("a session");
    assert_eq!((visitor.views, visitor.best, visitor.balance), (1_000, 1_000, 1_000));
}

#[actix_web::test]
async fn finish_answers_as_the_middleware_does() {
    let test = TestSession::of(ann());
    let response = test.finish(fail(test.session()).await).await;
    assert_eq!((response.status().as_u16(), test.is_unchanged()), (500, true));
    test.session().set_best(1);
    let response = test.finish(Err::<String, _>(ErrorBadGateway("down"))).await;
    assert_eq!((response.status().as_u16(), test.is_unchanged()), (502, true));
    let response = test.finish(log_in_as_another(test.session()).await).await;
    assert!(response.headers().contains_key(SET_COOKIE), "the head is the client's");
    assert_eq!(test.outcome(), Outcome::Renewed);
    test.session().destroy();
    test.finish(HttpResponse::InternalServerError()).await;
    assert_eq!(test.outcome(), Outcome::Destroyed, "also with an error");
}

async fn log_in_as_another(mut session: TypedSession<Visitor>) -> impl Responder {
    session.set_user_id(Some(8));
    "welcome"
}

#[actix_web::test]
async fn store_failures_reach_the_handler_and_the_client() {
    let test = TestSession::of(ann());
    test.store().inject(Operation::Update, Fault::ErrorBefore);
    let mut session = test.session();
    session.set_best(4);
    assert!(matches!(session.save().await, Err(SessionError::Store(_))));
    drop(session);
    assert_eq!(test.finish("not stored").await.status(), 503);
    test.store().inject(Operation::Load, Fault::ErrorBefore);
    let refused = test.extract::<TypedSession<Visitor>>().expect_err("the store fails");
    assert!(matches!(refused, SessionError::Store(_)));
    assert_eq!(test.finish(Err::<String, _>(refused)).await.status(), 503);
    assert_eq!(test.stored().map(|it| it.best), Some(0), "the fixture's own calls do not fail");
    test.store().heal();
    test.session().set_best(4);
    assert_eq!(test.stored().map(|it| it.best), Some(4));
    assert_eq!(test.store().calls(Operation::Create), 0);
}

#[actix_web::test]
async fn a_delay_is_waited_for_by_what_waits() {
    tokio::time::pause();
    let test = TestSession::of(ann());
    test.store().inject(Operation::Update, Fault::Delay(HOUR));
    test.session().set_best(4);
    assert_eq!(test.finish("slow").await.status(), 200);
    assert_eq!(test.stored().map(|it| it.best), Some(4));
    test.session().set_best(5);
    assert!(panic_of(|| test.stored()).contains("heal()"));
}

#[test]
fn a_value_that_does_not_decode_is_an_error_that_the_test_gets() {
    let test = TestSession::of(ann().with_cart("pear")).and(Account::default());
    let error = test.extract::<TypedSession<Strict>>().expect_err("another type");
    assert!(matches!(error, SessionError::Decode { .. }));
    assert!(panic_of(|| test.session_as::<Strict>()).contains("`Strict::cart` does not"));
    assert!(panic_of(|| test.stored_as::<Strict>()).contains("`Strict::cart` does not"));
}

impl Visitor {
    fn with_cart(self, item: &str) -> Self {
        Self { cart: vec![item.to_owned()], ..self }
    }
}

#[actix_web::test]
async fn an_indexed_session_is_found() {
    let test = TestSession::of(ann());
    test.session();
    let sessions = Sessions::<Visitor>::new(test.store().clone()).clock(test.clock().clone());
    let mine: IndexKey<Visitor> = Visitor::by_user_id(&Some(7));
    let page = sessions.list(&mine, None, 10).await.expect("the store answers");
    assert_eq!(page.sessions.len(), 1);
    assert!(page.sessions[0].is_current(&test.handle()));
    sessions.destroy_all(&mine).await.expect("the store answers");
    assert_eq!(test.session().status(), Status::New);
}

#[derive(Session, Default)]
#[session(cookie = "admin")]
struct Admin {
    level: u8,
}

#[test]
fn a_struct_with_a_cookie_gets_a_session_with_that_cookie() {
    let test = TestSession::of(Admin { level: 2 });
    test.session().set_level(3);
    assert_eq!((test.written(), test.session().level), (vec!["level"], 3));
    let of_another = TestSession::of(ann()).and(Admin { level: 2 });
    let why = panic_of(|| of_another.session());
    assert!(why.contains("`Admin` is kept in the session with the cookie `admin`"), "{why}");
    let why = panic_of(|| TestSession::of(ann()).session_as::<Admin>());
    assert!(why.contains("`Admin` cannot be extracted: `Admin` uses the session cookie"), "{why}");
}

#[derive(Session, Default)]
struct Score {
    score: f64,
}

#[actix_web::test]
async fn misuse_is_explained() {
    let test = TestSession::of(Score { score: f64::NAN });
    let why = panic_of(|| test.session());
    assert!(
        why.contains("cannot be prepared: the new value of the session field `score`"),
        "{why}"
    );

    let test = TestSession::of(Score { score: 1.0 });
    assert!(panic_of(|| test.written()).contains("there was no request; call `session`"));
    let why = AssertUnwindSafe(test.finish("early")).catch_unwind().await.expect_err("no request");
    assert!(text_of(&*why).contains("there is no request to finish"));

    test.session().set_score(f64::NAN);
    let why = panic_of(|| test.stored());
    assert!(why.contains("the client gets the status 500") && why.contains("finish"), "{why}");
    assert!(panic_of(|| test.and(ann())).contains("prepare it before"));

    let why = panic_of(|| TestSessions::new(|_| Err::<SessionMiddleware, _>("no key")));
    assert!(why.contains("the middleware cannot be made: no key"), "{why}");
    let shared = SessionMiddleware::new(MemoryStore::new());
    let why = panic_of(|| TestSessions::new(|_| shared.clone()));
    assert!(why.contains("without clones"), "{why}");
    let sessions = TestSessions::new(shop);
    let why = panic_of(|| sessions.api_client());
    assert!(why.contains("call `bearer()` or `header(…)`"), "{why}");
    let request = TestRequest::get();
    let why = panic_of(|| request.session(&sessions, Score { score: f64::NAN }));
    assert!(why.contains("field `score` cannot be stored"), "{why}");
}

#[derive(Session)]
#[session(namespace = "with")]
struct Hex {
    #[session(with = "hex", alias = "old_color")]
    color: u32,
}

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{value:06x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        u32::from_str_radix(&String::deserialize(from)?, 16).map_err(D::Error::custom)
    }
}

#[test]
fn a_field_with_a_module_of_its_own_is_prepared_and_read() {
    let test = TestSession::of(Hex { color: 0xff_00_7f });
    assert_eq!(test.session().color, 0xff_00_7f);
    *test.session().color_mut() = 1;
    assert_eq!((test.written(), test.stored().map(|it| it.color)), (vec!["color"], Some(1)));
}

// TestSessions

#[actix_web::test]
async fn a_request_carries_a_prepared_session_through_every_middleware() {
    for (name, sessions) in transports() {
        let app = app!(sessions);
        let request = TestRequest::post().uri("/add/pear").session(&sessions, ann());
        let response = request.send_request(&app).await;
        assert_eq!(response.status(), 200, "{name}");
        let visitor = sessions.session_of::<Visitor>(&response).await.expect(name);
        assert_eq!((visitor.user_id, visitor.cart), (Some(7), vec!["pear".to_owned()]), "{name}");
        let request = TestRequest::post().uri("/add/fig").session_from(&sessions, &response);
        let response = request.send_request(&app).await;
        let visitor = sessions.session_of::<Visitor>(&response).await.expect(name);
        assert_eq!(visitor.cart, ["pear", "fig"], "{name}");
        let request = TestRequest::post().uri("/logout").session_from(&sessions, &response);
        let response = request.send_request(&app).await;
        assert_eq!(sessions.session_of::<Visitor>(&response).await, None, "{name}");
        let request = TestRequest::get().uri("/view").session_from(&sessions, &response);
        let response = request.send_request(&app).await;
        let visitor = sessions.session_of::<Visitor>(&response).await.expect(name);
        assert_eq!((visitor.user_id, visitor.views), (None, 1), "{name}: a new visitor");
    }
}

#[actix_web::test]
async fn a_client_keeps_its_session_through_every_middleware() {
    for (name, sessions) in transports() {
        let app = app!(sessions);
        let (new, ann) = (sessions.client(), sessions.client_with(ann()).await);
        assert_eq!(sessions.session_of::<Visitor>(&new).await, None, "{name}");
        for client in [new, ann] {
            client.call(&app, TestRequest::post().uri("/add/pear")).await;
            let thief = client.clone();
            client.call(&app, TestRequest::post().uri("/login")).await;
            client.call(&app, TestRequest::get().uri("/view")).await;
            let visitor = sessions.session_of::<Visitor>(&client).await.expect(name);
            assert_eq!((visitor.views, visitor.user_id), (1, Some(7)), "{name}");
            assert_eq!(visitor.cart, ["pear"], "{name}");
            let token = sessions.csrf_token(&client).await;
            let request = || TestRequest::post().uri("/verify").set_payload(token.clone());
            assert_eq!(client.call(&app, request()).await.status(), 200, "{name}");
            assert_eq!(sessions.client().call(&app, request()).await.status(), 403, "{name}");
            client.call(&app, TestRequest::post().uri("/logout")).await;
            assert_eq!(sessions.session_of::<Visitor>(&client).await, None, "{name}");
            if name != "in the cookie" {
                assert_eq!(sessions.session_of::<Visitor>(&thief).await, None, "{name}");
            }
        }
    }
}

#[actix_web::test]
async fn the_old_id_is_worthless_after_a_login() {
    let sessions = TestSessions::new(shop);
    let app = app!(sessions);
    let ann = sessions.client_with(Visitor::default().with_cart("pear")).await;
    let thief = ann.clone();
    ann.call(&app, TestRequest::post().uri("/login")).await;
    assert_eq!(sessions.session_of::<Visitor>(&thief).await, None);
    assert!(sessions.session_of::<Visitor>(&ann).await.is_some());
}

#[actix_web::test]
async fn an_old_id_reads_what_it_reads_on_the_site() {
    async fn renew(mut session: TypedSession<Visitor>) -> &'static str {
        session.renew();
        session.set_best(4);
        "renewed"
    }
    let sessions = TestSessions::new(shop);
    let app = App::new().wrap(sessions.middleware()).route("/", web::get().to(renew));
    let app = test::init_service(app).await;
    let ann = sessions.client_with(ann()).await;
    let slow = ann.clone();
    ann.call(&app, TestRequest::get()).await;
    assert_eq!(sessions.session_of::<Visitor>(&ann).await.map(|it| it.best), Some(4));
    assert_eq!(sessions.session_of::<Visitor>(&slow).await.map(|it| it.best), Some(0));
    sessions.clock().advance(Duration::from_secs(10));
    assert_eq!(sessions.session_of::<Visitor>(&slow).await, None, "the grace is over");
    assert_eq!(sessions.session_of::<Visitor>(&ann).await.map(|it| it.best), Some(4));
}

#[actix_web::test]
async fn programs_send_their_id_in_a_header() {
    for (name, sessions) in transports() {
        if !matches!(name, "bearer" | "header") {
            continue;
        }
        let app = app!(sessions);
        let request = TestRequest::post().uri("/add/pear").session_in_header(&sessions, ann());
        let response = request.send_request(&app).await;
        assert!(!response.headers().contains_key(SET_COOKIE), "{name}");
        assert!(!response.request().headers().contains_key(COOKIE), "{name}");
        let visitor = sessions.session_of::<Visitor>(&response).await.expect(name);
        assert_eq!(visitor.cart, ["pear"], "{name}");
        let again = TestRequest::post().uri("/login").session_from(&sessions, &response);
        let response = again.send_request(&app).await;
        let again = TestRequest::post().uri("/logout").session_from(&sessions, &response);
        assert!(sessions.session_of::<Visitor>(&response).await.is_some(), "{name}");
        let response = again.send_request(&app).await;
        assert_eq!(sessions.session_of::<Visitor>(&response).await, None, "{name}");

        for program in [sessions.api_client(), sessions.api_client_with(ann()).await] {
            let response = program.call(&app, TestRequest::get().uri("/view")).await;
            assert!(!response.headers().contains_key(SET_COOKIE), "{name}");
            program.call(&app, TestRequest::get().uri("/view")).await;
            let visitor = sessions.session_of::<Visitor>(&program).await.expect(name);
            assert_eq!(visitor.views, 2, "{name}");
            program.call(&app, TestRequest::post().uri("/logout")).await;
            assert_eq!(sessions.session_of::<Visitor>(&program).await, None, "{name}");
        }
    }
}

#[actix_web::test]
async fn other_cookies_are_left_alone() {
    async fn cookies(request: HttpRequest, session: TypedSession<Visitor>) -> String {
        let headers: Vec<_> = request.headers().get_all(COOKIE).collect();
        assert_eq!(headers.len(), 1, "one line, as RFC 6265 says");
        let theme = headers[0].to_str().expect("ASCII").contains("theme=dark; ");
        format!("{theme} {:?}", session.user_id)
    }
    let sessions = TestSessions::new(shop);
    let app = App::new().wrap(sessions.middleware()).route("/", web::get().to(cookies));
    let app = test::init_service(app).await;
    let theme = (COOKIE, HeaderValue::from_static("theme=dark"));
    let request = TestRequest::get().insert_header(theme.clone()).session(&sessions, ann());
    assert_eq!(call_and_read_body(&app, request.to_request()).await, "true Some(7)");
    let request = TestRequest::get().session(&sessions, ann()).insert_header(theme);
    assert_eq!(call_and_read_body(&app, request.to_request()).await, "true Some(7)");
}

#[actix_web::test]
async fn two_structs_of_one_session_are_a_tuple_or_two_calls() {
    let sessions = TestSessions::new(shop);
    let app = app!(sessions);
    let account = || Account { full_name: "Ann".into(), admin: true };
    for request in [
        TestRequest::get().uri("/view").session(&sessions, (ann(), account())),
        TestRequest::get().uri("/view").session(&sessions, ann()).session(&sessions, account()),
    ] {
        let response = request.send_request(&app).await;
        let visitor = sessions.session_of::<Visitor>(&response).await.expect("a session");
        assert_eq!((visitor.user_id, visitor.views), (Some(7), 1));
        assert_eq!(sessions.session_of::<Account>(&response).await, Some(account()));
    }
}

#[actix_web::test]
async fn a_site_with_two_middlewares_has_two_fixtures() {
    async fn both(mut visitor: TypedSession<InShop>, mut admin: TypedSession<Admin>) -> String {
        visitor.set_views(visitor.views + 1);
        admin.set_level(admin.level + 1);
        format!("{} {}", visitor.views, admin.level)
    }
    #[derive(Session)]
    #[session(cookie = "shop")]
    struct InShop {
        views: u32,
    }
    let shop = TestSessions::new(shop);
    let admin = TestSessions::new(|store| {
        SessionMiddleware::builder(store).cookie_name("__Host-admin").build()
    });
    let app =
        App::new().route("/", web::get().to(both)).wrap(admin.middleware()).wrap(shop.middleware());
    let app = test::init_service(app).await;
    let request =
        TestRequest::get().session(&shop, InShop { views: 1 }).session(&admin, Admin { level: 2 });
    let response = request.send_request(&app).await;
    assert_eq!(shop.session_of::<InShop>(&response).await.map(|it| it.views), Some(2));
    assert_eq!(admin.session_of::<Admin>(&response).await.map(|it| it.level), Some(3));
    let client = shop.client_with(InShop { views: 1 }).await;
    admin.give(&client, Admin { level: 2 }).await;
    for _ in 0..2 {
        client.call(&app, TestRequest::get()).await;
    }
    assert_eq!(shop.session_of::<InShop>(&client).await.map(|it| it.views), Some(3));
    assert_eq!(admin.session_of::<Admin>(&client).await.map(|it| it.level), Some(4));
    let why = AssertUnwindSafe(shop.session_of::<Admin>(&client)).catch_unwind().await;
    assert!(text_of(&*why.err().expect("another cookie")).contains("with the cookie `admin`"));
}

#[actix_web::test]
async fn requests_at_the_same_time_are_one_client() {
    let sessions = TestSessions::new(shop);
    let app = app!(sessions);
    let ann = sessions.client_with(ann()).await;
    let views = (0..20).map(|_| ann.call(&app, TestRequest::get().uri("/view")));
    let item = ann.call(&app, TestRequest::post().uri("/add/pear"));
    join(join_all(views), item).await;
    let visitor = sessions.session_of::<Visitor>(&ann).await.expect("a session");
    assert_eq!((visitor.views, visitor.cart), (20, vec!["pear".to_owned()]));
}

#[actix_web::test]
async fn an_outage_is_a_503_and_the_fixtures_still_read() {
    let sessions = TestSessions::new(shop);
    let app = app!(sessions);
    let ann = sessions.client_with(ann()).await;
    sessions.store().inject(Operation::Load, Fault::ErrorBefore);
    assert_eq!(ann.call(&app, TestRequest::get().uri("/view")).await.status(), 503);
    assert_eq!(sessions.session_of::<Visitor>(&ann).await.map(|it| it.views), Some(0));
    let request = TestRequest::get().uri("/view").session(&sessions, Visitor::default());
    assert_eq!(request.send_request(&app).await.status(), 503);
    sessions.store().heal();
    assert_eq!(ann.call(&app, TestRequest::get().uri("/view")).await.status(), 200);
    assert_eq!(sessions.store().calls(Operation::Load), 3, "those of the requests");
}

#[actix_web::test]
async fn a_session_expires_by_the_clock_of_the_fixture() {
    for (name, sessions) in transports() {
        let app = app!(sessions);
        let ann = sessions.client_with(Visitor { code: Some(1), ..ann() }).await;
        sessions.clock().advance(Duration::from_secs(15 * 60));
        ann.call(&app, TestRequest::get().uri("/view")).await;
        let visitor = sessions.session_of::<Visitor>(&ann).await.expect(name);
        assert_eq!((visitor.code, visitor.user_id), (None, Some(7)), "{name}");
        sessions.clock().advance(21 * HOUR);
        assert_eq!(sessions.session_of::<Visitor>(&ann).await, None, "{name}");
    }
}

#[actix_web::test]
async fn a_server_error_changes_nothing() {
    let sessions = TestSessions::new(shop);
    let app = app!(sessions);
    let request = TestRequest::post().uri("/fail").session(&sessions, ann());
    let response = request.send_request(&app).await;
    assert_eq!(sessions.session_of::<Visitor>(&response).await.map(|it| it.best), Some(0));
}

#[actix_web::test]
async fn a_cookie_is_sent_below_its_path_only() {
    let sessions = TestSessions::new(|store| {
        SessionMiddleware::builder(store).cookie_name("a").cookie_path("/add").build()
    });
    let app = app!(sessions);
    let ann = sessions.client_with(ann()).await;
    ann.call(&app, TestRequest::post().uri("/add/pear")).await;
    ann.call(&app, TestRequest::get().uri("/view")).await;
    let visitor = sessions.session_of::<Visitor>(&ann).await.expect("a session");
    assert_eq!((visitor.views, visitor.cart), (0, vec!["pear".to_owned()]));
}

#[actix_web::test]
async fn the_cookie_of_a_connection_with_tls_is_another() {
    let sessions = TestSessions::new(|store| {
        SessionMiddleware::builder(store).cookie_secure_auto().trusted_proxies(["10.0.0.1"]).build()
    });
    let app = app!(sessions);
    let over_tls = |request: TestRequest| {
        let proxy = "10.0.0.1:1".parse().expect("an address");
        request.peer_addr(proxy).insert_header(("X-Forwarded-Proto", "https"))
    };
    let request = over_tls(TestRequest::post().uri("/add/pear")).session(&sessions, ann());
    let response = request.send_request(&app).await;
    let visitor = sessions.session_of::<Visitor>(&response).await.expect("a session");
    assert_eq!((visitor.user_id, visitor.cart), (Some(7), vec!["pear".to_owned()]));
    let client = sessions.client();
    let response = client.call(&app, over_tls(TestRequest::get().uri("/view"))).await;
    let visitor = sessions.session_of::<Visitor>(&response).await.expect("a session");
    assert_eq!(visitor.views, 1);
    let again = over_tls(TestRequest::get().uri("/view")).session_from(&sessions, &client);
    let response = again.send_request(&app).await;
    assert_eq!(sessions.session_of::<Visitor>(&response).await.map(|it| it.views), Some(2));
}

#[actix_web::test]
async fn any_store_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = FakeClock::default();
    let store = FileStore::builder(folder.path()).clock(clock.clone()).build().expect("a store");
    let sessions = TestSessions::with_store(store, clock, shop);
    let app = app!(sessions);
    let ann = sessions.client_with(ann()).await;
    ann.call(&app, TestRequest::post().uri("/add/pear")).await;
    let request = TestRequest::post().uri("/add/fig").session_from(&sessions, &ann);
    let response = request.send_request(&app).await;
    let visitor = sessions.session_of::<Visitor>(&response).await.expect("a session");
    assert_eq!(visitor.cart, ["pear", "fig"]);
    let request = TestRequest::get();
    let why = panic_of(|| request.session(&sessions, Visitor::default()));
    assert!(why.contains("client_with(…).await"), "{why}");
}

#[actix_web::test]
async fn forged_and_doubled_ids_are_no_session() {
    let sessions = TestSessions::new(|store| SessionMiddleware::builder(store).bearer().build());
    let app = app!(sessions);
    let request = TestRequest::get()
        .uri("/view")
        .session(&sessions, ann())
        .session_in_header(&sessions, Visitor::default());
    let response = request.send_request(&app).await;
    assert_eq!(response.status(), 400, "two sessions");
    assert_eq!(sessions.session_of::<Visitor>(&response).await, None);
    let forged = (COOKIE, HeaderValue::from_static("__Host-session=0123456789abcdefghijklmnop"));
    let response = TestRequest::get().insert_header(forged).send_request(&app).await;
    assert_eq!(sessions.session_of::<Visitor>(&response).await, None);
}

#[actix_web::test]
async fn fixtures_show_no_values_and_no_ids() {
    let test = TestSession::of(ann().with_cart("pear"));
    test.session();
    let sessions = TestSessions::new(shop);
    let client = sessions.client_with(ann().with_cart("pear")).await;
    let request = TestRequest::get().session_from(&sessions, &client);
    let text = format!("{test:?} {sessions:?} {client:?} {request:?}");
    assert!(!text.contains("pear"), "{text}");
    assert!(text.contains(r#"TestClient(["__Host-shop"])"#), "{text}");
}
