//! Sites with known sessions, visitors who send arbitrary requests, and checks for every response.

use std::{collections::BTreeSet, net::SocketAddr};

use actix_service::boxed::{RcService, rc_service};
use actix_typed_session::{
    Clock, CookieStore, Key, Session, SessionError, SessionId, SessionMiddleware, Status,
    Timestamp, TypedSession,
    store::{Patch, Record, SessionStore as _, StoreKey},
};
use actix_web::{
    App, Error, HttpRequest,
    body::{BoxBody, EitherBody},
    dev::ServiceResponse,
    http::{
        StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, COOKIE, FORWARDED, HeaderMap, HeaderName, HeaderValue,
            SET_COOKIE, VARY, X_FORWARDED_PROTO,
        },
    },
    rt::Runtime,
    test, web,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::Cookie;
use serde_json::value::RawValue;

mod splice;
mod store;

pub use splice::splice;
use store::{Calls, Store, Watched};

/// Where a site keeps its sessions and how clients present them.
#[derive(Clone, Copy)]
pub struct Setting {
    pub cookie: &'static str,
    pub keeps: Keeps,
    pub is_signed: bool,
    pub header: IdInHeader,
    /// Whether the cookie is `Secure` only on secure connections.
    pub follows_connection: bool,
    pub persistent: bool,
}

/// Where a site keeps its sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// In a store that completes at once.
    AtHand,
    /// In a store that the middleware must wait for.
    Away,
    /// Sealed in the cookie.
    InCookie,
}

/// The header that may carry an id in addition to the cookie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IdInHeader {
    No,
    Bearer,
    Named,
}

/// The kind of connection; each kind may have a separate cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Usual,
    Unsecured,
}

/// The first key signs and seals. The second one did so before. The sites do not have the third.
pub const KEYS: [Key; 3] =
    [Key::from_bytes([1; 32]), Key::from_bytes([2; 32]), Key::from_bytes([3; 32])];
const OWNERS: [&str; 3] = ["ann", "bob", "eve"];
const NOW: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);
const IN_20_HOURS: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000 + 72_000_000);
const X_SESSION: HeaderName = HeaderName::from_static("x-session");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("session-token");
/// The name for a new session, and a form's token.
const X_NAME: HeaderName = HeaderName::from_static("x-name");
const X_CSRF: HeaderName = HeaderName::from_static("x-csrf");

/// The most ids that the library looks up, and the most cookie values that it parses.
const MOST_IDS: usize = 4;
const MOST_VALUES: usize = 64;

/// A clock that stands still.
#[derive(Clone, Copy)]
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

thread_local! {
    static RUNTIME: Runtime = Runtime::new().expect("the system can start a runtime");
}

/// Runs a future to completion.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// The id of a known session.
fn id_of(owner: usize) -> SessionId {
    // It contains dots, because ids of an `id_generator` may.
    SessionId::new(format!("{}.0123456789.abcdefghijklmnop", OWNERS[owner])).expect("an id")
}

/// The key of a known session.
pub fn key_of(owner: usize) -> StoreKey {
    StoreKey::from(&id_of(owner))
}

/// Several sites. Visitors of each know the values of all.
pub struct Sites {
    sites: Vec<Site>,
    /// One form token per known session.
    tokens: Vec<Vec<u8>>,
}

impl Sites {
    pub fn new(settings: impl IntoIterator<Item = Setting>) -> Self {
        let mut sites: Vec<_> = settings.into_iter().map(Site::new).collect();
        for (one, other) in sites.iter().flat_map(|one| sites.iter().map(move |other| (one, other)))
        {
            one.shares_nothing_with(other);
        }
        let ids = (0..OWNERS.len())
            .flat_map(|owner| [id_of(owner).as_str().to_owned(), key_of(owner).to_hex()])
            .map(String::into_bytes);
        let all: Vec<_> = ids.chain(sites.iter().flat_map(|site| site.values.clone())).collect();
        for site in &mut sites {
            site.values.extend(all.clone());
        }
        let tokens: Vec<_> = (0..OWNERS.len()).map(|owner| sites[0].setting.token(owner)).collect();
        let secrets: BTreeSet<_> = tokens.iter().map(|token| secret(token)).collect();
        assert_eq!(secrets.len(), OWNERS.len(), "a token is valid only for its session");
        Self { sites, tokens }
    }

