//! Session fixation (OWASP ASVS 5.0, 7.2.4): an attacker plants an id, and the victim logs in with
//! it in every possible way. The planted id must be worth nothing then.

use std::{collections::BTreeSet, time::Duration};

use actix_typed_session::{
    FakeClock, FileStore, MemoryStore, Session, SessionError, SessionHandle, SessionId,
    SessionMiddleware, SessionMiddlewareBuilder, TypedSession, store::SessionStore,
};
use actix_typed_session_tests::{Client, Gate, Response, Site};
use actix_web::{Error, FromRequest as _, HttpRequest, HttpResponse, http::StatusCode, web};

const GRACE: Duration = Duration::from_secs(10);

#[derive(Session)]
struct Rights {
    name: String,
    #[session(merge = "max")]
    best: u64,
    #[session(privilege)]
    user: Option<u64>,
    #[session(privilege, merge = "add")]
    level: i64,
    #[session(privilege, merge = "union", alias = "old_roles")]
    roles: BTreeSet<String>,
    /// For this request only.
    #[session(skip)]
    note: String,
}

/// Shares a field with [`Rights`], but does not declare it as a privilege.
#[derive(Session)]
struct Account {
    user: Option<u64>,
}

/// An older release's name of a privilege.
#[derive(Session)]
struct OldRoles {
    old_roles: BTreeSet<String>,
}

fn show(rights: &Rights) -> String {
    let roles: Vec<_> = rights.roles.iter().map(String::as_str).collect();
    format!(
        "{}{} best={} user={} level={} roles={}",
        rights.name,
        rights.note,
        rights.best,
        rights.user.unwrap_or_default(),
        rights.level,
        roles.join("+"),
    )
}

async fn act(
    steps: web::Path<String>,
    mut session: TypedSession<Rights>,
    request: HttpRequest,
    gate: web::Data<Gate>,
) -> Result<HttpResponse, SessionError> {
    let mut status = StatusCode::OK;
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        let number = || value.parse::<u64>().ok();
        match verb {
            "read" => {}
            "name" => session.set_name(value.to_owned()),
            "best" => session.set_best(number().expect("a number")),
            "user" => session.set_user(number()),
            "modify" => session.modify(|rights| rights.user = number()),
            "edit" => *session.user_mut() = number(),
            "leave" => drop(session.take_user()),
            "level" => session.add_level(value.parse().expect("a number")),
            "set_level" => session.set_level(value.parse().expect("a number")),
            "role" => drop(session.roles_mut().insert(value.to_owned())),
            "unrole" => drop(session.roles_mut().remove(value)),
            "account" => {
                TypedSession::<Account>::extract(&request).await?.set_user(number());
            }
            "renew" => session.renew(),
            "regenerate" => session.regenerate(),
            "touch" => session.touch(),
            "destroy" => session.destroy(),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "handle_save" => SessionHandle::extract(&request).await?.save().await?,
            "handle_renew" => SessionHandle::extract(&request).await?.renew(),
            "handle_regenerate" => SessionHandle::extract(&request).await?.regenerate(),
            "gate" => gate.pass().await,
            "status" => status = value.parse().expect("a status"),
            other => panic!("the site does not know the step `{other}`"),
        }
    }
    Ok(HttpResponse::build(status).body(show(&session)))
}

/// Writes, and saves once the head is sent.
async fn stream(user: web::Path<u64>, mut session: TypedSession<Rights>) -> HttpResponse {
    HttpResponse::Ok().streaming(Box::pin(futures_util::stream::once(async move {
        session.set_user(Some(*user));
        session.set_name("streamed".to_owned());
        let line = match session.save().await {
            Ok(()) => "saved",
            Err(SessionError::ResponseSent) => "too late",
            Err(_) => "failed",
        };
        Ok::<_, Error>(web::Bytes::from_static(line.as_bytes()))
    })))
}

/// Saves, and goes on once the head is sent.
async fn save_and_stream(user: web::Path<u64>, mut session: TypedSession<Rights>) -> HttpResponse {
    session.set_user(Some(*user));
    session.save().await.expect("the store works");
    HttpResponse::Ok().streaming(Box::pin(futures_util::stream::once(async move {
        session.set_name("streamed".to_owned());
        session.save().await.expect("no new id is needed");
        Ok::<_, Error>(web::Bytes::from(show(&session)))
    })))
}

