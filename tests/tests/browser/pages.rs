//! The library in Chromium: what a browser does with the cookie, with cached pages, and with
//! requests that other sites cause.

use std::time::SystemTime;

use actix_typed_session::{MemoryStore, testing::Operation};
use actix_typed_session_tests::{
    Client, Site,
    chromium::{Chromium, Profile},
    concurrency::{self, field},
    examples::{Example, build, start},
    serve,
};
use actix_web::{App, HttpResponse, web};
use fantoccini::cookies::Cookie;
use serde_json::json;
use tempfile::TempDir;

const COOKIE: &str = "__Host-session";

/// The shop of the example `login`.
struct Shop {
    example: Example,
    _folder: TempDir,
}

impl Shop {
    fn open() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { example: start(&build("login"), folder.path()), _folder: folder }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.example.address)
    }

    /// What the shop shows to a thief with this cookie.
    async fn shows_to(&self, cookie: &Cookie<'_>) -> String {
        let mut thief = Client::new(self.example.address);
        thief.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
        thief.get("/").await.body
    }
}

async fn log_in(chromium: &Chromium, user: &str) {
    chromium.type_into("user", user).await;
    chromium.type_into("password", "open sesame").await;
    chromium.click("Log in").await;
    chromium.wait_for(&format!("Hello, {user}.")).await;
}

async fn add_to_cart(chromium: &Chromium, item: &str) {
    chromium.type_into("item", item).await;
    chromium.click("Add").await;
    chromium.wait_for(&format!("× {item}")).await;
}

#[actix_web::test]
async fn login_brings_a_new_cookie_and_the_cart_and_the_cookie_from_before_is_dead() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&shop.url()).await;
    chromium.picture("login").await;
    add_to_cart(&chromium, "apple").await;
    add_to_cart(&chromium, "pear").await;
    let before = chromium.cookie().await;
    assert!(shop.shows_to(&before).await.contains("1 × apple"), "the cookie is good until then");

    log_in(&chromium, "ann").await;
    let page = chromium.text().await;
    assert!(page.contains("1 × apple") && page.contains("1 × pear"), "{page}");
    let after = chromium.cookie().await;
    assert!(before.value() != after.value(), "the id is the old one");
    let page = shop.shows_to(&before).await;
    assert!(page.contains("Log in") && !page.contains("ann") && !page.contains("apple"), "{page}");

    // What is done in one tab is there in the other.
    chromium.new_tab().await;
    chromium.open(&shop.url()).await;
    add_to_cart(&chromium, "apple").await;
    chromium.wait_for("2 × apple").await;
    chromium.picture("shop").await;
    assert!(chromium.cookie().await.value() == after.value(), "the cookie has changed");
    chromium.close().await;
}

#[actix_web::test]
async fn the_back_button_shows_nothing_private_after_logout() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&shop.url()).await;
    log_in(&chromium, "ann").await;
    add_to_cart(&chromium, "a ring for bob").await;
    let stolen = chromium.cookie().await;
    // Chromium caches a page with its scripts when the user goes to another one, unless the page
    // forbids that.
    chromium.click("Your devices").await;
    chromium.wait_for("You are logged in here").await;
    chromium.click("Back to the shop").await;
    chromium.click("Log out").await;
    chromium.wait_for("Log in").await;
    let place = async || chromium.run("return navigation.currentEntry.index").await.as_u64();
    let last = place().await.expect("a place in the history");
    for back in 1..=3 {
        chromium.back().await;
        assert_eq!(place().await, last.checked_sub(back));
        let page = chromium.wait_for("Log in").await;
        assert!(!page.contains("ann") && !page.contains("ring"), "{page}");
    }
    let kept = chromium.cookies().await;
    assert!(kept.iter().all(|cookie| cookie.value() != stolen.value()), "logout takes the cookie");
    assert!(!shop.shows_to(&stolen).await.contains("ann"), "the session has ended");
    chromium.close().await;
}