    /// Makes the visit that the input describes, and checks the response.
    ///
    /// The first line holds the site, the peer and the handler's steps. Each other line begins with
    /// a letter for the kind of header. The rest is its value, with [orders](splice).
    pub fn check(&self, input: &[u8]) {
        let [site, peer, input @ ..] = input else { return };
        let site = &self.sites[usize::from(*site) % self.sites.len()];
        let mut lines = input.split(|byte| *byte == b'\n');
        let steps = lines.next().unwrap_or_default();
        let mut visit = Visit::new(Peer::of(*peer));
        visit.steps.extend(
            steps
                .iter()
                .take(6)
                .map(|byte| char::from(*byte))
                .filter(|step| "vlrgdptsn".contains(*step)),
        );
        for line in lines {
            let Some((kind, line)) = line.split_first() else { continue };
            let (name, values) = match kind {
                b'c' => (COOKIE, &site.values),
                b'a' => (AUTHORIZATION, &site.values),
                b'x' => (X_SESSION, &site.values),
                b'p' => (X_FORWARDED_PROTO, &site.values),
                b'f' => (FORWARDED, &site.values),
                b't' if !visit.has(&X_CSRF) => (X_CSRF, &self.tokens),
                b'h' => {
                    visit.host = String::from_utf8_lossy(line).into_owned();
                    continue;
                }
                _ => continue,
            };
            if let Ok(value) = HeaderValue::from_bytes(&splice(line, values)) {
                visit.headers.push((name, value));
            }
        }
        visit.pass_proxy();
        site.check(&visit, &self.tokens);
    }
}

/// A site and its known sessions.
struct Site {
    setting: Setting,
    service: Service,
    store: Store,
    /// The values that are valid here.
    truths: Vec<Truth>,
    /// The true values that visitors know: first those valid here, then those of all sites.
    values: Vec<Vec<u8>>,
}

type Service = RcService<actix_http::Request, ServiceResponse<EitherBody<BoxBody>>, Error>;

/// A value that names a session.
struct Truth {
    connection: Connection,
    value: Vec<u8>,
    owner: usize,
    /// Whether a client would get this value today.
    is_current: bool,
}

impl Setting {
    /// Builds the middleware. Its next session gets the given id.
    fn middleware(&self, keys: &[Key], store: &Store, id: Option<SessionId>) -> SessionMiddleware {
        let builder = match self.keeps {
            Keeps::AtHand => SessionMiddleware::builder(Watched::<true>(store.clone())),
            Keeps::Away => SessionMiddleware::builder(Watched::<false>(store.clone())),
            Keeps::InCookie => {
                let store = CookieStore::new(keys.to_vec()).expect("there are keys");
                SessionMiddleware::builder(store)
            }
        };
        let mut builder = builder.clock(Still).cookie_name(self.cookie).cookie_persistent(self.persistent);
        if self.is_signed {
            builder = builder.signing_keys(keys.to_vec());
        }
        builder = match self.header {
            IdInHeader::No => builder,
            IdInHeader::Bearer => builder.bearer(),
            IdInHeader::Named => builder.header(X_SESSION.as_str()),
        };
        if self.follows_connection {
            builder = builder.cookie_secure_auto().trusted_proxies(["10.0.0.0/8"]);
        }
        if let Some(id) = id {
            builder = builder.id_generator(move |_| id.clone());
        }
        builder.build().expect("the settings are valid")
    }

    fn service(&self, keys: &[Key], store: &Store, id: Option<SessionId>) -> Service {
        let app = App::new()
            .wrap(self.middleware(keys, store, id))
            .route("/visit", web::get().to(visit))
            .route("/nothing", web::get().to(async || "nothing"));
        rc_service(wait(test::init_service(app)))
    }

    fn is_keyed(&self) -> bool {
        self.is_signed || self.keeps == Keeps::InCookie
    }

