//! Takes the place of TLS without the feature `redis-tls`.

use std::io;

use tokio::net::TcpStream;

use super::{certificates::Certificates, writer::ByteStream};
use crate::error::BoxError;

/// TLS is not available, so this type has no value.
#[derive(Clone)]
pub(super) enum NoTls {}

impl NoTls {
    /// Fails, and names the feature.
    pub(super) fn new(_: &Certificates) -> Result<Self, BoxError> {
        Err("its scheme asks for TLS; enable the feature `redis-tls` of `actix-typed-session`"
            .into())
    }

    pub(super) async fn connect(&self, _: &str, _: TcpStream) -> io::Result<Box<dyn ByteStream>> {
        match *self {}
    }
}
