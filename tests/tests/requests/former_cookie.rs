//! Changes of the cookie's name, path, domain or signature while sessions go on, and what attackers
//! try with cookies from before.

use std::time::Duration;

use actix_typed_session::{
    ConfigError, CookieStore, FormerCookie, Key, MemoryStore, Session, SessionMiddleware,
    SessionMiddlewareBuilder, TypedSession,
    testing::{Fault, Operation},
};
use actix_typed_session_tests::{
    ApiClient, Client, Gate, Response, Site, get, serve,
    steps::{Visitor, routes},
};
use actix_web::{App, HttpResponse, web};
use futures_util::stream;

const NEW: &str = "__Host-shop";
const OLD: &str = "__Host-session";

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

/// The site after its cookie was renamed from `__Host-session` to `__Host-shop`.
fn renamed(site: &Site) -> Site {
    site.beside(|builder| builder.cookie_name(NEW).also_accept_cookie(OLD))
}

/// The same client, on another site.
fn moved(client: &Client, site: &Site) -> Client {
    Client { address: site.address, ..client.clone() }
}

/// The cookies that a response sets, without their values: names, attributes and removals.
fn set_cookies(response: &Response) -> Vec<String> {
    let short = |cookie: &str| {
        let (name, rest) = cookie.split_once('=').expect("a name and a value");
        let (value, attributes) = rest.split_once("; ").expect("attributes");
        let is_removal = value.is_empty() && cookie.contains("Max-Age=0");
        let kept: Vec<_> = attributes
            .split("; ")
            .filter(|it| it.starts_with("Path=") || it.starts_with("Domain="))
            .collect();
        format!("{}{name} {}", if is_removal { "-" } else { "+" }, kept.join(" "))
    };
    response.all("set-cookie").map(short).collect()
}

/// Asks with this `Cookie` header.
async fn ask(site: &Site, steps: &str, cookies: &str) -> Response {
    get(site.address, &format!("/do/{steps}"), format!("Cookie: {cookies}\r\n").as_bytes()).await
}

#[actix_web::test]
async fn a_renamed_cookie_keeps_its_session_and_the_old_one_is_removed() {
    let before = Site::start();
    let old = before.visitor("name=ann,user=7").await;
    let site = renamed(&before);
    let calls = before.store_calls();
    let mut ann = moved(&old, &site);
    let response = ann.act("read").await;
    assert_eq!(response.text(), "200 Loaded name=ann user=7");
    assert_eq!(set_cookies(&response), ["-__Host-session Path=/", "+__Host-shop Path=/"]);
    let control = "no-cache=\"Set-Cookie\"";
    assert_eq!(response.all("cache-control").collect::<Vec<_>>(), [control]);
    assert_eq!(ann.cookies, [(NEW.to_owned(), old.cookie().to_owned())].into(), "the same id");
    assert_ne!(before.store_calls(), calls, "a call proves that the session is still there");
    let calls = before.store_calls();
    assert_eq!(ann.act("read").await.set_cookie(), None, "once is enough");
    assert_eq!(calls.matches("touch").count(), before.store_calls().matches("touch").count());
    // After the setting is gone.
    let after = before.beside(|builder| builder.cookie_name(NEW));
    assert_eq!(moved(&ann, &after).act("read").await.text(), "200 Loaded name=ann user=7");
}

#[actix_web::test]
async fn a_write_a_save_a_login_and_a_failed_request_bring_the_new_cookie_too() {
    let before = Site::start();
    let site = renamed(&before);
    for steps in ["view", "view,save", "view,status=404", "status=500", "touch", "csrf", "age=9999"]
    {
        let old = before.visitor("name=ann").await;
        let mut ann = moved(&old, &site);
        let response = ann.act(steps).await;
        let expected = ["-__Host-session Path=/", "+__Host-shop Path=/"];
        assert_eq!(set_cookies(&response), expected, "{steps}");
        assert_eq!(ann.cookie(), old.cookie(), "{steps}");
    }
    for steps in ["user=7", "renew", "regenerate,name=eve"] {
        let old = before.visitor("name=ann").await;
        let mut ann = moved(&old, &site);
        let response = ann.act(steps).await;
        assert_eq!(set_cookies(&response).len(), 2, "{steps}");
        assert_eq!(ann.cookies.keys().collect::<Vec<_>>(), [NEW]);
        assert_ne!(ann.cookie(), old.cookie(), "{steps}: a new id");
        // A request that was sent before that answer.
        let late = moved(&old, &site).act("view").await;
        assert_eq!(late.set_cookie(), None, "{steps}");
        before.clock().advance(Duration::from_secs(11));
        let late = moved(&old, &site).act("read").await;
        assert_eq!(late.text(), "200 New", "{steps}");
        assert_eq!(set_cookies(&late), ["-__Host-session Path=/"], "{steps}: not the new one");
        assert!(ann.act("read").await.text().starts_with("200 Loaded"), "{steps}");
    }
}

