//! The site that a test is about: an application with sessions on a real socket.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use actix_http::Request;
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _,
    boxed::{self, BoxServiceFactory},
};
use actix_typed_session::{
    FakeClock, MemoryStore, SessionMiddleware, SessionMiddlewareBuilder,
    store::SessionStore,
    testing::{FaultyStore, Operation},
};
use actix_web::{
    App, Error, FromRequest, Handler, HttpServer, Responder,
    body::MessageBody,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    rt,
    web::{self, ServiceConfig},
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{Client, Gate, Response, steps};

/// Serves an `App` on a free port of this machine for as long as the test runs, and returns the
/// address. For applications that a [`Site`] cannot be: with other middlewares, scopes or data.
#[macro_export]
macro_rules! serve {
    ($app:expr) => {
        $crate::serve!($app, workers: 2)
    };
    ($app:expr, workers: $workers:expr) => {{
        let app = move || $crate::site::boxed_app($app);
        $crate::site::serve_boxed(::std::sync::Arc::new(app), $workers)
    }};
}

/// An application of any type: the server is compiled once and not for each application.
pub type BoxedApp = BoxServiceFactory<AppConfig, Request, ServiceResponse, Error, ()>;

#[doc(hidden)]
pub fn boxed_app<T, B>(app: App<T>) -> BoxedApp
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    boxed::factory(app.into_factory().map(ServiceResponse::map_into_boxed_body))
}

#[doc(hidden)]
pub fn serve_boxed(app: Arc<dyn Fn() -> BoxedApp + Send + Sync>, workers: usize) -> SocketAddr {
    let server = HttpServer::new(move || app())
        .workers(workers)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a free port");
    let address = server.addrs()[0];
    rt::spawn(server.run());
    address
}

/// How many requests a [storm](Site::storm) has.
pub const REQUESTS: usize = 200;
/// How many of them are under way at the same time, each on its own connection.
pub const AT_ONCE: usize = 32;

/// A running site.
///
/// ```ignore
/// let site = Site::new(MemoryStore::new()).route("/login", login).start();
/// let mut ann = site.client();
/// ann.post("/login").await;
/// assert_eq!(site.store_calls(), "create 1");
/// ```
///
/// A site on a store that is not watched is a `Site<()>`.
#[derive(Debug)]
pub struct Site<S = FaultyStore<MemoryStore>> {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its store, to be looked into and to fail.
    pub store: S,
    /// Where requests wait.
    pub gate: Gate,
    clock: Option<FakeClock>,
    app: AppParts,
    /// Servers beside the first, which a storm asks too.
    others: Vec<SocketAddr>,
    _processes: Vec<Process>,
}

impl Site {
    /// The site of most tests: a store in memory, a clock that stands still, and [`steps`].
    pub fn start() -> Self {
        Self::with(|settings| settings)
    }

    /// The same with other settings.
    pub fn with(
        settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
    ) -> Self {
        Self::in_memory().configure(steps::routes).settings(settings).start()
    }

    /// A site on a store in memory, with a clock that stands still.
    pub fn in_memory() -> SiteBuilder<FaultyStore<MemoryStore>> {
        let clock = FakeClock::default();
        Site::new(MemoryStore::builder().clock(clock.clone()).build()).clock(clock)
    }
}

impl<S: SessionStore> Site<FaultyStore<S>> {
    /// A site on this store, whose calls are counted and can be made to fail.
    #[expect(clippy::new_ret_no_self, reason = "a test reads better without a builder's name")]
    pub fn new(store: S) -> SiteBuilder<FaultyStore<S>> {
        let store = FaultyStore::new(store);
        SiteBuilder::new(SessionMiddleware::builder(store.clone()), store)
    }

