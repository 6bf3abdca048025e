//! The settings of the store.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use super::{
    client::{
        Certificates, ConnectTarget, ConnectionLimits, ConnectionSettings, CredentialsSource,
        Endpoint, PushHandler, RedisCredentials, ReplyLimits, Topology,
    },
    clock_check::ClockCheck,
    keyspace::Keyspace,
    local_cache::RedisCache,
    store::RedisStore,
    update_turns::UpdateTurns,
};
use crate::error::{BoxError, ConfigError};

impl RedisStore {
    /// Makes a store in the Redis at a URL, with the default settings.
    ///
    /// The URL is `redis://[user[:password]@]host[:port][/database]`, with `rediss:` for TLS, or
    /// `redis+unix:///path[?db=database&user=user&pass=password]` for a Unix socket. In a user or a
    /// password, `%/?#[]@:` and the space are written in percent-encoding. Other parameters are an
    /// error. The port defaults to 6379, the database to 0. TLS needs the feature `redis-tls`; it
    /// is that of rustls, with the cryptography that the application has installed for it, or ring.
    ///
    /// # Errors
    /// The URL is not valid. Whether a server answers there shows with the first request.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// Sets up a store in the Redis at a URL. See [`new`](Self::new) for its form.
    ///
    /// # Examples
    /// ```no_run
    /// use actix_typed_session::RedisStore;
    ///
    /// let store = RedisStore::builder("redis://127.0.0.1:6379").prefix("shop:").build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Deployment::Server, [url])
    }

    /// Sets up a store in a cluster. The URLs are those of some of its nodes; the store finds the
    /// others.
    ///
    /// # Examples
    /// ```no_run
    /// use actix_typed_session::RedisStore;
    ///
    /// let nodes = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"];
    /// let store = RedisStore::cluster(nodes).build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Deployment::Cluster, urls)
    }

    /// Sets up a store in the Redis that Sentinel calls the master of a name. The URLs are those of
    /// the sentinels.
    ///
    /// The user, the password and the database in the URLs are for the sentinels only. For the
    /// master, use [`credentials`](RedisStoreBuilder::credentials) and
    /// [`database`](RedisStoreBuilder::database).
    ///
    /// # Examples
    /// ```no_run
    /// use actix_typed_session::RedisStore;
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
    /// let store = RedisStore::sentinel(sentinels, "mymaster").build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn sentinel<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        master_name: &str,
    ) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Deployment::Sentinel(master_name.to_owned()), urls)
    }
}

/// Sets up a [`RedisStore`].
///
/// # Examples
/// ```no_run
/// use actix_typed_session::RedisStore;
/// use std::time::Duration;
///
/// let nodes = ["rediss://10.0.0.1:6379", "rediss://10.0.0.2:6379"];
/// let store = RedisStore::cluster(nodes)
///     .credentials("sessions", "secret")
///     .prefix("shop:")
///     .response_timeout(Duration::from_millis(500))
///     .build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[must_use = "`build` makes the store"]
pub struct RedisStoreBuilder {
    deployment: Deployment,
    urls: Vec<String>,
    prefix: String,
    cached_bytes: Option<usize>,
    staleness: Duration,
    connections: usize,
    limits: ConnectionLimits,
    credentials: Option<CredentialsSource>,
    database: Option<u32>,
    certificates: Certificates,
}

