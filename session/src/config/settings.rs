//! The middleware's settings.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use actix_web::HttpRequest;

use super::{
    log_interval::LogInterval,
    privileges::Privileges,
    rules::{OnOutage, Rules},
};
use crate::{
    id::SessionId,
    import::Import,
    observe::Events,
    store::{Backend, MergeLocks, Persisted, Persistence},
    time::{Clock, Lifetimes, SystemClock},
    transport::{
        CookieSettings, CookieVariant, CrossOriginRules, HeaderSettings, Unsecured, is_safe,
    },
};

/// The settings that all requests of a middleware share.
pub(crate) struct Config {
    pub(crate) sessions: Persistence,
    /// Whether every store call is answered when it is first polled.
    pub(crate) is_immediate: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rules: Rules,
    pub(crate) cookie: Arc<CookieSettings>,
    /// The settings for connections without TLS. `None`: all connections use the same cookie.
    pub(crate) unsecured: Option<Unsecured>,
    /// The header that carries ids in addition to the cookie. `None`: only the cookie carries ids.
    pub(crate) header: Option<HeaderSettings>,
    /// From where requests with a cookie may come. `None`: from everywhere.
    pub(crate) cross_origin: Option<CrossOriginRules>,
    /// Which requests may come from everywhere all the same.
    pub(crate) allows_cross_origin: Option<RequestPredicate>,
    pub(crate) id_generator: Option<IdGenerator>,
    /// From where sessions of another program are taken over.
    pub(crate) import: Option<Import>,
    /// Which requests do not extend the session.
    pub(crate) keeps_expiry: Option<RequestPredicate>,
    pub(crate) save_on_server_error: bool,
    /// The start of the public path that a proxy removes, without a slash at its end.
    pub(crate) stripped_prefix: String,
    /// Whether the log has already said why changes are dropped.
    pub(crate) has_warned: HasWarned,
    pub(crate) merge_locks: Arc<MergeLocks>,
    /// When it was last logged that sessions are not extended.
    pub(crate) touch_failures: LogInterval,
    /// What gets events. `None`: nothing does.
    pub(crate) events: Option<Arc<Events>>,
}

/// What the log has already said, so that it is not said for each request.
pub(crate) struct HasWarned {
    pub(crate) of_cookie_path: Once,
    pub(crate) of_later_cookies: Once,
    pub(crate) of_cross_origin: Once,
    /// The structs that name no cookie where middlewares are nested.
    structs: Mutex<BTreeSet<&'static str>>,
}

impl HasWarned {
    const fn new() -> Self {
        Self {
            of_cookie_path: Once::new(),
            of_later_cookies: Once::new(),
            of_cross_origin: Once::new(),
            structs: Mutex::new(BTreeSet::new()),
        }
    }

    /// Whether to warn of a struct: the first time only.
    pub(crate) fn of_struct(&self, type_name: &'static str) -> bool {
        self.structs.lock().unwrap_or_else(PoisonError::into_inner).insert(type_name)
    }
}

/// The application's function that makes ids.
pub(crate) type IdGenerator = Box<dyn Fn(&HttpRequest) -> SessionId + Send + Sync>;

/// The application's function that chooses requests.
pub(crate) type RequestPredicate = Box<dyn Fn(&HttpRequest) -> bool + Send + Sync>;

impl Config {
    /// Returns which cookie the connection of a request uses.
    pub(crate) fn connection_of(&self, request: &HttpRequest) -> CookieVariant {
        match &self.unsecured {
            Some(unsecured) if !unsecured.is_secure(request) => CookieVariant::Unsecured,
            _ => CookieVariant::Usual,
        }
    }

    /// Returns the settings of the cookie that a connection uses.
    pub(crate) fn cookie_on(&self, connection: CookieVariant) -> &Arc<CookieSettings> {
        match (connection, &self.unsecured) {
            (CookieVariant::Unsecured, Some(unsecured)) => &unsecured.cookie,
            _ => &self.cookie,
        }
    }

    /// Whether the former cookies of a request count: where browsers send the present one. Else
    /// they could take the place of one that the request does not show.
    #[inline]
    pub(crate) fn counts_formers(&self, cookie: &CookieSettings, request: &HttpRequest) -> bool {
        !cookie.formers.is_empty() && self.is_below_cookie_path(request)
    }

    /// Whether a page of another origin may have caused this request, so that it must not use the
    /// session of a cookie.
    #[inline]
    pub(crate) fn refuses_cookie_of(&self, request: &HttpRequest) -> bool {
        !is_safe(request)
            && self.cross_origin.as_ref().is_some_and(|rules| rules.refuses(request))
            && !self.allows_cross_origin.as_ref().is_some_and(|is_allowed| is_allowed(request))
    }

    /// Whether browsers send the cookie with this request.
    pub(crate) fn is_below_cookie_path(&self, request: &HttpRequest) -> bool {
        let (cookie, prefix) = (&self.cookie, &self.stripped_prefix);
        // The usual cases: every path, or all that the proxy passes on.
        cookie.path == "/"
            || !prefix.is_empty() && cookie.covers(&format!("{prefix}/"))
            || cookie.covers(&format!("{prefix}{}", request.path()))
    }

    /// Creates the default settings for sessions in this store.
    pub(crate) fn new(store: impl Backend) -> Self {
        let Persisted(sessions) = store.into_persistence();
        Self {
            clock: Arc::new(SystemClock),
            rules: Rules {
                lifetimes: DEFAULT_LIFETIMES,
                persistent: false,
                grace: DEFAULT_GRACE,
                on_outage: OnOutage::default(),
                cookie_holds: sessions.cookie_holds(),
                privileges: Privileges::new(),
            },
            is_immediate: sessions.is_immediate(),
            sessions,
            cookie: Arc::default(),
            unsecured: None,
            header: None,
            cross_origin: Some(CrossOriginRules::default()),
            allows_cross_origin: None,
            id_generator: None,
            import: None,
            keeps_expiry: None,
            save_on_server_error: false,
            stripped_prefix: String::new(),
            has_warned: HasWarned::new(),
            merge_locks: Arc::default(),
            touch_failures: LogInterval::default(),
            events: None,
        }
    }
}

/// 20 hours (72 000 000 ms) without a request, and 30 days in total.
pub(crate) const DEFAULT_LIFETIMES: Lifetimes = Lifetimes {
    idle: Duration::from_secs(72_000),
    absolute: Duration::from_secs(30 * 24 * 3600),
    touch_interval: None,
};
/// How long an old id is accepted after a renewal, unless the application sets another time.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
