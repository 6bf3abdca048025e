//! A request reads what is stored, above it what is being saved, and above that what it changed.
//! All of its extractors, and `Sessions`, read and write through the same layers.

use std::{cell::RefCell, collections::BTreeSet, future::Future, rc::Rc, time::Duration};

use actix_typed_session::{
    FakeClock, MemoryStore, Session, SessionError, SessionHandle, SessionMiddleware, Sessions,
    TypedSession,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{Client, Gate, serve};
use actix_web::{
    App, Error, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::ErrorBadRequest,
    middleware::{Next, from_fn},
    web,
};

#[derive(Session)]
#[session(cookie = "session")]
struct Visitor {
    #[session(merge = "add")]
    views: u64,
    name: String,
    cart: Vec<String>,
    #[session(merge = "union")]
    tags: BTreeSet<String>,
    score: f64,
    #[session(index)]
    user: Option<i64>,
    #[session(ttl = "15m")]
    credit: u64,
}

/// What each test serves: one handler under `/`, and one that shows the session.
macro_rules! site {
    ($store:expr, $handler:expr) => {{
        let sessions = SessionMiddleware::builder($store)
            .cookie_secure(false)
            .build()
            .expect("valid settings");
        Client::new(serve!(
            App::new()
                .route("/", web::get().to($handler))
                .route("/begin", web::get().to(begin))
                .route("/show", web::get().to(show))
                .wrap(sessions.clone())
        ))
    }};
}

async fn begin(mut session: TypedSession<Visitor>) -> &'static str {
    session.set_name("ann".to_owned());
    session.cart_mut().push("old".to_owned());
    session.set_user(Some(7));
    session.set_credit(100);
    "begun"
}

async fn show(session: TypedSession<Visitor>) -> String {
    let tags: Vec<_> = session.tags.iter().map(String::as_str).collect();
    format!("{} {} {} {}", session.views, session.name, session.cart.join("+"), tags.join("+"))
}

/// A `save` whose future is dropped while its call is being made.
async fn abandon(save: impl Future<Output = Result<(), SessionError>>) {
    let result = actix_web::rt::time::timeout(Duration::from_millis(20), save).await;
    assert!(result.is_err(), "the call takes longer");
}

fn slow_store(operation: Operation) -> FaultyStore<MemoryStore> {
    let store = FaultyStore::new(MemoryStore::new());
    store.inject(operation, Fault::Delay(Duration::from_millis(200)));
    store
}

#[actix_web::test]
async fn sessions_read_and_write_values_with_a_ttl_as_requests_do() {
    let clock = FakeClock::default();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let sessions =
        SessionMiddleware::builder(store.clone()).clock(clock.clone()).build().expect("valid");
    let mut ann = Client::new(serve!(
        App::new()
            .route("/begin", web::get().to(begin))
            .route(
                "/credit",
                web::get()
                    .to(async |session: TypedSession<Visitor>| { session.credit.to_string() })
            )
            .wrap(sessions.clone())
    ));
    ann.get("/begin").await;
    let stored = Sessions::<Visitor>::new(store).clock(clock.clone());
    let of_user_7 = Visitor::by_user(&Some(7));
    let page = stored.list(&of_user_7, None, 10).await.expect("a page");
    assert_eq!(page.sessions[0].credit, 100);
    assert_eq!(page.sessions[0].name, "ann", "the struct is not fresh");
    let id = page.sessions[0].public_id();
    let changed = stored.update(&of_user_7, id, |visitor| visitor.credit += 5).await;
    assert!(matches!(changed, Ok(Some(()))));
    assert_eq!(ann.get("/credit").await.body, "105");
    clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(ann.get("/credit").await.body, "0", "what was written from outside ends too");
    let session = stored.get(&of_user_7, id).await.expect("an answer").expect("it is there");
    assert_eq!(session.credit, 0);
}

#[actix_web::test]
async fn a_change_that_is_undone_while_it_is_saved_is_undone() {
    let store = slow_store(Operation::Update);
    let mut ann = site!(store.clone(), async |mut session: TypedSession<Visitor>| {
        session.set_views(session.views + 5);
        session.set_name("eve".to_owned());
        abandon(session.save()).await;
        session.set_views(session.views - 5);
        session.set_name("ann".to_owned());
        format!("{} {}", session.views, session.name)
    });
    ann.get("/begin").await;
    assert_eq!(ann.get("/").await.body, "0 ann");
    assert_eq!(ann.get("/show").await.body, "0 ann old ");
    assert_eq!(store.calls(Operation::Update), 2, "the second call undoes the first");
}

