//! Which requests pages of other origins may have caused (cross-site request forgery).
//!
//! A browser adds the cookie on its own, also to requests that a page of another origin makes. It
//! says so in `Sec-Fetch-Site` (W3C Fetch Metadata), or at least in `Origin` (WHATWG Fetch, 3.2).
//! The rules are those of `CrossOriginProtection` in Go's `net/http`, and of `csrf` in tower-http.

use std::net::Ipv6Addr;

use actix_web::{
    HttpRequest,
    http::{
        ConnectionType, Method,
        header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE},
    },
};

use super::secure::TrustedProxies;
use crate::error::ConfigError;

/// From where requests may come that can change something.
#[derive(Clone, Debug, Default)]
pub(crate) struct CrossOriginRules {
    trusted: Vec<Origin>,
    proxies: TrustedProxies,
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl CrossOriginRules {
    /// Parses origins such as `https://app.example.com`.
    pub(crate) fn new<S: AsRef<str>>(
        trusted: impl IntoIterator<Item = S>,
        proxies: TrustedProxies,
    ) -> Result<Self, ConfigError> {
        let parse = |text: S| {
            let text = text.as_ref();
            Origin::parse(text).ok_or_else(|| ConfigError::TrustedOrigin(text.to_owned()))
        };
        let trusted = trusted.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { trusted, proxies })
    }

    /// Whether a request that can change something may come from a page of another origin, which is
    /// not trusted.
    pub(crate) fn refuses(&self, request: &HttpRequest) -> bool {
        let headers = request.headers();
        let origin = Lines::of(headers, &ORIGIN);
        match Lines::of(headers, &SEC_FETCH_SITE) {
            Lines::One(b"same-origin" | b"none") => false,
            // Also `same-site`: another host of the site, or its plain http, may be an attacker's.
            Lines::One(_) | Lines::Several => {
                !origin.parse().is_some_and(|origin| self.trusted.contains(&origin))
            }
            // An old browser, one that does not say it over plain http, or not a browser.
            Lines::None => match origin {
                Lines::None => false,
                origin => !origin.parse().is_some_and(|origin| {
                    self.trusted.contains(&origin) || self.is_host_of(&origin, request)
                }),
            },
        }
    }

    /// Whether the request went to the host and the port of this origin. The scheme is not known,
    /// because TLS may have ended in a proxy.
    fn is_host_of(&self, origin: &Origin, request: &HttpRequest) -> bool {
        let Some(usual_port) = usual_port(&origin.scheme) else { return false };
        self.public_host(request).is_some_and(|host| {
            host.name == origin.host.name
                && host.port.unwrap_or(usual_port) == origin.host.port.unwrap_or(usual_port)
        })
    }

    /// The host that the client has asked, which a proxy may have replaced.
    fn public_host(&self, request: &HttpRequest) -> Option<Host> {
        match self.proxies.forwarded_host(request) {
            Some(host) => Host::parse(host?),
            // The target of the request wins (RFC 9112, 3.2.2); in HTTP/2, it is `:authority`.
            None => match (request.uri().authority(), Lines::of(request.headers(), &HOST)) {
                (Some(authority), _) => Host::parse(authority.as_str().as_bytes()),
                (None, Lines::One(host)) => Host::parse(host),
                (None, Lines::None | Lines::Several) => None,
            },
        }
    }
}

/// Whether a request cannot change anything by its method, so that pages of other origins may cause
/// it. One that opens a WebSocket can, although it is a `GET`.
#[inline]
pub(crate) fn is_safe(request: &HttpRequest) -> bool {
    let head = request.head();
    let may_upgrade = || {
        // Requests without an address come from a Unix socket or a test, where the type of the
        // connection may not be known.
        head.connection_type() == ConnectionType::Upgrade || head.peer_addr.is_none()
    };
    matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !(may_upgrade() && opens_web_socket(head.headers()))
}

#[cold]
fn opens_web_socket(headers: &HeaderMap) -> bool {
    const PROTOCOL: &[u8] = b"websocket";
    headers.get_all(UPGRADE).any(|protocols| {
        protocols.as_bytes().windows(PROTOCOL.len()).any(|it| it.eq_ignore_ascii_case(PROTOCOL))
    })
}

