//! The arguments of the program.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::{failure::Failure, find::FieldValue, store_url::StoreUrl};

const STORE_HELP: &str = "\
STORE is one of:
  /path/to/folder                          files (FileStore)
  redis://[user:password@]host[:port][/db] Redis or Valkey; rediss: with TLS
  redis+unix:///path/to/socket             Redis on a Unix socket
  redis+cluster://host:port,host:port      a Redis Cluster; rediss+cluster: with TLS
  redis+sentinel://host:port,host:port/master[/db]
                                           Redis Sentinel; rediss+sentinel: with TLS
  postgres://user@host/database            PostgreSQL
  mysql://user@host/database               MySQL or MariaDB
  sqlite:///path/to/file                   SQLite
  @/path/to/file                           one of these, read from a file
  env:NAME                                 one of these, from an environment variable

A password in an argument is visible to all users of the machine. Put the URL into a file that only
you can read and write `@file`, or set TYPED_SESSIONS_STORE.

Exit codes: 0 done; 1 failed, or `check` found damaged records; 2 wrong use.";

/// Lists, ends, checks and copies the sessions of actix-typed-session.
///
/// It prints public ids, which open no session. It never prints session ids or keys of a store, and
/// values of fields only if you ask for them.
#[derive(Debug, Parser)]
#[command(name = "typed-sessions", version, after_long_help = STORE_HELP)]
#[command(after_help = "See `--help` for the forms of STORE and the exit codes.")]
pub(crate) struct Args {
    /// Where the sessions are
    #[arg(short, long, global = true, value_name = "STORE")]
    #[arg(env = "TYPED_SESSIONS_STORE", hide_env_values = true)]
    pub(crate) store_url: Option<StoreArg>,

    /// Print JSON for scripts: an object, or one per line for `list` and `show`
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) store: StoreSettings,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Settings that the site has changed from their defaults.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Settings of the site")]
pub(crate) struct StoreSettings {
    /// What all keys in Redis begin with
    #[arg(long, global = true, default_value = "session:", value_name = "TEXT")]
    pub(crate) prefix: String,

    /// The table in a database
    #[arg(long, global = true, default_value = "actix_session", value_name = "NAME")]
    pub(crate) table: String,

    /// The schema of the table in PostgreSQL [default: that of the connection]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) schema: Option<String>,

    /// The certificate of the authority of a Redis server, as PEM [default: those of the system]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// How long a call of the store may take, such as `500ms`, `5s` or `1m`
    #[arg(long, global = true, default_value = "5s", value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// How long a session lives without a request, from which `last seen` is computed
    #[arg(long, global = true, default_value = "20h", value_name = "TIME", value_parser = duration)]
    pub(crate) max_age: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sessions
    List {
        #[command(flatten)]
        field: FieldArgs,

        /// List at most this many
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
    },
    /// Show sessions in detail
    Show {
        #[command(flatten)]
        which: WhichArgs,

        /// Print the values of the fields too, which may be secrets of a user
        #[arg(long)]
        values: bool,
    },
    /// Destroy sessions: their users are logged out at the next request
    Destroy {
        #[command(flatten)]
        which: WhichArgs,

        /// Do not ask, such as in scripts
        #[arg(short, long)]
        yes: bool,
    },
    /// Delete expired sessions, which sites also do by themselves
    Sweep,
    /// Count sessions
    Count {
        #[command(flatten)]
        field: FieldArgs,
    },
    /// Read all records, and count those that are damaged or of a later format
    Check,
    /// Copy all sessions to another store, and overwrite none there
    Copy {
        /// Where the sessions are
        from: StoreArg,
        /// Where they go
        to: StoreArg,

        /// Create the folder, the file or the table of TO if it is missing
        #[arg(long)]
        create: bool,

        /// What all keys in the Redis of TO begin with [default: as --prefix]
        #[arg(long, value_name = "TEXT")]
        to_prefix: Option<String>,

        /// The table in the database of TO [default: as --table]
        #[arg(long, value_name = "NAME")]
        to_table: Option<String>,

        /// The schema of the table of TO [default: as --schema]
        #[arg(long, value_name = "NAME")]
        to_schema: Option<String>,
    },
}

/// A store as it was written. It is read later, because clap's errors have the text, and with it
/// the password.
#[derive(Clone)]
pub(crate) struct StoreArg(String);

impl StoreArg {
    pub(crate) fn url(&self) -> Result<StoreUrl, Failure> {
        self.0.parse().map_err(Failure::WrongUse)
    }
}

impl From<String> for StoreArg {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for StoreArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreArg(…)")
    }
}

/// Sessions with a value of a field, or all.
#[derive(Debug, ClapArgs)]
pub(crate) struct FieldArgs {
    /// Only sessions whose field has this value, such as `user_id=42`. The index finds them
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) field: Option<FieldValue>,

    /// Find the field's value by reading all sessions, for fields that are not indexed
    #[arg(long, requires = "field")]
    pub(crate) scan: bool,
}

/// Sessions by their ids, or by a value of a field.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = true)]
pub(crate) struct WhichArgs {
    /// The ids in the first column of `list`
    #[arg(value_name = "ID", conflicts_with = "field")]
    pub(crate) ids: Vec<String>,

    /// Sessions whose field has this value, such as `user_id=42`. The index finds them
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) field: Option<FieldValue>,

    /// Find the field's value by reading all sessions, for fields that are not indexed
    #[arg(long, requires = "field")]
    pub(crate) scan: bool,
}

/// Reads `500ms`, `5s`, `10m`, `20h` and `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(ms));
    match ms {
        Some(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err("write a whole number and `ms`, `s`, `m`, `h` or `d`, such as `20h`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("20h"), Ok(Duration::from_secs(72_000)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "20", "h", "0s", "-1s", "1.5h", "1 h", "1w", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
