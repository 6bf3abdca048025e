//! Requests that pages of other origins cause, in Chromium, with the default settings: which of
//! them the site refuses, and that its own pages work.

use actix_typed_session::{SessionMiddlewareBuilder, TypedSession};
use actix_typed_session_tests::{
    Site,
    chromium::{Chromium, Profile},
    steps::{self, Visitor, show},
};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::pages::{ATTACKS, evil_site};

/// Shows a form that counts a view, and counts it. `policy` is the page's referrer policy.
async fn form(
    session: Option<TypedSession<Visitor>>,
    request: HttpRequest,
    policy: web::Path<String>,
) -> HttpResponse {
    let text = match session {
        Some(mut session) if request.method() == "POST" => {
            session.set_views(session.views + 1);
            show(&session)
        }
        Some(session) => show(&session),
        None => "refused".to_owned(),
    };
    HttpResponse::Ok()
        .content_type("text/html")
        .insert_header(("Referrer-Policy", policy.into_inner()))
        .body(format!("<!doctype html><p>{text}<form method=post><button>Count</button></form>"))
}

/// A WebSocket that says how the session is.
async fn socket(
    request: HttpRequest,
    body: web::Payload,
    session: TypedSession<Visitor>,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, mut socket, _) = actix_ws::handle(&request, body)?;
    let _ = socket.text(show(&session)).await;
    let _ = socket.close(None).await;
    Ok(response)
}

/// A form in a frame that the user does not see. A refused one leaves an error page there, which
/// has no event.
const HIDDEN_FORM: &str = "await new Promise((done) => { \
    const form = document.createElement('form'); const frame = document.createElement('iframe'); \
    frame.name = form.target = 'hidden'; form.method = 'POST'; form.action = URL; \
    document.body.append(frame, form); form.submit(); \
    const look = setInterval(() => { if (frame.contentDocument) return; \
        clearInterval(look); frame.remove(); form.remove(); done() }, 10) })";

fn site(settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder) -> Site {
    Site::in_memory()
        .configure(steps::routes)
        .route("/form/{policy}", form)
        .route("/socket", socket)
        .settings(settings)
        .start()
}

/// What a script of the page gets: a status, or what a socket says.
async fn fetched(chromium: &Chromium, url: &str) -> Value {
    let script = format!(
        "return (await fetch('{url}', {{ method: 'POST', credentials: 'include' }})).status"
    );
    chromium.run(&script).await
}

async fn socket_says(chromium: &Chromium, url: &str) -> Value {
    let script = format!(
        "return await new Promise((done) => {{ const socket = new WebSocket('{url}'); \
            socket.onmessage = (message) => done(message.data); \
            socket.onerror = () => done('refused') }})"
    );
    chromium.run(&script).await
}

/// Sends a form that loads a whole page. Returns the status of that page.
async fn sent_form(chromium: &Chromium, url: &str) -> Value {
    let script = format!(
        "const form = document.createElement('form'); form.method = 'POST'; form.action = '{url}'; \
         document.body.append(form); form.submit()"
    );
    chromium.run(&script).await;
    chromium.wait_for_address(url).await;
    chromium.run("return performance.getEntriesByType('navigation')[0].responseStatus").await
}

#[actix_web::test]
async fn pages_of_other_sites_and_ports_change_nothing_and_open_no_sockets() {
    let site = site(|settings| settings);
    let evil = evil_site();
    let url = format!("http://{}", site.address);
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&format!("{url}/do/name=ann,user=7")).await;
    let cookie = chromium.cookie().await;
    // `localhost` is another site, and another port of the host is another origin of the same site.
    for host in ["localhost", "127.0.0.1"] {
        chromium.open(&format!("http://{host}:{evil}/")).await;
        for attack in [ATTACKS[0], HIDDEN_FORM] {
            for steps in ["name=eve", "user=666", "destroy"] {
                let script = format!("const URL = '{url}/do/{steps}'; {attack}; return 'done'");
                assert_eq!(chromium.run(&script).await, "done");
            }
        }
        let address = format!("ws://{}/socket", site.address);
        assert_eq!(socket_says(&chromium, &address).await, "refused", "{host}");
        for steps in ["name=eve", "user=666", "destroy"] {
            chromium.open(&format!("http://{host}:{evil}/")).await;
            assert_eq!(sent_form(&chromium, &format!("{url}/do/{steps}")).await, 403, "{host}");
        }
        chromium.open(&format!("{url}/do/read")).await;
        chromium.wait_for("Loaded name=ann user=7").await;
        assert!(chromium.cookie().await.value() == cookie.value(), "{host}");
    }
    assert_eq!(site.store_calls(), "create 1, load 2", "the store is not asked");

    // A link that is followed, and an image, are only read.
    chromium.open(&format!("http://localhost:{evil}/")).await;
    let link = "const link = document.createElement('a'); link.href = URL; link.click()";
    chromium.run(&format!("const URL = '{url}/do/read'; {link}")).await;
    chromium.wait_for("Loaded name=ann user=7").await;
    chromium.close().await;
}