#[actix_web::test]
async fn the_new_cookie_lives_as_long_as_the_old_one_would() {
    let before = Site::start();
    let old = before.visitor("persist,age=3600000,name=ann").await;
    before.clock().advance(Duration::from_secs(1_000));
    let response = moved(&old, &renamed(&before)).act("read").await;
    let cookie = response.all("set-cookie").last().expect("the new cookie");
    assert!(cookie.starts_with(NEW) && cookie.contains("; Max-Age=3600"), "{cookie}");
}

#[actix_web::test]
async fn requests_at_the_same_time_all_get_the_same_cookie() {
    let before = Site::start();
    let old = before.visitor("name=ann").await;
    let site = renamed(&before);
    let ann = moved(&old, &site);
    let held = [site.held(&ann, "gate,view").await, site.held(&ann, "gate,view").await];
    for request in held {
        let (_, client) = site.release_both(request).await;
        assert_eq!(client.cookies, [(NEW.to_owned(), old.cookie().to_owned())].into());
    }
    let mut ann = ann;
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=2 name=ann");
}

#[actix_web::test]
async fn a_route_without_a_session_answers_nothing() {
    let before = Site::start();
    let old = before.visitor("name=ann").await;
    let mut ann = moved(&old, &renamed(&before));
    let calls = before.store_calls();
    let response = ann.get("/plain").await;
    assert_eq!((response.set_cookie(), response.header("vary")), (None, None));
    assert_eq!(before.store_calls(), calls);
}

#[actix_web::test]
async fn a_store_that_fails_leaves_the_old_cookie() {
    let before = Site::start();
    let old = before.visitor("name=ann").await;
    let site = renamed(&before);
    let mut ann = moved(&old, &site);
    for (operation, steps, status) in [
        (Operation::Touch, "read", 200),
        (Operation::Update, "view", 503),
        (Operation::Rotate, "user=7", 503),
        (Operation::Load, "read", 503),
    ] {
        site.store.inject(operation, Fault::ErrorBefore);
        let response = ann.act(steps).await;
        site.store.heal();
        assert_eq!((response.status, response.set_cookie()), (status, None), "{steps}");
        assert_eq!(ann.cookies, old.cookies, "{steps}");
    }
    assert_eq!(ann.act("read").await.text(), "200 Loaded name=ann");
    assert_eq!(ann.cookies.keys().collect::<Vec<_>>(), [NEW]);
}

#[actix_web::test]
async fn a_save_after_the_head_needs_no_further_cookie() {
    async fn streamed(session: TypedSession<Visitor>) -> HttpResponse {
        let mut session = session;
        HttpResponse::Ok().streaming(stream::once(Box::pin(async move {
            session.set_views(session.views + 1);
            let saved = session.save().await;
            Ok::<_, actix_web::Error>(web::Bytes::from(format!("{saved:?}")))
        })))
    }
    let before = Site::in_memory().configure(routes).route("/streamed", streamed).start();
    let old = before.visitor("name=ann").await;
    let mut ann = moved(&old, &renamed(&before));
    let response = ann.get("/streamed").await;
    assert_eq!(response.text(), "200 Ok(())");
    assert_eq!(set_cookies(&response).len(), 2);
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=1 name=ann");
}

// Both cookies, and cookies of attackers.

