//! The cookie: how it is found in requests, and written in responses.

use std::{borrow::Cow, time::Duration};

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue};
use memchr::memchr;

use super::{
    presented::Presented,
    sign::{Claim, Signer},
};
use crate::{error::ConfigError, id::SessionId};

/// When a browser sends the cookie with requests that come from other sites (RFC 6265bis, 5.6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SameSite {
    /// Never. A visitor who follows a link from another site arrives without a session.
    Strict,
    /// When the visitor follows a link, but not for forms, frames, images or scripts of other
    /// sites.
    #[default]
    Lax,
    /// Always. Browsers accept it only if the cookie is `Secure`.
    None,
}

/// The cookie's name and attributes.
#[derive(Clone, Debug)]
pub(crate) struct CookieSettings {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
    /// Signs the ids, if the application has keys.
    pub(crate) signer: Option<Signer>,
    /// The cookies from before the settings were changed, whose sessions go on.
    pub(crate) formers: Vec<Self>,
    /// Whether values are in quotes, because a former cookie has the same name: browsers send both
    /// under it, and say nothing of the path and the domain.
    pub(crate) is_quoted: bool,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            name: "__Host-session".into(),
            path: "/".into(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
            signer: None,
            formers: Vec::new(),
            is_quoted: false,
        }
    }
}