#[actix_web::test]
async fn what_scripts_have_kept_is_gone_after_logout() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&shop.url()).await;
    log_in(&chromium, "ann").await;
    let kept = async || chromium.run("return localStorage.getItem('draft')").await;
    chromium.run("localStorage.setItem('draft', 'dear bob')").await;
    add_to_cart(&chromium, "a ring for bob").await;
    assert_eq!(kept().await, "dear bob");
    chromium.click("Log out").await;
    chromium.wait_for("Log in").await;
    assert_eq!(kept().await, serde_json::Value::Null);
    chromium.close().await;
}

#[actix_web::test]
async fn another_profile_has_a_session_of_its_own() {
    let shop = Shop::open();
    let (home, work) = (Profile::default(), Profile::default());
    let (home, work) = (home.open().await, work.open().await);
    for (chromium, item) in [(&home, "lamp"), (&work, "stapler")] {
        chromium.open(&shop.url()).await;
        add_to_cart(chromium, item).await;
    }
    assert!(home.cookie().await.value() != work.cookie().await.value());
    log_in(&home, "ann").await;
    work.open(&shop.url()).await;
    let page = work.text().await;
    assert!(
        page.contains("Log in") && page.contains("stapler") && !page.contains("lamp"),
        "{page}"
    );
    log_in(&work, "ann").await;
    home.click("Log out").await;
    home.wait_for("Log in").await;
    work.open(&shop.url()).await;
    let page = work.text().await;
    assert!(page.contains("Hello, ann.") && page.contains("stapler"), "{page}");
    home.close().await;
    work.close().await;
}

#[actix_web::test]
async fn a_device_that_another_one_logs_out_is_out_and_the_other_stays_in() {
    let shop = Shop::open();
    let (phone, laptop) = (Profile::default(), Profile::default());
    let (phone, laptop) = (phone.open().await, laptop.open().await);
    for chromium in [&phone, &laptop] {
        chromium.open(&shop.url()).await;
        log_in(chromium, "ann").await;
    }
    let devices = |text: &str| text.matches("last seen").count();
    phone.click("Your devices").await;
    let page = phone.wait_for("You are logged in here").await;
    assert!(devices(&page) == 2 && page.contains("This device"), "{page}");
    phone.picture("devices").await;
    phone.click("Log out everywhere else").await;
    phone.wait_until("one device", |text| devices(text) == 1).await;

    // The laptop still shows the old page. Its form is refused.
    laptop.type_into("item", "in vain").await;
    laptop.click("Add").await;
    laptop.wait_until("no greeting", |text| !text.contains("Hello")).await;
    laptop.open(&shop.url()).await;
    let page = laptop.wait_for("Log in").await;
    assert!(!page.contains("ann") && !page.contains("in vain"), "{page}");
    phone.open(&shop.url()).await;
    phone.wait_for("Hello, ann.").await;

    // Two devices again. One ends the other by its row.
    log_in(&laptop, "ann").await;
    laptop.click("Your devices").await;
    laptop.wait_until("two devices", |text| devices(text) == 2).await;
    laptop.click("Log out").await;
    laptop.wait_until("one device", |text| devices(text) == 1).await;
    phone.open(&shop.url()).await;
    let page = phone.wait_for("Log in").await;
    assert!(!page.contains("ann"), "{page}");
    phone.close().await;
    laptop.close().await;
}

#[actix_web::test]
async fn the_browser_takes_the_default_cookie_on_plain_http_loopback_and_hides_it_from_scripts() {
    let site = Site::start();
    let profile = Profile::default();
    let chromium = profile.open().await;
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}", site.address.port());
        chromium.open(&format!("{url}/do/view")).await;
        let cookie = chromium.cookie().await;
        assert_eq!(cookie.name(), COOKIE);
        assert_eq!(cookie.path(), Some("/"));
        assert_eq!(cookie.domain(), Some(host), "with a Domain there would be a dot before it");
        assert_eq!(cookie.secure(), Some(true));
        assert_eq!(cookie.http_only(), Some(true));
        assert_eq!(cookie.same_site().map(|it| it.to_string()).as_deref(), Some("Lax"));
        assert!(cookie.expires_datetime().is_none(), "it ends with the browser");

        assert_eq!(chromium.run("return document.cookie").await, "");
        // A script can neither overwrite nor remove what it cannot see.
        let attack = format!(
            "for (const rest of ['', '; Max-Age=0']) \
                document.cookie = '{COOKIE}=x; Secure; Path=/' + rest;
             return document.cookie"
        );
        assert_eq!(chromium.run(&attack).await, "");
        chromium.open(&format!("{url}/do/view")).await;
        chromium.wait_for("Loaded views=2").await;
    }
    chromium.close().await;
}

