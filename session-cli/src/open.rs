//! Opens a store, and says what to do if that fails.

use std::{error::Error, fs, io, path::Path, time::Duration};

use actix_typed_session::{
    Clock, FileStore, RedisStore, SystemClock, Timestamp,
    store::{LoadOptions, SessionStore as _, StoreKey},
};
use actix_typed_session_sqlx::{MySqlStore, PostgresStore, SqliteStore};
use sqlx::{ConnectOptions as _, Connection, Database, Pool, pool::PoolOptions};

use crate::{
    any_store::AnyStore,
    args::StoreSettings,
    failure::{Failure, chain},
    store_url::{RedisUrl, StoreUrl},
};

/// What a command does with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reads sessions.
    Read,
    /// Reads all that is there, expired records too.
    ReadExpired,
    /// Destroys sessions, or adds to those that are there.
    Write,
    /// Adds sessions to a store that may be missing.
    Create,
}

impl Purpose {
    fn is_read_only(self) -> bool {
        matches!(self, Self::Read | Self::ReadExpired)
    }

    fn clock(self) -> ToolClock {
        match self {
            Self::ReadExpired => ToolClock::Zero,
            _ => ToolClock::System(SystemClock),
        }
    }
}

/// The clock of a store.
enum ToolClock {
    System(SystemClock),
    /// Stands at 1970, when nothing had expired.
    Zero,
}

impl Clock for ToolClock {
    fn now(&self) -> Timestamp {
        match self {
            Self::System(clock) => clock.now(),
            Self::Zero => Timestamp::default(),
        }
    }
}

/// How many statements of `copy` run at the same time.
const POOL_SIZE: u32 = 8;

/// Opens a store, and finds out whether it answers. No store cleans up by itself here.
pub(crate) async fn open(
    url: &StoreUrl,
    settings: &StoreSettings,
    purpose: Purpose,
) -> Result<AnyStore, Failure> {
    let opened = async {
        let store = match url {
            StoreUrl::Folder(path) => AnyStore::File(folder(path, purpose)?),
            StoreUrl::Sqlite(path) => AnyStore::Sqlite(sqlite(path, settings, purpose)?),
            StoreUrl::Redis(url) => AnyStore::Redis(redis(url, settings)?),
            StoreUrl::Postgres(url) => AnyStore::Postgres(postgres(url, settings, purpose).await?),
            StoreUrl::MySql(url) => AnyStore::MySql(mysql(url, settings, purpose).await?),
        };
        // Of a key that no session has. A failure now names the store, and a copy has two.
        let unknown = StoreKey::from_bytes([0; 32]);
        let answer = store.load(&unknown, &LoadOptions::default()).await;
        answer.map_err(failed)?;
        Ok(store)
    };
    opened.await.map_err(|failure| {
        let (kind, mut text): (fn(String) -> Failure, _) = match failure {
            Failure::WrongUse(text) => (Failure::WrongUse, text),
            Failure::Failed(text) => (Failure::Failed, text),
            Failure::BrokenPipe => return failure,
        };
        for secret in url.secrets() {
            text = text.replace(&secret, "***");
        }
        kind(format!("cannot use {url}: {text}"))
    })
}

fn folder(path: &Path, purpose: Purpose) -> Result<FileStore, Failure> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && purpose != Purpose::Create => {
            return Err(Failure::Failed(missing("folder", path, purpose)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::Failed(error.to_string())),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(Failure::Failed(
                "it is not a folder; for a file of SQLite, write `sqlite:` before the path".into(),
            ));
        }
        Ok(metadata) => Some(metadata),
    };
    let mut builder = FileStore::builder(path)
        .sweep_interval(None)
        .clock(purpose.clock())
        .read_only(purpose.is_read_only());
    if let Some(metadata) = metadata
        && !purpose.is_read_only()
    {
        builder = builder.share_with_group(owner::shares_with_group(&metadata)?);
    }
    builder.build().map_err(|error| Failure::Failed(chain(&error)))
}

fn missing(what: &str, path: &Path, purpose: Purpose) -> String {
    let create = match purpose {
        Purpose::Write => "; to create it for a copy, pass --create",
        _ => "; check the path",
    };
    // A relative path begins at the working folder, which may not be the site's.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("the {what} `{}` does not exist{create}", path.display())
}

mod owner {
    use std::fs::Metadata;

    use crate::failure::Failure;

    /// Whether the folder is shared with its group.
    ///
    /// # Errors
    /// It is another user's alone: files that this process creates in it could not be used by the
    /// site.
    #[cfg(unix)]
    pub(super) fn shares_with_group(folder: &Metadata) -> Result<bool, Failure> {
        use std::os::unix::fs::MetadataExt as _;

        let is_shared = folder.mode() & 0o2070 == 0o2070;
        let user = rustix::process::geteuid().as_raw();
        if folder.uid() == user || is_shared {
            return Ok(is_shared);
        }
        Err(Failure::Failed(format!(
            "the folder belongs to the user with the id {}, and this process runs as {user}; what \
             it created there could not be used by the site, so run it as that user, such as with \
             `sudo -u '#{}' typed-sessions …`",
            folder.uid(),
            folder.uid(),
        )))
    }

