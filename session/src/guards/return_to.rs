//! Where a visitor goes back to after a login.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::Method, web::Query};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::request::SessionHandle;

/// The path that a visitor asked for before the login: the parameter `next`, which
/// [`Refusal::or_page`](super::Refusal::or_page) has added.
///
/// Only a path of the own site is accepted. Anyone can make a link to your login page, and with
/// another site in `next` it would lead your visitors there (an open redirect, OWASP ASVS 5.0,
/// 3.7.2). What is not such a path reads as if there were none; it is not an error.
///
/// As an extractor, it reads the query. As a field of a form, it needs `#[serde(default)]`.
///
/// A path has at most 2 000 characters. It has only those that URLs can have, so it contains no
/// `<`, `>` and `"`. Your templates have to escape `&` and `'` all the same.
///
/// # Examples
/// ```
/// use actix_typed_session::ReturnTo;
/// use actix_web::{Responder, web};
///
/// async fn login_page(next: ReturnTo) -> String {
///     format!("<form method=post><input type=hidden name=next value=\"{next}\">…</form>")
/// }
///
/// #[derive(serde::Deserialize)]
/// struct LoginForm {
///     password: String,
///     #[serde(default)]
///     next: ReturnTo,
/// }
///
/// async fn log_in(form: web::Form<LoginForm>) -> impl Responder {
///     // … check the password, set the user …
///     web::Redirect::to(form.next.or("/account").to_owned()).see_other()
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnTo(Option<String>);

/// The most bytes of a path. Longer URLs do not work everywhere.
const MAX_BYTES: usize = 2_000;

impl ReturnTo {
    /// Takes a path of the own site, with its query: `/orders?page=2`. Anything else reads as if
    /// there were none.
    pub fn new(path: impl Into<String>) -> Self {
        let path = path.into();
        Self(is_own_path(&path).then_some(path))
    }

    /// Returns the path.
    pub fn path(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Returns the path, or this one if there is none.
    pub fn or<'a>(&'a self, fallback: &'a str) -> &'a str {
        self.path().unwrap_or(fallback)
    }

    /// The path that a request asks for, as the browser sees it. A form that was sent cannot be
    /// opened again, so it has none.
    pub(super) fn here(request: &HttpRequest, session: &SessionHandle) -> Self {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Self::default();
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        Self::new(format!("{}{path}", session.stripped_prefix()))
    }
}

/// Adds the parameter `next` to a page's URL.
pub(super) fn with_return(page: &str, next: &ReturnTo) -> String {
    let Some(path) = next.path() else { return page.to_owned() };
    let (page, fragment) = match page.split_once('#') {
        Some((page, fragment)) => (page, Some(fragment)),
        None => (page, None),
    };
    let mut url = page.to_owned();
    url.push(if page.contains('?') { '&' } else { '?' });
    url.push_str("next=");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    if let Some(fragment) = fragment {
        url.push('#');
        url.push_str(fragment);
    }
    url
}

/// Whether every browser takes this as a path of the site that it is at.
///
/// `//host` and `/\host` are another site's; browsers also skip tabs and line ends, and take `\` for
/// `/` (WHATWG URL, 4.4).
fn is_own_path(path: &str) -> bool {
    let is_character =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
    let mut segments = path.split(['?', '#']).next().unwrap_or_default().split('/');
    path.len() <= MAX_BYTES
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(is_character)
        // Where something shortens `/.//host` before it sends it on.
        && !segments.any(is_dots)
}

/// Whether a segment is `.` or `..`, in any of the forms that browsers take for it.
fn is_dots(segment: &str) -> bool {
    let plain = segment.replace("%2e", ".").replace("%2E", ".");
    matches!(plain.as_str(), "." | "..")
}

impl fmt::Display for ReturnTo {
    /// Prints the path. Prints nothing if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.or(""))
    }
}

impl Serialize for ReturnTo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.or(""))
    }
}

impl<'de> Deserialize<'de> for ReturnTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl FromRequest for ReturnTo {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        #[derive(Deserialize)]
        struct Parameters {
            #[serde(default)]
            next: ReturnTo,
        }

        let parameters = Query::<Parameters>::from_query(request.query_string());
        ready(Ok(parameters.map(|it| it.into_inner().next).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_own_site_are_accepted() {
        for path in [
            "/",
            "/orders?page=2",
            "/a/b.c/~d_e-f",
            "/%C3%A9?q=a%20b&c=d+e",
            "/a//b",
            "/...",
            "/?next=/x",
            "/a:b@c",
            "/x?u=https://other.example/..",
            "/.well-known/x",
        ] {
            assert_eq!(ReturnTo::new(path).path(), Some(path));
        }
    }

    #[test]
    fn nothing_that_may_lead_elsewhere_is_accepted() {
        for path in [
            "",
            "orders",
            "https://evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil",
            "\\/evil",
            "/\t/evil",
            "\t//evil",
            " //evil",
            "/\n/evil",
            "/a\\b",
            "javascript:alert(1)",
            "/.//evil",
            "/..//evil",
            "/%2e//evil",
            "/a/%2E%2e//evil",
            "/.%2E/x",
            "/a\0b",
            "/é",
            "/a b",
            "/<script>",
            "/\"onclick=",
            "/a\r\nSet-Cookie: a=b",
            "@evil.example",
            "?x",
            "#x",
            "/#x",
        ] {
            assert_eq!(ReturnTo::new(path).path(), None, "{path:?}");
        }
        assert_eq!(ReturnTo::new(format!("/{}", "a".repeat(MAX_BYTES))).path(), None);
    }

    #[test]
    fn a_page_gets_the_path_as_one_parameter() {
        let next = ReturnTo::new("/a?b=c&next=/d%20e");
        let encoded = "%2Fa%3Fb%3Dc%26next%3D%2Fd%2520e";
        assert_eq!(with_return("/login", &next), format!("/login?next={encoded}"));
        assert_eq!(
            with_return("/login?de=1#form", &next),
            format!("/login?de=1&next={encoded}#form")
        );
        assert_eq!(with_return("/login#form", &ReturnTo::default()), "/login#form");
    }
}
