//! What the tests share: a site over real sockets whose handler does what the path says, and a browser
//! that keeps cookies.

pub mod browser;
pub mod concurrency;
pub mod examples;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod sources;
pub mod stores;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use actix_typed_session::{
    FakeClock, MemoryStore, Session, SessionError, SessionMiddleware, SessionMiddlewareBuilder,
    TypedSession,
    testing::{FaultyStore, Operation},
};
use actix_web::{HttpResponse, http::StatusCode, web};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
};

/// Serves an `App` on a free port of this machine for as long as the test runs. Gives the address.
#[macro_export]
macro_rules! serve {
    ($app:expr) => {
        $crate::serve!($app, workers: 2)
    };
    ($app:expr, workers: $workers:expr) => {{
        let server = ::actix_web::HttpServer::new(move || $app)
            .workers($workers)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .expect("a free port");
        let address = server.addrs()[0];
        ::actix_web::rt::spawn(server.run());
        address
    }};
}

/// The session of the test site.
#[derive(Session, Debug)]
pub struct Visitor {
    /// Adds up.
    #[session(merge = "add")]
    pub views: u64,
    /// Text.
    pub name: String,
    /// Renews the id.
    #[session(privilege)]
    pub user: Option<i64>,
    /// A list.
    pub cart: Vec<String>,
    /// Cannot be stored when it has a NaN.
    pub score: f64,
}

/// A site whose session store is watched.
pub struct Site {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its store.
    pub store: FaultyStore<MemoryStore>,
    /// Its clock.
    pub clock: FakeClock,
    /// Where requests wait.
    pub gate: Gate,
}

impl Site {
    /// A site with the default settings but a plain cookie name.
    pub fn start() -> Self {
        Self::with(|builder| builder)
    }

    /// A site with settings of the test's own.
    pub fn with(
        settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
    ) -> Self {
        let clock = FakeClock::default();
        let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
        Self::on(store, clock, settings)
    }

    /// Another site with the same store: this one after a restart, with other settings, or elsewhere.
    pub fn beside(
        &self,
        settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
    ) -> Self {
        Self::on(self.store.clone(), self.clock.clone(), settings)
    }

    fn on(
        store: FaultyStore<MemoryStore>,
        clock: FakeClock,
        settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
    ) -> Self {
        let builder = SessionMiddleware::builder(store.clone()).clock(clock.clone());
        let sessions = settings(builder).build().expect("valid settings");
        let gate = Gate::default();
        let data = web::Data::new(gate.clone());
        let address = serve!(
            actix_web::App::new().app_data(data.clone()).wrap(sessions.clone()).configure(routes)
        );
        Self { address, store, clock, gate }
    }

    /// A new browser.
    pub fn browser(&self) -> Browser {
        Browser::new(self.address)
    }

    /// How often each kind of store call was made since the test began.
    pub fn calls(&self) -> String {
        [
            ("create", Operation::Create),
            ("load", Operation::Load),
            ("update", Operation::Update),
            ("touch", Operation::Touch),
            ("destroy", Operation::Destroy),
            ("rotate", Operation::Rotate),
        ]
        .into_iter()
        .map(|(name, operation)| (name, self.store.calls(operation)))
        .filter(|(_, calls)| *calls > 0)
        .map(|(name, calls)| format!("{name} {calls}"))
        .collect::<Vec<_>>()
        .join(", ")
    }
}

/// Holds requests back until the test lets them go on.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// Waits at the gate.
    pub async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.expect("the gate is never closed").forget();
    }

    /// Waits until one request more has come to the gate.
    pub async fn arrival(&self) {
        self.arrived.acquire().await.expect("the gate is never closed").forget();
    }

    /// Lets one request go on.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}

/// The routes of the test site.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/plain", web::get().to(async || "no session here"))
        .route("/do/{steps}", web::route().to(act));
}

