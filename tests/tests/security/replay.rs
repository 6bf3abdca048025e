//! Replay (OWASP ASVS 5.0, 7.4.1): an attacker has a copy of what a client sent, and sends it again
//! when the session has ended or has another id.
//!
//! In every transport, after every way to end, at once and late, many at a time, to this process
//! and to one that shares only the store.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, Durability, FakeClock, FileStore, Key, MemoryStore, RedisStore, Session,
    SessionError, SessionMiddleware, SessionMiddlewareBuilder, Sessions, SystemClock, TypedSession,
    store::{FindByIndex, SessionStore},
};
use actix_typed_session_tests::{
    Gate, Response, Site, get,
    stores::{prefix, redis_url},
};
use actix_web::{HttpResponse, rt, web};
use tokio::task::{JoinSet, yield_now};

const GRACE: Duration = Duration::from_secs(10);
/// How old a local cache may be. The server reports a change long before.
const STALENESS: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Session)]
struct Account {
    #[session(privilege, index)]
    user: Option<u64>,
    name: String,
    #[session(merge = "add")]
    views: u64,
}

async fn act(
    steps: web::Path<String>,
    mut session: TypedSession<Account>,
    sessions: web::Data<Sessions<Account>>,
    gate: web::Data<Gate>,
) -> Result<HttpResponse, SessionError> {
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        let by = Account::by_user(&value.parse().ok());
        match verb {
            "read" => {}
            "name" => session.set_name(value.to_owned()),
            "view" => session.add_views(1),
            "user" => session.set_user(value.parse().ok()),
            "leave" => drop(session.take_user()),
            "renew" => session.renew(),
            "regenerate" => session.regenerate(),
            "destroy" => session.destroy(),
            "touch" => session.touch(),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "age" => session.set_max_age(Duration::from_secs(value.parse().expect("seconds"))),
            "persist" => session.set_persistent(true),
            "csrf" => return Ok(HttpResponse::Ok().body(session.csrf_token())),
            "verify" => session.verify_csrf(value)?,
            "end" => {
                let page = sessions.list(&by, None, 1).await?;
                let id = page.sessions.first().expect("it is there").public_id();
                assert!(sessions.destroy(&by, id).await?);
            }
            "destroy_others" => drop(sessions.destroy_others(&by, session.handle()).await?),
            "destroy_all" => drop(sessions.destroy_all(&by).await?),
            "gate" => gate.pass().await,
            other => panic!("the site does not know the step `{other}`"),
        }
    }
    let (name, user) = (&session.name, session.user.unwrap_or_default());
    Ok(HttpResponse::Ok().body(format!("name={name} user={user} views={}", session.views)))
}

/// How clients carry their ids.
#[derive(Clone, Copy, Debug)]
enum Transport {
    Cookie,
    SignedCookie,
    Bearer,
    SignedBearer,
    Header,
}

impl Transport {
    const ALL: [Self; 5] =
        [Self::Cookie, Self::SignedCookie, Self::Bearer, Self::SignedBearer, Self::Header];

    fn settings(self, builder: SessionMiddlewareBuilder) -> SessionMiddlewareBuilder {
        let keys = || [Key::from_bytes([1; 32])];
        match self {
            Self::Cookie => builder,
            Self::SignedCookie => builder.signing_keys(keys()),
            Self::Bearer => builder.bearer(),
            Self::SignedBearer => builder.bearer().signing_keys(keys()),
            Self::Header => builder.header("X-Session"),
        }
    }

    fn request_header(self, id: &str) -> String {
        match self {
            Self::Cookie | Self::SignedCookie if id.is_empty() => String::new(),
            Self::Cookie | Self::SignedCookie => format!("Cookie: __Host-session={id}\r\n"),
            Self::Bearer | Self::SignedBearer => format!("Authorization: Bearer {id}\r\n"),
            Self::Header => format!("X-Session: {id}\r\n"),
        }
    }

