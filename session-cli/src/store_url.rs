//! Where a store is, as it is written in an argument.

use std::{env, fmt, fs, path::PathBuf, str::FromStr};

use percent_encoding::percent_decode_str;
use url::Url;

/// Where a store is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    Folder(PathBuf),
    Sqlite(PathBuf),
    Postgres(String),
    MySql(String),
    Redis(RedisUrl),
}

/// How a Redis is set up.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum RedisUrl {
    Server(String),
    Cluster(Vec<String>),
    Sentinel {
        sentinels: Vec<String>,
        master: String,
        database: Option<u32>,
        /// The user and the password for the master.
        credentials: Option<(String, String)>,
    },
}

impl FromStr for StoreUrl {
    type Err = String;

    /// The errors have no part of a URL that may be a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(file) = text.strip_prefix('@') {
            let read = fs::read_to_string(file);
            let url = read.map_err(|error| format!("the file `{file}` cannot be read: {error}"))?;
            return parse(url.trim());
        }
        if let Some(name) = text.strip_prefix("env:") {
            let value = env::var(name).map_err(|_| {
                format!("the environment variable `{name}` is not set, or not text")
            })?;
            return parse(value.trim());
        }
        parse(text)
    }
}

fn parse(text: &str) -> Result<StoreUrl, String> {
    if text.is_empty() {
        return Err("the store is empty; write a folder or a URL".to_owned());
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok(StoreUrl::Folder(text.into()));
    };
    match scheme {
        "file" => Ok(StoreUrl::Folder(path(rest)?)),
        "sqlite" => Ok(StoreUrl::Sqlite(path(rest)?)),
        "postgres" | "postgresql" => checked(text).map(StoreUrl::Postgres),
        "mysql" => checked(text).map(StoreUrl::MySql),
        "mariadb" => checked(&format!("mysql:{rest}")).map(StoreUrl::MySql),
        "redis+cluster" | "rediss+cluster" => cluster(scheme, rest).map(StoreUrl::Redis),
        "redis+sentinel" | "rediss+sentinel" => sentinel(scheme, rest).map(StoreUrl::Redis),
        _ if scheme.starts_with("redis") => Ok(StoreUrl::Redis(RedisUrl::Server(checked(text)?))),
        _ if rest.starts_with("//") => Err(format!(
            "`{scheme}` is not a kind of store; use a folder, or `redis`, `rediss`, `postgres`, \
             `mysql` or `sqlite` with `://`"
        )),
        _ => Ok(StoreUrl::Folder(text.into())),
    }
}

/// The path of a URL. Parameters are not for paths.
fn path(rest: &str) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains('?') {
        return Err("parameters after `?` are not known here; write the path only".to_owned());
    }
    if path.is_empty() {
        return Err(
            "the path is missing, such as in `sqlite:///var/lib/site/sessions.db`".to_owned()
        );
    }
    let decoded = percent_decode_str(path).decode_utf8();
    decoded.map(|path| (*path).into()).map_err(|_| "the path is not UTF-8".to_owned())
}

fn checked(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "the URL is not valid: {error}; in a user or a password, write the characters \
             `%/?#[]@:` in percent-encoding, such as `%40` for `@`"
        )),
    }
}

fn cluster(scheme: &str, rest: &str) -> Result<RedisUrl, String> {
    let (user, hosts, path) = authority(rest)?;
    if !path.is_empty() {
        return Err("a Redis Cluster has no databases; remove what follows the hosts".to_owned());
    }
    let scheme = scheme.trim_end_matches("+cluster");
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let urls = hosts.iter().map(|host| checked(&format!("{scheme}://{user}{host}")));
    Ok(RedisUrl::Cluster(urls.collect::<Result<_, _>>()?))
}

fn sentinel(scheme: &str, rest: &str) -> Result<RedisUrl, String> {
    let (user, hosts, path) = authority(rest)?;
    let scheme = scheme.trim_end_matches("+sentinel");
    let sentinels = hosts.iter().map(|host| checked(&format!("{scheme}://{host}")));
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err("the name of the master is missing, such as in \
                    `redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster`"
            .to_owned());
    }
    let database = match database {
        "" => None,
        number => Some(number.parse().map_err(|_| "the database is not a number".to_owned())?),
    };
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials = user.map(|user| {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        (if user.is_empty() { "default".to_owned() } else { decode(user) }, decode(password))
    });
    let sentinels = sentinels.collect::<Result<_, _>>()?;
    Ok(RedisUrl::Sentinel { sentinels, master: decode(master), database, credentials })
}

/// `//user:password@host,host/path` as user, hosts and path.
fn authority(rest: &str) -> Result<(Option<&str>, Vec<&str>, &str), String> {
    let missing = || "the hosts are missing, such as in `redis+cluster://10.0.0.1:6379`".to_owned();
    let rest = rest.strip_prefix("//").ok_or_else(missing)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let hosts: Vec<_> = hosts.split(',').map(str::trim).collect();
    if hosts.iter().any(|host| host.is_empty()) { Err(missing()) } else { Ok((user, hosts, path)) }
}