/// Does what the steps in the path say, one after the other, and tells what the session looks like then.
async fn act(
    steps: web::Path<String>,
    session: TypedSession<Visitor>,
    gate: web::Data<Gate>,
) -> Result<HttpResponse, SessionError> {
    let mut session = session;
    let mut status = StatusCode::OK;
    let mut token = None;
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        match verb {
            "read" => {}
            "view" => session.set_views(session.views + 1),
            "unview" => session.set_views(session.views.saturating_sub(1)),
            "views" => session.set_views(value.parse().expect("a number")),
            "name" => session.set_name(value.to_owned()),
            "user" => session.set_user(value.parse().ok()),
            "leave" => drop(session.take_user()),
            "cart" => session.cart_mut().push(value.to_owned()),
            "look" => assert!(session.cart_mut().iter().all(|item| item.len() < 100)),
            "uncart" => drop(session.cart_mut().pop()),
            "nan" => session.set_score(f64::NAN),
            "modify" => session.modify(|visitor| {
                visitor.name = value.to_owned();
                visitor.cart.push(value.to_owned());
                visitor.views += 1;
            }),
            "regenerate" => session.regenerate(),
            "renew" => session.renew(),
            "destroy" => session.destroy(),
            "touch" => session.touch(),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "age" => {
                session.set_max_age(Duration::from_millis(value.parse().expect("milliseconds")));
            }
            "persist" => session.set_persistent(value != "no"),
            "csrf" => token = Some(session.csrf_token()),
            "verify" => session.verify_csrf(value)?,
            "gate" => gate.pass().await,
            "status" => status = value.parse().expect("a status"),
            other => panic!("the test site does not know the step `{other}`"),
        }
    }
    Ok(HttpResponse::build(status).body(token.unwrap_or_else(|| show(&session))))
}

/// The session in one line.
pub fn show(session: &TypedSession<Visitor>) -> String {
    let mut line = format!("{:?}", session.status());
    if session.views != 0 {
        line += &format!(" views={}", session.views);
    }
    if !session.name.is_empty() {
        line += &format!(" name={}", session.name);
    }
    if let Some(user) = session.user {
        line += &format!(" user={user}");
    }
    if !session.cart.is_empty() {
        line += &format!(" cart={}", session.cart.join("+"));
    }
    line
}

/// A browser: keeps cookies and sends them.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The server that it asks.
    pub address: SocketAddr,
    /// The cookies by name.
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser without cookies.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// The value of the one cookie there is.
    pub fn cookie(&self) -> &str {
        assert_eq!(self.cookies.len(), 1, "one cookie: {:?}", self.cookies.keys());
        self.cookies.values().next().expect("one cookie")
    }

    /// Lets the test site do the steps.
    pub async fn act(&mut self, steps: &str) -> Response {
        self.get(&format!("/do/{steps}")).await
    }

    /// Sends a request and takes the cookies of the response.
    pub async fn get(&mut self, path: &str) -> Response {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = match cookies.is_empty() {
            true => String::new(),
            false => format!("Cookie: {}\r\n", cookies.join("; ")),
        };
        let response = get(self.address, path, headers.as_bytes()).await;
        self.keep_cookies(&response);
        response
    }

    /// Takes the cookies of a response.
    pub fn keep_cookies(&mut self, response: &Response) {
        for cookie in response.all("set-cookie") {
            let (name, rest) = cookie.split_once('=').expect("a name and a value");
            let value = rest.split(';').next().unwrap_or_default();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// All values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header that is there at most once.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// The session cookie that the response sets or removes.
    pub fn set_cookie(&self) -> Option<&str> {
        self.header("set-cookie")
    }

    /// Whether the response removes the session cookie.
    pub fn removes_cookie(&self) -> bool {
        self.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=0"))
    }

    /// Status and body, for comparing.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}

/// Sends a request with these header lines on a connection of its own.
pub async fn get(address: SocketAddr, path: &str, headers: &[u8]) -> Response {
    let mut request =
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n").into_bytes();
    request.extend(headers);
    request.extend(b"\r\n");
    let mut responses = exchange(address, &request).await;
    assert_eq!(responses.len(), 1, "one response");
    responses.remove(0)
}

/// Sends bytes on one connection and reads responses until the server closes it.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<Response> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // A server that refuses a request may close before all of it is sent.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let mut responses = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (response, after) = whole_response(rest).expect("a whole response");
        responses.push(response);
        rest = after;
    }
    responses
}

/// The response at the beginning of the bytes, and what follows it; `None` while a part of it is missing.
pub fn whole_response(bytes: &[u8]) -> Option<(Response, &[u8])> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = &bytes[end + 4..];
    let header = |name| headers.iter().find(|(there, _)| there == name).map(|(_, value)| value);
    let mut content = Vec::new();
    if header("transfer-encoding").is_some_and(|value| value == "chunked") {
        loop {
            let line = find(body, b"\r\n")?;
            let size = std::str::from_utf8(&body[..line]).expect("a chunk's size");
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            content.extend(body.get(line + 2..line + 2 + size)?);
            body = body.get(line + 2 + size + 2..)?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        content.extend(body.get(..length)?);
        body = &body[length..];
    }
    let body_text = String::from_utf8_lossy(&content).into_owned();
    let status = status.parse().expect("a status");
    Some((Response { status, headers, body: body_text }, body))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