    fn connections(&self) -> &'static [Connection] {
        match self.follows_connection {
            true => &[Connection::Usual, Connection::Unsecured],
            false => &[Connection::Usual],
        }
    }

    fn cookie_on(&self, connection: Connection) -> &'static str {
        match connection {
            Connection::Usual => self.cookie,
            Connection::Unsecured => self.cookie.trim_start_matches("__Host-"),
        }
    }

    /// Begins a session on a site with this setting.
    fn begin(&self, keys: &[Key], connection: Connection, owner: usize) -> Answer {
        let service = self.service(keys, &Store::new(), Some(id_of(owner)));
        let mut visit = Visit::new(Peer::on(connection));
        visit.steps = "t".into();
        visit.headers.push((X_NAME, HeaderValue::from_static(OWNERS[owner])));
        visit.pass_proxy();
        visit.ask(&service)
    }

    fn token(&self, owner: usize) -> Vec<u8> {
        let answer = self.begin(&KEYS[..1], Connection::Usual, owner);
        answer.seen.expect("the handler was called").token.into_bytes()
    }
}

impl Site {
    fn new(setting: Setting) -> Self {
        let (mut truths, mut foreign) = (Vec::new(), Vec::new());
        let keys = if setting.is_keyed() { KEYS.len() } else { 1 };
        for connection in setting.connections() {
            for key in 0..keys {
                for owner in 0..OWNERS.len() {
                    let answer = setting.begin(&KEYS[key..=key], *connection, owner);
                    let value = answer.cookie().expect("a session has begun").value().into();
                    if key < 2 {
                        let (connection, is_current) = (*connection, key == 0);
                        truths.push(Truth { connection, value, owner, is_current });
                    } else {
                        foreign.push(value);
                    }
                }
            }
        }
        let values = truths.iter().map(|truth| truth.value.clone()).chain(foreign).collect();
        let store = Store::new();
        let service = setting.service(&KEYS[..2], &store, None);
        let site = Self { setting, service, store, truths, values };
        site.restore(&Calls::default());
        site
    }

    /// Asserts that a value signed or sealed for one cookie is not valid for another.
    fn shares_nothing_with(&self, other: &Self) {
        let values = |site: &Self| -> BTreeSet<(&str, Vec<u8>)> {
            let truths = site.truths.iter().filter(|_| site.setting.is_keyed());
            truths
                .map(|truth| (site.setting.cookie_on(truth.connection), truth.value.clone()))
                .collect()
        };
        for (name, value) in values(self) {
            assert!(values(other).iter().all(|(other, it)| *it != value || *other == name));
        }
    }

    /// Resets the store, so that it holds only the known sessions.
    fn restore(&self, calls: &Calls) {
        wait(async {
            for key in calls.written.iter().copied().chain((0..OWNERS.len()).map(key_of)) {
                self.store.sessions.destroy(&key).await.expect("memory does not fail");
            }
            for (owner, name) in OWNERS.iter().enumerate() {
                let record = record([("name", format!("\"{name}\""))]);
                self.store
                    .sessions
                    .create(&key_of(owner), &record)
                    .await
                    .expect("memory does not fail");
            }
        });
    }

    fn check(&self, visit: &Visit, tokens: &[Vec<u8>]) {
        let answer = visit.ask(&self.service);
        let calls = self.store.take_calls();
        self.check_answer(visit, &answer, &calls, tokens);
        let replayed = self.store.take_calls();
        if !calls.written.is_empty() || !replayed.written.is_empty() {
            self.restore(&calls);
        }
    }