/// The lines of a header that must be there once.
#[derive(Clone, Copy)]
enum Lines<'a> {
    None,
    One(&'a [u8]),
    Several,
}

impl<'a> Lines<'a> {
    fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).map(HeaderValue::as_bytes);
        match (values.next(), values.next()) {
            (None, _) => Self::None,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// The origin. `None` if there is not exactly one, or if it is `null`.
    fn parse(self) -> Option<Origin> {
        match self {
            Self::One(value) => Origin::parse(std::str::from_utf8(value).ok()?),
            Self::None | Self::Several => None,
        }
    }
}

/// An origin in the form in which browsers send it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    /// Without a port if it is the usual one of the scheme.
    host: Host,
}

/// A host and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    /// In lower case. An IPv6 address is in brackets, and shortened.
    name: String,
    port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|it: char| it.is_ascii_alphabetic())
            || !scheme.bytes().all(is_scheme)
        {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let mut host = Host::parse(host.as_bytes())?;
        host.port = host.port.filter(|port| Some(*port) != usual_port(&scheme));
        Some(Self { scheme, host })
    }
}

impl Host {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                if name.is_empty() || !name.bytes().all(is_host) {
                    return None;
                }
                (name.to_ascii_lowercase(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            // Without this, a sign would be a part of the number.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        Some(Self { name, port })
    }
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const NO_PROXIES: [&str; 0] = [];

    fn rules(trusted: &[&str], proxies: &[&str]) -> CrossOriginRules {
        let proxies = TrustedProxies::parse(proxies).expect("addresses");
        CrossOriginRules::new(trusted, proxies).expect("origins")
    }

    fn request(headers: &[(&str, &str)]) -> TestRequest {
        let mut request = TestRequest::post().peer_addr(([10, 0, 0, 1], 40_000).into());
        for (name, value) in headers {
            request = request.append_header((*name, *value));
        }
        request
    }

    fn refuses(trusted: &[&str], headers: &[(&str, &str)]) -> bool {
        rules(trusted, &NO_PROXIES).refuses(&request(headers).to_http_request())
    }

    const SHOP: (&str, &str) = ("Host", "shop.example");

    #[test]
    fn sec_fetch_site_decides_before_origin() {
        for site in ["same-origin", "none"] {
            for origin in ["https://evil.example", "null", "https://shop.example", "junk", ""] {
                let headers = [SHOP, ("Sec-Fetch-Site", site), ("Origin", origin)];
                assert!(!refuses(&[], &headers), "{headers:?}");
            }
            assert!(!refuses(&[], &[("Sec-Fetch-Site", site)]));
        }
        for site in [
            "cross-site",
            "same-site",
            "",
            "Same-Origin",
            "same-origin, none",
            "same-origin;x",
            "x",
        ] {
            let own = [SHOP, ("Sec-Fetch-Site", site), ("Origin", "https://shop.example")];
            assert!(refuses(&[], &own), "{own:?}");
            assert!(refuses(&[], &[("Sec-Fetch-Site", site)]), "{site}");
        }
    }

    #[test]
    fn without_sec_fetch_site_the_origin_must_be_the_host() {
        for (host, origin) in [
            ("shop.example", "https://shop.example"),
            ("shop.example", "http://shop.example"),
            ("SHOP.example", "https://shop.EXAMPLE"),
            ("shop.example:443", "https://shop.example"),
            ("shop.example", "https://shop.example:443"),
            ("shop.example:80", "http://shop.example"),
            ("shop.example:8080", "http://shop.example:8080"),
            ("shop.example.", "https://shop.example."),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("[::1]", "https://[0:0::1]"),
            ("[2001:DB8::A]", "https://[2001:db8::a]"),
            ("a_b.example", "http://a_b.example"),
            ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ] {
            assert!(!refuses(&[], &[("Host", host), ("Origin", origin)]), "{host} {origin}");
        }
        for (host, origin) in [
            ("shop.example", "https://evil.example"),
            ("shop.example", "https://shop.example.evil.example"),
            ("shop.example", "https://a.shop.example"),
            ("a.shop.example", "https://shop.example"),
            ("shop.example", "https://shop.example."),
            ("shop.example:80", "https://shop.example"),
            ("shop.example:443", "http://shop.example"),
            ("shop.example:8080", "http://shop.example"),
            ("shop.example", "http://shop.example:8080"),
            ("[::1]", "http://[::2]"),
            ("[::1]", "http://127.0.0.1"),
            ("shop.example", "null"),
            ("shop.example", ""),
            ("shop.example", "shop.example"),
            ("shop.example", "//shop.example"),
            ("shop.example", "https:shop.example"),
            ("shop.example", "https://shop.example/"),
            ("shop.example", "https://shop.example/x"),
            ("shop.example", "https://shop.example?"),
            ("shop.example", "https://evil.example@shop.example"),
            ("shop.example", "https://shop.example https://evil.example"),
            ("shop.example", "https://shop.example, https://shop.example"),
            ("shop.example", "https://shop.example:+443"),
            ("shop.example", "https://shop.example:65979"),
            ("shop.example", "https://shop.example:"),
            ("localhost", "capacitor://localhost"),
            ("null", "null"),
            ("", "https://"),
            ("a b", "https://a b"),
        ] {
            assert!(refuses(&[], &[("Host", host), ("Origin", origin)]), "{host} {origin}");
        }
        assert!(!refuses(&[], &[SHOP]), "not a browser");
        assert!(refuses(&[], &[("Origin", "https://shop.example")]), "the host is not known");
    }

    #[test]
    fn doubled_headers_are_refused() {
        let (site, origin) =
            (("Sec-Fetch-Site", "same-origin"), ("Origin", "https://shop.example"));
        assert!(refuses(&[], &[SHOP, site, site]));
        assert!(refuses(&[], &[SHOP, site, ("Sec-Fetch-Site", "cross-site")]));
        assert!(refuses(&[], &[SHOP, origin, origin]));
        assert!(refuses(&["https://shop.example"], &[SHOP, origin, origin]));
        assert!(refuses(&[], &[SHOP, SHOP, origin]));
    }

    #[test]
    fn a_trusted_origin_may_come_from_everywhere() {
        let trusted = ["https://app.example", "http://[::1]:3000", "capacitor://localhost"];
        for origin in ["https://app.example", "http://[::1]:3000", "capacitor://localhost"] {
            for site in ["cross-site", "same-site"] {
                let headers = [SHOP, ("Sec-Fetch-Site", site), ("Origin", origin)];
                assert!(!refuses(&trusted, &headers), "{headers:?}");
            }
            assert!(!refuses(&trusted, &[SHOP, ("Origin", origin)]), "{origin}");
        }
        for origin in [
            "http://app.example",
            "https://app.example:8443",
            "https://a.app.example",
            "http://[::1]",
            "ionic://localhost",
            "null",
        ] {
            let headers = [SHOP, ("Sec-Fetch-Site", "cross-site"), ("Origin", origin)];
            assert!(refuses(&trusted, &headers), "{headers:?}");
            assert!(refuses(&trusted, &[SHOP, ("Origin", origin)]), "{origin}");
        }
        assert!(refuses(&trusted, &[SHOP, ("Sec-Fetch-Site", "cross-site")]));
    }

    #[test]
    fn a_trusted_origin_is_compared_in_its_usual_form() {
        for trusted in ["HTTPS://App.Example", "https://app.example:443"] {
            assert!(!refuses(&[trusted], &[SHOP, ("Origin", "https://app.example")]), "{trusted}");
        }
    }

    #[test]
    fn text_that_is_not_an_origin_is_refused() {
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "//app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example?a",
            "https://app.example#a",
            "https://*.example",
            "https://ann@app.example",
            "https://bücher.example",
            "https://app.example:99999",
            "https://app.example:",
            "https://[::1",
            "https://[app]",
            "file://",
            "1https://app.example",
            " https://app.example",
            "mailto:ann@app.example",
        ] {
            let rules = CrossOriginRules::new([bad], TrustedProxies::default());
            assert!(matches!(rules, Err(ConfigError::TrustedOrigin(it)) if it == bad), "{bad}");
        }
    }