impl RedisStoreBuilder {
    fn new<'a>(deployment: Deployment, urls: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            deployment,
            urls: urls.into_iter().map(str::to_owned).collect(),
            prefix: "session:".to_owned(),
            cached_bytes: None,
            staleness: Duration::from_millis(500),
            connections: 1,
            limits: ConnectionLimits {
                connect: Duration::from_secs(2),
                reply: ReplyLimits { time: Duration::from_secs(1), bytes: 16 << 20 },
            },
            credentials: None,
            database: None,
            certificates: Certificates::default(),
        }
    }

    /// Sets what all keys in Redis begin with, so that several applications can share a server.
    ///
    /// For example, `prefix("shop:")`. Defaults to `session:`. In a cluster, do not use braces in
    /// it: they would put all sessions on one node.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Keeps copies of recently read sessions in this process's memory, up to this many bytes, and
    /// answers requests from them.
    ///
    /// For example, `local_cache_bytes(64 << 20)` keeps up to 64 MiB. Defaults to no copies.
    ///
    /// The server keeps the copies current: it reports to this process when one of the sessions
    /// changes (client-side caching of Redis and Valkey, over RESP3). A change that this process
    /// makes is visible in it at once. A change that another process makes is visible when the
    /// report arrives, usually within a millisecond. If the report does not arrive, the copy is
    /// used for at most [`local_cache_staleness`](Self::local_cache_staleness). The same bound
    /// holds for a session that another process destroyed.
    ///
    /// Writes always go to the server, and so do [`save`](crate::SessionHandle::save) and
    /// [`reload`](crate::SessionHandle::reload). When a connection is lost, the copies that were
    /// read over it are dropped.
    pub fn local_cache_bytes(mut self, bytes: usize) -> Self {
        self.cached_bytes = Some(bytes);
        self
    }

    /// Limits how old an answer from the [`local_cache_bytes`](Self::local_cache_bytes) may be.
    ///
    /// For example, `local_cache_staleness(Duration::from_millis(100))`. Defaults to 500 ms.
    ///
    /// A copy is used only if the server has answered a command over the same connection that was
    /// sent within this time. While the cache is used, each connection therefore sends a small
    /// command up to twice in this time. A shorter time sends it more often, and makes the cache
    /// useless sooner when the server hangs.
    pub fn local_cache_staleness(mut self, bound: Duration) -> Self {
        self.staleness = bound;
        self
    }

    /// Sets how many connections each worker of Actix has to each server. All requests of the
    /// worker share them.
    ///
    /// For example, `connections(2)`. Defaults to 1, which carries more than a worker can use. Zero
    /// counts as 1.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Limits how long a request waits for a connection.
    ///
    /// For example, `connect_timeout(Duration::from_millis(500))`. Defaults to 2 seconds. Zero is
    /// an error of [`build`](Self::build).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.limits.connect = timeout;
        self
    }

    /// Limits how long a request waits for the answer to a command.
    ///
    /// For example, `response_timeout(Duration::from_millis(500))`. Defaults to 1 second. Zero is
    /// an error of [`build`](Self::build).
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.limits.reply.time = timeout;
        self
    }

    /// Limits how large an answer of a server may be.
    ///
    /// For example, `max_reply_bytes(64 << 20)`. Defaults to 16 MiB. It must be larger than the
    /// largest session. A connection whose server sends more is closed, so a server that is broken
    /// or hostile does not fill this process's memory. Less than 64 KiB is an error of
    /// [`build`](Self::build).
    pub fn max_reply_bytes(mut self, bytes: usize) -> Self {
        self.limits.reply.bytes = bytes;
        self
    }

    /// Sets the user and the password for the servers that hold the sessions.
    ///
    /// For example, `credentials("sessions", "secret")`. Without an ACL, the user is `default`.
    /// Defaults to what the URL says; with Sentinel, to none. For a password that changes, see
    /// [`credentials_provider`](Self::credentials_provider).
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        let credentials = RedisCredentials::new(user, password);
        self.credentials = Some(CredentialsSource::Fixed(credentials));
        self
    }

    /// Gets the user and the password from a function, for passwords that change, such as the
    /// tokens of a cloud provider.
    ///
    /// The store calls the function for each connection that it opens, and before credentials with
    /// a [`valid_for`](RedisCredentials::valid_for) end, so that the connection stays open. Each
    /// worker of Actix has a connection to each server. The function should therefore keep what it
    /// got, if getting it is slow. Its time is part of [`connect_timeout`](Self::connect_timeout).
    /// If it fails, requests that need a connection get a 503, and the next one asks it again.
    ///
    /// Defaults to what the URL says; with Sentinel, to none. Sentinels get the credentials of
    /// their URLs.
    ///
    /// # Examples
    /// ```no_run
    /// use actix_typed_session::{RedisCredentials, RedisStore};
    /// use std::time::Duration;
    ///
    /// # async fn new_token() -> std::io::Result<String> { Ok(String::new()) }
    /// let store = RedisStore::builder("rediss://cache.example:6379")
    ///     .credentials_provider(|| async {
    ///         let token = new_token().await?;
    ///         let day = Duration::from_secs(24 * 3600);
    ///         Ok(RedisCredentials::new("sessions", token).valid_for(day))
    ///     })
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn credentials_provider<F>(
        mut self,
        provider: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<RedisCredentials, BoxError>> + Send + 'static,
    {
        let provider = Arc::new(move || provider().boxed());
        self.credentials = Some(CredentialsSource::Provider(provider));
        self
    }

    /// Sets the number of the database that holds the sessions.
    ///
    /// For example, `database(2)`. Defaults to what the URL says, or else 0. A cluster has only
    /// database 0.
    pub fn database(mut self, number: u32) -> Self {
        self.database = Some(number);
        self
    }

    /// Trusts only servers whose certificates this authority has signed. The certificate of the
    /// authority is given as PEM.
    ///
    /// For example, `root_certificate(std::fs::read("ca.pem")?)`. Defaults to the authorities that
    /// the operating system trusts. Without TLS it has no effect.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.root = Some(pem.into());
        self
    }

    /// Presents this certificate to servers that ask for one. The certificate and its private key
    /// are given as PEM; certificates between it and the authority follow it.
    ///
    /// For example, `client_certificate(fs::read("client.pem")?, fs::read("client.key")?)`.
    /// Defaults to none. Without TLS it has no effect. A certificate that is not valid, or a key
    /// that does not belong to it, is an error of [`build`](Self::build).
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        private_key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.client = Some((certificate.into(), private_key.into()));
        self
    }

    /// Makes the store. It connects with the first request.
    ///
    /// # Errors
    /// The URLs are missing, a URL or a certificate is not valid, a time limit is zero, or
    /// `max_reply_bytes` is too small.
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        self.check_durations()?;
        if self.limits.reply.bytes < MIN_REPLY_BYTES {
            return Err(ConfigError::Redis(
                format!("`max_reply_bytes` must be at least {MIN_REPLY_BYTES} bytes").into(),
            ));
        }
        let cache = self
            .cached_bytes
            .map(|bytes| Arc::new(RedisCache::new(self.prefix.clone(), bytes, self.staleness)));
        let settings = ConnectionSettings {
            connections: self.connections,
            limits: self.limits,
            push_handler: cache.clone().map(|cache| cache as Arc<dyn PushHandler>),
        };
        let topology = self.topology(settings)?;
        Ok(RedisStore::from_keyspace(Keyspace {
            topology,
            prefix: self.prefix,
            cache,
            clocks: ClockCheck::default(),
            turns: UpdateTurns::default(),
        }))
    }

    fn check_durations(&self) -> Result<(), ConfigError> {
        for (name, limit) in [
            ("connect_timeout", self.limits.connect),
            ("response_timeout", self.limits.reply.time),
            ("local_cache_staleness", self.staleness),
        ] {
            if limit.is_zero() {
                return Err(ConfigError::ZeroDuration(name));
            }
        }
        Ok(())
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, ConfigError> {
        Endpoint::parse(url, &self.certificates).map_err(ConfigError::Redis)
    }

    fn topology(&self, settings: ConnectionSettings) -> Result<Topology, ConfigError> {
        let endpoints = self.urls.iter().map(|url| self.endpoint(url));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = endpoints.first().cloned() else {
            return Err(ConfigError::Redis("no URL is given; name at least one server".into()));
        };
        Ok(match &self.deployment {
            Deployment::Server => {
                Topology::server(ConnectTarget::Server(self.session_server(first)), &settings)
            }
            Deployment::Cluster => {
                let seeds = endpoints.into_iter().map(|seed| self.session_server(seed));
                Topology::cluster(seeds.collect(), settings)
            }
            Deployment::Sentinel(name) => {
                let target = ConnectTarget::SentinelMaster {
                    sentinels: endpoints,
                    name: name.clone(),
                    node: self.session_server(first.without_credentials()),
                };
                Topology::server(target, &settings)
            }
        })
    }

    /// An endpoint with the settings for the servers that hold the sessions.
    fn session_server(&self, mut endpoint: Endpoint) -> Endpoint {
        if let Some(credentials) = &self.credentials {
            endpoint = endpoint.with_credentials(credentials.clone());
        }
        if let Some(number) = self.database {
            endpoint = endpoint.with_database(number);
        }
        endpoint
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("cached_bytes", &self.cached_bytes)
            .field("staleness", &self.staleness)
            .field("connections", &self.connections)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The least limit on a reply, in bytes.
const MIN_REPLY_BYTES: usize = 64 << 10;

/// How the servers are set up.
enum Deployment {
    Server,
    /// Sentinel chooses the master of this name.
    Sentinel(String),
    Cluster,
}
