//! Takes over the session that the client has at another program.
//!
//! 1. Look for a claim in the store: another request may have taken the session over.
//! 2. Otherwise, find the session at the other program.
//! 3. Store it under a new id. If the process ends after this, the old session is still there, and
//!    no client has the id of the copy.
//! 4. Store the claim. If another request was faster, destroy the copy, and begin again.
//! 5. Let the other program forget the session.

use std::sync::Arc;

use actix_web::HttpRequest;
use tokio::runtime::Handle;
use tracing::error;

use super::{
    changes::Changes,
    close::ID_ATTEMPTS,
    foreign::{Foreign, Forget},
    loaded::Loaded,
    outcome::CookieAction,
    session::ActiveSession,
    state::Head,
};
use crate::{
    error::{Chain, SessionError, StoreError},
    fields::{Adopted, Adoption, Schema},
    id::{SessionId, StoreKey},
    import::{ForeignSession, Import, claim_key, claim_record, claimed_id},
    observe::{EventKind, Reporter},
    record::{Index, Patch, PublicId, Record},
    store::{CreateOutcome, ErasedStore, LoadOptions, Persistence},
    time::Limits,
    transport::{IdChannel, IdHeader},
};

/// What became of a copy of a foreign session.
enum Transferred {
    Stored,
    /// The new id is another session's. Nothing was done.
    IdTaken,
    /// Another request was faster, so its copy counts.
    Claimed,
}

impl ActiveSession {
    /// Remembers the session of another program that the request brings.
    #[cold]
    pub(super) fn identify(&self, import: &Import, request: &HttpRequest) {
        if self.presented.channel != IdChannel::Cookie || self.is_outside_cookie_path {
            // A script that sends a header must not get what is in a cookie.
            return;
        }
        if let Some(id) = import.importer.identify(request) {
            self.foreign.get_or_init(|| Box::new(Foreign::new(id, import)));
        }
    }

    /// Takes the session over that the request brings. The request has no live session of ours.
    pub(super) async fn import(&self) -> Result<(), SessionError> {
        let (Some(foreign), Some(import)) = (self.foreign.get(), &self.config.import) else {
            self.set_loaded(None);
            return Ok(());
        };
        // The other program's cookie may have the name of ours.
        let is_ended =
            self.presented.claims().any(|claim| claim.id.as_str() != foreign.id.as_str());
        if is_ended || self.presented.is_later || self.state.borrow().head == Head::Sent {
            // A session that has ended here must not come back from there.
            foreign.is_over.set(is_ended);
            self.set_loaded(None);
            return Ok(());
        }
        let key = claim_key(&self.cookie().name, &foreign.id);
        let result = self.take_over(import, foreign, key).await;
        result.inspect_err(|_| self.set_unavailable(key))
    }

    async fn take_over(
        &self,
        import: &Import,
        foreign: &Foreign,
        claim: StoreKey,
    ) -> Result<(), SessionError> {
        for _ in 0..ID_ATTEMPTS {
            if let Some(id) = self.claimed(claim, foreign).await? {
                return self.follow(id, foreign).await;
            }
            let Some(session) = find(foreign).await? else {
                // Another request may have taken it over since the claim was looked for.
                if let Some(id) = self.claimed(claim, foreign).await? {
                    return self.follow(id, foreign).await;
                }
                self.set_loaded(None);
                return Ok(());
            };
            let record = self.record_of(session, &import.structs);
            let Some(id) = self.new_id(None)? else { continue };
            let key = StoreKey::from(&id);
            let transfer = Transfer {
                store: self.store(),
                key,
                record: record.clone(),
                claim: self
                    .has_claims()
                    .then(|| (claim, claim_record(&id, &foreign.id, self.config.clock.now()))),
                // Without a claim, requests at the same time must find it too.
                forget: (self.has_claims() && !foreign.keeps_old).then(|| foreign.forget()),
                reporter: self.reporter(),
            };
            match run_to_end(transfer.carry_out()).await? {
                Transferred::Stored => {
                    self.set_imported(id, key, record, foreign);
                    return Ok(());
                }
                Transferred::IdTaken | Transferred::Claimed => {}
            }
        }
        Err(SessionError::IdsTaken)
    }

    /// Whether requests find each other by claims. Where the cookie holds the session, the browser
    /// keeps one of the copies.
    fn has_claims(&self) -> bool {
        matches!(self.config.sessions, Persistence::Store(_))
    }

    /// The id of the session that another request has made of the foreign one.
    async fn claimed(
        &self,
        claim: StoreKey,
        foreign: &Foreign,
    ) -> Result<Option<SessionId>, SessionError> {
        if !self.has_claims() {
            return Ok(None);
        }
        let claim = self.store().load(claim, LoadOptions::default()).await?;
        let now = self.config.clock.now();
        let claim = claim.filter(|claim| !claim.is_expired(now));
        Ok(claim.and_then(|claim| claimed_id(&claim, &foreign.id)))
    }

    /// Uses the session that another request has made of the foreign one.
    async fn follow(&self, id: SessionId, foreign: &Foreign) -> Result<(), SessionError> {
        let key = StoreKey::from(&id);
        match self.load_record(key, None).await? {
            Some(record) => self.set_imported(id, key, record, foreign),
            None => {
                // It has ended meanwhile.
                foreign.is_over.set(true);
                self.set_loaded(None);
            }
        }
        Ok(())
    }

