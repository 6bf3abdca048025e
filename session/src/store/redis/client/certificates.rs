//! What TLS trusts and presents.

/// The certificates of TLS, as PEM.
#[derive(Clone, Default)]
#[cfg_attr(not(feature = "redis-tls"), expect(dead_code, reason = "only TLS reads them"))]
pub(crate) struct Certificates {
    /// The authority that signs servers. `None`: those that the operating system trusts.
    pub(crate) root: Option<Vec<u8>>,
    /// What the client presents: its certificate, with those between it and the authority, and the
    /// private key.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}
