//! Why a command failed, in sentences for the person at the shell.

use std::{error::Error, fmt, io};

use actix_typed_session::StoreError;

use crate::exit;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command cannot be carried out as it was written.
    WrongUse(String),
    /// The command failed: what, and what to do.
    Failed(String),
    /// Nothing reads our output any more.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::WrongUse(_) => exit::WRONG_USE,
            Self::Failed(_) | Self::BrokenPipe => exit::FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongUse(text) | Self::Failed(text) => f.write_str(text),
            Self::BrokenPipe => f.write_str("the output is closed"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(chain(&error))
    }
}

/// An error and its causes, without those that the one before has said already.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text += ": ";
            text += &said;
        }
        source = cause.source();
    }
    text
}
