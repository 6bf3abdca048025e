//! As which user connections sign in, and how they stay signed in.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{task::AbortHandle, time::sleep};
use tracing::warn;

use super::{
    connection::WeakConnection,
    resp::{Command, Reply},
};
use crate::error::{BoxError, Chain};

/// A user and a password for Redis, and perhaps how long they are valid.
///
/// # Examples
/// ```
/// use actix_typed_session::RedisCredentials;
/// use std::time::Duration;
///
/// let token = RedisCredentials::new("sessions", "secret").valid_for(Duration::from_secs(900));
/// assert!(!format!("{token:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisCredentials {
    pub(super) user: String,
    pub(super) password: String,
    valid_for: Option<Duration>,
}

impl RedisCredentials {
    /// A user and a password. Without an ACL, the user is `default`.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into(), valid_for: None }
    }

    /// Says how long the password is valid from now on. Before that time is over, connections sign
    /// in again.
    ///
    /// Defaults to without an end: a connection that is signed in stays so.
    #[must_use = "it returns the credentials"]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }

    /// The command that signs a connection in.
    pub(super) fn auth_command(&self) -> Command {
        let command = Command::new("AUTH");
        // Servers before Redis 6, and proxies, know no users.
        let command = if self.user == "default" { command } else { command.arg(&self.user) };
        command.arg(&self.password)
    }
}

impl fmt::Debug for RedisCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCredentials")
            .field("user", &self.user)
            .field("valid_for", &self.valid_for)
            .finish_non_exhaustive()
    }
}

/// The user's function that gets credentials.
pub(crate) type CredentialsProvider =
    Arc<dyn Fn() -> BoxFuture<'static, Result<RedisCredentials, BoxError>> + Send + Sync>;

/// Where the credentials of connections come from.
#[derive(Clone)]
pub(crate) enum CredentialsSource {
    Fixed(RedisCredentials),
    /// Called for each new connection, and before the credentials of one end.
    Provider(CredentialsProvider),
}

impl CredentialsSource {
    pub(super) async fn get(&self) -> Result<RedisCredentials, BoxError> {
        match self {
            Self::Fixed(credentials) => Ok(credentials.clone()),
            Self::Provider(provider) => provider().await,
        }
    }

    /// Keeps a connection signed in that has just signed in with these credentials. `None`: nothing
    /// needs to be done for that.
    pub(super) fn keep_signed_in(
        &self,
        connection: WeakConnection,
        first: &RedisCredentials,
    ) -> Option<AbortHandle> {
        let (Self::Provider(provider), Some(valid_for)) = (self, first.valid_for) else {
            return None;
        };
        let task = tokio::spawn(sign_in_again(connection, Arc::clone(provider), valid_for));
        Some(task.abort_handle())
    }
}

/// Signs in again, each time before the credentials end.
async fn sign_in_again(
    connection: WeakConnection,
    provider: CredentialsProvider,
    mut valid_for: Duration,
) {
    let mut pause = renewal_pause(valid_for);
    loop {
        sleep(pause).await;
        pause = match sign_in(&connection, &provider).await {
            Ok(credentials) => {
                let Some(next) = credentials.valid_for else { return };
                valid_for = next;
                renewal_pause(valid_for)
            }
            Err(error) => {
                warn!(
                    event = "sign_in_failed",
                    "a connection to Redis could not sign in again: {}",
                    Chain(&*error)
                );
                retry_pause(valid_for)
            }
        };
    }
}

async fn sign_in(
    connection: &WeakConnection,
    provider: &CredentialsProvider,
) -> Result<RedisCredentials, BoxError> {
    let credentials = provider().await?;
    match connection.send(&credentials.auth_command()).await? {
        Reply::Error(error) => Err(error.into()),
        _ => Ok(credentials),
    }
}

/// How long after it signed in a connection does so again: a quarter of the time is left for
/// failures.
fn renewal_pause(valid_for: Duration) -> Duration {
    (valid_for / 4 * 3).max(SHORTEST_PAUSE)
}

fn retry_pause(valid_for: Duration) -> Duration {
    (valid_for / 32).max(SHORTEST_PAUSE)
}

/// A limit on how often a provider is called for one connection.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
