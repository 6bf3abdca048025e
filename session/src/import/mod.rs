//! Takes over the sessions of the program that served the site before, so that a switch to this
//! library logs nobody out.
//!
//! Give an [`Importer`] to [`import`](crate::SessionMiddlewareBuilder::import). The guide on
//! [switching](crate::guide::switching) has the steps.

mod claim;
mod erased;
mod foreign;
mod importer;

pub(crate) use {
    claim::{claim_key, claim_record, claimed_id},
    erased::{ErasedImporter, Import},
};
pub use {
    foreign::{ForeignCookie, ForeignId, ForeignSession},
    importer::{Importer, KeepOld},
};