impl CookieSettings {
    /// These settings, or an error if browsers would refuse them.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        if self.name.is_empty() || !self.name.bytes().all(is_token) {
            return Err(ConfigError::CookieName(self.name));
        }
        if !self.path.starts_with('/') || !is_attribute(&self.path) {
            return Err(ConfigError::CookieAttribute { attribute: "path", value: self.path });
        }
        if let Some(domain) = &self.domain
            && (domain.is_empty() || domain.contains('/') || !is_attribute(domain))
        {
            let value = domain.clone();
            return Err(ConfigError::CookieAttribute { attribute: "domain", value });
        }
        if !self.secure {
            if self.same_site == SameSite::None {
                return Err(ConfigError::SameSiteNoneNeedsSecure);
            }
            if self.partitioned {
                return Err(ConfigError::PartitionedNeedsSecure);
            }
            // Browsers refuse cookies with a prefix but without `Secure`.
            self.name = bare_name(&self.name).to_owned();
            if self.name.is_empty() {
                return Err(ConfigError::CookieName(self.name));
            }
        } else if has_prefix(&self.name, HOST_PREFIX) && (self.domain.is_some() || self.path != "/")
        {
            return Err(ConfigError::HostPrefix);
        }
        Ok(self)
    }

    /// Whether a struct means this cookie by the name, which may lack the prefix.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        bare_name(&self.name) == bare_name(name)
    }

    /// Whether browsers send the cookie to a path (RFC 6265bis, 5.1.4). Both are compared as they
    /// are written, without decoding.
    pub(crate) fn covers(&self, path: &str) -> bool {
        path.strip_prefix(&*self.path).is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        })
    }

    /// Whether browsers accept a cookie of this name only from the host itself.
    pub(crate) fn is_bound_to_host(name: &str) -> bool {
        has_prefix(name, HOST_PREFIX)
    }

    /// Finds the ids in a request. `with_formers`: also those of the former cookies.
    pub(crate) fn find(&self, headers: &HeaderMap, with_formers: bool) -> Presented {
        self.find_by(headers, with_formers, Self::read)
    }

    /// Finds the ids in a request. `read` parses the value of a cookie.
    pub(crate) fn find_by(
        &self,
        headers: &HeaderMap,
        with_formers: bool,
        mut read: impl FnMut(&Self, &[u8]) -> Option<Claim>,
    ) -> Presented {
        let mut presented = Presented::default();
        if self.formers.is_empty() {
            self.each_value(headers, |value, _| presented.add_cookie(|| read(self, value)));
        } else {
            self.find_with_formers(headers, with_formers, &mut presented, &mut read);
        }
        presented
    }

    /// Calls `action` with each value of this cookie, and with whether it was in quotes.
    #[inline]
    pub(crate) fn each_value<'a>(
        &self,
        headers: &'a HeaderMap,
        mut action: impl FnMut(&'a [u8], bool),
    ) {
        for header in headers.get_all(COOKIE) {
            let mut rest = header.as_bytes();
            while !rest.is_empty() {
                let (pair, next) = match memchr(b';', rest) {
                    Some(end) => (&rest[..end], &rest[end + 1..]),
                    None => (rest, &rest[rest.len()..]),
                };
                rest = next;
                if let Some((value, is_quoted)) = self.value_of(pair) {
                    action(value, is_quoted);
                }
            }
        }
    }

    /// The id in a value that a client sent, if it is well-formed and its signature is valid.
    pub(crate) fn read(&self, value: &[u8]) -> Option<Claim> {
        match &self.signer {
            None => SessionId::parse(value).map(Claim::new),
            Some(signer) => signer.verify(value),
        }
    }

    /// Whether a text has the form of what clients have got, with or without a signature.
    pub(crate) fn may_be_ours(&self, text: &[u8]) -> bool {
        let is_ours = |cookie: &Self| match &cookie.signer {
            None => SessionId::is_valid(text),
            Some(_) => Signer::may_be_signed(text) || SessionId::is_valid(text),
        };
        is_ours(self) || self.formers.iter().any(is_ours)
    }

    /// The text that the client gets: the id, signed if the application has keys.
    pub(crate) fn write<'a>(&self, id: &'a SessionId) -> Cow<'a, str> {
        match &self.signer {
            None => id.as_str().into(),
            Some(signer) => signer.sign(id).into(),
        }
    }

    /// The value in a `name=value` pair, if the name is this cookie's, and whether it is in quotes.
    ///
    /// Some clients put values into quotes, which RFC 6265bis, 4.1.1, allows. No id has quotes.
    #[inline]
    fn value_of<'a>(&self, pair: &'a [u8]) -> Option<(&'a [u8], bool)> {
        let rest = pair.trim_ascii_start().strip_prefix(self.name.as_bytes())?;
        let value = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
        Some(unquoted(value).map_or((value, false), |value| (value, true)))
    }

    /// The `Set-Cookie` value that gives the client its id. `max_age`: how long the browser keeps
    /// it. `None`: until it closes.
    pub(crate) fn issue(&self, id: &SessionId, max_age: Option<Duration>) -> HeaderValue {
        self.issue_value(&self.write(id), max_age)
    }

    /// The `Set-Cookie` value that gives the client any other value.
    pub(crate) fn issue_value(&self, value: &str, max_age: Option<Duration>) -> HeaderValue {
        let quoted = self.is_quoted.then(|| format!("\"{value}\""));
        let mut cookie = self.cookie(quoted.as_deref().unwrap_or(value));
        if let Some(max_age) = max_age {
            let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
            cookie.set_max_age(cookie::time::Duration::seconds(seconds));
        }
        header(&cookie)
    }

    /// The size of the cookie with this value and the longest `Max-Age`, in bytes.
    #[cfg(feature = "encryption")]
    pub(crate) fn most_bytes(&self, value: &str) -> usize {
        self.issue_value(value, Some(Duration::MAX)).len()
    }

    /// The `Set-Cookie` value that makes the client forget its id.
    pub(crate) fn removal(&self) -> HeaderValue {
        let mut cookie = self.cookie("");
        cookie.make_removal();
        header(&cookie)
    }

    /// The cookie with all attributes. A removal must have the same ones as the cookie that it
    /// removes.
    fn cookie<'a>(&'a self, value: &'a str) -> cookie::Cookie<'a> {
        let mut cookie = cookie::Cookie::new(self.name.as_str(), value);
        cookie.set_path(self.path.as_str());
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.as_str());
        }
        cookie.set_secure(self.secure);
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(match self.same_site {
            SameSite::Strict => cookie::SameSite::Strict,
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::None => cookie::SameSite::None,
        });
        cookie.set_partitioned(self.partitioned);
        cookie
    }
}

fn header(cookie: &cookie::Cookie<'_>) -> HeaderValue {
    let mut value = HeaderValue::from_str(&cookie.to_string()).expect(
        "checked settings, ids and sealed sessions have only characters that headers allow",
    );
    // Keeps the id out of logs, and out of the compression of HTTP/2 (RFC 7541, 7.1.3).
    value.set_sensitive(true);
    value
}

/// The size of a cookie with its attributes that every browser accepts, in bytes (RFC 6265bis,
/// 6.1).
#[cfg(feature = "encryption")]
pub(crate) const MOST_COOKIE_BYTES: usize = 4_096;

const HOST_PREFIX: &str = "__Host-";
const SECURE_PREFIX: &str = "__Secure-";

/// Browsers ignore the case of the prefixes (RFC 6265bis, 5.4).
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The name without the prefix.
fn bare_name(name: &str) -> &str {
    [HOST_PREFIX, SECURE_PREFIX]
        .into_iter()
        .find(|prefix| has_prefix(name, prefix))
        .map_or(name, |prefix| &name[prefix.len()..])
}

