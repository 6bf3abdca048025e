//! A cookie in the place of another: of another middleware, application, user or kind of store, or
//! beside a second one of its name that somebody else has set.

use std::net::SocketAddr;

use actix_typed_session::{
    CookieStore, EncryptedStore, Key, MemoryStore, Session, SessionMiddleware,
    SessionMiddlewareBuilder, TypedSession,
    testing::{FaultyStore, Operation},
};
use actix_typed_session_tests::{Client, Gate, Response, Site, get, serve, steps::routes};
use actix_web::{App, web};

const KEY: Key = Key::from_bytes([1; 32]);

/// The response to a request with these cookies.
async fn ask(address: SocketAddr, path: &str, cookies: &str) -> Response {
    get(address, path, format!("Cookie: {cookies}\r\n").as_bytes()).await
}

/// The address of a site whose store takes its own short cuts.
fn served(middleware: SessionMiddlewareBuilder) -> SocketAddr {
    Site::unwatched(middleware).configure(routes).start().address
}

// Two middlewares.

#[derive(Session)]
#[session(cookie = "admin")]
struct Admin {
    name: String,
}

async fn admin(session: TypedSession<Admin>) -> String {
    format!("admin={}", session.name)
}

async fn set_admin(mut session: TypedSession<Admin>) -> &'static str {
    session.set_name("root".to_owned());
    "ok"
}