    /// The request has this session, and its client gets the id.
    fn set_imported(&self, id: SessionId, key: StoreKey, record: Record, foreign: &Foreign) {
        let mut state = self.state.borrow_mut();
        if !record.is_retired() {
            let now = self.config.clock.now();
            let age = self.config.rules.cookie_age(record.limits(), record.expires_at(), now);
            state.set_cookie_action(CookieAction::Issue(age));
            state.has_new_id = true;
            foreign.goes_on_as_ours();
        }
        if !record.is_retired() || record.successor().is_some() {
            self.ids.push(Some(id));
        }
        state.loaded = Loaded::new(key, record);
    }

    /// The record that begins with a foreign session.
    fn record_of(&self, session: ForeignSession, structs: &[&'static Schema]) -> Record {
        let now = self.config.clock.now();
        let mut adoption = Adoption::new(session.into_values(), now);
        let first = self.first.get();
        let is_other = |it: &&Schema| first.is_none_or(|first| first.type_name != it.type_name);
        // The struct that the request extracts is last, so its types count.
        let structs = structs.iter().copied().filter(is_other).chain(first);
        structs.for_each(|schema| (schema.adopt)(&mut adoption));
        let Adopted { fields, indexed } = adoption.finish();
        let lifetimes = &self.config.rules.lifetimes;
        let limits = Limits::default();
        let public_id = PublicId::beginning(now, lifetimes, &limits);
        let mut patch = Patch::default();
        fields.into_iter().for_each(|(name, json)| patch.set(name, json));
        for name in indexed {
            patch.index_field(Index::new(public_id, name.into()));
        }
        patch
            .apply_to(&Record::new(now, lifetimes.expires_at(now, &limits, now)))
            .expect("a new record is not retired, and the patch expects no version")
    }

    /// What ends the foreign session together with ours, if these changes end that.
    #[inline]
    pub(super) fn forget_with(&self, changes: &Changes) -> Option<Forget> {
        let foreign = self.foreign.get().filter(|_| changes.intent.ends_session())?;
        foreign.is_over.set(true);
        Some(foreign.forget())
    }

    /// Adds what removes the other program's cookie, if the client does not need it any more.
    #[cold]
    pub(super) fn with_foreign_removal(
        &self,
        foreign: &Foreign,
        id_header: Option<IdHeader>,
    ) -> Option<IdHeader> {
        let present = self.cookie();
        let import = self.config.import.as_ref();
        let cookie = import.and_then(|import| import.cookie.as_ref());
        let cookie = cookie.filter(|_| foreign.is_over.get()).map(|cookie| cookie.beside(present));
        let Some(cookie) = cookie.filter(|cookie| !cookie.is_same_as(present)) else {
            return id_header;
        };
        let mut cookies = vec![cookie.removal()];
        match id_header {
            None => {}
            Some(IdHeader::Cookie(cookie)) => cookies.push(cookie),
            Some(IdHeader::Cookies(others)) => cookies.extend(others),
            Some(header @ IdHeader::Header(..)) => return Some(header),
        }
        Some(IdHeader::Cookies(cookies.into()))
    }
}

/// Finds the session at the other program.
async fn find(foreign: &Foreign) -> Result<Option<ForeignSession>, SessionError> {
    match Arc::clone(&foreign.importer).find(foreign.id.clone()).await {
        Ok(Some(session)) => return Ok(Some(session)),
        Ok(None) => foreign.goes_on_as_ours(),
        // The other program may be writing it, so the client keeps its cookie.
        Err(error @ StoreError::Damaged(_)) => {
            error!(
                event = "session_not_imported",
                "the session of another program is not taken over: {}",
                Chain(&error)
            );
        }
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

/// What stores a copy of a foreign session.
struct Transfer {
    store: Arc<dyn ErasedStore>,
    key: StoreKey,
    record: Record,
    claim: Option<(StoreKey, Record)>,
    forget: Option<Forget>,
    reporter: Option<Reporter>,
}

impl Transfer {
    async fn carry_out(self) -> Result<Transferred, StoreError> {
        let Self { store, key, record, claim, forget, reporter } = self;
        let public_id = record.public_id();
        if Arc::clone(&store).create(key, record).await? == CreateOutcome::Taken {
            return Ok(Transferred::IdTaken);
        }
        if let Some((claim, record)) = claim
            && Arc::clone(&store).create(claim, record).await? == CreateOutcome::Taken
        {
            store.destroy(key).await?;
            return Ok(Transferred::Claimed);
        }
        if let Some(reporter) = reporter {
            reporter.report(EventKind::Imported, public_id);
        }
        if let Some(forget) = forget {
            forget.now().await;
        }
        Ok(Transferred::Stored)
    }
}

/// Runs a future to its end, even if the client goes away.
async fn run_to_end<T: Send + 'static>(
    future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match Handle::try_current() {
        Ok(runtime) => {
            let task = runtime.spawn(future);
            task.await.unwrap_or_else(|error| Err(StoreError::internal(error)))
        }
        Err(_) => future.await,
    }
}
