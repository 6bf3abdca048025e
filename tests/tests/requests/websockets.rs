//! WebSockets that outlive the request that opened them: what they store, how they keep their
//! session alive, and how they notice that it has ended.

use actix_typed_session::{
    MemoryStore, SessionMiddlewareBuilder,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{
    Client, Site,
    wait::{until, within},
};
use actix_web::http::header;
use awc::{
    error::WsProtocolError,
    ws::{Frame, Message as ClientMessage},
};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../session/src/guide/websockets_chat.rs"));

const HOUR: Duration = Duration::from_secs(3600);

/// A socket that checks its session as often as a test needs it.
async fn quick_chat(
    request: HttpRequest,
    body: web::Payload,
    session: TypedSession<Visitor>,
) -> Result<HttpResponse, Error> {
    let user = session.user_id.expect("a user");
    let (response, socket, messages) = actix_ws::handle(&request, body)?;
    rt::spawn(async move {
        let mut chat = Chat { session, socket, user, is_used: false };
        let reason = chat.run(messages, Duration::from_millis(10)).await.err();
        let _ = chat.socket.close(reason).await;
    });
    Ok(response)
}

async fn log_in(mut session: TypedSession<Visitor>, user: web::Path<i64>) -> &'static str {
    session.set_user_id(Some(*user));
    "welcome"
}

async fn log_out(mut session: TypedSession<Visitor>) -> &'static str {
    session.destroy();
    "bye"
}

async fn renew(mut session: TypedSession<Visitor>) -> &'static str {
    session.renew();
    "renewed"
}

async fn show(session: TypedSession<Visitor>) -> String {
    session.handle().keep_expiry();
    format!("{:?} {}", session.user_id, session.sent)
}

type TestSite = Site<FaultyStore<MemoryStore>>;

fn site() -> TestSite {
    site_with(|settings| settings)
}

