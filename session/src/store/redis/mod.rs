//! Sessions in Redis or Valkey.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::{ConfigError, StoreError},
    id::StoreKey,
    record::{Grace, Patch, Record},
    store::session_store::{Created, Renewal, SessionStore, Updated},
    time::Timestamp,
};

use self::{
    cache::{Cache, Changing},
    client::{
        Args, CallError, CallReply, Command, ConnectTarget, ConnectionSettings, Endpoint,
        PushHandler, Reply, Retry, Timeouts, Topology,
    },
    script::Script,
};

mod cache;
mod client;
mod index;
mod layout;
mod script;

/// Sessions in Redis or Valkey: one hash for each, one round trip for each call.
///
/// Works with Redis 6.2 or later and Valkey: one server, a master that Sentinel chooses, or a cluster.
/// See [the guide](crate::guide::redis) for what to set up for production.
///
/// Nothing is connected before the first request, so the application starts while Redis is down.
/// Each worker of Actix has a connection of its own that all its requests share. A call that finds none
/// waits for at most one attempt; while Redis is down, requests that need a session are answered with 503 within the time
/// limits, and the first one after it is back finds it.
///
/// A clone is the same store.
///
/// # Examples
/// ```no_run
/// use actix_typed_session::{RedisStore, SessionMiddleware};
///
/// let sessions = SessionMiddleware::new(RedisStore::new("redis://127.0.0.1:6379")?);
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    topology: Topology,
    prefix: String,
    /// Shared with the connections, which tell it what changes.
    cache: Option<Arc<Cache>>,
}

impl RedisStore {
    /// The sessions in the Redis at this URL: `redis://[user[:password]@]host[:port][/database]`, with
    /// `rediss:` for TLS, or `redis+unix:///path` for a socket. TLS is that of rustls, with the cryptography that the application has installed
    /// for it, or ring.
    ///
    /// # Errors
    /// The URL cannot be understood. Whether a server is there shows with the first request.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// Sets up a store in the Redis at this URL.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Server, [url])
    }

    /// Sets up a store in a cluster, some of whose nodes are at these URLs; the others are found.
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Cluster, urls)
    }

    /// Sets up a store in the Redis that Sentinel calls the master of this name. The sentinels are at
    /// these URLs.
    ///
    /// Credentials and the database are those of [`credentials`](RedisStoreBuilder::credentials) and
    /// [`database`](RedisStoreBuilder::database); what the URLs say concerns the sentinels.
    pub fn sentinel<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        master_name: &str,
    ) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Master(master_name.to_owned()), urls)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.0.prefix).finish_non_exhaustive()
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
///     .answer_timeout(Duration::from_millis(500))
///     .build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[must_use = "`build` makes the store"]
pub struct RedisStoreBuilder {
    place: Place,
    urls: Vec<String>,
    prefix: String,
    cached_bytes: Option<usize>,
    staleness: Duration,
    connections: usize,
    timeouts: Timeouts,
    credentials: Option<(String, String)>,
    database: Option<u32>,
    root_certificate: Option<Vec<u8>>,
}

enum Place {
    Server,
    Master(String),
    Cluster,
}

