//! What a client keeps between its requests: cookies, and ids for headers.

use std::fmt;

use actix_web::http::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE,
};

use crate::{
    config::Config,
    transport::{CookieSettings, HeaderSettings},
};

/// What a client keeps between its requests, as a browser or a program does.
#[derive(Clone, Default)]
pub struct Jar {
    cookies: Vec<KeptCookie>,
    ids: Vec<KeptId>,
}

#[derive(Clone)]
struct KeptCookie {
    name: String,
    value: String,
    /// The path below which the client sends it, as the application sees it. `None`: every path.
    path: Option<String>,
}

/// An id that travels in headers. It is empty while the client asks for one.
#[derive(Clone)]
struct KeptId {
    /// The header of requests.
    sent_in: HeaderName,
    /// What stands before the id there.
    scheme: &'static str,
    /// The header of responses.
    issued_in: HeaderName,
    id: String,
}

impl Jar {
    /// What the client of a request has sent, as far as a middleware looks at it.
    pub(super) fn sent(config: &Config, headers: &HeaderMap) -> Self {
        let mut jar = Self::default();
        for header in headers.get_all(COOKIE).filter_map(|value| value.to_str().ok()) {
            for (name, value) in header.split(';').filter_map(|pair| pair.trim().split_once('=')) {
                jar.cookies.push(KeptCookie { name: name.into(), value: value.into(), path: None });
            }
        }
        if let Some(settings) = &config.header {
            let kept = KeptId::new(settings);
            let id = headers.get_all(&kept.sent_in).find_map(|value| kept.read(value));
            jar.ids.extend(id.map(|id| KeptId { id, ..kept }));
        }
        jar
    }

    /// Makes the client keep its id in the middleware's header. Returns whether there is one.
    pub(super) fn use_header(&mut self, config: &Config) -> bool {
        self.ids.extend(config.header.as_ref().map(KeptId::new));
        config.header.is_some()
    }

    /// Keeps a cookie for every path.
    pub(super) fn set_cookie(&mut self, name: &str, value: &str) {
        self.remove_cookie(name);
        self.cookies.push(KeptCookie { name: name.into(), value: value.into(), path: None });
    }

    fn remove_cookie(&mut self, name: &str) {
        self.cookies.retain(|cookie| cookie.name != name);
    }

    /// Keeps what a response has issued, and drops what it has removed.
    pub(super) fn keep(&mut self, config: &Config, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE).filter_map(|value| value.to_str().ok()) {
            let Ok(issued) = cookie::Cookie::parse(header) else { continue };
            self.remove_cookie(issued.name());
            if issued.max_age().is_some_and(|max_age| max_age <= cookie::time::Duration::ZERO) {
                continue;
            }
            self.cookies.push(KeptCookie {
                name: issued.name().into(),
                value: issued.value().into(),
                path: issued.path().map(|path| seen_by_app(config, path)),
            });
        }
        for kept in &mut self.ids {
            if let Some(id) = headers.get(&kept.issued_in).and_then(|id| id.to_str().ok()) {
                kept.id = id.into();
            }
        }
    }

    /// Adds the cookies and ids to the headers of a request for this path.
    pub(super) fn send(&self, headers: &mut HeaderMap, path: &str) {
        let sent = self.cookies.iter().filter(|cookie| cookie.is_for(path));
        let sent = sent.map(|KeptCookie { name, value, .. }| format!("{name}={value}"));
        let others = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
        let all: Vec<_> = others.map(str::to_owned).chain(sent).collect();
        if !all.is_empty() {
            headers.insert(COOKIE, header(&all.join("; ")));
        }
        for KeptId { sent_in, scheme, id, .. } in &self.ids {
            headers.append(sent_in.clone(), header(format!("{scheme}{id}").trim()));
        }
    }

    /// Adds what another client has.
    pub(super) fn append(&mut self, other: Self) {
        self.cookies.extend(other.cookies);
        self.ids.extend(other.ids);
    }
}

impl KeptCookie {
    fn is_for(&self, path: &str) -> bool {
        self.path.clone().is_none_or(|cookie_path| {
            CookieSettings { path: cookie_path, ..CookieSettings::default() }.covers(path)
        })
    }
}

impl KeptId {
    fn new(settings: &HeaderSettings) -> Self {
        let sent_in = settings.of_requests().clone();
        let scheme = if sent_in == AUTHORIZATION { "Bearer " } else { "" };
        Self { sent_in, scheme, issued_in: settings.removal().0, id: String::new() }
    }

    /// The id in a request's header. `None`: the header has another purpose.
    fn read(&self, value: &HeaderValue) -> Option<String> {
        let value = value.to_str().ok()?.trim();
        let scheme = self.scheme.trim();
        let start = value.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| value[scheme.len()..].trim().to_owned())
    }
}

/// A path of the browser, without the prefix that the proxy removes.
fn seen_by_app(config: &Config, path: &str) -> String {
    match path.strip_prefix(&*config.stripped_prefix) {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path.to_owned(),
    }
}

fn header(value: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(value).expect("it came from a header");
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Jar {
    /// Omits the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookies = self.cookies.iter().map(|cookie| &*cookie.name);
        let ids = self.ids.iter().filter(|kept| !kept.id.is_empty());
        f.debug_list().entries(cookies).entries(ids.map(|kept| kept.sent_in.as_str())).finish()
    }
}