#[actix_web::test]
async fn a_restart_of_the_browser_ends_a_session_unless_it_is_persistent() {
    let site = Site::start();
    let url = |host, steps| format!("http://{host}:{}/do/{steps}", site.address.port());
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&url("127.0.0.1", "view")).await;
    chromium.open(&url("localhost", "persist,view")).await;
    let expires = chromium.cookie().await.expires_datetime().expect("a time");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let age = expires.unix_timestamp() - i64::try_from(now.as_secs()).expect("before 2262");
    assert!((71_700..=72_060).contains(&age), "20 hours, not {age} s");
    chromium.close().await;

    let chromium = profile.open().await;
    chromium.open(&url("127.0.0.1", "read")).await;
    chromium.wait_for("New").await;
    assert!(chromium.cookies().await.is_empty());
    chromium.open(&url("localhost", "view")).await;
    chromium.wait_for("Loaded views=2").await;
    chromium.close().await;
}

#[actix_web::test]
async fn of_twenty_fetches_at_once_none_is_lost() {
    let site = concurrency::site(MemoryStore::new()).start();
    let profile = Profile::default();
    let chromium = profile.open().await;
    let url = format!("http://{}/do", site.address);
    chromium.open(&format!("{url}/name=ann")).await;
    let fetches = "const fetches = Array.from({ length: 20 }, (_, n) => \
            fetch(`/do/gate,count,tag=t${n}`)); \
         return (await Promise.all(fetches)).map((response) => response.status).join()";
    let in_pairs = async {
        // Both requests of a pair have read the session before one of them writes.
        for _ in 0..10 {
            site.gate.arrival().await;
            site.gate.arrival().await;
            site.gate.open();
            site.gate.open();
        }
    };
    let (answers, ()) = tokio::join!(chromium.run(fetches), in_pairs);
    assert_eq!(answers, ["200"; 20].join(","));
    chromium.open(&format!("{url}/read")).await;
    let session = chromium.wait_for("name=ann").await;
    assert_eq!(field(&session, "count"), "20");
    assert_eq!(field(&session, "tags").split('+').count(), 20, "{session}");
    chromium.close().await;
}

/// How a page can make its visitor's browser send a request to another site.
pub(super) const ATTACKS: [&str; 4] = [
    "await fetch(URL, { method: 'POST', mode: 'no-cors', credentials: 'include' })",
    "await new Promise((done) => { const image = new Image(); \
        image.onload = image.onerror = done; image.src = URL })",
    "await new Promise((done) => { const frame = document.createElement('iframe'); \
        frame.onload = done; frame.src = URL; document.body.append(frame) })",
    "await new Promise((done) => { const form = document.createElement('form'); \
        const frame = document.createElement('iframe'); frame.name = form.target = 'hidden'; \
        form.method = 'POST'; form.action = URL; document.body.append(frame, form); \
        frame.onload = done; form.submit() })",
];

/// The port of a hostile site.
pub(super) fn evil_site() -> u16 {
    let address = serve!(App::new().default_service(web::to(async || {
        HttpResponse::Ok().content_type("text/html").body("<!doctype html><p>Kittens")
    })));
    address.port()
}