    fn check_answer(&self, visit: &Visit, answer: &Answer, calls: &Calls, tokens: &[Vec<u8>]) {
        if visit.is_for_nothing() {
            assert_eq!(answer.status, StatusCode::OK);
            assert!(calls.loaded.is_empty() && calls.written.is_empty(), "the store is not called");
            assert!(
                [SET_COOKIE, VARY, SESSION_TOKEN, X_SESSION]
                    .iter()
                    .all(|name| !answer.headers.contains_key(name))
            );
            return;
        }
        let seen = answer.seen.as_ref();
        let found = match answer.status {
            StatusCode::OK => Found::Session(seen.expect("the handler was called").owner()),
            StatusCode::BAD_REQUEST => Found::Conflict,
            status => panic!("the response is {status}"),
        };
        let possible: Vec<_> = visit.connections(&self.setting).collect();
        let presented: Vec<_> =
            possible.iter().map(|connection| self.presented(visit, *connection)).collect();
        let agrees = |presented: &Presented| presented.found() == found;
        assert!(
            presented.iter().any(agrees),
            "the visitor presented {presented:?}, but the site found {found:?}"
        );

        assert!(calls.loaded.len() <= MOST_IDS, "{} loads", calls.loaded.len());
        assert!(
            calls.written.len() <= 2 * (visit.steps.len() + 1),
            "{} writes",
            calls.written.len()
        );
        let ids: BTreeSet<_> = presented.iter().flat_map(Presented::keys).collect();
        assert!(calls.loaded.iter().all(|key| ids.contains(key)), "only presented ids are loaded");

        let Found::Session(owner) = found else {
            assert!(
                calls.loaded.is_empty() && calls.written.is_empty(),
                "a conflict costs no store call"
            );
            assert!(answer.given(&self.setting).is_none(), "a conflict gets no id");
            return;
        };
        if let Some(token) = visit.value(&X_CSRF) {
            let is_good = owner.is_some_and(|owner| {
                secret(token).is_some_and(|secret| Some(secret) == self::secret(&tokens[owner]))
            });
            assert_eq!(
                seen.is_some_and(|seen| seen.is_verified),
                is_good,
                "a token of another session is refused"
            );
        }
        assert!(answer.headers.get_all(VARY).any(|vary| vary == "Cookie"));
        let Some((way, value)) = answer.given(&self.setting) else { return };
        let connection = match way {
            Way::Cookie(connection) => connection,
            Way::Header => {
                let is_ours =
                    |presented: &Presented| agrees(presented) && presented.in_cookies.is_empty();
                assert!(
                    presented.iter().any(is_ours),
                    "scripts never see an id that came in a cookie"
                );
                possible[0]
            }
        };
        assert!(possible.contains(&connection), "the cookie belongs to this kind of connection");
        if value.is_empty() {
            return;
        }
        let truth = self.truths.iter().find(|truth| truth.value == value.as_bytes());
        if let Some(truth) = truth {
            assert_eq!(
                (Some(truth.owner), truth.is_current),
                (owner, true),
                "a repeated id names the session that was read"
            );
        } else {
            let is_in = |(_, sent): &(_, HeaderValue)| {
                sent.as_bytes().windows(value.len()).any(|part| part == value.as_bytes())
            };
            assert!(
                !visit.headers.iter().any(is_in),
                "the library never adopts a value of the client"
            );
        }
        // A value in a header does not show the kind of connection, so try both.
        let connections = if way == Way::Header { possible } else { vec![connection] };
        let is_loaded = connections.iter().any(|connection| {
            let mut again = Visit::new(Peer::on(*connection));
            again.headers.push(way.present(&self.setting, &value));
            let token = seen.map_or("", |seen| &seen.token);
            again.headers.push((X_CSRF, HeaderValue::from_str(token).expect("a token is ASCII")));
            again.pass_proxy();
            let seen = again.ask(&self.service).seen.expect("the handler was called");
            seen.is_loaded && (!visit.steps.ends_with('t') || seen.is_verified)
        });
        assert!(is_loaded, "a given id loads a session, and its token verifies");
    }