impl StoreUrl {
    /// What must not stand in a message.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let urls = match self {
            Self::Folder(_) | Self::Sqlite(_) => &[],
            Self::Postgres(url) | Self::MySql(url) | Self::Redis(RedisUrl::Server(url)) => {
                std::slice::from_ref(url)
            }
            Self::Redis(RedisUrl::Cluster(urls)) => urls,
            Self::Redis(RedisUrl::Sentinel { credentials, .. }) => {
                return credentials.iter().map(|(_, password)| password.clone()).collect();
            }
        };
        let mut secrets = Vec::new();
        for url in urls.iter().filter_map(|url| Url::parse(url).ok()) {
            secrets.extend(url.password().map(str::to_owned));
            let decoded = url.password().map(|text| percent_decode_str(text).decode_utf8_lossy());
            secrets.extend(decoded.map(Into::into));
            let parameters = url.query_pairs().filter(|(name, _)| name.starts_with("pass"));
            secrets.extend(parameters.map(|(_, value)| value.into_owned()));
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets
    }
}

impl fmt::Display for StoreUrl {
    /// Without passwords and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) | Self::MySql(url) | Self::Redis(RedisUrl::Server(url)) => {
                f.write_str(&public(url))
            }
            Self::Redis(RedisUrl::Cluster(urls)) => {
                let urls: Vec<_> = urls.iter().map(|url| public(url)).collect();
                write!(f, "the cluster of {}", urls.join(", "))
            }
            Self::Redis(RedisUrl::Sentinel { sentinels, master, .. }) => {
                let urls: Vec<_> = sentinels.iter().map(|url| public(url)).collect();
                write!(f, "the master `{master}` of {}", urls.join(", "))
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// A text that may be a URL, without what may be its password. The URL need not be valid.
pub(crate) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => format!("{scheme}://{rest}"),
    }
}

/// A URL without its user, password and parameters.
fn public(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return "the URL".to_owned() };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<StoreUrl>().expect(text).to_string()
    }

    #[test]
    fn each_kind_of_store_has_a_form() {
        for (text, means) in [
            ("sessions", "sessions"),
            ("/var/lib/site/sessions", "/var/lib/site/sessions"),
            ("file:///var/lib/a%20b", "/var/lib/a b"),
            ("C:\\sessions", "C:\\sessions"),
            ("sqlite:///var/lib/s.db", "sqlite:/var/lib/s.db"),
            ("sqlite:s.db", "sqlite:s.db"),
            ("redis://127.0.0.1:6379/2", "redis://127.0.0.1:6379/2"),
            ("rediss://:secret@cache.example", "rediss://cache.example"),
            ("redis+unix:///run/redis.sock?pass=secret", "redis+unix:///run/redis.sock"),
            ("postgres://me:secret@db/app?sslmode=require", "postgres://db/app"),
            ("mariadb://me:secret@db:3307/app", "mysql://db:3307/app"),
            (
                "rediss+cluster://me:secret@10.0.0.1:1,10.0.0.2:2",
                "the cluster of rediss://10.0.0.1:1, rediss://10.0.0.2:2",
            ),
            (
                "redis+sentinel://:secret@10.0.0.1:1,10.0.0.2:2/mymaster/3",
                "the master `mymaster` of redis://10.0.0.1:1, redis://10.0.0.2:2",
            ),
        ] {
            assert_eq!(shown(text), means);
        }
    }

    #[test]
    fn a_sentinel_has_the_credentials_of_its_master() {
        let url = "redis+sentinel://ann:a%40b@10.0.0.1:1/main/3".parse::<StoreUrl>();
        let Ok(StoreUrl::Redis(RedisUrl::Sentinel { credentials, database, sentinels, .. })) = url
        else {
            panic!("a sentinel");
        };
        assert_eq!(credentials, Some(("ann".to_owned(), "a@b".to_owned())));
        assert_eq!((database, sentinels), (Some(3), vec!["redis://10.0.0.1:1".to_owned()]));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (text, says) in [
            ("", "empty"),
            ("http://me:secret@host", "`http` is not a kind of store"),
            ("postgres://me:sec/ret@ho st/x", "percent-encoding"),
            ("redis+sentinel://:secret@host:1", "name of the master"),
            ("redis+cluster://", "hosts are missing"),
            ("redis+cluster://secret@host:1/3", "no databases"),
            ("redis+sentinel://:secret@host:1/main/x", "not a number"),
            ("sqlite:///x?secret=1", "parameters"),
            ("sqlite:", "path is missing"),
            ("@/no/such/file", "cannot be read"),
            ("env:NO_SUCH_VARIABLE_HERE", "is not set"),
        ] {
            let error = text.parse::<StoreUrl>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains("ret@"), "{error}");
        }
    }
}
