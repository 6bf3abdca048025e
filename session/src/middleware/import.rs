//! The setting that takes over the sessions of another program.

use super::builder::SessionMiddlewareBuilder;
use crate::import::{Import, Importer};

impl SessionMiddlewareBuilder {
    /// Takes over the sessions of the program that served the site before. Defaults to none. A
    /// second call replaces the first.
    ///
    /// A request that extracts a session and brings none of this library brings one of the other
    /// program, perhaps. Then its content begins a session here under a new id, and the old session
    /// and its cookie are removed; [`keep_old`](Importer::keep_old) keeps them. Requests that come
    /// at the same time get the same session. A route that extracts no session costs nothing.
    ///
    /// A struct names the values that it takes over: a field takes the value of its name, of its
    /// `rename` and of each `alias`. A value that does not fit is left out, with a warning in the
    /// log. Name every struct with [`session`](Self::session), so that its indexed fields are found
    /// and its values with a `ttl` end, whichever struct is extracted first.
    ///
    /// The guide on [switching](crate::guide::switching) has the steps, and what an attacker could
    /// do meanwhile.
    ///
    /// # Examples
    /// See [`Importer`].
    pub fn import(mut self, importer: impl Importer) -> Self {
        self.config.import = Some(Import::new(importer));
        self
    }
}