    /// The ids that a visitor presents, as the documentation defines them.
    fn presented(&self, visit: &Visit, connection: Connection) -> Presented {
        let name = self.setting.cookie_on(connection).as_bytes();
        let mut in_cookies = Vec::new();
        let pairs = visit.values(&COOKIE).flat_map(|header| header.split(|byte| *byte == b';'));
        let values = pairs.filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            (pair[..equals].trim_ascii() == name).then(|| pair[equals + 1..].trim_ascii())
        });
        for value in values.take(MOST_VALUES) {
            if let Some(id) = self.id(connection, value)
                && !in_cookies.contains(&id)
                && in_cookies.len() < MOST_IDS
            {
                in_cookies.push(id);
            }
        }
        let headers: Vec<_> = match self.setting.header {
            IdInHeader::No => Vec::new(),
            IdInHeader::Named => visit.values(&X_SESSION).map(<[u8]>::trim_ascii).collect(),
            IdInHeader::Bearer => visit.values(&AUTHORIZATION).filter_map(bearer).collect(),
        };
        let in_headers =
            headers.into_iter().filter_map(|value| self.id(connection, value)).collect();
        Presented { in_cookies, in_headers }
    }

    /// The id that a value contains.
    fn id(&self, connection: Connection, value: &[u8]) -> Option<String> {
        if self.setting.is_keyed() {
            let is_it = |truth: &&Truth| truth.connection == connection && truth.value == value;
            self.truths.iter().find(is_it).map(|truth| id_of(truth.owner).as_str().to_owned())
        } else {
            let text = String::from_utf8(value.to_vec()).ok()?;
            SessionId::new(text.clone()).is_ok().then_some(text)
        }
    }
}

/// The token of a bearer header, unless it is a JSON web token.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.trim_ascii().split_at_checked(6)?;
    let is_ours = scheme.eq_ignore_ascii_case(b"bearer") && matches!(token, [] | [b' ', ..]);
    let token = token.trim_ascii();
    let is_jwt = token.starts_with(b"eyJ") && token.split(|byte| *byte == b'.').count() == 3;
    (is_ours && !is_jwt).then_some(token)
}

/// The unmasked bytes of a token. They are the same for all tokens of a session.
fn secret(token: &[u8]) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == 64)?;
    Some((0..32).map(|at| bytes[at] ^ bytes[at + 32]).collect())
}

/// The ids that a visitor presents.
#[derive(Debug)]
struct Presented {
    /// Without duplicates.
    in_cookies: Vec<String>,
    in_headers: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A known session, or none.
    Session(Option<usize>),
    Conflict,
}

impl Presented {
    fn found(&self) -> Found {
        let owner = |id: &String| (0..OWNERS.len()).find(|owner| id_of(*owner).as_str() == id);
        let mut in_headers = self.in_headers.iter();
        match (in_headers.next(), in_headers.next()) {
            (None, _) => Found::Session(self.in_cookies.iter().find_map(owner)),
            (Some(id), None) if self.in_cookies.iter().all(|other| other == id) => {
                Found::Session(owner(id))
            }
            (Some(_), _) => Found::Conflict,
        }
    }

    fn keys(&self) -> impl Iterator<Item = StoreKey> {
        let ids = self.in_cookies.iter().chain(&self.in_headers);
        ids.map(|id| StoreKey::from(&SessionId::new(id).expect("an id")))
    }
}

/// The other end of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// The visitor.
    Stranger,
    /// A trusted proxy that forwards the visitor's headers unchanged.
    Proxy,
    /// Trusted proxies that add that the visitor used no TLS.
    SaysProto,
    SaysForwarded,
}

impl Peer {
    fn of(byte: u8) -> Self {
        [Self::Stranger, Self::Proxy, Self::SaysProto, Self::SaysForwarded][usize::from(byte % 4)]
    }

    fn on(connection: Connection) -> Self {
        match connection {
            Connection::Usual => Self::Proxy,
            Connection::Unsecured => Self::Stranger,
        }
    }

    fn address(self) -> SocketAddr {
        let ip = if self == Self::Stranger { [203, 0, 113, 9] } else { [10, 1, 2, 3] };
        (ip, 40_000).into()
    }
}

/// A request.
struct Visit {
    peer: Peer,
    /// The handler's steps, one letter each.
    steps: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The host name that the visitor used, as a proxy forwards it.
    host: String,
}

