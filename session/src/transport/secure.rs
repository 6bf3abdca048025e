//! Whether a request came over TLS, and which cookie belongs to its connection.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest,
    http::header::{
        FORWARDED, HeaderMap, HeaderName, HeaderValue, X_FORWARDED_HOST, X_FORWARDED_PROTO,
    },
};
use ipnet::IpNet;

use super::cookie::CookieSettings;
use crate::error::ConfigError;

/// Which cookie a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieVariant {
    /// The cookie of the settings.
    Usual,
    /// The cookie for connections without TLS, if `Secure` follows the connection.
    Unsecured,
}

/// The settings for connections without TLS, if `Secure` follows the connection.
#[derive(Clone, Debug)]
pub(crate) struct Unsecured {
    /// The cookie without `Secure` and without the prefix. It is ignored over TLS, so an attacker
    /// on an open network cannot plant an id for the connections with TLS.
    pub(crate) cookie: Arc<CookieSettings>,
    proxies: TrustedProxies,
}

/// The proxies whose headers about the client's connection are trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl Unsecured {
    /// The settings without TLS that belong to a cookie which is `Secure` over TLS.
    pub(crate) fn beside(
        secure: &CookieSettings,
        proxies: TrustedProxies,
    ) -> Result<Self, ConfigError> {
        let cookie = CookieSettings { secure: false, ..secure.clone() }.checked()?;
        Ok(Self { cookie: Arc::new(cookie), proxies })
    }

    /// Whether a request came over TLS.
    pub(crate) fn is_secure(&self, request: &HttpRequest) -> bool {
        request.app_config().secure()
            || self.proxies.have_sent(request) && is_forwarded_from_tls(request.headers())
    }
}

impl TrustedProxies {
    /// Parses addresses such as `127.0.0.1` and networks such as `10.0.0.0/8`.
    pub(crate) fn parse<S: AsRef<str>>(
        proxies: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        let parse = |text: &str| {
            text.parse()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| ConfigError::TrustedProxy(text.to_owned()))
        };
        proxies.into_iter().map(|proxy| parse(proxy.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// The host that the client has asked, if a trusted proxy says it. `Some(None)`: it says
    /// something that is not clear.
    pub(super) fn forwarded_host<'a>(&self, request: &'a HttpRequest) -> Option<Option<&'a [u8]>> {
        if !self.have_sent(request) {
            return None;
        }
        let headers = request.headers();
        let plain = last_of(headers, &X_FORWARDED_HOST).map(Some);
        let standard = last_line(headers, &FORWARDED).map(|list| last_parameter(list, b"host"));
        match (plain, standard) {
            // `Forwarded` need not name the host.
            (plain, None | Some(Ok(None))) => plain,
            (None, Some(Ok(host))) => Some(host),
            (Some(plain), Some(Ok(host))) if plain == host => Some(host),
            (_, Some(Ok(_) | Err(NotParsed))) => Some(None),
        }
    }

    /// Whether a request comes from one of these proxies.
    fn have_sent(&self, request: &HttpRequest) -> bool {
        request.peer_addr().is_some_and(|peer| self.trusts(peer.ip()))
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        // A socket for both families shows IPv4 peers as IPv6 ones.
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }
}

/// Whether the proxy that sent these headers says that the client's connection to it had TLS.
///
/// The proxy writes the last element; the client may have written those before it. A proxy that
/// writes one of the two headers may pass the other one on from the client, so both must agree.
fn is_forwarded_from_tls(headers: &HeaderMap) -> bool {
    let schemes = [
        last_of(headers, &X_FORWARDED_PROTO).map(Some),
        last_line(headers, &FORWARDED).map(|list| last_parameter(list, b"proto").ok().flatten()),
    ];
    let mut schemes = schemes.into_iter().flatten().peekable();
    schemes.peek().is_some()
        && schemes.all(|scheme| {
            scheme.is_some_and(|scheme| scheme.trim_ascii().eq_ignore_ascii_case(b"https"))
        })
}

fn last_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get_all(name).last().map(HeaderValue::as_bytes)
}

/// The last element of a list.
fn last_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let list = last_line(headers, name)?;
    list.rsplit(|byte| *byte == b',').next().map(<[u8]>::trim_ascii)
}

/// A `Forwarded` header does not parse. The client writes some of its texts, so a quote in the
/// wrong place may be an attempt to hide what the proxy says.
#[derive(Debug)]
struct NotParsed;

/// A parameter of the last element of a `Forwarded` header (RFC 7239, 4), such as `proto` or
/// `host`.
fn last_parameter<'a>(list: &'a [u8], wanted: &[u8]) -> Result<Option<&'a [u8]>, NotParsed> {
    let mut found = None;
    let mut rest = list;
    loop {
        let (name, after) = split_at(rest, |byte| matches!(byte, b'=' | b';' | b',' | b'"'));
        let (value, after) = match after.split_first() {
            Some((b'=', after)) => value(after).ok_or(NotParsed)?,
            // An empty element or parameter.
            _ if name.trim_ascii().is_empty() => (name, after),
            _ => return Err(NotParsed),
        };
        if name.trim_ascii().eq_ignore_ascii_case(wanted) && found.replace(value).is_some() {
            return Err(NotParsed);
        }
        rest = match after.split_first() {
            None => return Ok(found),
            Some((b';', rest)) => rest,
            Some((b',', rest)) => {
                found = None;
                rest
            }
            Some(_) => return Err(NotParsed),
        };
    }
}

/// The value of a parameter, without its quotes, and what follows it.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let (value, rest) = split_at(text, |byte| matches!(byte, b';' | b',' | b'"' | b'\\'));
        return Some((value.trim_ascii(), rest));
    };
    let mut is_escaped = false;
    let end = quoted.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })?;
    Some((&quoted[..end], quoted[end + 1..].trim_ascii_start()))
}