impl RedisStoreBuilder {
    fn new<'a>(place: Place, urls: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            place,
            urls: urls.into_iter().map(str::to_owned).collect(),
            prefix: "session:".to_owned(),
            cached_bytes: None,
            staleness: Duration::from_millis(500),
            connections: 1,
            timeouts: Timeouts { connect: Duration::from_secs(2), answer: Duration::from_secs(1) },
            credentials: None,
            database: None,
            root_certificate: None,
        }
    }

    /// What all keys begin with. The default is `session:`.
    ///
    /// In a cluster, braces in it would put all sessions on one node.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Keeps sessions that were read lately in this process's memory, up to so many bytes, and answers requests from
    /// there. The default is not to.
    ///
    /// The copies are kept true by the server, which tells this process when one of them changes (client-side caching of
    /// Redis and Valkey, over RESP3). What this process changes itself, it knows at once. What others change, it knows when the server's
    /// word arrives, usually within a millisecond, and if that fails to arrive, not later than
    /// [`local_cache_staleness`](Self::local_cache_staleness): a session that was destroyed or changed elsewhere is read
    /// no longer than that. Writes always go to the server, and so do [`save`](crate::SessionHandle::save) and
    /// [`reload`](crate::SessionHandle::reload). When a connection is lost, what was read over it is gone.
    pub fn local_cache(mut self, bytes: usize) -> Self {
        self.cached_bytes = Some(bytes);
        self
    }

    /// How old what the [`local_cache`](Self::local_cache) answers may be, at most. The default is 500 ms.
    ///
    /// A copy is used only if the server has answered something over the same connection that was sent not longer ago than this. So a
    /// shorter time costs a small command more often while the cache is used (two in that time, for each
    /// connection), and makes the cache useless sooner when the server hangs.
    pub fn local_cache_staleness(mut self, bound: Duration) -> Self {
        self.staleness = bound;
        self
    }

    /// How many connections each worker of Actix has to each server, which all of its requests share. The
    /// default is one, which carries more than a worker can use; zero counts as one.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a request waits for a connection. The default is 2 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// How long a request waits for an answer. The default is 1 second.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.answer = timeout;
        self
    }

    /// The user and the password, instead of what the URL says. Without an ACL, the user is `default`.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// The database's number, instead of what the URL says. A cluster has 0 only.
    pub fn database(mut self, number: u32) -> Self {
        self.database = Some(number);
        self
    }

    /// The certificate, as PEM, of the authority that has signed the servers' certificates. The default
    /// are the authorities that the operating system trusts.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// A URL cannot be understood, there is none, or a limit is zero.
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        for (name, limit) in [
            ("connect_timeout", self.timeouts.connect),
            ("answer_timeout", self.timeouts.answer),
            ("local_cache_staleness", self.staleness),
        ] {
            if limit.is_zero() {
                return Err(ConfigError::ZeroDuration(name));
            }
        }
        let peers = self.urls.iter().map(|url| self.peer(url)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = peers.first().cloned() else {
            return Err(ConfigError::Redis("no URL is given; name at least one server".into()));
        };
        let cache = self
            .cached_bytes
            .map(|bytes| Arc::new(Cache::new(self.prefix.clone(), bytes, self.staleness)));
        let settings = ConnectionSettings {
            connections: self.connections,
            timeouts: self.timeouts,
            push_handler: cache.clone().map(|cache| cache as Arc<dyn PushHandler>),
        };
        let topology = match self.place {
            Place::Server => Topology::server(ConnectTarget::Server(self.own(first)), &settings),
            Place::Cluster => {
                let peers = peers.into_iter().map(|peer| self.own(peer)).collect();
                Topology::cluster(peers, settings)
            }
            Place::Master(ref name) => {
                let target = ConnectTarget::SentinelMaster {
                    sentinels: peers,
                    name: name.clone(),
                    node: self.own(first.without_credentials()),
                };
                Topology::server(target, &settings)
            }
        };
        Ok(RedisStore(Arc::new(Inner { topology, prefix: self.prefix, cache })))
    }

    fn peer(&self, url: &str) -> Result<Endpoint, ConfigError> {
        Endpoint::parse(url)
            .and_then(|peer| peer.with_root_certificate(self.root_certificate.as_deref()))
            .map_err(ConfigError::Redis)
    }

    /// With the settings for the servers that hold the sessions.
    fn own(&self, peer: Endpoint) -> Endpoint {
        let peer = match &self.credentials {
            Some((user, password)) => peer.with_credentials(user.clone(), password.clone()),
            None => peer,
        };
        match self.database {
            Some(number) => peer.with_database(number),
            None => peer,
        }
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("cached_bytes", &self.cached_bytes)
            .field("staleness", &self.staleness)
            .field("connections", &self.connections)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// How often a renewal in a cluster begins again because another request changed the session.
const ROTATE_ATTEMPTS: u32 = 100;

impl SessionStore for RedisStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<Created, StoreError> {
        let arguments = layout::record_arguments(record);
        let script = match (record.index(), &self.0.topology) {
            (None, _) => &script::CREATE,
            (Some(_), Topology::Server(_)) => &script::CREATE_INDEXED,
            (Some(index), Topology::Cluster(_)) => {
                self.enter(key, index.public_id(), record.indexed_fields()).await?;
                &script::CREATE
            }
        };
        match self.run(script, key, &arguments, Retry::Never).await? {
            Reply::Int(1) => Ok(Created::Stored),
            Reply::Int(0) => Ok(Created::Taken),
            _ => Err(layout::unexpected()),
        }
    }

    fn at_hand(&self, key: &StoreKey) -> Option<Record> {
        self.0.cache.as_ref()?.get(key)
    }

    async fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        self.load_and_keep(key, async |name| {
            self.call(name, &Command::new("HGETALL").arg(name), Retry::Idempotent).await
        })
        .await
    }

    async fn load_fields(
        &self,
        key: &StoreKey,
        fields: &[&str],
    ) -> Result<Option<Record>, StoreError> {
        if self.0.cache.is_some() {
            // What is kept must serve every struct.
            return self.load(key).await;
        }
        let key = self.name(key);
        let command = Command::new("HMGET").arg(&key).args(&layout::field_names(fields));
        layout::parse_part(self.call(&key, &command, Retry::Idempotent).await?.reply, fields)
    }

    async fn load_and_touch(
        &self,
        key: &StoreKey,
        renewal: &Renewal,
    ) -> Result<Option<Record>, StoreError> {
        let arguments = layout::renewal_arguments(renewal);
        self.load_and_keep(key, async |name| {
            self.run_on(&script::LOAD_AND_TOUCH, &[name], &arguments, Retry::Idempotent).await
        })
        .await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        let known = match (patch.index(), layout::set_arguments(patch)) {
            (Some(_), _) => None,
            (None, Some(arguments)) => {
                self.update_with(&script::SET, key, patch, arguments).await?
            }
            (None, None) => {
                let arguments = layout::patch_arguments(patch);
                self.update_with(&script::UPDATE, key, patch, arguments).await?
            }
        };
        match (known, &self.0.topology) {
            (Some(updated), _) => Ok(updated),
            (None, Topology::Cluster(_)) => self.update_across_slots(key, patch).await,
            (None, Topology::Server(_)) => {
                let arguments = layout::patch_arguments(patch);
                let updated =
                    self.update_with(&script::UPDATE_INDEXED, key, patch, arguments).await?;
                updated.ok_or_else(layout::unexpected)
            }
        }
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let _changing = self.changing(key);
        let mut arguments = Args::default();
        arguments.push_number(expires_at.as_unix_ms());
        is_one(&self.run(&script::TOUCH, key, &arguments, Retry::Idempotent).await?)
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let _changing = self.changing(key);
        if let Topology::Cluster(_) = &self.0.topology {
            return self.destroy_across_slots(key).await;
        }
        let mut arguments = Args::default();
        arguments.push(&self.0.prefix);
        match self.run(&script::DESTROY, key, &arguments, Retry::Idempotent).await? {
            Reply::List(successors) => {
                successors.iter().for_each(|name| self.forget(name));
                Ok(true)
            }
            answer => is_one(&answer),
        }
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<Updated, StoreError> {
        let _changing = (self.changing(old), self.changing(new));
        if let Topology::Cluster(_) = &self.0.topology {
            return self.rotate_across_slots(old, new, patch, grace).await;
        }
        let arguments = layout::rotate_arguments(patch, grace, new);
        let keys = [&*self.name(old), &*self.name(new)];
        updated(self.run_on(&script::ROTATE, &keys, &arguments, Retry::Never).await?.reply)
    }
}