/// What `SameSite=Lax` does on its own, without the check of the origin.
#[actix_web::test]
async fn a_request_that_another_site_has_caused_carries_no_cookie() {
    let site = Site::with(|builder| builder.cross_origin_protection(false));
    let evil = evil_site();
    let url = format!("http://{}/do", site.address);
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&format!("{url}/name=ann,view")).await;
    let cookie = chromium.cookie().await;

    // Another port of the same host is the same site, which shows that the attacks work.
    chromium.open(&format!("http://127.0.0.1:{}/", evil)).await;
    for (n, attack) in (2..).zip(ATTACKS) {
        let script = format!("const URL = '{url}/view?{n}'; {attack}; return 'done'");
        assert_eq!(chromium.run(&script).await, "done");
    }
    chromium.open(&format!("{url}/read")).await;
    chromium.wait_for("views=5 name=ann").await;

    // `localhost` is another site.
    let others = site.store.calls(Operation::Create);
    chromium.open(&format!("http://localhost:{}/", evil)).await;
    for attack in ATTACKS {
        let script = format!("const URL = '{url}/view'; {attack}; return 'done'");
        assert_eq!(chromium.run(&script).await, "done");
    }
    assert_eq!(
        site.store.calls(Operation::Create) - others,
        4,
        "each has arrived, as a visitor without a session"
    );

    // A link that is followed carries the cookie.
    let link = "const link = document.createElement('a'); link.href = URL; link.click()";
    chromium.run(&format!("const URL = '{url}/read'; {link}")).await;
    chromium.wait_for("Loaded views=5 name=ann").await;
    assert!(chromium.cookie().await.value() == cookie.value(), "the user keeps the session");

    // A form that navigates does not carry it either, but the browser keeps the answer's cookie.
    chromium.open(&format!("http://localhost:{}/", evil)).await;
    let form = "const form = document.createElement('form'); form.method = 'POST'; form.action = URL; \
        document.body.append(form); form.submit()";
    chromium.run(&format!("const URL = '{url}/name=evil,view'; {form}")).await;
    chromium.wait_for("New views=1 name=evil").await;
    assert!(chromium.cookie().await.value() != cookie.value());
    let mut ann = site.client();
    ann.cookies.insert(COOKIE.to_owned(), cookie.value().to_owned());
    assert_eq!(ann.act("read").await.body, "Loaded views=5 name=ann", "hers is untouched");
    chromium.close().await;
}

#[actix_web::test]
async fn forms_of_other_sites_and_ports_neither_change_the_cart_nor_log_anybody_in_or_out() {
    let shop = Shop::open();
    let evil = evil_site();
    let page = Client::new(shop.example.address).get("/").await.body;
    let (_, rest) = page.split_once("name=csrf value=").expect("the shop's forms have tokens");
    let token = rest.split('>').next().expect("its end");
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&shop.url()).await;
    log_in(&chromium, "ann").await;
    add_to_cart(&chromium, "apple").await;
    let cookie = chromium.cookie().await;
    // From the shop's own host, the browser sends her cookie.
    for host in ["localhost", "127.0.0.1"] {
        for (path, fields) in [
            ("logout", json!({})),
            ("cart", json!({ "item": "bomb" })),
            ("login", json!({ "user": "eve", "password": "open sesame" })),
        ] {
            chromium.open(&format!("http://{host}:{evil}/")).await;
            let target = format!("{}{path}", shop.url());
            let form = format!(
                "const form = document.createElement('form'); \
                 form.method = 'POST'; form.action = '{target}'; \
                 for (const [name, value] of Object.entries({{ csrf: '{token}', ...{fields} }})) \
                    form.append(Object.assign(document.createElement('input'), {{ name, value }})); \
                 document.body.append(form); form.submit()"
            );
            chromium.run(&form).await;
            chromium.wait_for_address(&target).await;
            let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
            assert_eq!(chromium.run(status).await, 403, "{host} {path}");
            chromium.open(&shop.url()).await;
            let page = chromium.wait_for("Hello, ann.").await;
            assert!(page.contains("1 × apple") && !page.contains("bomb"), "{page}");
            assert!(chromium.cookie().await.value() == cookie.value(), "{host} {path}");
        }
    }
    chromium.close().await;
}
