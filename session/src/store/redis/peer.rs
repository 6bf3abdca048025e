//! A server: where it is, who this process is to it, and how to get a connection to it.

use std::{io, sync::Arc, time::Duration};

use tokio::net::TcpStream;
use url::Url;

use super::{
    cache::Cache,
    resp::{Command, Refusal, Reply},
    tls::Tls,
    wire::{Lost, Stream, Wire},
};
use crate::error::Cause;

/// A server, and how to speak with it.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) place: Place,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
    pub(super) tls: Option<Tls>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp {
        host: Arc<str>,
        port: u16,
    },
    /// The path of a socket.
    Unix(String),
}

/// Why there is no connection to the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the server cannot be reached")]
    Stream(#[from] io::Error),
    #[error("the server has ended the connection")]
    Lost(#[from] Lost),
    #[error("the server has refused the connection")]
    Refused(#[from] Refusal),
    #[error("the sentinels name a server that is no master")]
    NoMaster,
    #[error("the sentinel knows no master of this name")]
    UnknownMaster,
}

const PORT: u16 = 6379;

impl Peer {
    /// The server at a URL: `redis://[user[:password]@]host[:port][/database]`, `rediss:` for TLS, or
    /// `redis+unix:///path`.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, Cause> {
        let url = Url::parse(url)?;
        let is_tls = matches!(url.scheme(), "rediss" | "valkeys");
        let place = match url.scheme() {
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let host =
                    url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
                // An IPv6 address stands in brackets.
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Place::Tcp { host: host.into(), port: url.port().unwrap_or(PORT) }
            }
            "redis+unix" | "valkey+unix" | "unix" => Place::Unix(decoded(url.path())?),
            _ => return Err("its scheme is none of `redis`, `rediss` and `redis+unix`".into()),
        };
        let database = match (&place, url.path().trim_matches('/')) {
            (Place::Unix(_), _) | (_, "") => 0,
            (_, number) => number.parse().map_err(|_| "the database is no number")?,
        };
        let user = Some(decoded(url.username())?).filter(|user| !user.is_empty());
        let password = url.password().map(decoded).transpose()?;
        let tls = is_tls.then(|| Tls::new(None)).transpose()?;
        Ok(Self { place, user, password, database, tls })
    }

    /// The same, with certificates of this authority, as PEM, if it is spoken with over TLS.
    pub(super) fn trusting(mut self, root_certificate: Option<&[u8]>) -> Result<Self, Cause> {
        if self.tls.is_some() && root_certificate.is_some() {
            self.tls = Some(Tls::new(root_certificate)?);
        }
        Ok(self)
    }

    /// The same way to speak, with another server.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        Self { place: Place::Tcp { host: host.into(), port }, ..self.clone() }
    }

    /// A connection on which the server knows this process, and tells the cache what changes of that which is read
    /// over it.
    pub(super) async fn connect(
        &self,
        limit: Duration,
        cache: Option<Arc<Cache>>,
    ) -> Result<Wire, ConnectError> {
        let tracking = cache.is_some();
        let wire = Wire::new(self.stream().await?, limit, cache);
        // RESP3, the protocol of Redis 6 and later.
        let mut hello = Command::new("HELLO").arg("3");
        if let Some(password) = &self.password {
            let user = self.user.as_deref().unwrap_or("default");
            hello = hello.arg("AUTH").arg(user).arg(password);
        }
        accepted(wire.send(&hello).await?)?;
        if self.database != 0 {
            let select = Command::new("SELECT").arg(self.database.to_string());
            accepted(wire.send(&select).await?)?;
        }
        if tracking {
            // What is changed over this connection is known here.
            let track = Command::new("CLIENT").arg("TRACKING").arg("ON").arg("NOLOOP");
            accepted(wire.send(&track).await?)?;
        }
        Ok(wire)
    }

    /// As [`connect`](Self::connect), if the server is a master.
    pub(super) async fn connect_to_master(
        &self,
        limit: Duration,
        cache: Option<Arc<Cache>>,
    ) -> Result<Wire, ConnectError> {
        let wire = self.connect(limit, cache).await?;
        match accepted(wire.send(&Command::new("ROLE")).await?)? {
            Reply::List(role) if role.first().is_some_and(|role| role.is_text("master")) => {
                Ok(wire)
            }
            _ => Err(ConnectError::NoMaster),
        }
    }

    /// Asks a sentinel for the master of this name.
    pub(super) async fn master(
        &self,
        name: &str,
        limit: Duration,
    ) -> Result<(String, u16), ConnectError> {
        let wire = self.connect(limit, None).await?;
        let ask = Command::new("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let Reply::List(address) = accepted(wire.send(&ask).await?)? else {
            return Err(ConnectError::UnknownMaster);
        };
        let text = |at: usize| address.get(at).and_then(Reply::as_str);
        match (text(0), text(1).and_then(|port| port.parse().ok())) {
            (Some(host), Some(port)) => Ok((host.to_owned(), port)),
            _ => Err(ConnectError::UnknownMaster),
        }
    }

    async fn stream(&self) -> io::Result<Box<dyn Stream>> {
        let (host, port) = match &self.place {
            Place::Tcp { host, port } => (&**host, *port),
            #[cfg(unix)]
            Place::Unix(path) => return Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Place::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => tls.connect(host, stream).await,
            None => Ok(Box::new(stream)),
        }
    }
}