fn updated(answer: Reply) -> Result<Updated, StoreError> {
    match answer {
        Reply::Null => Ok(Updated::Gone),
        Reply::Int(-1) => Ok(Updated::Taken),
        Reply::Int(version) => Ok(Updated::Applied {
            version: u64::try_from(version).map_err(|_| layout::unexpected())?,
        }),
        hash => match layout::parse_record(hash)? {
            Some(record) => Ok(Updated::Conflict(record)),
            None => Ok(Updated::Gone),
        },
    }
}

fn is_one(answer: &Reply) -> Result<bool, StoreError> {
    match answer {
        Reply::Int(n) => Ok(*n == 1),
        _ => Err(layout::unexpected()),
    }
}

// In a cluster, a script reaches the keys of one slot, and a session and what it is renewed into are in
// different ones.
impl RedisStore {
    /// Ends the session that was renewed into before the mark that leads to it, so that a crash in between
    /// leaves nothing that a second try does not find.
    async fn destroy_across_slots(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let mut path = vec![*key];
        let mut there = false;
        loop {
            let key = path.last().expect("the path begins with a key");
            let _changing = self.changing(key);
            match self.run(&script::DESTROY_ALONE, key, &Args::default(), Retry::Idempotent).await?
            {
                Reply::Text(name) => match layout::parse_key_name(&name) {
                    // A mark that leads in a circle was not made by this store.
                    Some(next) if !path.contains(&next) => path.push(next),
                    _ => return Err(StoreError::damaged("the successor is no key")),
                },
                Reply::List(ended) => {
                    there = true;
                    let (id, values) = layout::parse_ended(&ended)?;
                    let values = values.iter().map(|(name, json)| (&**name, &**json));
                    // OK because whoever finds the key looks what is under it.
                    let _ = self.leave(key, id, values).await;
                    path.pop();
                    break;
                }
                answer => {
                    there |= is_one(&answer)?;
                    path.pop();
                    break;
                }
            }
        }
        for key in path.iter().rev() {
            let _changing = self.changing(key);
            let key = self.name(key);
            let command = Command::new("DEL").arg(&key);
            there |= is_one(&self.call(&key, &command, Retry::Idempotent).await?.reply)?;
        }
        Ok(there)
    }