#[actix_web::test]
async fn a_form_of_another_site_does_not_log_a_new_visitor_in() {
    let site = site(|settings| settings);
    let evil = evil_site();
    let profile = Profile::default();
    let chromium = profile.open().await;
    for host in ["localhost", "127.0.0.1"] {
        chromium.open(&format!("http://{host}:{evil}/")).await;
        let url = format!("http://{}/do/user=666", site.address);
        assert_eq!(sent_form(&chromium, &url).await, 403, "{host}");
        assert!(chromium.cookies().await.is_empty(), "{host}");
    }
    assert_eq!(site.store_calls(), "");
    chromium.close().await;
}

#[actix_web::test]
async fn the_sites_own_forms_scripts_and_sockets_work() {
    let site = site(|settings| settings);
    let url = format!("http://{}", site.address);
    let profile = Profile::default();
    let chromium = profile.open().await;
    let mut views = 0;
    for policy in ["strict-origin-when-cross-origin", "no-referrer", "same-origin", "unsafe-url"] {
        chromium.open(&format!("{url}/form/{policy}")).await;
        chromium.click("Count").await;
        views += 1;
        chromium.wait_for(&format!("views={views}")).await;
        assert_eq!(fetched(&chromium, "/do/view").await, 200, "{policy}");
        views += 1;
        let said = socket_says(&chromium, &format!("ws://{}/socket", site.address)).await;
        assert_eq!(said, format!("Loaded views={views}"), "{policy}");
    }
    chromium.close().await;
}

/// Over plain http to another machine, browsers do not send `Sec-Fetch-Site`.
#[actix_web::test]
async fn over_plain_http_the_origin_is_compared_with_the_host() {
    let site = site(|settings| settings.cookie_secure(false));
    let (port, evil) = (site.address.port(), evil_site());
    let url = format!("http://shop.test:{port}");
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&format!("{url}/form/same-origin")).await;
    chromium.click("Count").await;
    chromium.wait_for("views=1").await;
    assert_eq!(fetched(&chromium, "/do/view").await, 200);
    let address = format!("ws://shop.test:{port}/socket");
    assert_eq!(socket_says(&chromium, &address).await, "Loaded views=2");

    // Another port, a host below it, and another site.
    for host in ["shop.test", "evil.shop.test", "evil.test"] {
        chromium.open(&format!("http://{host}:{evil}/")).await;
        let script = format!("const URL = '{url}/do/view'; {}; return 'done'", ATTACKS[0]);
        assert_eq!(chromium.run(&script).await, "done");
        assert_eq!(socket_says(&chromium, &address).await, "refused", "{host}");
        assert_eq!(sent_form(&chromium, &format!("{url}/do/view")).await, 403, "{host}");
    }
    chromium.open(&format!("{url}/do/read")).await;
    chromium.wait_for("Loaded views=2").await;

    // With this policy, browsers hide the origin of the site's own forms.
    chromium.open(&format!("{url}/form/no-referrer")).await;
    chromium.click("Count").await;
    chromium.wait_for("refused").await;
    chromium.close().await;
}

#[actix_web::test]
async fn a_trusted_origin_sends_forms_and_opens_sockets() {
    let port = evil_site();
    let origin = format!("http://127.0.0.1:{port}");
    let trusted = origin.clone();
    let site = site(|settings| settings.trusted_origins([trusted]));
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&format!("http://{}/do/name=ann", site.address)).await;
    chromium.open(&origin).await;
    let address = format!("ws://{}/socket", site.address);
    assert_eq!(socket_says(&chromium, &address).await, "Loaded name=ann");
    assert_eq!(sent_form(&chromium, &format!("http://{}/do/view", site.address)).await, 200);
    chromium.wait_for("Loaded views=1 name=ann").await;
    // The same host with another port is not meant.
    chromium.open(&format!("http://127.0.0.1:{}/", evil_site())).await;
    assert_eq!(sent_form(&chromium, &format!("http://{}/do/view", site.address)).await, 403);
    chromium.close().await;
}