    /// The id that the client presents after this response.
    fn id_in(self, response: &Response) -> Option<String> {
        let value = match self {
            Self::Cookie | Self::SignedCookie => {
                let value = response.set_cookie()?.strip_prefix("__Host-session=")?;
                value.split(';').next()
            }
            Self::Bearer | Self::SignedBearer => response.header("session-token"),
            Self::Header => response.header("x-session"),
        };
        value.map(str::to_owned)
    }
}

/// The holder of an id, in any transport.
#[derive(Clone)]
struct Holder {
    transport: Transport,
    address: SocketAddr,
    id: String,
}

impl Holder {
    async fn act(&mut self, steps: &str) -> Response {
        let header = self.transport.request_header(&self.id);
        let response = get(self.address, &format!("/do/{steps}"), header.as_bytes()).await;
        if let Some(id) = self.transport.id_in(&response) {
            self.id = id;
        }
        response
    }
}

/// Two servers that share only a store.
struct Servers {
    transport: Transport,
    sites: [Site<()>; 2],
    clock: FakeClock,
}

impl Servers {
    fn on<S: SessionStore + FindByIndex + Clone>(
        transport: Transport,
        clock: &FakeClock,
        open: impl Fn() -> S,
    ) -> Self {
        let serve = || {
            let store = open();
            Site::unwatched(SessionMiddleware::builder(store.clone()))
                .clock(clock.clone())
                .settings(|it| transport.settings(it.renewal_grace(GRACE)))
                .data(Sessions::<Account>::new(store))
                .route("/do/{steps}", act)
                .workers(1)
                .start()
        };
        Self { transport, sites: [serve(), serve()], clock: clock.clone() }
    }

    fn client(&self) -> Holder {
        Holder { transport: self.transport, address: self.sites[0].address, id: String::new() }
    }

    async fn logged_in(&self, user: u64) -> Holder {
        let mut client = self.client();
        let response = client.act(&format!("name=ann,user={user}")).await;
        assert_eq!(response.status, 200);
        assert!(!client.id.is_empty());
        client
    }

    /// Ends a session as the row says, by the client itself or by somebody else.
    async fn end(&self, client: &mut Holder, user: u64, end: &End) {
        match end {
            End::By(steps) => assert_eq!(client.act(steps).await.status, 200),
            End::Elsewhere(step) => {
                let mut other = self.client();
                other.address = self.sites[1].address;
                let response = other.act(&format!("{step}={user}")).await;
                assert_eq!(response.status, 200);
            }
            End::Idle => self.clock.advance(DAY),
            End::Absolute => {
                for _ in 0..40 {
                    self.clock.advance(DAY * 3 / 4);
                    client.act("view").await;
                }
            }
        }
    }
}