/// The text between two quotes.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// A `tchar` of RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// An `av-octet` of RFC 6265bis, 4.1.1.
fn is_attribute(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdefghijklmnop";
    const OTHER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    fn settings() -> CookieSettings {
        CookieSettings { name: "sid".into(), ..CookieSettings::default() }
    }

    fn find(headers: &[&[u8]]) -> (Vec<String>, bool) {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(COOKIE, HeaderValue::from_bytes(header).expect("a header value"));
        }
        let presented = settings().find(&map, true);
        (presented.claims().map(|claim| claim.id.as_str().to_owned()).collect(), presented.any)
    }

    #[test]
    fn the_cookie_is_found_wherever_it_stands() {
        for header in [
            format!("sid={ID}"),
            format!("a=b; sid={ID}"),
            format!("a=b;sid={ID};c=d"),
            format!("a; =; ;; sid = {ID} "),
            format!("xsid={OTHER}; sidx={OTHER}; sid={ID}"),
            format!("SID={OTHER}; sid={ID}"),
            format!("sid=\"{ID}\""),
            format!("$Version=\"1\"; sid = \"{ID}\" ; $Path=\"/\""),
        ] {
            assert_eq!(find(&[header.as_bytes()]), (vec![ID.to_owned()], true), "{header}");
        }
        assert_eq!(find(&[b"a=b", format!("sid={ID}").as_bytes()]).0, [ID]);
        let mut junk = b"x=\xff\xfe; sid=".to_vec();
        junk.extend(ID.as_bytes());
        assert_eq!(find(&[&junk]).0, [ID]);
    }

    #[test]
    fn values_that_are_not_ids_are_noticed_and_dropped() {
        let long = "a".repeat(1_000_000);
        for value in [
            "",
            "short",
            "../../etc/passwd",
            "%2e%2e%2fetc%2fpasswd%00aaaa",
            "\"",
            "\"\"",
            &format!("\"{ID}"),
            &format!("{ID}\""),
            &format!("'{ID}'"),
            &format!("\"\"{ID}\"\""),
            &format!("\" {ID} \""),
            &format!("\"{long}\""),
            &long,
        ] {
            assert_eq!(find(&[format!("sid={value}").as_bytes()]), (vec![], true), "{value:.40}");
        }
        assert_eq!(find(&[b"sid=\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]), (vec![], true));
        assert_eq!(find(&[b"sid"]), (vec![], false));
        assert_eq!(find(&[]), (vec![], false));
    }

    #[test]
    fn a_signed_id_may_be_quoted_too() {
        let signer = Signer::new(&[crate::crypto::Key::from_bytes([1; 32])], "sid");
        let settings = CookieSettings { signer, ..settings() };
        let id = SessionId::new(ID).expect("an id");
        let mut map = HeaderMap::new();
        let cookie = format!("sid=\"{}\"", settings.write(&id));
        map.append(COOKIE, HeaderValue::from_str(&cookie).expect("a header value"));
        let presented = settings.find(&map, true);
        assert_eq!(presented.claims().map(|claim| &claim.id).collect::<Vec<_>>(), [&id]);
    }

    #[test]
    fn doubled_cookies_are_kept_in_order_up_to_a_limit() {
        assert_eq!(
            find(&[format!("sid={OTHER}; sid={ID}; sid={OTHER}").as_bytes()]).0,
            [OTHER, ID]
        );
        let many = (0..100).map(|n| format!("sid={n:030}")).collect::<Vec<_>>().join("; ");
        assert_eq!(find(&[many.as_bytes()]).0.len(), 4);
    }

    fn attributes(header: &HeaderValue) -> Vec<String> {
        let mut parts: Vec<_> = header
            .to_str()
            .expect("an ASCII header")
            .split("; ")
            .map(str::to_owned)
            .filter(|part| !part.starts_with("Max-Age") && !part.starts_with("Expires"))
            .collect();
        let value = parts[0].find('=').expect("a name and a value");
        parts[0].truncate(value);
        parts
    }

    #[test]
    fn a_removal_has_the_attributes_of_the_cookie_it_removes() {
        let id = SessionId::new(ID).expect("an id");
        let plain = CookieSettings {
            secure: false,
            http_only: false,
            path: "/app".into(),
            domain: Some("example.com".into()),
            ..settings()
        };
        let full = CookieSettings {
            partitioned: true,
            same_site: SameSite::None,
            ..CookieSettings::default()
        };
        for settings in [settings(), plain, full] {
            let (issue, removal) = (settings.issue(&id, None), settings.removal());
            assert_eq!(attributes(&issue), attributes(&removal));
            let removal = removal.to_str().expect("an ASCII header");
            assert!(removal.contains("Max-Age=0") && removal.contains("Expires="), "{removal}");
        }
    }

    #[test]
    fn a_path_covers_what_is_below_it() {
        let covers = |cookie: &str, path: &str| {
            CookieSettings { path: cookie.into(), ..settings() }.covers(path)
        };
        for (cookie, path) in [
            ("/", "/"),
            ("/", "/app"),
            ("/app", "/app"),
            ("/app", "/app/"),
            ("/app", "/app/x"),
            ("/app", "/app//x"),
            ("/app/", "/app/"),
            ("/app/", "/app/x"),
            ("/caf%C3%A9", "/caf%C3%A9/x"),
        ] {
            assert!(covers(cookie, path), "{cookie} {path}");
        }
        for (cookie, path) in [
            ("/app", "/"),
            ("/app", "/ap"),
            ("/app", "/application"),
            ("/app", "/App"),
            ("/app", "/%61pp"),
            ("/app", "/x/app"),
            ("/app", "//app"),
            ("/app/", "/app"),
            ("/app/", "/application/"),
            ("/caf%C3%A9", "/caf%c3%a9"),
            ("/app", ""),
        ] {
            assert!(!covers(cookie, path), "{cookie} {path}");
        }
    }

    #[test]
    fn the_default_cookie_is_the_safest_kind() {
        let id = SessionId::new(ID).expect("an id");
        let issue = CookieSettings::default().issue(&id, None);
        assert_eq!(
            issue,
            format!("__Host-session={ID}; HttpOnly; SameSite=Lax; Secure; Path=/").as_str()
        );
    }

    #[test]
    fn cookie_values_are_marked_sensitive() {
        let id = SessionId::new(ID).expect("an id");
        assert!(settings().issue(&id, None).is_sensitive());
        assert!(settings().issue_value("1.sealed", None).is_sensitive());
        assert!(settings().removal().is_sensitive());
    }

    #[test]
    fn a_persistent_cookie_says_for_how_many_seconds() {
        let id = SessionId::new(ID).expect("an id");
        let issue = settings().issue(&id, Some(Duration::from_millis(72_000_999)));
        assert!(issue.to_str().is_ok_and(|text| text.contains("; Max-Age=72000")), "{issue:?}");
        let endless = settings().issue(&id, Some(Duration::MAX));
        assert!(endless.to_str().is_ok_and(|text| text.contains("; Max-Age=")), "{endless:?}");
    }

    #[test]
    fn without_secure_the_prefix_is_removed() {
        for name in ["__Host-sid", "__Secure-sid", "__HOST-sid", "sid"] {
            let settings = CookieSettings { name: name.into(), secure: false, ..settings() };
            assert_eq!(settings.checked().expect("a valid cookie").name, "sid");
        }
    }

    #[test]
    fn a_struct_may_leave_out_the_prefix() {
        let settings = CookieSettings::default();
        assert!(settings.is_called("__Host-session"));
        assert!(settings.is_called("session"));
        assert!(!settings.is_called("sid"));
    }

    #[test]
    fn settings_that_browsers_refuse_are_errors() {
        let host = CookieSettings::default;
        let plain = || CookieSettings { secure: false, ..settings() };
        let broken = [
            CookieSettings { domain: Some("example.com".into()), ..host() },
            CookieSettings { path: "/app".into(), ..host() },
            CookieSettings { name: "__host-sid".into(), path: "/app".into(), ..host() },
            CookieSettings { same_site: SameSite::None, ..plain() },
            CookieSettings { partitioned: true, ..plain() },
            CookieSettings { name: String::new(), ..plain() },
            CookieSettings { name: "__Host-".into(), ..plain() },
            CookieSettings { name: "a b".into(), ..plain() },
            CookieSettings { name: "a=b".into(), ..plain() },
            CookieSettings { path: "app".into(), ..plain() },
            CookieSettings { path: "/a;b".into(), ..plain() },
            CookieSettings { domain: Some("a\r\nb".into()), ..plain() },
            CookieSettings { domain: Some(String::new()), ..plain() },
        ];
        for settings in broken {
            let text = format!("{settings:?}");
            assert!(settings.checked().is_err(), "{text}");
        }
    }
}
