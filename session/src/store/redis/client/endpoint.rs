//! A server's address, the credentials for it, and how to connect to it.

use std::{io, sync::Arc};

use tokio::net::TcpStream;
use url::Url;

use super::{
    certificates::Certificates,
    connection::MultiplexedConnection,
    connection_state::ReplyError,
    credentials::{CredentialsSource, RedisCredentials},
    driver::{PushHandler, ReplyLimits},
    resp::{Command, ErrorReply, Reply},
    writer::ByteStream,
};
use crate::error::BoxError;

#[cfg(not(feature = "redis-tls"))]
use super::no_tls::NoTls as Tls;
#[cfg(feature = "redis-tls")]
use super::tls::Tls;

/// A server's address, and what a connection to it needs.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(super) address: Address,
    /// `None`: the server needs none.
    credentials: Option<CredentialsSource>,
    database: u32,
    /// `None`: the connection is not encrypted.
    tls: Option<Tls>,
}

impl Endpoint {
    /// The server at a URL: `redis://[user[:password]@]host[:port][/database]`, `rediss:` for TLS,
    /// or `redis+unix:///path[?db=database&user=user&pass=password]`.
    ///
    /// # Errors
    /// What is wrong with the URL or, if it asks for TLS, with the certificates. The message does
    /// not quote the URL, because it may hold a password.
    pub(crate) fn parse(url: &str, certificates: &Certificates) -> Result<Self, BoxError> {
        let url = Url::parse(url).map_err(|error| {
            format!(
                "the URL is not valid: {error}; in a user or a password, write each of `%/?#[]@:` \
                 and the space in percent-encoding, such as `%2F` for `/`"
            )
        })?;
        let is_tls = matches!(url.scheme(), "rediss" | "valkeys");
        let address = match url.scheme() {
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let host =
                    url.host_str().filter(|host| !host.is_empty()).ok_or("the URL has no host")?;
                // An IPv6 address stands in brackets.
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Address::Tcp { host: host.into(), port: url.port().unwrap_or(DEFAULT_PORT) }
            }
            "redis+unix" | "valkey+unix" | "unix" => Address::Unix(percent_decoded(url.path())?),
            _ => return Err("the URL must begin with `redis:`, `rediss:` or `redis+unix:`".into()),
        };
        let is_unix = matches!(address, Address::Unix(_));
        if url.fragment().is_some() {
            return Err("the URL has a `#`; in a password, write it as `%23`".into());
        }
        let mut database = match url.path().trim_matches('/') {
            number if !is_unix && !number.is_empty() => Some(number.to_owned()),
            _ => None,
        };
        let mut user = Some(percent_decoded(url.username())?).filter(|user| !user.is_empty());
        let mut password = url.password().map(percent_decoded).transpose()?;
        for (name, value) in url.query_pairs() {
            match &*name {
                "db" if is_unix => database = Some(value.into_owned()),
                "user" if is_unix => user = Some(value.into_owned()),
                "pass" if is_unix => password = Some(value.into_owned()),
                _ => return Err(unknown_parameter(&name, is_unix).into()),
            }
        }
        let database = database.map_or(Ok(0), |number| {
            number.parse().map_err(|_| "the database in the URL must be a number")
        })?;
        let tls = is_tls.then(|| Tls::new(certificates)).transpose()?;
        let credentials = (user.is_some() || password.is_some()).then(|| {
            let user = user.unwrap_or_else(|| "default".to_owned());
            CredentialsSource::Fixed(RedisCredentials::new(user, password.unwrap_or_default()))
        });
        Ok(Self { address, credentials, database, tls })
    }

    /// Uses these credentials instead of those in the URL.
    pub(crate) fn with_credentials(self, credentials: CredentialsSource) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// Uses this database instead of the one in the URL.
    pub(crate) fn with_database(self, database: u32) -> Self {
        Self { database, ..self }
    }

    /// Drops the user, the password and the database of the URL.
    pub(crate) fn without_credentials(self) -> Self {
        Self { credentials: None, database: 0, ..self }
    }

    /// Another server with the same credentials and the same TLS.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        Self { address: Address::Tcp { host: host.into(), port }, ..self.clone() }
    }

    /// The host. `None`: the address is a Unix socket.
    pub(super) fn host(&self) -> Option<&Arc<str>> {
        match &self.address {
            Address::Tcp { host, .. } => Some(host),
            Address::Unix(_) => None,
        }
    }

    /// Connects and authenticates.
    ///
    /// With a handler, the server reports each key that is read over the connection and then
    /// changes.
    pub(super) async fn connect(
        &self,
        limits: ReplyLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let is_tracking = push_handler.is_some();
        let credentials = match &self.credentials {
            Some(source) => Some(source.get().await.map_err(ConnectError::NoCredentials)?),
            None => None,
        };
        let signed_in = |protocol, push_handler| {
            self.sign_in(protocol, credentials.as_ref(), limits, push_handler)
        };
        let connection = match signed_in(Protocol::Resp3, push_handler).await {
            // Its replies have the same form, but it reports no changes.
            Err(error) if error.may_lack_resp3() && !is_tracking => {
                signed_in(Protocol::Resp2, None).await?
            }
            connection => connection?,
        };
        if let (Some(source), Some(credentials)) = (&self.credentials, &credentials)
            && let Some(task) = source.keep_signed_in(connection.downgrade(), credentials)
        {
            connection.stop_with_it(task);
        }
        if self.database != 0 {
            let select = Command::new("SELECT").arg(self.database.to_string());
            accepted(connection.send(&select).await?)?;
        }
        if is_tracking {
            // `NOLOOP`: the cache already has the changes that are made over this connection.
            let track = Command::new("CLIENT").arg("TRACKING").arg("ON").arg("NOLOOP");
            accepted(connection.send(&track).await?)?;
        }
        Ok(connection)
    }

    /// Opens a connection on which the server has answered, and authenticates.
    async fn sign_in(
        &self,
        protocol: Protocol,
        credentials: Option<&RedisCredentials>,
        limits: ReplyLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let connection = MultiplexedConnection::new(self.stream().await?, limits, push_handler);
        let hello = Command::new("HELLO").arg("3");
        let command = match (protocol, credentials) {
            (Protocol::Resp3, None) => hello,
            (Protocol::Resp3, Some(RedisCredentials { user, password, .. })) => {
                hello.arg("AUTH").arg(user).arg(password)
            }
            (Protocol::Resp2, None) => Command::new("PING"),
            (Protocol::Resp2, Some(credentials)) => credentials.auth_command(),
        };
        match connection.send(&command).await? {
            Reply::Error(error) if protocol == Protocol::Resp3 && is_unknown(&error) => {
                Err(ConnectError::NoResp3(error))
            }
            reply => {
                accepted(reply)?;
                Ok(connection)
            }
        }
    }

    /// [`connect`](Self::connect), which fails if the server is not a master.
    pub(super) async fn connect_to_master(
        &self,
        limits: ReplyLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let connection = self.connect(limits, push_handler).await?;
        match accepted(connection.send(&Command::new("ROLE")).await?)? {
            Reply::List(role) if role.first().is_some_and(|role| role.is_text("master")) => {
                Ok(connection)
            }
            _ => Err(ConnectError::NotMaster),
        }
    }

    /// Asks a sentinel for the master of this name.
    pub(super) async fn master(
        &self,
        name: &str,
        limits: ReplyLimits,
    ) -> Result<(String, u16), ConnectError> {
        let connection = self.connect(limits, None).await?;
        let ask = Command::new("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let Reply::List(address) = accepted(connection.send(&ask).await?)? else {
            return Err(ConnectError::UnknownMaster);
        };
        let text = |at: usize| address.get(at).and_then(Reply::as_str);
        match (text(0), text(1).and_then(|port| port.parse().ok())) {
            (Some(host), Some(port)) => Ok((host.to_owned(), port)),
            _ => Err(ConnectError::UnknownMaster),
        }
    }

    async fn stream(&self) -> io::Result<Box<dyn ByteStream>> {
        let (host, port) = match &self.address {
            Address::Tcp { host, port } => (&**host, *port),
            #[cfg(unix)]
            Address::Unix(path) => {
                return Ok(Box::new(tokio::net::UnixStream::connect(path).await?));
            }
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => tls.connect(host, stream).await,
            None => Ok(Box::new(stream)),
        }
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Redis 6 and later.
    Resp3,
    /// Earlier servers, and some proxies.
    Resp2,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp {
        host: Arc<str>,
        port: u16,
    },
    /// The path of a socket.
    Unix(String),
}