    #[test]
    fn the_target_of_the_request_wins_over_host() {
        let with = |uri: &str, headers: &[(&str, &str)]| {
            rules(&[], &NO_PROXIES).refuses(&request(headers).uri(uri).to_http_request())
        };
        let origin = ("Origin", "https://shop.example");
        assert!(!with("https://shop.example/x", &[origin]), "HTTP/2 has no `Host`");
        assert!(!with("https://shop.example/x", &[origin, ("Host", "other.example")]));
        assert!(with("https://other.example/x", &[origin, SHOP]));
        assert!(with("https://shop.example@evil.example/x", &[origin]));
    }

    #[test]
    fn a_forwarded_host_counts_if_the_proxy_is_trusted() {
        let with = |proxies: &[&str], headers: &[(&str, &str)]| {
            let headers = [&[("Origin", "https://shop.example")], headers].concat();
            rules(&[], proxies).refuses(&request(&headers).to_http_request())
        };
        let (inner, proxy) = (("Host", "10.0.0.2:8080"), &["10.0.0.0/8"]);
        for said in [
            &[("X-Forwarded-Host", "shop.example")][..],
            &[("X-Forwarded-Host", "evil.example, shop.example")],
            &[("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "shop.example")],
            &[("Forwarded", "for=192.0.2.1;host=shop.example;proto=https")],
            &[("Forwarded", "host=\"shop.example:443\"")],
            &[("Forwarded", "host=shop.example"), ("X-Forwarded-Host", "shop.example")],
        ] {
            let headers = [&[inner], said].concat();
            assert!(!with(proxy, &headers), "{headers:?}");
            assert!(with(&NO_PROXIES, &headers), "{headers:?}");
            assert!(with(&["192.0.2.1"], &headers), "{headers:?}");
        }
        for said in [
            &[("X-Forwarded-Host", "shop.example, evil.example")][..],
            &[("X-Forwarded-Host", "")],
            &[("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=shop.example")],
            &[("X-Forwarded-Host", "shop.example"), ("Forwarded", "host=evil.example")],
            &[("Forwarded", "host=evil.example")],
            &[("Forwarded", "host=\"shop.example")],
        ] {
            let headers = [&[SHOP], said].concat();
            assert!(with(proxy, &headers), "{headers:?}");
        }
        assert!(!with(proxy, &[SHOP]), "a proxy that leaves the host alone");
        let without_host = [SHOP, ("Forwarded", "for=192.0.2.1;proto=https")];
        assert!(!with(proxy, &without_host), "a proxy that says something else");
    }

    #[test]
    fn only_three_methods_are_safe() {
        let safe = |request: TestRequest| is_safe(&request.to_http_request());
        for method in ["GET", "HEAD", "OPTIONS"] {
            let method: Method = method.parse().expect("a method");
            assert!(safe(TestRequest::default().method(method)));
        }
        for method in
            ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY", "PROPFIND", "get"]
        {
            let method: Method = method.parse().expect("a method");
            assert!(!safe(TestRequest::default().method(method.clone())), "{method}");
        }
    }

    #[test]
    fn a_get_that_opens_a_web_socket_is_not_safe() {
        let safe = |headers: &[(&str, &str)]| {
            let mut request = TestRequest::get();
            for header in headers {
                request = request.append_header(*header);
            }
            is_safe(&request.to_http_request())
        };
        for upgrade in ["websocket", "WebSocket", "h2c, websocket", "websocket/13"] {
            assert!(!safe(&[("Connection", "keep-alive, Upgrade"), ("Upgrade", upgrade)]));
        }
        assert!(!safe(&[("Upgrade", "h2c"), ("Upgrade", "websocket")]));
        // Some proxies send this with every request.
        assert!(safe(&[("Connection", "upgrade")]));
        assert!(safe(&[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")]));
        assert!(safe(&[]));
    }
}
