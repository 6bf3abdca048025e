//! From actix-session 0.11, on an application that really runs.

use std::{net::SocketAddr, time::Duration};

use actix_identity::{Identity, IdentityMiddleware};
use actix_session::{
    Session as OldSession, SessionMiddleware as OldMiddleware,
    config::CookieContentSecurity,
    storage::{CookieSessionStore, RedisSessionStore, SessionStore},
};
use actix_typed_session::{
    Clock as _, MemoryStore, RedisStore, Session, SessionMiddleware, SystemClock, TypedSession,
    import::{ActixSession, ForeignCookie, ForeignRedis, ForeignStore, Importer},
};
use actix_typed_session_tests::{
    Client, Site, serve,
    servers::{RedisServer, Server},
};
use actix_web::{App, HttpMessage as _, HttpRequest, cookie::Key, web};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3_600);
/// The key of the old site.
const KEY: [u8; 64] = [7; 64];

#[derive(Session)]
struct Visitor {
    #[session(privilege, alias = "actix_identity.user_id")]
    user: Option<String>,
    #[session(alias = "actix_identity.logged_in_at")]
    since: Option<u64>,
    views: u64,
    cart: Vec<Item>,
    limit: Option<i128>,
    /// The other program has stored a text.
    wrong: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    article: String,
    count: u32,
}

async fn log_in(request: HttpRequest, session: OldSession) -> actix_web::Result<&'static str> {
    Identity::login(&request.extensions(), "Änn \"7\"".to_owned())?;
    session.insert("views", 3)?;
    session.insert("cart", [Item { article: "tea".to_owned(), count: 2 }])?;
    session.insert("limit", i128::MIN)?;
    session.insert("wrong", "seven")?;
    Ok("logged in")
}

async fn old_me(user: Option<Identity>) -> actix_web::Result<String> {
    Ok(format!("{:?}", user.map(|user| user.id()).transpose()?))
}

/// How the old site protects its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cookies {
    Private,
    Signed,
}

/// The old site.
fn old<S: SessionStore + 'static>(
    store: impl Fn() -> S + Clone + Send + Sync + 'static,
    cookies: Cookies,
) -> SocketAddr {
    serve!({
        let security = match cookies {
            Cookies::Private => CookieContentSecurity::Private,
            Cookies::Signed => CookieContentSecurity::Signed,
        };
        let middleware = OldMiddleware::builder(store(), Key::from(&KEY))
            .cookie_content_security(security)
            .build();
        App::new()
            .wrap(IdentityMiddleware::builder().login_deadline(Some(HOUR)).build())
            .wrap(middleware)
            .route("/login", web::get().to(log_in))
            .route("/me", web::get().to(old_me))
    })
}

async fn read(visitor: TypedSession<Visitor>) -> String {
    let Visitor { user, since, views, cart, limit, wrong } = &*visitor;
    let now = SystemClock.now().as_unix_ms() / 1_000;
    let is_recent = since.is_some_and(|since| since.abs_diff(now) < 60);
    format!("{user:?} {is_recent} {views} {cart:?} {limit:?} {wrong}")
}

async fn view(mut visitor: TypedSession<Visitor>) -> String {
    visitor.set_views(visitor.views + 1);
    visitor.views.to_string()
}

fn site(old: impl Importer) -> Site<()> {
    let settings = SessionMiddleware::builder(MemoryStore::new()).import(old);
    Site::unwatched(settings).route("/read", read).route("/view", view).start()
}

/// The importer, for cookies of this kind.
fn importer<S: ForeignStore>(importer: ActixSession<S>, cookies: Cookies) -> ActixSession<S> {
    match cookies {
        Cookies::Private => importer,
        Cookies::Signed => importer.signed(),
    }
}

const ANN: &str = r#"200 Some("Änn \"7\"") true 3 "#;
const REST: &str = "[Item { article: \"tea\", count: 2 }] \
                    Some(-170141183460469231731687303715884105728) 0";

/// A visitor who has logged in at the old site.
async fn logged_in(old: SocketAddr, new: &Site<()>) -> Client {
    let mut ann = Client::new(old);
    assert_eq!(ann.get("/login").await.text(), "200 logged in");
    assert!(ann.get("/me").await.text().contains("Änn"));
    Client { address: new.address, ..ann }
}

async fn goes_on(old: SocketAddr, new: &Site<()>) -> Client {
    let before = logged_in(old, new).await;
    let mut ann = before.clone();
    assert_eq!(ann.get("/read").await.text(), format!("{ANN}{REST}"));
    assert_eq!(ann.cookies.keys().collect::<Vec<_>>(), ["__Host-session"]);
    assert_eq!(ann.get("/view").await.text(), "200 4");
    Client { address: old, ..before }
}

#[actix_web::test]
async fn sessions_in_cookies_go_on() {
    for cookies in [Cookies::Private, Cookies::Signed] {
        let old = old(CookieSessionStore::default, cookies);
        let of_site = ActixSession::in_cookie([[9; 64], KEY]).expect("keys");
        goes_on(old, &site(importer(of_site, cookies))).await;
    }
}

#[actix_web::test]
async fn sessions_in_redis_go_on() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisSessionStore::new(redis.url()).await.expect("Redis");
    for cookies in [Cookies::Private, Cookies::Signed] {
        let store = store.clone();
        let old = old(move || store.clone(), cookies);
        let server = || RedisStore::new(&redis.url()).expect("a good URL");
        let of_site = || {
            let redis = ForeignRedis::new(server(), "");
            importer(ActixSession::new(redis, [Key::from(&KEY).master()]).expect("a key"), cookies)
        };
        let mut at_old = goes_on(old, &site(of_site())).await;
        assert_eq!(at_old.get("/me").await.text(), "200 None", "the old session is gone");

        let kept = site(of_site().keep_old());
        let before = logged_in(old, &kept).await;
        let mut ann = before.clone();
        assert!(ann.get("/read").await.text().starts_with(ANN));
        assert_eq!(ann.cookies.len(), 2);
        let mut at_old = Client { address: old, ..before };
        assert!(at_old.get("/me").await.text().contains("Änn"), "the site can go back");
    }
}

#[actix_web::test]
async fn a_cookie_of_another_key_name_or_kind_is_a_new_visitor() {
    let of_site = |key| ActixSession::in_cookie([key]).expect("a key");
    for cookies in [Cookies::Private, Cookies::Signed] {
        let old = old(CookieSessionStore::default, cookies);
        let other_kind = match cookies {
            Cookies::Private => of_site(KEY).signed(),
            Cookies::Signed => of_site(KEY),
        };
        for new in [site(importer(of_site([9; 64]), cookies)), site(other_kind)] {
            let mut ann = logged_in(old, &new).await;
            let response = ann.get("/read").await;
            assert!(response.text().starts_with("200 None false 0 []"), "{response:?}");
            assert_eq!(response.set_cookie(), None, "it may be another program's");
        }
        // Its name is part of what is encrypted.
        let renamed = of_site(KEY).cookie(ForeignCookie::new("other"));
        let new = site(importer(renamed, Cookies::Private));
        let mut ann = logged_in(old, &new).await;
        let value = ann.cookies.remove("id").expect("the old cookie");
        ann.cookies.insert("other".to_owned(), value);
        assert!(ann.get("/read").await.text().starts_with("200 None"));
    }
}