fn site_with(
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> TestSite {
    Site::in_memory()
        .settings(settings)
        .route("/login/{user}", log_in)
        .route("/logout", log_out)
        .route("/renew", renew)
        .route("/show", show)
        .route("/chat", chat)
        .route("/quick", quick_chat)
        .start()
}

async fn user_7(site: &TestSite) -> Client {
    let mut ann = site.client();
    ann.get("/login/7").await;
    ann
}

/// The client's end of a socket.
trait Socket: Stream<Item = Result<Frame, WsProtocolError>> + Sink<ClientMessage> + Unpin {}

impl<S: Stream<Item = Result<Frame, WsProtocolError>> + Sink<ClientMessage> + Unpin> Socket for S {}

async fn open(client: &Client, path: &str) -> impl Socket + use<> {
    let (response, socket) = awc::Client::new()
        .ws(format!("http://{}{path}", client.address))
        .set_header(header::COOKIE, format!("__Host-session={}", client.cookie()))
        .connect()
        .await
        .expect("a socket");
    assert_eq!(response.status(), 101);
    socket
}

/// Says something, and returns the answer, or the code with which the server closes the socket.
async fn say(socket: &mut impl Socket, text: &'static str) -> Result<String, CloseCode> {
    assert!(socket.send(ClientMessage::Text(text.into())).await.is_ok(), "an open socket");
    match within("an answer", socket.next()).await {
        Some(Ok(Frame::Text(answer))) => Ok(String::from_utf8(answer.to_vec()).expect("text")),
        Some(Ok(Frame::Close(Some(reason)))) => Err(reason.code),
        other => panic!("an answer and not {other:?}"),
    }
}

/// Waits until the server closes the socket, and returns why.
async fn closed(mut socket: impl Socket) -> CloseCode {
    match within("the end of the socket", socket.next()).await {
        Some(Ok(Frame::Close(Some(reason)))) => reason.code,
        other => panic!("the server closes the socket, and not {other:?}"),
    }
}

#[actix_web::test]
async fn a_visitor_who_is_not_logged_in_and_a_page_of_another_origin_open_no_socket() {
    let site = site();
    let ann = user_7(&site).await;
    let status = async |cookie: &str, origin: &str| {
        let request = awc::Client::new()
            .ws(format!("http://{}/chat", site.address))
            .set_header(header::COOKIE, cookie)
            .set_header(header::ORIGIN, origin);
        match request.connect().await {
            Ok((response, _)) => response.status().as_u16(),
            Err(awc::error::WsClientError::InvalidResponseStatus(status)) => status.as_u16(),
            Err(error) => panic!("a response and not {error}"),
        }
    };
    let own = format!("http://{}", site.address);
    let cookie = format!("__Host-session={}", ann.cookie());
    assert_eq!(status(&cookie, &own).await, 101);
    assert_eq!(status("theme=dark", &own).await, 401);
    assert_eq!(status(&cookie, "https://evil.example").await, 403);
}

#[actix_web::test]
async fn what_a_socket_changes_is_stored_while_it_is_open() {
    let site = site();
    let mut ann = user_7(&site).await;
    let mut socket = open(&ann, "/chat").await;
    assert_eq!(say(&mut socket, "hello").await, Ok("7: hello".to_owned()));
    assert_eq!(ann.get("/show").await.body, "Some(7) 1");
    let mut other_device = open(&ann, "/chat").await;
    assert_eq!(say(&mut other_device, "you").await, Ok("7: you".to_owned()));
    assert_eq!(say(&mut socket, "there").await, Ok("7: there".to_owned()));
    assert_eq!(ann.get("/show").await.body, "Some(7) 3", "two sockets add up");
}

#[actix_web::test]
async fn a_logout_in_another_tab_ends_the_socket_at_its_next_check() {
    let site = site();
    let mut ann = user_7(&site).await;
    let socket = open(&ann, "/quick").await;
    ann.get("/logout").await;
    assert_eq!(closed(socket).await, CloseCode::Policy);
}

#[actix_web::test]
async fn a_message_after_a_logout_is_not_answered_even_before_the_next_check() {
    let site = site();
    let mut ann = user_7(&site).await;
    let mut socket = open(&ann, "/chat").await;
    assert!(say(&mut socket, "hello").await.is_ok());
    ann.get("/logout").await;
    assert_eq!(say(&mut socket, "still there?").await, Err(CloseCode::Policy));
    assert_eq!(ann.get("/show").await.body, "None 0", "and nothing came back");
}

#[actix_web::test]
async fn a_login_as_another_user_in_another_tab_ends_the_socket() {
    let site = site();
    let mut ann = user_7(&site).await;
    let socket = open(&ann, "/quick").await;
    ann.get("/login/8").await;
    assert_eq!(closed(socket).await, CloseCode::Policy);
}

#[actix_web::test]
async fn a_renewed_id_ends_the_socket_after_the_grace_and_the_page_opens_another() {
    let site = site();
    let mut ann = user_7(&site).await;
    let socket = open(&ann, "/quick").await;
    ann.get("/renew").await;
    site.clock().advance(Duration::from_secs(11));
    assert_eq!(closed(socket).await, CloseCode::Policy);
    let mut again = open(&ann, "/quick").await;
    assert!(say(&mut again, "hello").await.is_ok());
}

#[actix_web::test]
async fn a_socket_that_is_used_keeps_its_session_alive_without_other_requests() {
    let site = site();
    let mut ann = user_7(&site).await;
    let mut socket = open(&ann, "/quick").await;
    assert_eq!(say(&mut socket, "hello").await, Ok("7: hello".to_owned()));
    for _ in 0..3 {
        use_later(&site, &mut socket).await;
    }
    assert_eq!(ann.get("/show").await.body, "Some(7) 1", "after 45 hours");
}

/// Lets 15 hours pass, sends a message that stores nothing, and waits for the touch of the next
/// check.
async fn use_later(site: &TestSite, socket: &mut impl Socket) {
    // The touch for an earlier message is over, so that it is not taken for that of this one.
    checks(site, 2).await;
    let touches = site.store.calls(Operation::Touch);
    site.clock().advance(HOUR * 15);
    assert_eq!(say(socket, "/sent").await, Ok("1 sent".to_owned()));
    until("the session is touched", || site.store.calls(Operation::Touch) > touches).await;
    // A call is counted when it begins. The next load begins when it has ended.
    checks(site, 1).await;
}

/// Waits until the server has begun to load the session this many times more.
async fn checks(site: &TestSite, times: u64) {
    let loads = site.store.calls(Operation::Load);
    until("the socket checks its session", || site.store.calls(Operation::Load) >= loads + times)
        .await;
}

#[actix_web::test]
async fn a_socket_that_only_listens_ends_with_its_session() {
    let site = site();
    let ann = user_7(&site).await;
    let socket = open(&ann, "/quick").await;
    site.clock().advance(HOUR * 21);
    assert_eq!(closed(socket).await, CloseCode::Policy);
    assert_eq!(site.store.calls(Operation::Touch), 0);
}

#[actix_web::test]
async fn a_socket_that_is_used_does_not_outlive_the_absolute_lifetime() {
    let site = site_with(|settings| settings.absolute_lifetime(HOUR * 24));
    let ann = user_7(&site).await;
    let mut socket = open(&ann, "/quick").await;
    for _ in 0..2 {
        site.clock().advance(HOUR * 11);
        assert!(say(&mut socket, "hello").await.is_ok());
    }
    site.clock().advance(HOUR * 3);
    assert_eq!(closed(socket).await, CloseCode::Policy);
}

/// A socket whose messages ask for `touch` or `reload`, and whose answers say what came of it.
async fn probe(
    request: HttpRequest,
    body: web::Payload,
    mut session: TypedSession<Visitor>,
) -> Result<HttpResponse, Error> {
    let (response, mut socket, mut messages) = actix_ws::handle(&request, body)?;
    rt::spawn(async move {
        while let Some(Ok(Message::Text(text))) = messages.recv().await {
            let result = if &*text == "touch" {
                session.touch();
                session.save().await
            } else {
                session.reload().await
            };
            let answer = match result {
                Ok(()) => format!("{:?}", session.user_id),
                Err(SessionError::Gone) => "gone".to_owned(),
                Err(error) => error.to_string(),
            };
            let _ = socket.text(answer).await;
        }
    });
    Ok(response)
}

#[actix_web::test]
async fn touch_and_reload_say_what_happened_meanwhile() {
    // What happens, what `touch` says, what `reload` says at once, and after the grace period.
    for (event, touched, reloaded, later) in [
        ("/show", "Some(7)", "Some(7)", "Some(7)"),
        ("/logout", "gone", "gone", "gone"),
        ("/login/8", "gone", "None", "gone"),
        ("/renew", "gone", "Some(7)", "gone"),
    ] {
        let site = Site::in_memory()
            .route("/login/{user}", log_in)
            .route("/logout", log_out)
            .route("/renew", renew)
            .route("/show", show)
            .route("/probe", probe)
            .start();
        let mut ann = user_7(&site).await;
        let mut first = open(&ann, "/probe").await;
        let mut second = open(&ann, "/probe").await;
        ann.get(event).await;
        assert_eq!(say(&mut first, "touch").await, Ok(touched.to_owned()), "{event}");
        assert_eq!(say(&mut second, "reload").await, Ok(reloaded.to_owned()), "{event}");
        site.clock().advance(Duration::from_secs(11));
        assert_eq!(say(&mut second, "reload").await, Ok(later.to_owned()), "{event}");
    }
}

#[actix_web::test]
async fn a_touch_notices_a_logout_also_if_the_session_cannot_be_extended_any_more() {
    let site = Site::in_memory()
        .settings(|settings| settings.absolute_lifetime(HOUR * 24))
        .route("/login/{user}", log_in)
        .route("/logout", log_out)
        .route("/probe", probe)
        .start();
    let mut ann = user_7(&site).await;
    let mut socket = open(&ann, "/probe").await;
    for _ in 0..2 {
        site.clock().advance(HOUR * 5);
        assert_eq!(say(&mut socket, "touch").await, Ok("Some(7)".to_owned()));
    }
    ann.get("/logout").await;
    assert_eq!(say(&mut socket, "touch").await, Ok("gone".to_owned()));
}

#[actix_web::test]
async fn a_store_that_fails_closes_the_socket_with_try_again_later() {
    let site = site();
    let ann = user_7(&site).await;
    let socket = open(&ann, "/quick").await;
    site.store.inject(Operation::Load, Fault::ErrorBefore);
    assert_eq!(closed(socket).await, CloseCode::Again);
}

#[actix_web::test]
async fn a_socket_extends_the_session_of_a_persistent_cookie_but_not_the_cookie() {
    let site = site_with(|settings| settings.cookie_persistent(true));
    let mut ann = user_7(&site).await;
    let mut socket = open(&ann, "/quick").await;
    assert!(say(&mut socket, "hello").await.is_ok());
    use_later(&site, &mut socket).await;
    site.clock().advance(HOUR * 15);
    let response = ann.get("/show").await;
    assert_eq!(response.body, "Some(7) 1", "the session goes on, if the browser has the cookie");
}

#[actix_web::test]
async fn what_the_handler_changes_before_it_returns_goes_out_with_the_head() {
    async fn greet(
        request: HttpRequest,
        body: web::Payload,
        mut session: TypedSession<Visitor>,
    ) -> Result<HttpResponse, Error> {
        let (response, mut socket, _) = actix_ws::handle(&request, body)?;
        session.set_user_id(Some(9));
        let _ = socket.text("hello").await;
        Ok(response)
    }
    let site = Site::in_memory().route("/greet", greet).route("/show", show).start();
    let (response, _) = awc::Client::new()
        .ws(format!("http://{}/greet", site.address))
        .connect()
        .await
        .expect("a socket");
    let cookie = response.headers().get(header::SET_COOKIE).expect("a new session");
    let cookie = cookie.to_str().expect("ASCII").split(';').next().expect("a pair");
    let headers = format!("Cookie: {cookie}\r\n");
    let shown = actix_typed_session_tests::get(site.address, "/show", headers.as_bytes()).await;
    assert_eq!(shown.body, "Some(9) 0");
}

#[actix_web::test]
async fn a_socket_of_a_visitor_without_a_session_cannot_begin_one() {
    async fn begin(
        request: HttpRequest,
        body: web::Payload,
        mut session: TypedSession<Visitor>,
    ) -> Result<HttpResponse, Error> {
        let (response, mut socket, mut messages) = actix_ws::handle(&request, body)?;
        rt::spawn(async move {
            let _ = messages.recv().await;
            session.add_sent(1);
            let error = session.save().await.expect_err("no cookie can be set");
            let _ = socket.text(error.to_string()).await;
        });
        Ok(response)
    }
    let site = Site::in_memory().route("/begin", begin).start();
    let (_, mut socket) = awc::Client::new()
        .ws(format!("http://{}/begin", site.address))
        .connect()
        .await
        .expect("a socket");
    let answer = say(&mut socket, "hello").await.expect("an answer");
    assert!(answer.contains("the response head has been sent"), "{answer}");
    assert_eq!(site.store_calls(), "");
}
