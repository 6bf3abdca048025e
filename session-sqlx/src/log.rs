//! What the stores log.

use std::error::Error;

use actix_typed_session::StoreError;

/// Logs that a clean-up failed. The next one tries again.
pub(crate) fn not_swept(error: &StoreError) {
    tracing::warn!(
        event = "sweep_failed",
        "expired sessions could not be deleted: {}",
        with_causes(error)
    );
}

/// Logs that a store with a local cache does not learn what other processes change. It tries again
/// each second.
#[cfg(feature = "postgres")]
pub(crate) fn not_listening(error: &StoreError) {
    tracing::warn!(
        event = "local_cache_off",
        "the local cache is not used, because no reports of changes arrive: {}",
        with_causes(error)
    );
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_logged_with_its_cause() {
        let text = with_causes(&StoreError::unavailable("the disk is full"));
        assert_eq!(text, "the session store is not available: the disk is full");
    }
}