enum End {
    By(&'static str),
    Elsewhere(&'static str),
    Idle,
    Absolute,
}

/// What a copy reads until the grace is over.
#[derive(Clone, Copy, PartialEq)]
enum Copied {
    Nothing,
    ReadsWhatWas,
}

const ENDS: [(&str, End, Copied); 15] = [
    ("logout", End::By("destroy"), Copied::Nothing),
    ("logout and a farewell", End::By("destroy,name=bye"), Copied::Nothing),
    ("saved, then logout", End::By("view,save,destroy"), Copied::Nothing),
    ("an age of zero", End::By("age=0"), Copied::Nothing),
    ("logout of the user only", End::By("leave"), Copied::Nothing),
    ("another user", End::By("user=777"), Copied::Nothing),
    ("another user, saved", End::By("user=777,save"), Copied::Nothing),
    ("regenerated", End::By("regenerate"), Copied::Nothing),
    ("regenerated and used", End::By("regenerate,name=new"), Copied::Nothing),
    ("renewed", End::By("renew"), Copied::ReadsWhatWas),
    ("revoked", End::Elsewhere("end"), Copied::Nothing),
    ("revoked as one of the others", End::Elsewhere("destroy_others"), Copied::Nothing),
    ("revoked with all", End::Elsewhere("destroy_all"), Copied::Nothing),
    ("unused for too long", End::Idle, Copied::Nothing),
    ("used for too long", End::Absolute, Copied::Nothing),
];

/// What the holder of a copy tries. `destroy` is the last, because the old id of a renewed session
/// may log it out.
const ATTEMPTS: [&str; 14] = [
    "read",
    "view",
    "name=eve",
    "name=eve,save",
    "user=9",
    "leave",
    "renew",
    "renew,save",
    "regenerate,name=eve",
    "touch",
    "age=99999999",
    "persist",
    "reload",
    "destroy",
];

/// All attempts at once, on both servers.
async fn replay(
    servers: &Servers,
    copy: &Holder,
    attempts: &[&str],
) -> Vec<(String, Response, Holder)> {
    let mut requests = JoinSet::new();
    for address in servers.sites.iter().map(|site| site.address) {
        for attempt in attempts {
            let (mut copy, attempt) = (Holder { address, ..copy.clone() }, (*attempt).to_owned());
            requests.spawn_local(async move {
                let response = copy.act(&attempt).await;
                (attempt, response, copy)
            });
        }
    }
    requests.join_all().await
}

/// How a store's clock and cache behave.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// It uses the test's clock.
    InThisProcess,
    /// It has its own clock, on which no time passes while a request is held.
    Server,
    /// It refuses what another process ended as soon as the server has reported that.
    ServerWithALocalCache,
}

async fn no_copy_is_of_use_after_the_end<S: SessionStore + FindByIndex + Clone>(
    clock: FakeClock,
    kind: Kind,
    open: impl Fn() -> S,
) {
    let mut user = 1_000;
    for transport in Transport::ALL {
        let servers = Servers::on(transport, &clock, &open);
        for (name, end, reads) in &ENDS {
            user += 1;
            let mut victim = servers.logged_in(user).await;
            let token = victim.act("csrf").await.body;
            let mut copy = victim.clone();
            // The other process has read it too.
            copy.address = servers.sites[1].address;
            assert!(copy.act("read").await.body.contains("name=ann"), "{transport:?} {name}");
            let copy = copy;
            servers.end(&mut victim, user, end).await;
            victim.act("name=secret").await;
            let before = victim.act("read").await.body;
            assert!(before.contains("name=secret"), "{transport:?} {name}: {before}");
            assert_ne!(victim.id, copy.id, "{transport:?} {name}");
            if kind == Kind::ServerWithALocalCache && *reads == Copied::Nothing {
                let start = Instant::now();
                while copy.clone().act("read").await.body.contains("ann") {
                    assert!(start.elapsed() < STALENESS, "{transport:?} {name}");
                    yield_now().await;
                }
            }
            let verify = format!("verify={token},name=eve");
            for (when, later) in [("at once", Duration::ZERO), ("after the grace", GRACE)] {
                servers.clock.advance(later);
                let is_snapshot = *reads == Copied::ReadsWhatWas && later.is_zero();
                let attempts = match is_snapshot {
                    true => &ATTEMPTS[..ATTEMPTS.len() - 1],
                    false => &ATTEMPTS,
                };
                for (attempt, response, eve) in replay(&servers, &copy, attempts).await {
                    let what = format!("{transport:?} {name}, {attempt} {when}: {response:?}");
                    assert!([200, 409].contains(&response.status), "{what}");
                    assert!(!response.body.contains("secret"), "{what}");
                    for of_victim in ["ann", &user.to_string()] {
                        assert!(is_snapshot || !response.body.contains(of_victim), "{what}");
                    }
                    assert_ne!(eve.id, victim.id, "{what}");
                    if !eve.id.is_empty() && eve.id != copy.id {
                        let body = eve.clone().act("read").await.body;
                        assert!(
                            !body.contains("secret") && !body.contains("ann"),
                            "{what}: {body}"
                        );
                    }
                }
                for (_, response, _) in replay(&servers, &copy, &[&verify]).await {
                    assert_eq!(response.text(), "403 ", "{transport:?} {name}, its token {when}");
                }
                let now = victim.act("read").await.body;
                assert_eq!(now, before, "{transport:?} {name}: the victim's session {when}");
            }
        }
    }
}

async fn a_copy_under_way_when_the_session_ends_gains_nothing<S>(
    clock: FakeClock,
    kind: Kind,
    open: impl Fn() -> S,
) where
    S: SessionStore + FindByIndex + Clone,
{
    let mut user = 1_000;
    for transport in [Transport::Cookie, Transport::SignedBearer] {
        let servers = Servers::on(transport, &clock, &open);
        let is_here = kind == Kind::InThisProcess;
        let takes_time = |end: &End| matches!(end, End::Idle | End::Absolute);
        for (name, end, _) in ENDS.iter().filter(|(_, end, _)| is_here || !takes_time(end)) {
            for attempt in [
                "name=eve",
                "view,user=9",
                "renew",
                "touch,age=99999999",
                "name=eve,save",
                "reload,name=eve",
                "regenerate,name=eve",
            ] {
                user += 1;
                let what = format!("{transport:?} {name}, {attempt}");
                let mut victim = servers.logged_in(user).await;
                let copy = Holder { address: servers.sites[1].address, ..victim.clone() };
                let mut slow = copy.clone();
                let request = rt::spawn(async move {
                    let response = slow.act(&format!("gate,{attempt}")).await;
                    (response, slow)
                });
                servers.sites[1].gate.arrival().await;
                servers.end(&mut victim, user, end).await;
                victim.act("name=secret").await;
                let before = victim.act("read").await.body;
                servers.sites[1].gate.open();
                let (response, slow) = request.await.expect("a response");
                assert!([200, 409].contains(&response.status), "{what}: {response:?}");
                assert!(!response.body.contains("secret"), "{what}: {response:?}");
                if !slow.id.is_empty() && slow.id != copy.id {
                    // A new session, with nothing but what this request wrote.
                    let own = match attempt {
                        "regenerate,name=eve" => "name=eve user=0 views=0",
                        "view,user=9" => "name= user=9 views=1",
                        _ => panic!("{what}: {response:?}"),
                    };
                    assert_eq!(slow.clone().act("read").await.body, own, "{what}");
                }
                assert_eq!(victim.act("read").await.body, before, "{what}");
            }
        }
    }
}

macro_rules! on_each {
    ($($claim:ident,)*) => {
        $(
            mod $claim {
                use super::*;

                #[actix_web::test]
                async fn memory() {
                    let clock = FakeClock::default();
                    let store = MemoryStore::builder().clock(clock.clone()).build();
                    $claim(clock, Kind::InThisProcess, || store.clone()).await;
                }

                /// Each process opens the folder for itself, as after a restart.
                #[actix_web::test]
                async fn file() {
                    let clock = FakeClock::default();
                    let folder = tempfile::tempdir().expect("a temporary folder");
                    $claim(clock.clone(), Kind::InThisProcess, || {
                        let store = FileStore::builder(folder.path()).clock(clock.clone());
                        store.durability(Durability::Process).build().expect("a writable folder")
                    })
                    .await;
                }

                // Redis has its own clock, and the fake one must not be behind it.

                #[actix_web::test]
                async fn redis() {
                    let prefix = prefix();
                    $claim(FakeClock::new(SystemClock.now()), Kind::Server, || {
                        let store = RedisStore::builder(&redis_url()).prefix(prefix.clone());
                        store.build().expect("a good URL")
                    })
                    .await;
                }

                #[actix_web::test]
                async fn redis_with_a_local_cache() {
                    let prefix = prefix();
                    $claim(FakeClock::new(SystemClock.now()), Kind::ServerWithALocalCache, || {
                        let store = RedisStore::builder(&redis_url()).prefix(prefix.clone());
                        let store = store.local_cache_bytes(4 << 20).local_cache_staleness(STALENESS);
                        store.build().expect("a good URL")
                    })
                    .await;
                }
            }
        )*
    };
}

on_each!(no_copy_is_of_use_after_the_end, a_copy_under_way_when_the_session_ends_gains_nothing,);
