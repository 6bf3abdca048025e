//! The header that carries the ids of clients without cookies.

use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, COOKIE, DATE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN,
    REFERER, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, VARY,
};

use super::{cookie::CookieSettings, presented::InHeader};
use crate::{error::ConfigError, id::SessionId};

/// Which header carries ids, besides the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderSettings {
    /// `Authorization: Bearer <id>` in requests (RFC 6750, 2.1), [`SESSION_TOKEN`] in responses.
    Bearer,
    /// A header that the application has chosen, in requests and responses.
    Named(HeaderName),
}

/// The response header for clients with bearer tokens. `Authorization` is for requests only.
const SESSION_TOKEN: HeaderName = HeaderName::from_static("session-token");

impl HeaderSettings {
    /// A header with this name, which must have no other meaning.
    pub(crate) fn named(name: &str) -> Result<Self, ConfigError> {
        const TAKEN: [HeaderName; 17] = [
            ACCEPT,
            AUTHORIZATION,
            CACHE_CONTROL,
            CONNECTION,
            CONTENT_ENCODING,
            CONTENT_LENGTH,
            CONTENT_TYPE,
            COOKIE,
            DATE,
            HOST,
            LOCATION,
            ORIGIN,
            REFERER,
            SET_COOKIE,
            TRANSFER_ENCODING,
            UPGRADE,
            VARY,
        ];
        match HeaderName::try_from(name) {
            Ok(name) if !TAKEN.contains(&name) => Ok(Self::Named(name)),
            _ => Err(ConfigError::HeaderName(name.to_owned())),
        }
    }

    /// The request header that carries the id.
    pub(crate) fn of_requests(&self) -> &HeaderName {
        match self {
            Self::Bearer => &AUTHORIZATION,
            Self::Named(name) => name,
        }
    }

    fn of_responses(&self) -> HeaderName {
        match self {
            Self::Bearer => SESSION_TOKEN,
            Self::Named(name) => name.clone(),
        }
    }

    /// Finds the id in a request. Ids are signed as in the cookie.
    pub(crate) fn find(&self, headers: &HeaderMap, cookie: &CookieSettings) -> InHeader {
        let mut found = InHeader::Nothing;
        for token in self.tokens(headers, cookie) {
            found = match (found, cookie.read_any(token)) {
                (InHeader::Id(one), Some(other)) if one.id != other.id => {
                    return InHeader::Conflict;
                }
                (InHeader::Id(claim), _) | (_, Some(claim)) => InHeader::Id(claim),
                (InHeader::NoId { any: true }, None) => InHeader::NoId { any: true },
                (_, None) => InHeader::NoId { any: !token.is_empty() },
            };
        }
        found
    }

    /// The texts in the place of ids in a request.
    pub(super) fn tokens<'a>(
        &'a self,
        headers: &'a HeaderMap,
        cookie: &'a CookieSettings,
    ) -> impl Iterator<Item = &'a [u8]> {
        let values = headers.get_all(self.of_requests());
        values.filter_map(|value| self.token(value.as_bytes(), cookie))
    }

    /// The text in the place of the id; `None` if the header has another purpose.
    fn token<'a>(&self, value: &'a [u8], cookie: &CookieSettings) -> Option<&'a [u8]> {
        let value = value.trim_ascii();
        match self {
            Self::Named(_) => Some(value),
            Self::Bearer => {
                let (scheme, token) = value.split_at_checked(SCHEME.len())?;
                let is_ours = scheme.eq_ignore_ascii_case(SCHEME)
                    && token.first().is_none_or(|byte| *byte == b' ');
                let token = token.trim_ascii();
                let is_ours = is_ours && (token.is_empty() || cookie.may_be_ours(token));
                (is_ours && !is_web_token(token)).then_some(token)
            }
        }
    }

    /// The header that gives the client its id.
    pub(crate) fn issue(
        &self,
        id: &SessionId,
        cookie: &CookieSettings,
    ) -> (HeaderName, HeaderValue) {
        let mut value = HeaderValue::from_str(&cookie.write(id))
            .expect("ids and signatures have only characters that headers allow");
        // Keeps the id out of logs, and out of the compression of HTTP/2 (RFC 7541, 7.1.3).
        value.set_sensitive(true);
        (self.of_responses(), value)
    }

    /// The header that makes the client forget its id: it is present and empty.
    pub(crate) fn removal(&self) -> (HeaderName, HeaderValue) {
        (self.of_responses(), HeaderValue::from_static(""))
    }
}

const SCHEME: &[u8] = b"Bearer";

/// Whether this is a JSON web token (RFC 7519). A short one would be accepted as an id otherwise.
///
/// It has three parts, or five if it is encrypted (RFC 7516). The first one is an object in
/// base64url, so it begins with the encoding of `{"`.
fn is_web_token(token: &[u8]) -> bool {
    let dots = || token.iter().filter(|byte| **byte == b'.').count();
    token.starts_with(b"eyJ") && matches!(dots(), 2 | 4)
}

#[cfg(test)]
mod tests {
    use super::super::sign::Signer;
    use super::*;
    use crate::crypto::Key;

    const ID: &str = "0123456789abcdefghijklmnop";
    const OTHER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    fn bearer(values: &[&str]) -> String {
        found(&HeaderSettings::Bearer, &CookieSettings::default(), values)
    }

    fn named(values: &[&str]) -> String {
        let settings = HeaderSettings::named("X-Session").expect("a header's name");
        found(&settings, &CookieSettings::default(), values)
    }