#[actix_web::test]
async fn a_change_of_a_save_that_failed_is_undone_without_a_call() {
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.clone();
    let mut ann = site!(store.clone(), {
        let faults = faults.clone();
        move |mut session: TypedSession<Visitor>| {
            let faults = faults.clone();
            async move {
                faults.inject(Operation::Update, Fault::ErrorBefore);
                session.set_views(session.views + 5);
                assert!(session.save().await.is_err());
                faults.heal();
                session.set_views(session.views - 5);
                session.views.to_string()
            }
        }
    });
    ann.get("/begin").await;
    let before = store.calls(Operation::Update);
    assert_eq!(ann.get("/").await.body, "0");
    assert_eq!(store.calls(Operation::Update), before + 1, "the failed one only");
}

#[actix_web::test]
async fn a_session_that_began_in_an_abandoned_save_can_be_destroyed() {
    let store = slow_store(Operation::Create);
    let mut ann = site!(store.clone(), async |mut session: TypedSession<Visitor>| {
        session.destroy();
        session.set_name("eve".to_owned());
        abandon(session.save()).await;
        session.destroy();
        "destroyed"
    });
    ann.get("/begin").await;
    let response = ann.get("/").await;
    assert_eq!(response.body, "destroyed");
    assert!(response.removes_cookie());
    assert_eq!(store.inner().len(), 0, "neither session is left");
}

#[actix_web::test]
async fn a_logout_after_a_save_that_found_the_session_gone_ends_the_renewed_session() {
    let gate = Gate::default();
    let data = gate.clone();
    let store = MemoryStore::new();
    let sessions = SessionMiddleware::new(store.clone());
    let mut ann = Client::new(serve!({
        let gate = data.clone();
        App::new()
            .route("/begin", web::get().to(begin))
            .route("/show", web::get().to(show))
            .route(
                "/renew",
                web::get().to(async |mut session: SessionHandle| {
                    session.renew();
                    "renewed"
                }),
            )
            .route(
                "/logout",
                web::get().to(move |mut session: TypedSession<Visitor>| {
                    let gate = gate.clone();
                    async move {
                        gate.pass().await;
                        session.set_name("late".to_owned());
                        let saved = session.save().await;
                        session.destroy();
                        format!("{:?}", saved.is_ok())
                    }
                }),
            )
            .wrap(sessions.clone())
    }));
    ann.get("/begin").await;
    let mut slow = ann.clone();
    let logout = actix_web::rt::spawn(async move { slow.get("/logout").await });
    gate.arrival().await;
    assert_eq!(ann.get("/renew").await.body, "renewed");
    gate.open();
    assert_eq!(logout.await.expect("an answer").body, "false", "the save says so");
    assert_eq!(ann.get("/show").await.body, "0   ", "the renewed session has ended too");
}

#[actix_web::test]
async fn a_struct_extracted_before_a_destroy_writes_no_old_data() {
    let mut ann = site!(
        MemoryStore::new(),
        async |mut visitor: TypedSession<Visitor>, mut handle: SessionHandle| {
            handle.destroy();
            visitor.cart_mut().push("new".to_owned());
            visitor.cart.join("+")
        }
    );
    ann.get("/begin").await;
    assert_eq!(ann.get("/").await.body, "new");
    assert_eq!(ann.get("/show").await.body, "0  new ");
}

#[actix_web::test]
async fn a_struct_extracted_before_a_reload_or_regenerate_writes_no_old_data() {
    let mut ann = site!(
        MemoryStore::new(),
        async |mut visitor: TypedSession<Visitor>, mut handle: SessionHandle| {
            visitor.cart_mut().push("dropped".to_owned());
            handle.reload().await.expect("the session is there");
            visitor.cart_mut().push("kept".to_owned());
            let reloaded = visitor.cart.join("+");
            handle.regenerate();
            visitor.cart_mut().push("new".to_owned());
            format!("{reloaded} {}", visitor.cart.join("+"))
        }
    );
    ann.get("/begin").await;
    assert_eq!(ann.get("/").await.body, "old+kept new");
    assert_eq!(ann.get("/show").await.body, "0  new ");
}

