//! The library in Chromium: what a browser does with the cookie, and with requests that other
//! sites cause.

use std::time::SystemTime;

use actix_typed_session::{MemoryStore, testing::Operation};
use actix_typed_session_tests::{
    Site,
    chromium::Profile,
    concurrency::{self, field},
    serve,
};
use actix_web::{App, HttpResponse, web};

const COOKIE: &str = "__Host-session";

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