    fn found(settings: &HeaderSettings, cookie: &CookieSettings, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_str(value).expect("a header value");
            headers.append(settings.of_requests().clone(), value);
        }
        match settings.find(&headers, cookie) {
            InHeader::Nothing => "nothing".into(),
            InHeader::NoId { any: false } => "asks".into(),
            InHeader::NoId { any: true } => "no id".into(),
            InHeader::Id(claim) => claim.id.as_str().into(),
            InHeader::Conflict => "conflict".into(),
        }
    }

    #[test]
    fn a_bearer_token_is_an_id() {
        for value in [format!("Bearer {ID}"), format!("bearer  {ID} "), format!("BEARER {ID}")] {
            assert_eq!(bearer(&[&value]), ID, "{value}");
        }
    }

    #[test]
    fn headers_with_another_purpose_are_ignored() {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.abc";
        assert!(SessionId::new(token).is_ok(), "it has the form of an id");
        for value in [
            "Basic YW5uOm9wZW4gc2VzYW1l",
            "Digest username=ann",
            &format!("Bearer {token}"),
            &format!("Bearer eyJhbGciOiJub25lIn0.{}.", "e".repeat(4_000)),
            "Bearer eyJhbGciOiJkaXIifQ..aWYgaXYgaXY.Y2lwaGVy.dGFnIHRhZyB0YWc",
            &format!("bAsIc {ID}"),
            &format!("Token {ID}"),
            &format!("Negotiate {ID}"),
            &format!("Bearer{ID}"),
            &format!("Bearer,{ID}"),
            ID,
            "",
            "Bear",
        ] {
            assert_eq!(bearer(&[value]), "nothing", "{value:.60}");
        }
        assert_eq!(bearer(&[]), "nothing");
        assert_eq!(bearer(&["Basic YW5u", &format!("Bearer {ID}")]), ID);
    }

    #[test]
    fn a_bearer_token_that_cannot_be_an_id_has_another_purpose() {
        let long = "a".repeat(129);
        let tokens = [
            "x",
            "a b",
            "mF_9.B5f-4.1JqM",
            "bm90IGFuIGlkIG9mIG91cnM+Lz8=",
            &format!("{ID}, {ID}"),
            &format!("\"{ID}\""),
            &format!("{ID}~/"),
            &long,
        ];
        for token in tokens {
            assert_eq!(bearer(&[&format!("Bearer {token}")]), "nothing", "{token:.40}");
            let and_ours = [format!("Bearer {token}"), format!("Bearer {ID}")];
            assert_eq!(bearer(&[&and_ours[0], &and_ours[1]]), ID, "{token:.40}");
            assert_eq!(bearer(&[&and_ours[1], &and_ours[0]]), ID, "{token:.40}");
        }
        let signer = Signer::new(&[Key::from_bytes([1; 32])], "sid");
        let signed = CookieSettings { signer, ..CookieSettings::default() };
        let with_signature = |token: &str| found(&HeaderSettings::Bearer, &signed, &[token]);
        // Another key may have signed it, or it may be from before ids were signed.
        assert_eq!(
            with_signature(&format!("Bearer {}.{}", "a".repeat(128), "b".repeat(43))),
            "no id"
        );
        assert_eq!(with_signature(&format!("Bearer {ID}")), "no id");
        assert_eq!(with_signature(&format!("Bearer {}", "a".repeat(173))), "nothing");
        assert_eq!(with_signature("Bearer x"), "nothing");
    }

    #[test]
    fn an_id_may_have_a_part_of_a_web_tokens_form() {
        let (begins, dots) = (format!("eyJ{ID}"), format!("{ID}.a.b"));
        assert_eq!(bearer(&[&format!("Bearer {begins}")]), begins);
        assert_eq!(bearer(&[&format!("Bearer {dots}")]), dots);
    }

    #[test]
    fn an_empty_token_asks_for_an_id_and_any_other_is_not_one() {
        assert_eq!(bearer(&["Bearer"]), "asks");
        assert_eq!(bearer(&["Bearer "]), "asks");
        assert_eq!(named(&[""]), "asks");
        let long = "a".repeat(100_000);
        for value in ["x", "a b", &format!("{ID}, {ID}"), &format!("\"{ID}\""), &long] {
            assert_eq!(named(&[value]), "no id", "{value:.40}");
        }
        assert_eq!(named(&["", "x", ""]), "no id");
    }

    #[test]
    fn doubled_headers_must_agree() {
        assert_eq!(named(&[ID]), ID);
        assert_eq!(named(&[ID, ID]), ID);
        assert_eq!(named(&["", ID, "x"]), ID);
        assert_eq!(named(&[ID, OTHER]), "conflict");
        assert_eq!(named(&[ID, OTHER, ID]), "conflict");
    }

    #[test]
    fn an_id_in_a_header_is_signed_as_in_a_cookie() {
        let settings = HeaderSettings::Bearer;
        let signer = Signer::new(&[Key::from_bytes([1; 32])], "sid");
        let cookie = CookieSettings { signer, ..CookieSettings::default() };
        let id = SessionId::new(ID).expect("an id");
        let (name, value) = settings.issue(&id, &cookie);
        assert_eq!(name, "session-token");
        assert!(value.is_sensitive());
        let signed = value.to_str().expect("ASCII");
        assert_eq!(found(&settings, &cookie, &[&format!("Bearer {signed}")]), ID);
        assert_eq!(found(&settings, &cookie, &[&format!("Bearer {ID}")]), "no id");
        assert_eq!(found(&settings, &cookie, &[&format!("Bearer {}", &signed[1..])]), "no id");
    }

    #[test]
    fn a_header_that_means_something_else_is_refused() {
        for name in ["", "a b", "ä", "a:b", "Cookie", "authorization", "Set-Cookie", "Vary", "Host"]
        {
            assert!(HeaderSettings::named(name).is_err(), "{name}");
        }
    }
}
