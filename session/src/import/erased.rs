//! Importers as trait objects, and the setting that holds one.

use std::sync::Arc;

use actix_web::HttpRequest;
use futures_util::future::{BoxFuture, FutureExt as _};

use super::{
    foreign::{ForeignCookie, ForeignId, ForeignSession},
    importer::Importer,
};
use crate::{error::StoreError, fields::Schema};

/// [`Importer`] as a trait object, with futures that own their data.
pub(crate) trait ErasedImporter: Send + Sync {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId>;
    fn find(
        self: Arc<Self>,
        id: ForeignId,
    ) -> BoxFuture<'static, Result<Option<ForeignSession>, StoreError>>;
    fn forget(self: Arc<Self>, id: ForeignId) -> BoxFuture<'static, Result<(), StoreError>>;
}

impl<I: Importer> ErasedImporter for I {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
        Importer::identify(self, request)
    }

    fn find(
        self: Arc<Self>,
        id: ForeignId,
    ) -> BoxFuture<'static, Result<Option<ForeignSession>, StoreError>> {
        async move { Importer::find(&*self, &id).await }.boxed()
    }

    fn forget(self: Arc<Self>, id: ForeignId) -> BoxFuture<'static, Result<(), StoreError>> {
        async move { Importer::forget(&*self, &id).await }.boxed()
    }
}

/// From where sessions are taken over, and how.
pub(crate) struct Import {
    pub(crate) importer: Arc<dyn ErasedImporter>,
    /// The cookie that is removed afterwards.
    pub(crate) cookie: Option<ForeignCookie>,
    /// Whether the other program keeps its session and its cookie.
    pub(crate) keeps_old: bool,
    /// The structs whose fields are taken over, besides those of the struct that is extracted.
    pub(crate) structs: Vec<&'static Schema>,
}

impl Import {
    pub(crate) fn new(importer: impl Importer) -> Self {
        let (cookie, keeps_old) = (importer.cookie(), importer.keeps_old());
        Self { importer: Arc::new(importer), cookie, keeps_old, structs: Vec::new() }
    }
}
