//! The text of an error with its causes.

use std::{error::Error, fmt};

/// Displays an error and its whole chain of sources on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{SessionError, StoreError},
        *,
    };

    #[test]
    fn the_chain_names_every_cause() {
        let error = SessionError::from(StoreError::unavailable("connection refused"));
        assert_eq!(
            Chain(&error).to_string(),
            "the session store failed: the session store is not available: connection refused"
        );
    }
}
