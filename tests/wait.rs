//! Waits with a limit, so that what never comes fails its test by name instead of holding up the
//! whole run.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// Far above what anything in a test takes on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a future.
///
/// # Panics
/// It takes longer than [`PATIENCE`].
#[track_caller]
pub fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{what}: not within {PATIENCE:?}, at {caller}"),
        }
    }
}

/// Waits until something is so.
///
/// # Panics
/// It takes longer than [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}, at {caller}");
            sleep(Duration::from_millis(1)).await;
        }
    }
}