impl Visit {
    fn new(peer: Peer) -> Self {
        Self { peer, steps: String::new(), headers: Vec::new(), host: "example.com".into() }
    }

    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_bytes())
    }

    fn value(&self, name: &HeaderName) -> Option<&[u8]> {
        self.values(name).next()
    }

    fn has(&self, name: &HeaderName) -> bool {
        self.value(name).is_some()
    }

    fn is_for_nothing(&self) -> bool {
        self.steps.contains('n')
    }

    /// Adds the headers of the peer.
    fn pass_proxy(&mut self) {
        match self.peer {
            Peer::Stranger => {}
            Peer::Proxy if self.has(&X_FORWARDED_PROTO) || self.has(&FORWARDED) => {}
            Peer::Proxy => {
                self.headers.push((X_FORWARDED_PROTO, HeaderValue::from_static("https")))
            }
            Peer::SaysProto => {
                self.headers.push((X_FORWARDED_PROTO, HeaderValue::from_static("http")))
            }
            Peer::SaysForwarded => {
                let host = self.host.replace('\\', r"\\").replace('"', r#"\""#);
                let own = format!("for=203.0.113.9;host=\"{host}\";proto=http;by=10.1.2.3");
                let last = self.headers.iter_mut().rfind(|(name, _)| name == FORWARDED);
                let joined = match &last {
                    Some((_, theirs)) => [theirs.as_bytes(), b", ", own.as_bytes()].concat(),
                    None => own.into_bytes(),
                };
                let Ok(joined) = HeaderValue::from_bytes(&joined) else {
                    self.peer = Peer::Stranger;
                    return;
                };
                match last {
                    Some((_, theirs)) => *theirs = joined,
                    None => self.headers.push((FORWARDED, joined)),
                }
            }
        }
    }

    /// The kinds that the connection may count as. A proxy that forwards the visitor's headers
    /// unchanged may lie.
    fn connections(&self, setting: &Setting) -> impl Iterator<Item = Connection> {
        let said =
            [&X_FORWARDED_PROTO, &FORWARDED].map(|name| self.values(name).collect::<Vec<_>>());
        let (usual, unsecured) = match self.peer {
            _ if !setting.follows_connection => (true, false),
            Peer::Stranger | Peer::SaysProto | Peer::SaysForwarded => (false, true),
            Peer::Proxy if said == [vec![b"https".as_slice()], vec![]] => (true, false),
            Peer::Proxy => (true, true),
        };
        let usual = usual.then_some(Connection::Usual);
        usual.into_iter().chain(unsecured.then_some(Connection::Unsecured))
    }

    fn ask(&self, service: &Service) -> Answer {
        let path = if self.is_for_nothing() { "/nothing" } else { "/visit" };
        let mut request = test::TestRequest::get()
            .uri(&format!("{path}?{}", self.steps))
            .peer_addr(self.peer.address());
        for header in &self.headers {
            request = request.append_header(header.clone());
        }
        wait(async {
            let response = test::call_service(service, request.to_request()).await;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = test::read_body(response).await;
            let seen = std::str::from_utf8(&body).ok().and_then(Seen::parse);
            Answer { status, headers, seen }
        })
    }
}

/// A response.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    seen: Option<Seen>,
}

/// How the client gets a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Cookie(Connection),
    Header,
}