#[actix_web::test]
async fn the_present_cookie_wins_and_the_former_one_is_removed() {
    let before = Site::start();
    let site = renamed(&before);
    let (ann, eve) = (site.visitor("name=ann").await, before.visitor("name=eve").await);
    for cookies in [
        format!("{OLD}={}; {NEW}={}", eve.cookie(), ann.cookie()),
        format!("{NEW}={}; {OLD}={}", ann.cookie(), eve.cookie()),
        format!("{NEW}={}; {OLD}=junk", ann.cookie()),
        format!("{NEW}={}; {OLD}={}", ann.cookie(), ann.cookie()),
    ] {
        for steps in ["read", "view,unview"] {
            let response = ask(&site, steps, &cookies).await;
            assert_eq!(response.text(), "200 Loaded name=ann", "{cookies}");
            assert_eq!(set_cookies(&response), ["-__Host-session Path=/"], "{cookies}");
        }
    }
    // A login renews the session of the present one.
    let both = format!("{OLD}={}; {NEW}={}", eve.cookie(), ann.cookie());
    let response = ask(&site, "user=7", &both).await;
    assert_eq!(response.text(), "200 Loaded name=ann user=7");
    assert!(!eve.clone().act("read").await.body.contains("user"));
}

#[actix_web::test]
async fn a_planted_former_cookie_does_not_win_while_the_present_one_is_renewed() {
    let before = Site::start();
    let site = renamed(&before);
    let (ann, eve) = (site.visitor("name=ann").await, before.visitor("name=eve").await);
    let mut newer = ann.clone();
    newer.act("user=7").await;
    // A request of hers that was sent before the answer to the login.
    let both = format!("{OLD}={}; {NEW}={}", eve.cookie(), ann.cookie());
    for steps in ["read", "view", "name=x"] {
        let response = ask(&site, steps, &both).await;
        assert!(!response.body.contains("eve"), "{response:?}");
        assert_eq!(response.set_cookie(), None, "{steps}");
    }
    assert_eq!(newer.act("read").await.text(), "200 Loaded name=ann user=7");
    assert_eq!(eve.clone().act("read").await.text(), "200 Loaded name=eve");
}

