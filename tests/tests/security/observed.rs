//! Events and numbers go to logs, files and dashboards, so they must not open a session, whatever a
//! client sends.

use std::sync::{Arc, Mutex};

use actix_typed_session::{
    IndexKey, Key, MemoryStore, OverLimit, PublicId, Session, SessionError, SessionHandle,
    SessionId, SessionMiddleware, Sessions, TypedSession,
    observe::{Event, EventRequest, Observer, SessionStats},
    store::StoreKey,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{Client, Site, exchange};
use actix_web::web;

/// A value of the session.
const NAME: &str = "canary-of-ann";

#[derive(Session, Debug)]
struct Visitor {
    #[session(privilege, index)]
    user: String,
    #[session(merge = "reject")]
    name: String,
}

/// Writes down all that an observer can print without asking for more.
#[derive(Clone, Default)]
struct Printer {
    lines: Arc<Mutex<Vec<String>>>,
    public_ids: Arc<Mutex<Vec<PublicId>>>,
}

impl Observer for Printer {
    fn observe(&self, event: &Event<'_>) {
        let request = event.request();
        let line = format!(
            "{event:?} {:#?} {request:?} {:?} {:?} {:?} {}",
            event.kind,
            request.map(EventRequest::path),
            request.map(EventRequest::user_agent),
            request.map(EventRequest::realip_remote_addr),
            event.name(),
        );
        self.lines.lock().expect("no panic").push(line);
        self.public_ids.lock().expect("no panic").extend(event.public_id());
    }
}

fn of_ann() -> IndexKey<Visitor> {
    Visitor::by_user(&NAME.to_owned())
}

async fn fill(mut session: TypedSession<Visitor>) -> &'static str {
    session.set_user(NAME.to_owned());
    session.set_name(NAME.to_owned());
    "ok"
}

async fn renew(mut session: SessionHandle) -> String {
    session.renew();
    session.csrf_token()
}

async fn end(mut session: SessionHandle) -> &'static str {
    session.destroy();
    "ok"
}

async fn verify(
    query: web::Query<std::collections::HashMap<String, String>>,
    session: SessionHandle,
) -> Result<&'static str, SessionError> {
    session.verify_csrf(query.get("id").map(String::as_str).unwrap_or_default())?;
    Ok("ok")
}

async fn reject(
    mut session: TypedSession<Visitor>,
    store: web::Data<FaultyStore<MemoryStore>>,
) -> &'static str {
    let mut patch = actix_typed_session::store::Patch::default();
    patch.set("name".into(), actix_typed_session_tests::json::json("\"other\""));
    let key = StoreKey::from(session.handle().id().expect("a session"));
    let store: &FaultyStore<MemoryStore> = &store;
    let updated = actix_typed_session::store::SessionStore::update(store, &key, &patch).await;
    assert!(updated.is_ok());
    session.set_name("ours".to_owned());
    "ok"
}

async fn limit(
    session: SessionHandle,
    sessions: web::Data<Sessions<Visitor>>,
) -> Result<String, SessionError> {
    let over = OverLimit::DestroyOldest;
    Ok(sessions.enforce_limit(&of_ann(), 1, over, &session).await?.to_string())
}

/// Sends an id wherever a client can put one, besides the cookie.
async fn send(client: &mut Client, method: &str, path: &str, more: &str) {
    let id = client.cookies.values().next().cloned().unwrap_or_default();
    let request = format!(
        "{method} {path}?id={id} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         Content-Length: 0\r\nCookie: __Host-session={id}\r\nReferer: https://test/?{id}\r\n\
         X-Request-Id: {id}\r\nAuthorization: Basic {id}\r\n{more}\r\n"
    );
    let answer = exchange(client.address, request.as_bytes()).await.remove(0);
    client.keep_cookies(&answer);
}

#[actix_web::test]
async fn neither_events_nor_numbers_show_an_id_a_key_or_a_value() {
    let (printer, stats) = (Printer::default(), SessionStats::new());
    let key = Key::generate();
    let site = Site::new(MemoryStore::new())
        .settings(|it| it.signing_keys([key.clone()]).observer(printer.clone()).stats(&stats))
        .data_of(|store| {
            Sessions::<Visitor>::new(store.clone()).stats(&stats).observer(printer.clone())
        })
        .data_of(Clone::clone)
        .route("/fill", fill)
        .route("/renew", renew)
        .route("/end", end)
        .route("/verify", verify)
        .route("/reject", reject)
        .route("/limit", limit)
        .start();
    let mut secrets = vec![NAME.to_owned()];
    let mut client = site.client();
    for (method, path, more) in [
        ("GET", "/fill", ""),
        ("GET", "/renew", ""),
        ("GET", "/verify", ""),
        ("GET", "/reject", ""),
        ("POST", "/fill", "Sec-Fetch-Site: cross-site\r\n"),
        ("GET", "/end", ""),
        ("GET", "/fill", ""),
    ] {
        send(&mut client, method, path, more).await;
        secrets.extend(client.cookies.values().cloned());
    }
    // An id that has ended, one that is forged, and one of each of two devices.
    let ended = Client {
        cookies: [("__Host-session".into(), secrets[1].clone())].into(),
        ..client.clone()
    };
    send(&mut ended.clone(), "GET", "/verify", "").await;
    let forged: String = secrets[1].chars().rev().collect();
    secrets.push(forged.clone());
    let mut forger =
        Client { cookies: [("__Host-session".into(), forged)].into(), ..client.clone() };
    send(&mut forger, "GET", "/verify", "").await;
    let mut other = site.client();
    send(&mut other, "GET", "/fill", "").await;
    send(&mut other, "GET", "/limit", "").await;
    secrets.extend(other.cookies.values().cloned());
    site.store.inject(Operation::Load, Fault::ErrorBefore);
    send(&mut other, "GET", "/renew", "").await;

    let mut text = printer.lines.lock().expect("no panic").join("\n");
    for kind in [
        "created",
        "renewed",
        "destroyed",
        "csrf_token_refused",
        "conflict_given_up",
        "cross_origin_refused",
        "unknown_id",
        "signature_refused",
        "store_failed",
    ] {
        assert!(text.lines().any(|line| line.ends_with(kind)), "{kind}: {text}");
    }
    text += &format!("{stats:?} {:#?}", stats.totals());
    let built =
        SessionMiddleware::builder(MemoryStore::new()).stats(&stats).observer(printer.clone());
    text += &format!("{built:?}");
    text += &format!("{:?}", built.build());

    let public_ids = printer.public_ids.lock().expect("no panic");
    assert!(!public_ids.is_empty(), "some were asked for");
    secrets.extend(public_ids.iter().map(ToString::to_string));
    for signed in secrets.clone() {
        if let Some((id, mac)) = signed.rsplit_once('.') {
            let key = StoreKey::from(&SessionId::new(id).expect("an id"));
            secrets.extend([id.to_owned(), mac.to_owned(), key.to_hex(), format!("{key:?}")]);
        }
    }
    secrets.retain(|secret| secret.len() >= 8 && !secret.ends_with("(…)"));
    assert!(secrets.len() > 12, "{secrets:?}");
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in {text}");
    }
}