impl Answer {
    fn cookie(&self) -> Option<Cookie<'_>> {
        let mut headers = self.headers.get_all(SET_COOKIE);
        let header = headers.next()?;
        assert!(headers.next().is_none(), "there is one cookie");
        assert!(header.len() <= 4_096, "{} bytes", header.len());
        let text = header.to_str().expect("the cookie is ASCII");
        let cookie = Cookie::parse(text).expect("the cookie is well-formed");
        assert_eq!(cookie.to_string(), text, "the cookie has the usual form");
        Some(cookie)
    }

    /// The value that the client gets. An empty one means that the client must forget its id.
    fn given(&self, setting: &Setting) -> Option<(Way, String)> {
        let cookie = self.cookie().map(|cookie| {
            let is_name =
                |connection: &&Connection| cookie.name() == setting.cookie_on(**connection);
            let connection =
                setting.connections().iter().find(is_name).expect("the cookie has its name");
            assert_eq!(cookie.secure() == Some(true), *connection == Connection::Usual);
            assert_eq!(
                (cookie.http_only(), cookie.path(), cookie.domain()),
                (Some(true), Some("/"), None)
            );
            let is_removal = cookie.max_age().is_some_and(|age| age.is_zero());
            assert_eq!(cookie.value().is_empty(), is_removal, "an empty cookie is a removal");
            (Way::Cookie(*connection), cookie.value().to_owned())
        });
        let name = match setting.header {
            IdInHeader::No | IdInHeader::Bearer => SESSION_TOKEN,
            IdInHeader::Named => X_SESSION,
        };
        let header = self.headers.get(name).map(|value| {
            assert!(setting.header != IdInHeader::No, "headers are not enabled");
            (Way::Header, value.to_str().expect("the header is ASCII").to_owned())
        });
        assert!(cookie.is_none() || header.is_none(), "an id comes in a cookie or in a header");
        let cache = match (&cookie, &header) {
            (Some(_), _) => "no-cache=\"Set-Cookie\"",
            (_, Some(_)) => "no-store",
            (None, None) => return None,
        };
        assert!(self.headers.get_all(CACHE_CONTROL).any(|value| value == cache));
        cookie.or(header)
    }
}

impl Way {
    /// The request header with which the client sends the value back.
    fn present(self, setting: &Setting, value: &str) -> (HeaderName, HeaderValue) {
        let (name, value) = match (self, setting.header) {
            (Self::Cookie(connection), _) => {
                (COOKIE, format!("{}={value}", setting.cookie_on(connection)))
            }
            (Self::Header, IdInHeader::Named) => (X_SESSION, value.to_owned()),
            (Self::Header, _) => (AUTHORIZATION, format!("Bearer {value}")),
        };
        (name, HeaderValue::try_from(value).expect("a header value stays valid"))
    }
}

/// The session struct of all sites.
#[derive(Session)]
struct Visitor {
    name: String,
    #[session(merge = "add")]
    views: u64,
    #[session(privilege)]
    user: Option<i64>,
}

/// The session as the handler sees it before its first step.
struct Seen {
    is_loaded: bool,
    name: String,
    is_verified: bool,
    /// The last token that the handler made.
    token: String,
}

impl Seen {
    fn parse(text: &str) -> Option<Self> {
        let [status, name, is_verified, token] = text.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Self {
            is_loaded: status == "Loaded",
            name: name.into(),
            is_verified: is_verified == "true",
            token: token.into(),
        })
    }

    fn owner(&self) -> Option<usize> {
        let owner = OWNERS.iter().position(|name| *name == self.name);
        assert_eq!(self.is_loaded, owner.is_some(), "what is loaded is a known session");
        owner
    }
}

async fn visit(
    request: HttpRequest,
    mut session: TypedSession<Visitor>,
) -> Result<String, SessionError> {
    let is_verified = request.headers().get(X_CSRF).is_some_and(|token| {
        session.verify_csrf(&String::from_utf8_lossy(token.as_bytes())).is_ok()
    });
    let (status, name) = (session.status(), session.name.clone());
    assert!(matches!(status, Status::New | Status::Loaded), "{status:?}");
    let mut token = String::new();
    if let Some(name) = request.headers().get(X_NAME) {
        session.set_name(name.to_str().expect("names are ASCII").into());
    }
    for step in request.query_string().chars() {
        match step {
            'v' => session.add_views(1),
            'l' => session.set_user(Some(7)),
            'r' => session.renew(),
            'g' => session.regenerate(),
            'd' => session.destroy(),
            'p' => session.set_persistent(true),
            't' => token = session.csrf_token(),
            's' => session.save().await?,
            _ => {}
        }
    }
    Ok(format!("{status:?} {name} {is_verified} {token}"))
}

/// A record with these fields.
pub fn record(fields: impl IntoIterator<Item = (&'static str, impl Into<String>)>) -> Record {
    let mut patch = Patch::default();
    for (name, json) in fields {
        let json = RawValue::from_string(json.into()).expect("JSON");
        patch.set(name.into(), json.into());
    }
    patch.apply_to(&Record::new(NOW, IN_20_HOURS)).expect("a new record takes any patch")
}