fn site(
    store: impl SessionStore,
    clock: FakeClock,
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> Site<()> {
    Site::unwatched(SessionMiddleware::builder(store))
        .clock(clock)
        .settings(|it| settings(it.renewal_grace(GRACE)))
        .route("/do/{steps}", act)
        .route("/stream/{user}", stream)
        .route("/save/{user}", save_and_stream)
        .route(
            "/account/{user}",
            async |user: web::Path<u64>, mut session: TypedSession<Account>| {
                session.set_user(Some(*user));
                "ok"
            },
        )
        .route(
            "/old_roles/{role}",
            async |role: web::Path<String>, mut session: TypedSession<OldRoles>| {
                session.old_roles_mut().insert(role.into_inner());
                "ok"
            },
        )
        .start()
}

fn in_memory() -> Site<()> {
    let clock = FakeClock::default();
    site(MemoryStore::builder().clock(clock.clone()).build(), clock, |it| it)
}

fn in_files(folder: &tempfile::TempDir) -> Site<()> {
    let clock = FakeClock::default();
    let store = FileStore::builder(folder.path()).clock(clock.clone()).build();
    site(store.expect("a file store"), clock, |it| it)
}

/// Tries everything with an old id: at once, and when the grace period is over.
async fn attack(site: &Site<()>, planted: &Client, victim: &mut Client, login: &str) {
    const ATTEMPTS: [&str; 22] = [
        "/do/read",
        "/do/name=eve",
        "/do/best=99",
        "/do/user=9",
        "/do/modify=9",
        "/do/edit=9",
        "/do/level=9",
        "/do/role=eve",
        "/do/account=9",
        "/do/name=eve,save",
        "/do/user=9,handle_save",
        "/do/renew",
        "/do/handle_renew",
        "/do/reload,read",
        "/do/touch",
        "/do/regenerate,name=eve",
        "/do/status=500",
        "/account/9",
        "/old_roles/eve",
        "/stream/9",
        "/do/destroy",
        "/do/read",
    ];
    assert_ne!(planted.cookies, victim.cookies, "{login}: the login makes a new id");
    let before = victim.act("read").await.text();
    for attempt in ATTEMPTS {
        let mut attacker = planted.clone();
        let response = attacker.get(attempt).await;
        assert_useless(&response, &format!("{login} against {attempt}"));
        assert_ne!(attacker.cookies, victim.cookies, "{login} against {attempt}");
    }
    assert_eq!(victim.act("read").await.text(), before, "{login}");
    site.clock().advance(GRACE);
    for attempt in ATTEMPTS {
        let mut attacker = planted.clone();
        let response = attacker.get(attempt).await;
        assert_useless(&response, &format!("{login} against a late {attempt}"));
        assert_ne!(attacker.cookies, victim.cookies, "{login} against a late {attempt}");
        assert_ne!(attacker.cookies, planted.cookies, "the old id is unknown");
    }
    let response = victim.act("read").await;
    assert_eq!(response.text(), before, "{login}");
    assert_eq!(response.set_cookie(), None, "{login}: the session is live under its id");
}

fn assert_useless(response: &Response, what: &str) {
    assert!([200, 409, 500].contains(&response.status), "{what}: {response:?}");
    for secret in ["ann", "user=7", "admin", "level=7"] {
        assert!(!response.body.contains(secret), "{what}: {response:?}");
    }
}

const LOGINS: [(&str, &str); 34] = [
    ("/do/user=7", "ann best=1 user=7 level=0 roles="),
    ("/do/name=ann,user=7,best=2", "ann best=2 user=7 level=0 roles="),
    ("/do/user=1,user=7", "ann best=1 user=7 level=0 roles="),
    ("/do/modify=7", "ann best=1 user=7 level=0 roles="),
    ("/do/edit=7", "ann best=1 user=7 level=0 roles="),
    ("/do/level=7", "ann best=1 user=0 level=7 roles="),
    ("/do/set_level=7", "ann best=1 user=0 level=7 roles="),
    ("/do/level=8,level=-1", "ann best=1 user=0 level=7 roles="),
    ("/do/role=admin", "ann best=1 user=0 level=0 roles=admin"),
    ("/do/role=x,role=admin,unrole=x", "ann best=1 user=0 level=0 roles=admin"),
    ("/do/user=7,status=404", "ann best=1 user=7 level=0 roles="),
    ("/do/user=7,save", "ann best=1 user=7 level=0 roles="),
    ("/do/save,user=7", "ann best=1 user=7 level=0 roles="),
    ("/do/name=x,save,name=ann,user=7", "ann best=1 user=7 level=0 roles="),
    ("/do/user=1,save,user=7,save", "ann best=1 user=7 level=0 roles="),
    ("/do/user=7,save,status=500", "ann best=1 user=7 level=0 roles="),
    ("/do/user=7,save,reload,name=ann", "ann best=1 user=7 level=0 roles="),
    ("/do/user=7,handle_save", "ann best=1 user=7 level=0 roles="),
    ("/do/user=7,handle_renew", "ann best=1 user=7 level=0 roles="),
    ("/do/handle_renew,user=7", "ann best=1 user=7 level=0 roles="),
    ("/do/renew,level=7,save", "ann best=1 user=0 level=7 roles="),
    ("/do/regenerate,user=7", " best=0 user=7 level=0 roles="),
    // The struct was read before, and shows the new session as soon as a field is changed.
    ("/do/handle_regenerate,user=7,save", " best=0 user=7 level=0 roles="),
    ("/do/user=7,touch", "ann best=1 user=7 level=0 roles="),
    // Another struct's field of the same name, which is not declared as a privilege.
    ("/do/account=7", "ann best=1 user=0 level=0 roles="),
    ("/do/account=7,save", "ann best=1 user=0 level=0 roles="),
    ("/do/user=1,account=7", "ann best=1 user=1 level=0 roles="),
    ("/do/account=7,user=7", "ann best=1 user=7 level=0 roles="),
    ("/account/7", "ok"),
    // What is read as a privilege when its new name is absent.
    ("/old_roles/admin", "ok"),
    ("/save/7", "streamed best=1 user=7 level=0 roles="),
    ("/do/user=7,save,leave,save,user=7", "ann best=1 user=7 level=0 roles="),
    ("/do/role=admin,reload,user=7", "ann best=1 user=7 level=0 roles="),
    ("/do/user=7,level=7,role=admin", "ann best=1 user=7 level=7 roles=admin"),
];

async fn no_login_leaves_a_planted_id_of_use(site: Site<()>) {
    for (login, expected) in LOGINS {
        let planted = site.visitor("name=ann,best=1").await;
        let mut victim = planted.clone();
        let response = victim.get(login).await;
        assert_eq!(response.body, expected, "{login}");
        attack(&site, &planted, &mut victim, login).await;
    }
}

#[actix_web::test]
async fn no_login_leaves_a_planted_id_of_use_in_memory() {
    no_login_leaves_a_planted_id_of_use(in_memory()).await;
}

#[actix_web::test]
async fn no_login_leaves_a_planted_id_of_use_in_files() {
    let folder = tempfile::tempdir().expect("a folder");
    no_login_leaves_a_planted_id_of_use(in_files(&folder)).await;
}

#[actix_web::test]
async fn a_login_that_is_merged_with_the_attackers_changes_leaves_no_id_of_use() {
    let site = in_memory();
    for (login, theirs, expected) in [
        ("best=5,user=7", "best=9", "ann best=9 user=7 level=0 roles="),
        ("role=admin", "best=9", "ann best=9 user=0 level=0 roles=admin"),
        ("best=5,level=7,save", "name=bob,best=9", "bob best=9 user=0 level=7 roles="),
        ("best=5,account=7", "best=9", "ann best=9 user=7 level=0 roles="),
    ] {
        let planted = site.visitor("name=ann,best=1").await;
        let steps = format!("gate,{login}");
        let request = site.held(&planted, &steps).await;
        assert_eq!(planted.clone().act(theirs).await.set_cookie(), None);
        let (response, mut victim) = site.release_both(request).await;
        assert_eq!(response.status, 200, "{login}");
        assert_eq!(victim.act("read").await.body, expected, "{login}");
        attack(&site, &planted, &mut victim, login).await;
    }
}

#[actix_web::test]
async fn a_login_after_the_head_was_sent_fails_and_stores_nothing() {
    let site = in_memory();
    let mut planted = site.visitor("name=ann,best=1").await;
    let response = planted.clone().get("/stream/7").await;
    assert_eq!((response.body.as_str(), response.set_cookie()), ("too late", None));
    assert_eq!(planted.act("read").await.body, "ann best=1 user=0 level=0 roles=");
}

/// A mistake of the application that the library catches: an attacker who can choose a visitor's id
/// has planted it.
#[actix_web::test]
async fn a_generator_that_returns_what_the_client_presents_plants_no_id() {
    let clock = FakeClock::default();
    let folder = tempfile::tempdir().expect("a folder");
    let files = FileStore::builder(folder.path()).clock(clock.clone()).build();
    let memory = MemoryStore::builder().clock(clock.clone()).build();
    let adopting = |builder: SessionMiddlewareBuilder| {
        builder.id_generator(|request: &HttpRequest| {
            let cookie = request.headers().get("cookie").and_then(|it| it.to_str().ok());
            let presented = cookie.and_then(|it| it.strip_prefix("__Host-session="));
            presented.and_then(|id| SessionId::new(id).ok()).unwrap_or_else(SessionId::random)
        })
    };
    for site in [
        site(memory, clock.clone(), adopting),
        site(files.expect("a file store"), clock.clone(), adopting),
    ] {
        for (begin, login) in [
            // An unknown id.
            ("", "user=7"),
            ("", "name=ann,user=7,save"),
            ("", "regenerate,user=7"),
            // A live one.
            ("name=mallory", "user=7"),
            ("name=mallory", "user=7,save"),
            ("name=mallory", "renew,user=7"),
            ("name=mallory", "regenerate,user=7"),
            ("name=mallory", "destroy,user=7"),
            ("name=mallory", "destroy,save,user=7"),
            // One that has ended.
            ("name=mallory;destroy", "user=7"),
            ("name=mallory;renew", "regenerate,user=7"),
        ] {
            let mut attacker = site.client();
            let id = SessionId::random();
            attacker.cookies.insert("__Host-session".to_owned(), id.as_str().to_owned());
            let mut ended = None;
            if !begin.is_empty() {
                attacker.cookies.clear();
                for steps in begin.split(';') {
                    ended = Some(attacker.clone()).filter(|it| !it.cookies.is_empty());
                    attacker.act(steps).await;
                }
            }
            let attacker = ended.unwrap_or(attacker);
            let mut victim = attacker.clone();
            let response = victim.act(login).await;
            assert!([200, 500].contains(&response.status), "{begin} {login}: {response:?}");
            let response = attacker.clone().act("read").await;
            assert!(!response.body.contains("user=7"), "{begin} {login}: {response:?}");
            let is_out = !login.starts_with("destroy") || !response.body.contains("mallory");
            assert!(
                is_out,
                "{begin} {login}: the logout is carried out all the same: {response:?}"
            );
        }
    }
}

#[actix_web::test]
async fn rights_that_are_lost_renew_the_id_as_well() {
    let site = in_memory();
    for logout in ["leave", "user=", "modify=", "edit=", "account=", "leave,save", "level=-7"] {
        let mut victim = site.visitor("name=ann,user=7,level=7").await;
        let before = victim.clone();
        victim.act(logout).await;
        attack(&site, &before, &mut victim, logout).await;
    }
}

#[actix_web::test]
async fn what_changes_no_right_keeps_the_id() {
    let site = in_memory();
    let mut browser = site.visitor("name=ann,user=7,level=7,role=admin").await;
    let cookies = browser.cookies.clone();
    for steps in [
        "user=7",
        "user=8,user=7",
        "leave,user=7",
        "modify=8,modify=7",
        "edit=8,edit=7",
        "account=8,account=7",
        "level=1,level=-1",
        "set_level=7",
        "unrole=admin,role=admin",
        "role=admin",
        "user=8,reload",
        "name=bob,best=3",
        "name=ann",
    ] {
        browser.act(steps).await;
        assert_eq!(browser.cookies, cookies, "{steps}");
    }
    let now = browser.act("read").await;
    assert_eq!(now.body, "ann best=3 user=7 level=7 roles=admin");
}

#[actix_web::test]
async fn a_login_that_ends_in_a_server_error_is_none() {
    let site = in_memory();
    let mut browser = site.visitor("name=ann,best=1").await;
    let cookies = browser.cookies.clone();
    for login in ["user=7", "level=7", "role=admin", "account=7", "user=7,handle_renew", "modify=7"]
    {
        let response = browser.act(&format!("{login},status=503")).await;
        assert_eq!(response.set_cookie(), None, "{login}");
        assert_eq!(browser.act("read").await.body, "ann best=1 user=0 level=0 roles=", "{login}");
    }
    assert_eq!(browser.cookies, cookies);
}

#[actix_web::test]
async fn a_slow_request_of_the_attacker_changes_nothing_after_the_login() {
    let site = in_memory();
    for steps in [
        "name=eve",
        "user=9",
        "role=eve",
        "best=99",
        "account=9",
        "renew",
        "touch",
        "destroy",
        "regenerate",
        "name=eve,save",
    ] {
        let planted = site.visitor("name=ann,best=1").await;
        let path = format!("gate,{steps}");
        let request = site.held(&planted, &path).await;
        let mut victim = planted.clone();
        victim.act("user=7").await;
        let (response, mut attacker) = site.release_both(request).await;
        let issued = response.set_cookie().filter(|_| !response.removes_cookie());
        let logs_in = ["user=9", "role=eve", "account=9"].contains(&steps);
        assert_eq!(issued.is_some(), logs_in, "{steps}");
        if logs_in {
            let own = attacker.act("read").await.body;
            assert!(own.starts_with(" best=0"), "nothing of the victim's session: {own}");
            assert!(!own.contains("user=7"), "{own}");
        }
        let now = victim.act("read").await;
        assert_eq!(now.body, "ann best=1 user=7 level=0 roles=", "{steps}");
        attack(&site, &planted, &mut victim, steps).await;
    }
}

#[actix_web::test]
async fn a_privilege_renews_the_id_under_whatever_name_it_is_stored() {
    #[derive(Session)]
    struct Renamed {
        #[session(privilege, rename = "u")]
        user: u64,
    }
    #[derive(Session)]
    #[session(namespace = "shop")]
    struct Shop {
        #[session(privilege)]
        user: u64,
        #[session(privilege, rename = "r")]
        role: u64,
    }
    let site = Site::in_memory()
        .route("/renamed", async |mut session: TypedSession<Renamed>| {
            session.set_user(session.user + 1);
            "ok"
        })
        .route("/in_namespace", async |mut session: TypedSession<Shop>| {
            session.set_user(session.user + 1);
            "ok"
        })
        .route("/renamed_in_namespace", async |mut session: TypedSession<Shop>| {
            session.set_role(session.role + 1);
            "ok"
        })
        .start();
    let mut browser = site.client();
    browser.get("/renamed").await;
    for path in ["/renamed", "/in_namespace", "/renamed_in_namespace"] {
        let planted = browser.cookie().to_owned();
        browser.get(path).await;
        assert_ne!(browser.cookie(), planted, "{path}");
    }
}

#[actix_web::test]
async fn a_login_through_another_struct_right_after_a_restart_renews_the_id() {
    async fn log_in(mut account: TypedSession<Account>) -> &'static str {
        account.set_user(Some(7));
        "ok"
    }
    async fn begin(mut session: TypedSession<Other>) -> &'static str {
        session.set_theme("dark".to_owned());
        "ok"
    }
    #[derive(Session)]
    struct Other {
        theme: String,
    }
    let before = Site::in_memory().route("/begin", begin).route("/log_in", log_in).start();
    let mut planted = before.client();
    planted.post("/begin").await;
    let after = before.beside(|builder| builder.session::<Rights>());
    let mut victim = Client::new(after.address);
    victim.cookies = planted.cookies.clone();
    assert!(victim.post("/log_in").await.set_cookie().is_some());
    assert_ne!(victim.cookies, planted.cookies);
}

#[test]
fn a_struct_of_another_cookie_is_refused_at_the_start() {
    #[derive(Session)]
    #[session(cookie = "admin")]
    struct Admin {
        #[session(privilege)]
        level: u64,
    }
    let builder = || SessionMiddleware::builder(MemoryStore::new());
    let error = builder().session::<Admin>().build().map(drop).expect_err("the cookie is another");
    assert_eq!(
        error.to_string(),
        "`Admin` uses the session cookie `admin`, but this middleware's is `__Host-session`; give \
         the struct to the middleware whose cookie it names",
    );
    assert!(builder().session::<Admin>().cookie_name("__Host-admin").build().is_ok());
    assert!(builder().session::<Rights>().session::<Account>().build().is_ok());
}