#[actix_web::test]
async fn two_live_extractors_of_one_request_keep_what_both_add() {
    let mut ann = site!(
        MemoryStore::new(),
        async |mut one: TypedSession<Visitor>, mut other: TypedSession<Visitor>| {
            one.tags_mut().insert("a".to_owned());
            other.tags_mut().insert("b".to_owned());
            one.cart_mut().push("x".to_owned());
            other.modify(|visitor| visitor.cart.push("y".to_owned()));
            one.set_views(one.views + 1);
            other.set_views(other.views + 1);
            "added"
        }
    );
    ann.get("/begin").await;
    ann.get("/").await;
    assert_eq!(ann.get("/show").await.body, "2 ann old+x+y a+b");
}

#[actix_web::test]
async fn a_good_value_after_one_that_cannot_be_stored_is_saved() {
    let mut ann = site!(MemoryStore::new(), async |mut session: TypedSession<Visitor>| {
        session.set_name("eve".to_owned());
        session.set_score(f64::NAN);
        assert!(matches!(session.save().await, Err(SessionError::Encode { field: "score", .. })));
        session.set_score(1.5);
        assert!(session.save().await.is_ok(), "a good value takes its place");
        session.set_score(f64::INFINITY);
        session.reload().await.expect("the session is there");
        session.set_views(1);
        assert!(session.save().await.is_ok(), "the bad value was dropped");
        "saved"
    });
    ann.get("/begin").await;
    assert_eq!(ann.get("/").await.text(), "200 saved");
    assert_eq!(ann.get("/show").await.body, "1 eve old ");
}

/// Results that come after the response.
#[derive(Clone, Default)]
struct Late(Rc<RefCell<Vec<String>>>);

impl Late {
    /// Runs after the gate, which the test opens when it has the response.
    fn spawn(&self, gate: &Gate, task: impl Future<Output = String> + 'static) {
        let (results, gate) = (Rc::clone(&self.0), gate.clone());
        actix_web::rt::spawn(async move {
            gate.pass().await;
            let result = task.await;
            results.borrow_mut().push(result);
            gate.pass().await;
        });
    }
}

/// An answer that is wanted from a save after the response.
async fn saved(session: &mut TypedSession<Visitor>, name: &str) -> String {
    session.set_name(name.to_owned());
    match session.save().await {
        Ok(()) => "saved".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn fails_afterwards(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    match response.request().path() {
        "/fails" => Err(ErrorBadRequest("after the handler")),
        _ => Ok(response),
    }
}

/// A browser of a site whose handlers write, and save once more after the response.
macro_rules! late_site {
    ($gate:expr, $task:expr) => {{
        let gate = $gate.clone();
        let inner = SessionMiddleware::builder(MemoryStore::new())
            .cookie_name("session")
            .cookie_secure(false)
            .build()
            .expect("valid settings");
        let outer = SessionMiddleware::builder(MemoryStore::new())
            .cookie_name("outer")
            .cookie_secure(false)
            .build()
            .expect("valid settings");
        Client::new(serve!({
            let late = {
                let gate = gate.clone();
                move |mut session: TypedSession<Visitor>| {
                    let gate = gate.clone();
                    async move {
                        session.set_views(session.views + 1);
                        Late::default().spawn(&gate, async move { $task(&mut session).await });
                        HttpResponse::Ok().body("answered")
                    }
                }
            };
            App::new()
                .route("/", web::get().to(late.clone()))
                .route("/fails", web::get().to(late))
                .route("/begin", web::get().to(begin))
                .route("/show", web::get().to(show))
                .wrap(from_fn(fails_afterwards))
                .wrap(inner.clone())
                .wrap(outer.clone())
        }))
    }};
}

#[actix_web::test]
async fn a_save_after_the_response_works_in_every_arrangement_of_middlewares() {
    for path in ["/", "/fails"] {
        let gate = Gate::default();
        let mut ann = late_site!(gate, async |session: &mut TypedSession<Visitor>| {
            saved(session, "late").await
        });
        ann.get("/begin").await;
        ann.get(path).await;
        gate.arrival().await;
        gate.open();
        gate.arrival().await;
        assert!(ann.get("/show").await.body.contains(" late "), "{path}");
    }
}

#[actix_web::test]
async fn a_late_renewal_is_an_error_and_does_not_block_later_saves() {
    let gate = Gate::default();
    let mut ann = late_site!(gate, async |session: &mut TypedSession<Visitor>| {
        session.renew();
        assert!(matches!(session.save().await, Err(SessionError::ResponseSent)));
        saved(session, "late").await
    });
    ann.get("/begin").await;
    ann.get("/").await;
    gate.arrival().await;
    gate.open();
    gate.arrival().await;
    assert!(ann.get("/show").await.body.contains(" late "));
}
