//! Takes over the sessions of the program that served the site before, so that a switch to this
//! library logs nobody out.
//!
//! Give an [`Importer`] to [`import`](crate::SessionMiddlewareBuilder::import). The guide on
//! [switching](crate::guide::switching) has the steps.
//!
//! | the site was served by | importer | feature |
//! | --- | --- | --- |
//! | @synapps/session | `SynappsSession` | `import-synapps-session` |
//! | another program | write an [`Importer`] | none |

mod claim;
mod erased;
#[cfg(feature = "import-synapps-session")]
mod files;
mod foreign;
mod importer;
#[cfg(feature = "import-synapps-session")]
mod synapps;

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