fn accepted(reply: Reply) -> Result<Reply, Refusal> {
    match reply {
        Reply::Refused(refusal) => Err(refusal),
        reply => Ok(reply),
    }
}

fn decoded(text: &str) -> Result<String, Cause> {
    let text = percent_encoding::percent_decode_str(text).decode_utf8();
    Ok(text.map_err(|_| "it is not UTF-8")?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_server_is_and_who_asks() {
        let tcp = |host: &str, port| Place::Tcp { host: host.into(), port };
        for (url, place, user, password, database) in [
            ("redis://host", tcp("host", 6379), None, None, 0),
            ("redis://10.0.0.1:7000/5", tcp("10.0.0.1", 7000), None, None, 5),
            ("valkey://[::1]:7000/", tcp("::1", 7000), None, None, 0),
            ("redis://:pass%3Aword@host", tcp("host", 6379), None, Some("pass:word"), 0),
            ("redis://us%40er:p@host", tcp("host", 6379), Some("us@er"), Some("p"), 0),
            (
                "redis+unix:///run/redis%20a.sock",
                Place::Unix("/run/redis a.sock".into()),
                None,
                None,
                0,
            ),
        ] {
            let peer = Peer::parse(url).expect("a good URL");
            assert_eq!(peer.place, place, "{url}");
            assert_eq!(peer.user.as_deref(), user, "{url}");
            assert_eq!(peer.password.as_deref(), password, "{url}");
            assert_eq!(peer.database, database, "{url}");
            assert!(peer.tls.is_none(), "{url}");
        }
    }

    #[test]
    #[cfg(feature = "redis-tls")]
    fn a_url_says_whether_to_speak_tls() {
        assert!(Peer::parse("rediss://host").expect("a good URL").tls.is_some());
    }

    #[test]
    #[cfg(not(feature = "redis-tls"))]
    fn a_url_with_tls_is_refused_with_the_name_of_the_feature() {
        for url in ["rediss://u:secret@host", "valkeys://u:secret@host"] {
            let error = Peer::parse(url).map(drop).expect_err("TLS cannot be had");
            assert!(error.to_string().contains("enable the feature `redis-tls`"), "{error}");
        }
    }

    #[test]
    fn an_error_does_not_quote_the_url() {
        for url in
            ["http://u:secret@host", "redis://", "redis://u:secret@host/x", "u:secret@host", ""]
        {
            let error = Peer::parse(url).map(drop).expect_err("no good URL");
            assert!(!error.to_string().contains("secret"), "{url}: {error}");
        }
    }
}