#[actix_web::test]
async fn a_logout_removes_both_cookies_and_ends_every_session_that_was_presented() {
    let before = Site::start();
    let site = renamed(&before);
    let (mut ann, mut other) = (site.visitor("name=ann").await, before.visitor("name=ann2").await);
    let both = format!("{OLD}={}; {NEW}={}", other.cookie(), ann.cookie());
    let response = ask(&site, "destroy", &both).await;
    assert_eq!(set_cookies(&response), ["-__Host-session Path=/", "-__Host-shop Path=/"]);
    assert_eq!(ann.act("read").await.text(), "200 New");
    assert_eq!(other.act("read").await.text(), "200 New");

    // With the former cookie alone, another request may have brought the present one meanwhile.
    let mut old = before.visitor("name=ann").await;
    let response = moved(&old, &site).act("destroy").await;
    assert_eq!(set_cookies(&response), ["-__Host-session Path=/", "-__Host-shop Path=/"]);
    assert_eq!(old.act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn an_id_that_names_no_session_is_never_adopted() {
    let before = Site::start();
    let site = renamed(&before);
    for value in ["junk", "", &"x".repeat(43), &"x".repeat(5_000)] {
        let cookie = format!("{OLD}={value}");
        let response = ask(&site, "read", &cookie).await;
        assert_eq!(response.text(), "200 New", "{value:.50}");
        assert_eq!(set_cookies(&response), ["-__Host-session Path=/"], "{value:.50}");
        let mut visitor = site.client();
        visitor.cookies.insert(OLD.to_owned(), value.to_owned());
        let response = visitor.act("user=7").await;
        assert_eq!(set_cookies(&response).len(), 2, "{value:.50}");
        assert_eq!(visitor.cookies.keys().collect::<Vec<_>>(), [NEW]);
        assert_ne!(visitor.cookie(), value);
    }
    // Forged cookies cost a few calls only.
    let many: Vec<_> = (0..100).map(|n| format!("{OLD}={n:043}")).collect();
    let loads = site.store.calls(Operation::Load);
    ask(&site, "read", &many.join("; ")).await;
    assert_eq!(site.store.calls(Operation::Load) - loads, 4);
}

#[actix_web::test]
async fn a_page_of_another_origin_gets_no_session_of_a_former_cookie() {
    let before = Site::start();
    let old = before.visitor("name=ann").await;
    let site = renamed(&before);
    let request = format!(
        "POST /do/view HTTP/1.1\r\nHost: test\r\nConnection: close\r\nCookie: {OLD}={}\r\n\
         Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n\r\n",
        old.cookie()
    );
    let responses = actix_typed_session_tests::exchange(site.address, request.as_bytes()).await;
    assert_eq!((responses[0].status, responses[0].set_cookie()), (403, None));
}

// Other changes.

/// A client of `before` visits the site with these settings, twice. Returns what the first response
/// does to the cookies.
async fn migrated(
    before: &Site,
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> (Vec<String>, Client) {
    let old = before.visitor("name=ann").await;
    let site = before.beside(settings);
    let mut ann = moved(&old, &site);
    let response = ann.act("view").await;
    assert_eq!(response.text(), "200 Loaded views=1 name=ann");
    let again = ann.act("read").await;
    assert_eq!(again.text(), "200 Loaded views=1 name=ann");
    assert_eq!(again.set_cookie(), None, "once is enough");
    (set_cookies(&response), ann)
}

#[actix_web::test]
async fn a_path_or_a_domain_changes_under_the_same_name() {
    let site = |settings: fn(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder| {
        Site::with(|builder| settings(builder.cookie_name("sid")))
    };
    let plain = site(|builder| builder);
    let below = site(|builder| builder.cookie_path("/do"));
    let wide = site(|builder| builder.cookie_domain("example.com"));
    let (changes, ann) = migrated(&plain, |builder| {
        builder
            .cookie_name("sid")
            .cookie_path("/do")
            .also_accept_cookie(FormerCookie::new("sid").path("/"))
    })
    .await;
    assert_eq!(changes, ["-sid Path=/", "+sid Path=/do"]);
    // Also without the setting, and on a server that still has the old settings.
    let after = plain.beside(|builder| builder.cookie_name("sid").cookie_path("/do"));
    assert_eq!(moved(&ann, &after).act("read").await.text(), "200 Loaded views=1 name=ann");
    assert_eq!(moved(&ann, &plain).act("read").await.text(), "200 Loaded views=1 name=ann");

    let (changes, _) = migrated(&below, |builder| {
        builder.cookie_name("sid").also_accept_cookie(FormerCookie::new("sid").path("/do"))
    })
    .await;
    assert_eq!(changes, ["-sid Path=/do", "+sid Path=/"]);
    let (changes, _) = migrated(&wide, |builder| {
        builder
            .cookie_name("sid")
            .also_accept_cookie(FormerCookie::new("sid").domain("example.com"))
    })
    .await;
    assert_eq!(changes, ["-sid Path=/ Domain=example.com", "+sid Path=/"]);
    let (changes, _) = migrated(&plain, |builder| {
        let former = FormerCookie::new("sid").host_only();
        builder.cookie_name("sid").cookie_domain("example.com").also_accept_cookie(former)
    })
    .await;
    assert_eq!(changes, ["-sid Path=/", "+sid Path=/ Domain=example.com"]);
}

#[actix_web::test]
async fn of_two_cookies_of_one_name_the_present_one_wins_wherever_it_stands() {
    let before = Site::with(|builder| builder.cookie_name("sid").cookie_domain("example.com"));
    let site = before.beside(|builder| {
        let former = FormerCookie::new("sid").domain("example.com");
        builder.cookie_name("sid").also_accept_cookie(former)
    });
    let (ann, eve) = (site.visitor("name=ann").await, before.visitor("name=eve").await);
    assert!(ann.cookie().starts_with('"') && ann.cookie().ends_with('"'), "it is told apart");
    for cookies in [
        format!("sid={}; sid={}", eve.cookie(), ann.cookie()),
        format!("sid={}; sid={}", ann.cookie(), eve.cookie()),
    ] {
        let response = ask(&site, "read", &cookies).await;
        assert_eq!(response.text(), "200 Loaded name=ann", "{cookies}");
        assert_eq!(set_cookies(&response), ["-sid Path=/ Domain=example.com"], "{cookies}");
    }
    let response = ask(&site, "read", "sid=junk").await;
    let both = ["-sid Path=/ Domain=example.com", "-sid Path=/"];
    assert_eq!(set_cookies(&response), both, "it may be either");
}

#[actix_web::test]
async fn ids_are_signed_or_not_signed_any_more_or_with_other_keys() {
    let unsigned = Site::start();
    let signed = unsigned.beside(|builder| builder.signing_keys([key(1)]));
    let replaced = ["+__Host-session Path=/"];
    let (changes, ann) = migrated(&unsigned, |builder| {
        builder.signing_keys([key(1)]).also_accept_cookie(FormerCookie::new(OLD).unsigned())
    })
    .await;
    assert_eq!(changes, replaced, "the old one is overwritten");
    assert_eq!(moved(&ann, &signed).act("read").await.text(), "200 Loaded views=1 name=ann");

    let (changes, ann) = migrated(&signed, |builder| {
        builder.also_accept_cookie(FormerCookie::new(OLD).signing_keys([key(1)]))
    })
    .await;
    assert_eq!(changes, replaced);
    assert_eq!(moved(&ann, &unsigned).act("read").await.text(), "200 Loaded views=1 name=ann");

    // The signature covers the name, and keys are rotated.
    let (changes, ann) = migrated(&signed, |builder| {
        builder.cookie_name(NEW).signing_keys([key(2), key(1)]).also_accept_cookie(OLD)
    })
    .await;
    assert_eq!(changes, ["-__Host-session Path=/", "+__Host-shop Path=/"]);
    let after = unsigned.beside(|builder| builder.cookie_name(NEW).signing_keys([key(2)]));
    assert_eq!(moved(&ann, &after).act("read").await.text(), "200 Loaded views=1 name=ann");
}

#[actix_web::test]
async fn a_former_cookie_needs_its_signature() {
    let before = Site::with(|builder| builder.signing_keys([key(1)]));
    let old = before.visitor("name=ann").await;
    let (id, _) = old.cookie().rsplit_once('.').expect("a signature");
    let site = before
        .beside(|builder| builder.cookie_name(NEW).signing_keys([key(1)]).also_accept_cookie(OLD));
    let calls = before.store_calls();
    for forged in [
        format!("{OLD}={id}"),
        format!("{OLD}={}x", old.cookie()),
        // Under the new name, the old signature is not valid.
        format!("{NEW}={}", old.cookie()),
        format!("{NEW}={id}"),
    ] {
        assert_eq!(ask(&site, "read", &forged).await.text(), "200 New", "{forged}");
    }
    assert_eq!(before.store_calls(), calls, "the store is not asked");
}

#[actix_web::test]
async fn a_client_with_a_header_is_not_logged_out_either() {
    let before = Site::with(|builder| builder.bearer().signing_keys([key(1)]));
    let site = before.beside(|builder| {
        builder
            .bearer()
            .cookie_name(NEW)
            .signing_keys([key(2)])
            .also_accept_cookie(FormerCookie::new(OLD).signing_keys([key(1)]))
    });
    let mut program = ApiClient::bearer(before.address);
    program.act("name=ann").await;
    let old = program.id.clone();
    program.address = site.address;
    assert_eq!(program.act("read").await.text(), "200 Loaded name=ann");
    assert_ne!(program.id, old, "it is signed with the new key");
    let response = program.act("read").await;
    assert_eq!(response.text(), "200 Loaded name=ann");
    assert_eq!(response.header("session-token"), None, "once is enough");
}

#[actix_web::test]
async fn a_session_in_a_renamed_cookie_is_sealed_for_its_new_name() {
    let site = |keys: &[u8], settings: fn(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder| {
        let store = CookieStore::new(keys.iter().map(|byte| key(*byte))).expect("a key");
        let builder = settings(SessionMiddleware::builder(store));
        Site::unwatched(builder).configure(routes).start()
    };
    let before = site(&[1], |builder| builder);
    let after = site(&[2, 1], |builder| builder.cookie_name(NEW).also_accept_cookie(OLD));
    let old = before.visitor("name=ann,user=7").await;
    let mut ann = Client { address: after.address, ..old.clone() };
    let response = ann.act("read").await;
    assert_eq!(response.text(), "200 Loaded name=ann user=7");
    assert_eq!(set_cookies(&response), ["-__Host-session Path=/", "+__Host-shop Path=/"]);
    assert_eq!(ann.act("view").await.text(), "200 Loaded views=1 name=ann user=7");
    ann.address = site(&[2], |builder| builder.cookie_name(NEW)).address;
    assert_eq!(ann.act("read").await.text(), "200 Loaded views=1 name=ann user=7");
    // A value is good under its own name only.
    let cookie = format!("Cookie: {NEW}={}\r\n", old.cookie());
    assert_eq!(get(after.address, "/do/read", cookie.as_bytes()).await.text(), "200 New");
    // The present one wins, also if the client has an older copy.
    let mut both = Client { address: after.address, ..old.clone() };
    both.act("name=new").await;
    both.cookies.insert(OLD.to_owned(), old.cookie().to_owned());
    assert_eq!(both.act("read").await.text(), "200 Loaded name=new user=7");
    assert_eq!(both.cookies.keys().collect::<Vec<_>>(), [NEW]);
}

#[actix_web::test]
async fn former_cookies_count_only_where_the_present_one_is_sent() {
    let before = Site::with(|builder| builder.cookie_name("sid"));
    let (ann, eve) = (before.visitor("name=ann").await, before.visitor("name=eve").await);
    for name in ["shop", "sid"] {
        let site = before.beside(|builder| {
            let former = FormerCookie::new("sid").path("/");
            builder.cookie_name(name).cookie_path("/app").also_accept_cookie(former)
        });
        // The request does not show whether the browser has the present one.
        for steps in ["read", "view", "user=7", "destroy"] {
            let response = moved(&eve, &site).act(steps).await;
            assert!(!response.body.contains("eve"), "{name} {steps}: {response:?}");
            assert_eq!(response.set_cookie(), None, "{name} {steps}");
        }
    }
    assert_eq!(eve.clone().act("read").await.text(), "200 Loaded name=eve");
    assert_eq!(ann.clone().act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn each_kind_of_connection_has_its_own_former_cookie() {
    let before = Site::with(|builder| builder.cookie_secure_auto().trusted_proxies(["127.0.0.1"]));
    let site = before.beside(|builder| {
        let builder = builder.cookie_secure_auto().trusted_proxies(["127.0.0.1"]);
        builder.cookie_name(NEW).also_accept_cookie(OLD)
    });
    let https = "X-Forwarded-Proto: https\r\n";
    for (header, old, new) in [(https, OLD, NEW), ("", "session", "shop")] {
        let response = get(before.address, "/do/name=ann", header.as_bytes()).await;
        let cookie = response.set_cookie().and_then(|it| it.split(';').next()).expect("a cookie");
        assert!(cookie.starts_with(old), "{cookie}");
        let headers = format!("{header}Cookie: {cookie}\r\n");
        let response = get(site.address, "/do/read", headers.as_bytes()).await;
        assert_eq!(response.text(), "200 Loaded name=ann");
        assert_eq!(set_cookies(&response), [format!("-{old} Path=/"), format!("+{new} Path=/")]);
    }
    // Without TLS, the cookies from before and after may be the same one.
    let bare = before.beside(|builder| builder.cookie_secure_auto().also_accept_cookie("session"));
    let mut plain = bare.visitor("name=bob").await;
    assert_eq!(plain.act("read").await.set_cookie(), None);
    let headers = format!("{https}Cookie: session={}\r\n", plain.cookie());
    let response = get(bare.address, "/do/read", headers.as_bytes()).await;
    assert!(set_cookies(&response).is_empty(), "the proxy is not trusted there");
}

#[derive(Session)]
#[session(cookie = "admin")]
struct Admin {
    name: String,
}

#[actix_web::test]
async fn nested_middlewares_each_rename_their_own_cookie() {
    let (users, admins) = (MemoryStore::new(), MemoryStore::new());
    let serve = |is_after: bool| {
        let builder = |store: &MemoryStore, names: [&str; 2]| {
            let builder = SessionMiddleware::builder(store.clone());
            let builder = match is_after {
                true => builder.cookie_name(names[0]).also_accept_cookie(names[1]),
                false => builder.cookie_name(names[1]),
            };
            builder.build().expect("valid settings")
        };
        let outer = builder(&users, [NEW, OLD]);
        let inner = builder(&admins, ["__Secure-admin", "admin"]);
        let admin = async |mut session: TypedSession<Admin>| {
            session.set_name("root".to_owned());
            format!("{:?} {}", session.status(), session.name)
        };
        let gate = web::Data::new(Gate::default());
        serve!(
            App::new()
                .app_data(gate.clone())
                .service(web::scope("/admin").wrap(inner.clone()).route("", web::get().to(admin)))
                .configure(routes)
                .wrap(outer.clone())
        )
    };
    let mut client = Client::new(serve(false));
    client.act("name=ann").await;
    assert_eq!(client.get("/admin").await.body, "New root");
    assert_eq!(client.cookies.keys().collect::<Vec<_>>(), [OLD, "admin"]);
    client.address = serve(true);
    let response = client.get("/admin").await;
    assert_eq!(response.body, "Loaded root");
    assert_eq!(set_cookies(&response), ["-admin Path=/", "+__Secure-admin Path=/"]);
    assert_eq!(client.cookies.keys().collect::<Vec<_>>(), [OLD, "__Secure-admin"]);
    assert_eq!(client.act("read").await.text(), "200 Loaded name=ann");
    assert_eq!(client.cookies.keys().collect::<Vec<_>>(), [NEW, "__Secure-admin"]);
    for path in ["/admin", "/do/read"] {
        assert_eq!(client.get(path).await.set_cookie(), None, "{path}");
    }
}

#[actix_web::test]
async fn a_former_cookie_that_is_the_present_one_is_refused() {
    let builder = || SessionMiddleware::builder(MemoryStore::new());
    let sid = || builder().cookie_name("sid");
    for refused in [
        builder().also_accept_cookie(OLD),
        sid().also_accept_cookie("sid"),
        sid().also_accept_cookie("sid".to_owned()),
        sid().also_accept_cookie(FormerCookie::new("sid").path("/").host_only().unsigned()),
        sid().signing_keys([key(1)]).also_accept_cookie("sid"),
        sid()
            .signing_keys([key(1)])
            .also_accept_cookie(FormerCookie::new("sid").signing_keys([key(1)])),
        sid()
            .cookie_domain("example.com")
            .also_accept_cookie(FormerCookie::new("sid").domain(".Example.com")),
        sid().also_accept_cookie("old").also_accept_cookie("old"),
        // Without `Secure`, the name has no prefix.
        builder().cookie_secure(false).also_accept_cookie("session"),
    ] {
        let text = format!("{refused:?}");
        assert!(matches!(refused.build(), Err(ConfigError::FormerCookie(_))), "{text}");
    }
    for (refused, what) in [
        (sid().also_accept_cookie("a b"), "cookie name"),
        (sid().also_accept_cookie(""), "cookie name"),
        (sid().also_accept_cookie(FormerCookie::new("old").path("app")), "path"),
        (sid().also_accept_cookie(FormerCookie::new("old").domain("")), "domain"),
        (sid().also_accept_cookie(FormerCookie::new("__Host-old").path("/app")), "__Host-"),
        (sid().also_accept_cookie(FormerCookie::new("__Host-old").domain("a.example")), "__Host-"),
        (sid().also_accept_cookie(FormerCookie::new("old").signing_keys([])), "no key"),
    ] {
        let error = refused.build().expect_err("it cannot work").to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
    let in_cookie = SessionMiddleware::builder(CookieStore::new([key(1)]).expect("a key"));
    let in_cookie = in_cookie.also_accept_cookie(FormerCookie::new("old").unsigned());
    assert!(matches!(in_cookie.build(), Err(ConfigError::NeedsStore(_))));
    // A `__Host-` cookie has neither a path nor a domain.
    let moved = sid().cookie_path("/app").cookie_domain("example.com").also_accept_cookie(OLD);
    assert!(moved.build().is_ok());
    assert!(sid().also_accept_cookie("a").also_accept_cookie("b").build().is_ok());
}