    /// Stores the new record first and then retires the old one, if it still is what the new one was made
    /// of. The new id is known to nobody before that, so what a crash leaves behind ends by itself.
    async fn rotate_across_slots(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<Updated, StoreError> {
        // What the request has read is as good as what is there, if the version says so in the end.
        let known = patch
            .basis()
            .filter(|basis| basis.is_whole() && patch.apply_to(basis).is_ok())
            .cloned();
        let mut basis = match known {
            Some(basis) => basis,
            None => match self.load(old).await? {
                Some(basis) => basis,
                None => return Ok(Updated::Gone),
            },
        };
        let mut is_stored = false;
        for _ in 0..ROTATE_ATTEMPTS {
            let moved = match patch.apply_to(&basis) {
                Ok(moved) => moved,
                Err(refused) => {
                    if is_stored {
                        self.delete(new).await?;
                    }
                    return Ok(Updated::refused(refused, basis));
                }
            };
            if let Some(index) = moved.index() {
                self.enter(new, index.public_id(), moved.indexed_fields()).await?;
            }
            let arguments = layout::record_arguments(&moved);
            let store = if is_stored { &script::REPLACE } else { &script::CREATE };
            if !is_one(&self.run(store, new, &arguments, Retry::Never).await?)? {
                return self.taken(old).await;
            }
            is_stored = true;
            let arguments = layout::retire_arguments(basis.version(), grace, new);
            let retired = self.run(&script::RETIRE, old, &arguments, Retry::Never).await;
            if retired.is_err() {
                // The client stays with the old id, so nobody needs the new one, whatever became of the old.
                // OK because without this it ends by itself.
                let _ = self.delete(new).await;
            }
            basis = match retired? {
                Reply::Int(_) => {
                    if let Some(index) = basis.index() {
                        // OK because whoever finds the old key looks what is under it.
                        let _ = self.leave(old, index.public_id(), basis.indexed_fields()).await;
                    }
                    return Ok(Updated::Applied { version: moved.version() });
                }
                current => match layout::parse_record(current)? {
                    Some(current) => current,
                    None => {
                        self.delete(new).await?;
                        return Ok(Updated::Gone);
                    }
                },
            };
        }
        self.delete(new).await?;
        Err(StoreError::unavailable("other requests changed the session again and again"))
    }

    /// The answer when the new key is in use: that the session is gone counts more.
    async fn taken(&self, old: &StoreKey) -> Result<Updated, StoreError> {
        let current = self.load(old).await?.filter(|record| !record.is_retired());
        Ok(current.map_or(Updated::Gone, |_| Updated::Taken))
    }

    async fn delete(&self, key: &StoreKey) -> Result<(), StoreError> {
        let key = self.name(key);
        let command = Command::new("DEL").arg(&key);
        self.call(&key, &command, Retry::Idempotent).await.map(drop)
    }
}

impl RedisStore {
    fn name(&self, key: &StoreKey) -> String {
        layout::prefixed_key_name(&self.0.prefix, key)
    }