#[actix_web::test]
async fn the_cookies_of_two_middlewares_with_their_own_stores_are_not_interchangeable() {
    let outer = SessionMiddleware::new(MemoryStore::new());
    let inner = SessionMiddleware::builder(MemoryStore::new()).cookie_name("__Host-admin");
    let inner = inner.build().expect("valid settings");
    let gate = web::Data::new(Gate::default());
    let address = serve!(
        App::new()
            .app_data(gate.clone())
            .service(
                web::scope("/admin")
                    .wrap(inner.clone())
                    .route("", web::get().to(admin))
                    .route("/set", web::get().to(set_admin))
            )
            .configure(routes)
            .wrap(outer.clone())
    );
    let mut browser = Client::new(address);
    browser.act("name=ann").await;
    browser.get("/admin/set").await;
    let (user, root) = (&browser.cookies["__Host-session"], &browser.cookies["__Host-admin"]);
    let swapped = format!("__Host-session={root}; __Host-admin={user}");
    assert_eq!(ask(address, "/admin", &swapped).await.text(), "200 admin=");
    assert_eq!(ask(address, "/do/read", &swapped).await.text(), "200 New");
    assert_eq!(browser.get("/admin").await.text(), "200 admin=root");
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

/// The store separates applications: an unsigned id is the same session under any cookie name.
#[actix_web::test]
async fn an_id_is_good_for_every_cookie_over_its_store_and_a_signed_one_for_its_own_only() {
    let keys = || [KEY];
    let shop = Site::start();
    let forum = shop.beside(|builder| builder.cookie_name("__Host-forum"));
    let signed_shop = shop.beside(|builder| builder.signing_keys(keys()));
    let signed_forum =
        shop.beside(|builder| builder.cookie_name("__Host-forum").signing_keys(keys()));
    let (mut unsigned, mut signed) = (shop.client(), signed_shop.client());
    unsigned.act("name=ann").await;
    signed.act("name=bob").await;
    let as_forum = |browser: &Client| format!("__Host-forum={}", browser.cookie());
    let read =
        async |site: &Site, cookies: &str| ask(site.address, "/do/read", cookies).await.text();
    assert_eq!(read(&forum, &as_forum(&unsigned)).await, "200 Loaded name=ann");
    assert_eq!(read(&signed_forum, &as_forum(&signed)).await, "200 New");
    assert_eq!(read(&signed_forum, &as_forum(&unsigned)).await, "200 New");
    assert_eq!(signed.act("read").await.text(), "200 Loaded name=bob");
}

// Two users.

#[actix_web::test]
async fn the_signature_of_ones_own_id_does_not_sign_another_ones() {
    let site = Site::with(|builder| builder.signing_keys([KEY]));
    let (mut ann, mut eve) = (site.client(), site.client());
    ann.act("name=ann").await;
    eve.act("name=eve").await;
    let split = |browser: &Client| {
        let (id, mac) = browser.cookie().rsplit_once('.').expect("an id and a signature");
        (id.to_owned(), mac.to_owned())
    };
    let ((ann_id, ann_mac), (eve_id, eve_mac)) = (split(&ann), split(&eve));
    let calls = site.store_calls();
    for forged in [
        format!("{ann_id}.{eve_mac}"),
        format!("{eve_id}.{ann_mac}"),
        format!("{eve_id}.{ann_id}.{eve_mac}"),
        format!("{ann_id}.{eve_id}.{eve_mac}"),
        format!("{eve_mac}.{ann_id}"),
    ] {
        let response = ask(site.address, "/do/read", &format!("__Host-session={forged}")).await;
        assert_eq!(response.text(), "200 New", "{forged}");
        assert!(response.removes_cookie(), "{forged}");
    }
    assert_eq!(site.store_calls(), calls, "none of them is looked up");
}

// Two kinds of store, under one cookie's name and with one key.

#[actix_web::test]
async fn a_cookie_of_one_kind_of_store_is_no_session_in_another() {
    let stored = FaultyStore::new(MemoryStore::new());
    let plain = MemoryStore::new();
    let encrypted = EncryptedStore::new(plain.clone(), [KEY]).expect("there is a key");
    let apps = [
        ("in memory", served(SessionMiddleware::builder(stored.clone()))),
        ("signed", served(SessionMiddleware::builder(MemoryStore::new()).signing_keys([KEY]))),
        ("sealed", served(SessionMiddleware::builder(CookieStore::new([KEY]).expect("a key")))),
        ("encrypted", served(SessionMiddleware::builder(encrypted))),
        ("what is in the encrypted one", served(SessionMiddleware::builder(plain))),
    ];
    for (from, origin) in &apps {
        let mut browser = Client::new(*origin);
        browser.act("name=ann,user=7").await;
        for (to, address) in &apps {
            let moved = Client { address: *address, ..browser.clone() }.act("read").await;
            if from == to {
                assert_eq!(moved.text(), "200 Loaded name=ann user=7", "{from}");
            } else if *from == "what is in the encrypted one" {
                // A value that was never sealed is damage.
                assert_eq!(moved.text(), "200 New", "{from} to {to}");
            } else {
                assert!(!moved.body.contains("ann"), "{from} to {to}: {moved:?}");
                assert!(!moved.body.contains("user"), "{from} to {to}: {moved:?}");
            }
        }
    }
    // A sealed cookie is longer than any id, so the store is not asked for it.
    let mut sealed = Client::new(apps[2].1);
    sealed.act("name=ann").await;
    let loads = stored.calls(Operation::Load);
    sealed.address = apps[0].1;
    assert!(sealed.act("read").await.removes_cookie());
    assert_eq!(stored.calls(Operation::Load), loads);
}

// A cookie that was set from another host of the same site. Browsers prevent that for `__Host-`; a
// site with another name gets both cookies.

#[actix_web::test]
async fn a_login_with_a_tossed_cookie_before_ones_own_is_not_the_attackers() {
    // The middleware asks a store that answers at once in another way.
    let at_once = SessionMiddleware::builder(MemoryStore::new()).cookie_name("sid");
    let site = Site::with(|builder| builder.cookie_name("sid"));
    for address in [served(at_once), site.address] {
        for login in ["user=7", "regenerate,user=7"] {
            let (mut victim, mut eve) = (Client::new(address), Client::new(address));
            victim.act("name=ann").await;
            eve.act("name=eve").await;
            let tossed = format!("sid={}", eve.cookie());
            let both = format!("{tossed}; sid={}", victim.cookie());
            let response = ask(address, &format!("/do/{login}"), &both).await;
            victim.keep_cookies(&response);
            assert_ne!(victim.cookie(), eve.cookie(), "{login}");
            assert!(!eve.clone().act("read").await.body.contains("user=7"), "{login}");
            // The browser still has the attacker's, and sends it first.
            let both = format!("{tossed}; sid={}", victim.cookie());
            let response = ask(address, "/do/view", &both).await;
            assert!(response.body.contains("user=7"), "{login}: {response:?}");
            assert!(victim.act("read").await.body.contains("views=1"), "{login}: it is not lost");
        }
    }
}

#[actix_web::test]
async fn junk_that_was_tossed_hides_a_session_only_if_it_could_be_ids() {
    let site = Site::with(|builder| builder.cookie_name("sid"));
    let signed = site.beside(|builder| builder.cookie_name("sid").signing_keys([KEY]));
    let invented: Vec<String> = (0..4).map(|n| format!("sid={n:043}")).collect();
    for (site, junk, is_hidden) in [
        (&site, vec!["sid=junk".to_owned(); 50], false),
        (&site, invented[..3].to_vec(), false),
        // At most four ids are looked up, which bounds the cost of a header.
        (&site, invented.clone(), true),
        (&signed, invented, false),
    ] {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let cookies = format!("{}; sid={}", junk.join("; "), browser.cookie());
        let response = ask(site.address, "/do/read", &cookies).await;
        assert_eq!(response.text() == "200 New", is_hidden, "{junk:?}: {response:?}");
    }
}