    /// How often each kind of store call was made since the site began.
    pub fn store_calls(&self) -> String {
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

impl Site<()> {
    /// A site on a store that is left alone, so that it can take its own short cuts.
    pub fn unwatched(middleware: SessionMiddlewareBuilder) -> SiteBuilder<()> {
        SiteBuilder::new(middleware, ())
    }

    /// A site in server processes, each started by one of these commands, which prints its port.
    pub fn of_processes(commands: impl Iterator<Item = Command>) -> Self {
        let mut processes = Vec::new();
        let mut addresses = Vec::new();
        for mut command in commands {
            let mut child = command.stdout(Stdio::piped()).spawn().expect("it was built");
            let mut port = String::new();
            let output = child.stdout.take().expect("it is piped");
            BufReader::new(output).read_line(&mut port).expect("it prints its port");
            processes.push(Process(child));
            addresses.push(([127, 0, 0, 1], port.trim().parse().expect("a port")).into());
        }
        let app = AppParts::default();
        let others = addresses.split_off(1);
        let (address, gate) = (addresses[0], app.gate.clone());
        Self { address, store: (), gate, clock: None, app, others, _processes: processes }
    }
}

impl<S: SessionStore + Clone> Site<S> {
    /// Another site with the same store and routes: after a restart, with other settings, or
    /// elsewhere.
    pub fn beside(
        &self,
        settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
    ) -> Self {
        let middleware = SessionMiddleware::builder(self.store.clone());
        let mut builder = SiteBuilder::new(middleware, self.store.clone());
        builder.app = AppParts { gate: Gate::default(), ..self.app.clone() };
        match &self.clock {
            Some(clock) => builder.clock(clock.clone()),
            None => builder,
        }
        .settings(settings)
        .start()
    }
}

impl<S> Site<S> {
    /// A new client, without cookies.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client whose session began with these [`steps`].
    pub async fn visitor(&self, steps: &str) -> Client {
        let mut client = self.client();
        client.act(steps).await;
        assert_eq!(client.cookies.len(), 1, "a session began");
        client
    }

    /// The clock, which stands still until a test advances it.
    ///
    /// # Panics
    /// The site runs in real time.
    pub fn clock(&self) -> &FakeClock {
        self.clock.as_ref().expect("the site has a fake clock")
    }

    /// Lets time pass: advances the clock, or waits if the site runs in real time.
    pub async fn pass(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => sleep(time).await,
        }
    }

    /// Sends a request that stops at the gate; the test goes on when it is there.
    pub async fn held(&self, client: &Client, steps: &str) -> Held {
        self.held_at(client, &format!("/do/{steps}")).await
    }

    /// The same for any path.
    pub async fn held_at(&self, client: &Client, path: &str) -> Held {
        let (mut client, path) = (client.clone(), path.to_owned());
        let request = rt::spawn(async move {
            let response = client.get(&path).await;
            (response, client)
        });
        self.gate.arrival().await;
        Held(request)
    }

    /// Lets a held request go on to its end.
    pub async fn release(&self, request: Held) -> Response {
        self.release_both(request).await.0
    }

    /// The same, and returns the client with the cookies of the response.
    pub async fn release_both(&self, request: Held) -> (Response, Client) {
        self.gate.open();
        request.finish().await
    }

    /// Sends [`REQUESTS`] requests of one client, [`AT_ONCE`] at a time, spread over all servers.
    pub async fn storm(&self, client: &Client, path: impl Fn(usize) -> String) -> Vec<Response> {
        let addresses: Vec<_> = [&[self.address], &self.others[..]].concat();
        let mut requests = JoinSet::new();
        let mut responses = Vec::new();
        for n in 0..REQUESTS {
            if requests.len() == AT_ONCE {
                responses.extend(requests.join_next().await);
            }
            let mut client = Client { address: addresses[n % addresses.len()], ..client.clone() };
            let path = path(n);
            requests.spawn_local(async move { client.get(&path).await });
        }
        while let Some(response) = requests.join_next().await {
            responses.push(response);
        }
        responses.into_iter().map(|response| response.expect("a response")).collect()
    }
}

/// A request that waits at the gate.
#[derive(Debug)]
pub struct Held(JoinHandle<(Response, Client)>);

impl Held {
    /// Waits for the response. The client has its cookies.
    pub async fn finish(self) -> (Response, Client) {
        self.0.await.expect("the request ends")
    }
}

/// Settings and routes of a [`Site`].
#[must_use]
#[derive(Debug)]
pub struct SiteBuilder<S> {
    middleware: SessionMiddlewareBuilder,
    store: S,
    clock: Option<FakeClock>,
    app: AppParts,
}

/// Adds a route or data to an application.
type AppPart = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// What each worker's application is made of.
#[derive(Clone)]
struct AppParts {
    parts: Vec<AppPart>,
    workers: usize,
    gate: Gate,
}

impl Default for AppParts {
    fn default() -> Self {
        Self { parts: Vec::new(), workers: 2, gate: Gate::default() }
    }
}

impl fmt::Debug for AppParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppParts").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl<S> SiteBuilder<S> {
    fn new(middleware: SessionMiddlewareBuilder, store: S) -> Self {
        Self { middleware, store, clock: None, app: AppParts::default() }
    }

    /// A clock that the test advances, for the middleware. The store has to have it already.
    pub fn clock(mut self, clock: FakeClock) -> Self {
        self.middleware = self.middleware.clock(clock.clone());
        self.clock = Some(clock);
        self
    }

    /// Changes the settings of the middleware.
    pub fn settings(
        mut self,
        settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
    ) -> Self {
        self.middleware = settings(self.middleware);
        self
    }

    /// Adds a route, for every method.
    pub fn route<A>(
        self,
        path: &'static str,
        handler: impl Handler<A, Output: Responder + 'static> + Send + Sync,
    ) -> Self
    where
        A: FromRequest + 'static,
    {
        self.configure(move |config| {
            config.route(path, web::route().to(handler.clone()));
        })
    }

    /// Adds what extractors of `web::Data` find.
    pub fn data<T: Send + Sync + 'static>(self, value: T) -> Self {
        let data = web::Data::new(value);
        self.configure(move |config| {
            config.app_data(data.clone());
        })
    }

    /// Adds data that is made of the store.
    pub fn data_of<T: Send + Sync + 'static>(self, make: impl FnOnce(&S) -> T) -> Self {
        let data = make(&self.store);
        self.data(data)
    }

    /// Adds what a function of Actix Web adds.
    pub fn configure(
        mut self,
        configure: impl Fn(&mut ServiceConfig) + Send + Sync + 'static,
    ) -> Self {
        self.app.parts.push(Arc::new(configure));
        self
    }

    /// How many threads answer requests. Defaults to 2.
    pub fn workers(mut self, workers: usize) -> Self {
        self.app.workers = workers;
        self
    }

    /// Serves the site for as long as the test runs.
    pub fn start(self) -> Site<S> {
        let Self { middleware, store, clock, app } = self;
        let sessions = middleware.build().expect("valid settings");
        let (gate, parts) = (app.gate.clone(), app.parts.clone());
        let data = web::Data::new(gate.clone());
        let configure = move |config: &mut ServiceConfig| {
            config.app_data(data.clone());
            parts.iter().for_each(|part| part(config));
        };
        let address = serve!(
            App::new().configure(&configure).wrap(sessions.clone()),
            workers: app.workers
        );
        Site { address, store, gate, clock, app, others: Vec::new(), _processes: Vec::new() }
    }
}

/// A server process, killed when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