    /// Loads a session as the call says, and keeps it at hand.
    async fn load_and_keep(
        &self,
        key: &StoreKey,
        call: impl AsyncFnOnce(&str) -> Result<CallReply, StoreError>,
    ) -> Result<Option<Record>, StoreError> {
        let glance = self.0.cache.as_ref().map(|cache| (cache, cache.glance(key)));
        let answer = call(&self.name(key)).await?;
        let record = layout::parse_record(answer.reply)?;
        if let (Some((cache, glance)), Some(record)) = (glance, &record) {
            cache.keep(key, glance, record, answer.connection.downgrade());
        }
        Ok(record)
    }

    /// Updates a session with this script; `None` if it says that the session's sets must change too.
    async fn update_with(
        &self,
        script: &Script,
        key: &StoreKey,
        patch: &Patch,
        arguments: Args,
    ) -> Result<Option<Updated>, StoreError> {
        let name = self.name(key);
        let changing = self.changing(key);
        // Named twice, the key is one whose next change is to be told.
        let keys = if changing.is_some() { &[&*name, &*name][..] } else { &[&*name] };
        let answer = self.run_on(script, keys, &arguments, Retry::Never).await?;
        if let Reply::Int(-2) = answer.reply {
            return Ok(None);
        }
        let updated = updated(answer.reply)?;
        if let (Some(changing), Updated::Applied { version }) = (changing, &updated) {
            changing.applied(patch, *version, answer.connection.downgrade());
        }
        Ok(Some(updated))
    }

    /// To be held while a session is changed.
    fn changing(&self, key: &StoreKey) -> Option<Changing<'_>> {
        self.0.cache.as_ref().map(|cache| cache.changing(key))
    }

    /// Forgets what is at hand of the key that a session was renewed into.
    fn forget(&self, successor: &Reply) {
        let key = successor.as_str().and_then(|name| layout::parse_key_name(name.as_bytes()));
        if let (Some(cache), Some(key)) = (&self.0.cache, key) {
            cache.forget(&key);
        }
    }

    async fn run(
        &self,
        script: &Script,
        key: &StoreKey,
        arguments: &Args,
        retry: Retry,
    ) -> Result<Reply, StoreError> {
        Ok(self.run_on(script, &[&self.name(key)], arguments, retry).await?.reply)
    }

    /// Runs a script on keys, of which the first says where.
    async fn run_on(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &Args,
        retry: Retry,
    ) -> Result<CallReply, StoreError> {
        let topology = &self.0.topology;
        match topology.call(keys[0].as_bytes(), &script.by_hash(keys, arguments), retry).await {
            Err(CallError::Refused(refusal)) if refusal.code() == "NOSCRIPT" => {
                topology.call(keys[0].as_bytes(), &script.by_text(keys, arguments), retry).await
            }
            answer => answer,
        }
        .map_err(store_error)
    }

    async fn call(
        &self,
        key: &str,
        command: &Command,
        retry: Retry,
    ) -> Result<CallReply, StoreError> {
        self.0.topology.call(key.as_bytes(), command, retry).await.map_err(store_error)
    }
}

/// What a failed call means to the request.
fn store_error(failure: CallError) -> StoreError {
    /// What Redis says when it is full, starting, failing over, or cut in two.
    const PASSING: [&str; 10] = [
        "OOM",
        "LOADING",
        "BUSY",
        "CLUSTERDOWN",
        "MASTERDOWN",
        "READONLY",
        "TRYAGAIN",
        "NOREPLICAS",
        "MISCONF",
        "UNKILLABLE",
    ];
    let refusal = match failure {
        CallError::Unreachable(cause) => return StoreError::unavailable(cause),
        CallError::NoReply(lost) => return StoreError::unavailable(lost),
        CallError::Refused(refusal) => refusal,
    };
    if refusal.contains_word("WRONGTYPE") {
        StoreError::damaged("the key holds something else than a hash")
    } else if PASSING.into_iter().any(|word| refusal.contains_word(word)) {
        StoreError::unavailable(refusal)
    } else {
        StoreError::internal(refusal)
    }
}