const DEFAULT_PORT: u16 = 6379;

/// Why connecting to the server failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the server cannot be reached")]
    Stream(#[from] io::Error),
    #[error("the function of `credentials_provider` failed")]
    NoCredentials(#[source] BoxError),
    #[error("the server did not answer")]
    NoReply(#[from] ReplyError),
    #[error("the server refused the connection")]
    Refused(#[from] ErrorReply),
    #[error("the server does not speak RESP3; a local cache needs Redis 6.2 or later, or Valkey")]
    NoResp3(#[source] ErrorReply),
    #[error("the server that the sentinels name is not a master")]
    NotMaster,
    #[error("the sentinel has no master of this name")]
    UnknownMaster,
}

impl ConnectError {
    /// Whether the cause may be that the server does not speak RESP3. Some proxies close the
    /// connection at a command that they do not know.
    fn may_lack_resp3(&self) -> bool {
        matches!(self, Self::NoResp3(_) | Self::NoReply(ReplyError::Closed(_)))
    }
}

/// Whether the server does not know the command `HELLO` or the protocol.
fn is_unknown(error: &ErrorReply) -> bool {
    error.code() == "NOPROTO" || error.contains_word("unknown")
}

fn accepted(reply: Reply) -> Result<Reply, ErrorReply> {
    match reply {
        Reply::Error(error) => Err(error),
        reply => Ok(reply),
    }
}

/// The error for a parameter that the URL must not have. It quotes the name only if that cannot be
/// part of a password with a `?`.
fn unknown_parameter(name: &str, is_unix: bool) -> String {
    let known = ["protocol", "db", "user", "pass", "insecure", "timeout", "client_name"];
    let name = known.into_iter().find(|it| *it == name).unwrap_or("with another name");
    let help = if is_unix {
        "a Unix socket takes `db`, `user` and `pass`"
    } else {
        "such settings are methods of the builder; in a password, write `?` as `%3F`"
    };
    format!("the URL has a parameter ({name}) that is not supported: {help}")
}

fn percent_decoded(text: &str) -> Result<String, BoxError> {
    let text = percent_encoding::percent_decode_str(text).decode_utf8();
    Ok(text.map_err(|_| "the URL is not UTF-8")?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Endpoint, BoxError> {
        Endpoint::parse(url, &Certificates::default())
    }

    #[test]
    fn a_url_gives_the_address_the_credentials_and_the_database() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        for (url, address, user, password, database) in [
            ("redis://host", tcp("host", 6379), None, "", 0),
            ("redis://10.0.0.1:7000/5", tcp("10.0.0.1", 7000), None, "", 5),
            ("valkey://[::1]:7000/", tcp("::1", 7000), None, "", 0),
            ("redis://:pass%3Aword@host", tcp("host", 6379), Some("default"), "pass:word", 0),
            ("redis://us%40er:p@host", tcp("host", 6379), Some("us@er"), "p", 0),
            ("redis://without-password@host", tcp("host", 6379), Some("without-password"), "", 0),
            (
                "redis+unix:///run/redis%20a.sock",
                Address::Unix("/run/redis a.sock".into()),
                None,
                "",
                0,
            ),
            (
                "unix:///run/redis.sock?db=3&user=app&pass=a%26b",
                Address::Unix("/run/redis.sock".into()),
                Some("app"),
                "a&b",
                3,
            ),
        ] {
            let endpoint = parse(url).expect("a good URL");
            assert_eq!(endpoint.address, address, "{url}");
            let expected = user.map(|user| RedisCredentials::new(user, password));
            match endpoint.credentials {
                Some(CredentialsSource::Fixed(found)) => assert_eq!(Some(found), expected, "{url}"),
                Some(CredentialsSource::Provider(_)) => panic!("{url}: a function"),
                None => assert_eq!(None, expected, "{url}"),
            }
            assert_eq!(endpoint.database, database, "{url}");
            assert!(endpoint.tls.is_none(), "{url}");
        }
    }

    #[test]
    #[cfg(feature = "redis-tls")]
    fn a_url_asks_for_tls() {
        assert!(parse("rediss://host").expect("a good URL").tls.is_some());
    }

    #[test]
    #[cfg(not(feature = "redis-tls"))]
    fn a_url_with_tls_is_refused_with_the_name_of_the_feature() {
        for url in ["rediss://u:secret@host", "valkeys://u:secret@host"] {
            let error = parse(url).map(drop).expect_err("TLS is not available");
            assert!(error.to_string().contains("enable the feature `redis-tls`"), "{error}");
        }
    }

    #[test]
    fn what_a_url_cannot_say_is_refused_with_what_to_do() {
        for (url, advice) in [
            ("redis://host?protocol=2", "(protocol)"),
            ("redis://host/1?timeout=5", "(timeout)"),
            ("redis://:p?w@host", "not valid"),
            ("redis://:p#w@host", "not valid"),
            ("redis://:p/w@host", "`%2F` for `/`"),
            ("redis://host/1#x", "`%23`"),
            ("redis://host/1/2", "must be a number"),
            ("unix:///run/a.sock?db=x", "must be a number"),
            ("unix:///run/a.sock?database=1", "`db`, `user` and `pass`"),
        ] {
            let error = parse(url).map(drop).expect_err(url);
            assert!(error.to_string().contains(advice), "{url}: {error}");
        }
    }

    #[test]
    fn an_error_does_not_quote_the_url() {
        for url in [
            "http://u:secret@host",
            "redis://",
            "redis://u:secret@host/x",
            "u:secret@host",
            "redis://u:x?secret=1@host",
            "redis://host?secret=1",
            "",
        ] {
            let error = parse(url).map(drop).expect_err("a bad URL");
            assert!(!error.to_string().contains("secret"), "{url}: {error}");
        }
    }
}