    #[cfg(not(unix))]
    pub(super) fn shares_with_group(_: &Metadata) -> Result<bool, Failure> {
        Ok(false)
    }
}

fn sqlite(path: &Path, settings: &StoreSettings, purpose: Purpose) -> Result<SqliteStore, Failure> {
    if purpose != Purpose::Create && !path.exists() {
        return Err(Failure::Failed(missing("file", path, purpose)));
    }
    let builder = SqliteStore::builder(path)
        .table(&settings.table)
        .time_limit(settings.timeout)
        .sweep_interval(None)
        .clock(purpose.clock())
        .must_exist(purpose != Purpose::Create);
    builder.build().map_err(failed)
}

fn redis(url: &RedisUrl, settings: &StoreSettings) -> Result<RedisStore, Failure> {
    let mut builder = match url {
        RedisUrl::Server(url) => RedisStore::builder(url),
        RedisUrl::Cluster(urls) => RedisStore::cluster(urls.iter().map(String::as_str)),
        RedisUrl::Sentinel { sentinels, master, database, credentials } => {
            let urls = sentinels.iter().map(String::as_str);
            let mut builder = RedisStore::sentinel(urls, master);
            if let Some(database) = database {
                builder = builder.database(*database);
            }
            if let Some((user, password)) = credentials {
                builder = builder.credentials(user, password);
            }
            builder
        }
    };
    builder = builder
        .prefix(&settings.prefix)
        .connect_timeout(settings.timeout)
        .response_timeout(settings.timeout)
        // One large session must not end a copy.
        .max_reply_bytes(256 << 20);
    if let Some(file) = &settings.ca_file {
        let pem = fs::read(file).map_err(|error| {
            Failure::WrongUse(format!("the file `{}` cannot be read: {error}", file.display()))
        })?;
        builder = builder.root_certificate(pem);
    }
    builder.build().map_err(|error| Failure::WrongUse(chain(&error)))
}

async fn postgres(
    url: &str,
    settings: &StoreSettings,
    purpose: Purpose,
) -> Result<PostgresStore, Failure> {
    let pool = pool(url, settings.timeout).await?;
    let mut builder = PostgresStore::builder(pool)
        .table(&settings.table)
        .time_limit(settings.timeout)
        .sweep_interval(None)
        .clock(purpose.clock());
    if let Some(schema) = &settings.schema {
        builder = builder.schema(schema);
    }
    let store = builder.build().map_err(|error| Failure::WrongUse(chain(&error)))?;
    if purpose == Purpose::Create {
        store.ensure_schema().await.map_err(failed)?;
    }
    Ok(store)
}

async fn mysql(
    url: &str,
    settings: &StoreSettings,
    purpose: Purpose,
) -> Result<MySqlStore, Failure> {
    let pool = pool(url, settings.timeout).await?;
    let builder = MySqlStore::builder(pool)
        .table(&settings.table)
        .time_limit(settings.timeout)
        .sweep_interval(None)
        .clock(purpose.clock());
    let store = builder.build().map_err(|error| Failure::WrongUse(chain(&error)))?;
    if purpose == Purpose::Create {
        store.ensure_schema().await.map_err(failed)?;
    }
    Ok(store)
}

/// A pool for a database that has answered once. A pool alone would try again and again, and say in
/// the end that it has no connection.
async fn pool<DB: Database>(url: &str, limit: Duration) -> Result<Pool<DB>, Failure> {
    let options: <DB::Connection as Connection>::Options = url.parse().map_err(|error| {
        let error: sqlx::Error = error;
        Failure::WrongUse(format!("the URL is not valid: {}", chain(&error)))
    })?;
    let options = options.disable_statement_logging();
    let connection = match tokio::time::timeout(limit, options.connect()).await {
        Ok(connection) => connection.map_err(failed)?,
        Err(_) => {
            return Err(Failure::Failed(format!(
                "the server did not answer within {limit:?}; check the host and the port, or pass \
                 a longer --timeout"
            )));
        }
    };
    // Its end is of no importance.
    drop(connection.close().await);
    Ok(PoolOptions::new().max_connections(POOL_SIZE).connect_lazy_with(options))
}

/// The failure of a store, with what to do.
pub(crate) fn failed(error: impl Error + 'static) -> Failure {
    Failure::Failed(with_hint(chain(&error)))
}

/// Adds what to do to a message of a store, whose own advice is for the code of a site.
fn with_hint(message: String) -> String {
    let hints = [
        (
            "call `ensure_schema`",
            "the session table is missing; check --table and --schema, or pass --create to a copy",
        ),
        (
            "has no table of sessions",
            "the file has no table of sessions with this name; check --table, or pass --create to \
             a copy",
        ),
    ];
    for (said, better) in hints {
        if message.contains(said) {
            return better.to_owned();
        }
    }
    if message.contains("onnection refused") {
        return format!("{message}; check the host and the port, and that the server runs");
    }
    message
}
