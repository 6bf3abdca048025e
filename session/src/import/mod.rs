//! Takes over the sessions of the program that served the site before, so that users stay logged in
//! when a site switches to this library.
//!
//! Give an [`Importer`] to [`import`](crate::SessionMiddlewareBuilder::import). The guide on
//! [switching](crate::guide::switching) has the steps.
//!
//! | the site was served by | importer | feature |
//! | --- | --- | --- |
//! | actix-session, actix-identity | `ActixSession` | `import-actix-session` |
//! | express-session | `ExpressSession` | `import-express-session` |
//! | @synapps/session | `SynappsSession` | `import-synapps-session` |
//! | another program | write an [`Importer`] | none |

#[cfg(feature = "import-actix-session")]
mod actix;
mod claim;
#[cfg(any(feature = "import-actix-session", feature = "import-express-session"))]
mod cookies;
mod erased;
#[cfg(feature = "import-express-session")]
mod express;
#[cfg(any(feature = "import-express-session", feature = "import-synapps-session"))]
mod files;
mod foreign;
#[cfg(feature = "import-express-session")]
mod foreign_files;
mod importer;
#[cfg(any(feature = "import-actix-session", feature = "import-express-session"))]
mod stores;
#[cfg(feature = "import-synapps-session")]
mod synapps;

#[cfg(feature = "import-actix-session")]
pub use actix::{ActixSession, CookieKeyError, InCookie};
#[cfg(feature = "import-express-session")]
pub use express::ExpressSession;
#[cfg(feature = "import-express-session")]
pub use foreign_files::ForeignFiles;
#[cfg(all(
    feature = "redis",
    any(feature = "import-actix-session", feature = "import-express-session")
))]
pub use stores::ForeignRedis;
#[cfg(any(feature = "import-actix-session", feature = "import-express-session"))]
pub use stores::ForeignStore;
#[cfg(feature = "import-synapps-session")]
pub use synapps::SynappsSession;
pub(crate) use {
    claim::{claim_key, claim_record, claimed_id},
    erased::{ErasedImporter, Import},
};
pub use {
    foreign::{ForeignCookie, ForeignId, ForeignSession},
    importer::{Importer, KeepOld},
};