/// Splits a text before the first byte that is an end.
fn split_at(text: &[u8], is_end: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| is_end(*byte)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn unsecured(proxies: &[&str]) -> Unsecured {
        let proxies = TrustedProxies::parse(proxies).expect("addresses");
        Unsecured::beside(&CookieSettings::default(), proxies).expect("valid settings")
    }

    fn is_secure(proxies: &[&str], peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request =
            TestRequest::default().peer_addr(format!("{peer}:40000").parse().expect("an address"));
        for (name, value) in headers {
            request = request.append_header((*name, *value));
        }
        unsecured(proxies).is_secure(&request.to_http_request())
    }

    const HTTPS: [(&str, &str); 1] = [("X-Forwarded-Proto", "https")];

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert!(!is_secure(&[], "127.0.0.1", &HTTPS));
        assert!(!is_secure(&["10.0.0.1"], "10.0.0.2", &HTTPS));
        assert!(!is_secure(&["10.0.0.1"], "10.0.0.1", &[]));
        assert!(is_secure(&["10.0.0.1"], "10.0.0.1", &HTTPS));
        assert!(is_secure(&["192.0.2.7", "10.0.0.0/8"], "10.255.0.1", &HTTPS));
        assert!(!is_secure(&["10.0.0.0/8"], "11.0.0.1", &HTTPS));
        assert!(is_secure(&["10.0.0.0/8"], "[::ffff:10.0.0.1]", &HTTPS));
        assert!(is_secure(&["fd00::/8"], "[fd00::1]", &HTTPS));
        assert!(!is_secure(&["fd00::/8"], "[fe80::1]", &HTTPS));
    }

    #[test]
    fn a_client_that_speaks_through_a_proxy_is_not_believed() {
        let proxy = &["10.0.0.1"];
        for spoofed in [
            &[("X-Forwarded-Proto", "https, http")][..],
            &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")],
            &[("Forwarded", "proto=https, for=192.0.2.1;proto=http")],
            &[("X-Forwarded-Proto", "http"), ("Forwarded", "proto=https")],
            &[("X-Forwarded-Proto", "https"), ("Forwarded", "proto=http")],
            &[("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.1")],
            &[("X-Forwarded-Proto", "https:")],
            &[("X-Forwarded-Proto", "")],
            &[("Forwarded", "for=\"proto=https\"")],
            &[("Forwarded", "proto=http;host=\"a,proto=https;b\"")],
            &[("Forwarded", r#"proto=http;host="a,proto=https;\"b""#)],
            &[("Forwarded", r#"host="a;proto=https;b";proto=http"#)],
            &[("Forwarded", r#"host="a;proto=https;b""#)],
            &[("Forwarded", r#"host="\"";by="a;proto=https;b";proto="http""#)],
            &[("Forwarded", "proto=https;proto=http")],
            &[("Forwarded", "proto=http;proto=https")],
            &[("Forwarded", "proto=https;for=\"192.0.2.1")],
            &[("Forwarded", "proto=\"https")],
            &[("Forwarded", "proto=\"https\"x")],
            &[("Forwarded", "proto=x\"https\"")],
            &[("Forwarded", "proto=\"http\\s\"")],
            &[("Forwarded", "proto=\"\"")],
            &[("Forwarded", "proto=")],
            &[("Forwarded", "https")],
            &[("Forwarded", "")],
            &[("Forwarded", r#"for="a, for=b;host="x, for=c;proto=https;by=\"d";proto=http"#)],
            &[("Forwarded", r#"for="a, for=b;proto=http;host="x, proto=https;by=\"d""#)],
            &[("Forwarded", "proto=https"), ("Forwarded", "proto=http")],
            &[("X-Forwarded-Scheme", "https"), ("X-Forwarded-Ssl", "on")],
        ] {
            assert!(!is_secure(proxy, "10.0.0.1", spoofed), "{spoofed:?}");
        }
        for said in [
            &[("X-Forwarded-Proto", "http, HTTPS")][..],
            &[("Forwarded", "proto=http, for=192.0.2.1; Proto=\"https\" ;by=10.0.0.1")],
            &[("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.1;proto=https")],
            &[("Forwarded", r#"for="[2001:db8::1]:4711"; proto="https""#)],
            &[("Forwarded", r#"proto="HTTPS";for="[2001:db8::1]:4711";by=203.0.113.43"#)],
            &[("Forwarded", r#"for="_a,b;c";proto=https;host="x\"y\\""#)],
            &[("Forwarded", r#"for="_a;proto=http";proto="https""#)],
            &[("Forwarded", r#"for="a" , for = "b" ; proto = "https" ;"#)],
            &[("Forwarded", "for=2001:db8::1;proto=https")],
            &[("Forwarded", "proto=http"), ("Forwarded", "proto=\"https\"")],
        ] {
            assert!(is_secure(proxy, "10.0.0.1", said), "{said:?}");
        }
    }

    #[test]
    fn a_peer_without_an_address_is_not_trusted() {
        let request = TestRequest::default().append_header(HTTPS[0]).to_http_request();
        assert!(!unsecured(&["0.0.0.0/0", "::/0"]).is_secure(&request));
    }

    #[test]
    fn each_kind_of_connection_has_its_own_cookie() {
        let unsecured = unsecured(&[]);
        assert_eq!((unsecured.cookie.name.as_str(), unsecured.cookie.secure), ("session", false));
    }

    #[test]
    fn text_that_is_not_an_address_is_refused() {
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1:80", "*"] {
            assert!(TrustedProxies::parse([bad]).is_err(), "{bad}");
        }
    }
}
