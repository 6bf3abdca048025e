//! The headers that a response gets if its request has used a session.

use actix_web::http::header::{
    CACHE_CONTROL, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, VARY,
};

use crate::transport::IdHeader;

/// Adds the id for the client, and the headers that keep the response from other clients' caches.
///
/// A second call changes nothing, because Actix may map the response of an error more than once.
pub(super) fn mark(
    headers: &mut HeaderMap,
    id: Option<&IdHeader>,
    vary_header: Option<&HeaderName>,
) {
    if !headers.contains_key(VARY) {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    } else {
        vary_by(headers, &COOKIE, "Cookie");
    }
    if let Some(name) = vary_header {
        vary_by(headers, name, name.as_str());
    }
    match id {
        Some(IdHeader::Cookie(cookie)) => set_cookies(headers, std::slice::from_ref(cookie)),
        Some(IdHeader::Cookies(cookies)) => set_cookies(headers, cookies),
        Some(IdHeader::Header(name, value)) if headers.get(name) != Some(value) => {
            headers.insert(name.clone(), value.clone());
            // RFC 9111, 5.2.2.5: caches do not know that this header is private, so they must not
            // store the response at all.
            headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        _ => {}
    }
}

fn set_cookies(headers: &mut HeaderMap, cookies: &[HeaderValue]) {
    let lines = headers.len();
    for cookie in cookies {
        if !headers.get_all(SET_COOKIE).any(|it| it == cookie) {
            headers.append(SET_COOKIE, cookie.clone());
        }
    }
    if headers.len() > lines {
        // RFC 9111, 5.2.2.4: a cache may store the response, but must not reuse this header.
        headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache=\"Set-Cookie\""));
    }
}

/// Names a request header in `Vary`, which stays one line: outer middlewares, such as `actix-cors`,
/// keep the first line only.
fn vary_by(headers: &mut HeaderMap, name: &HeaderName, text: &str) {
    if headers.get_all(VARY).any(|vary| varies_by(vary, name)) {
        return;
    }
    let there: Vec<&[u8]> = headers.get_all(VARY).map(HeaderValue::as_bytes).collect();
    let all = [&there[..], &[text.as_bytes()]].concat().join(&b", "[..]);
    let all = HeaderValue::from_bytes(&all).expect("values and a name make a value");
    headers.insert(VARY, all);
}

fn varies_by(vary: &HeaderValue, name: &HeaderName) -> bool {
    vary.as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|there| there == b"*" || there.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marking_twice_is_marking_once() {
        let cookie = IdHeader::Cookie(HeaderValue::from_static("a=b"));
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("theme=dark"));
        mark(&mut headers, Some(&cookie), None);
        let once = headers.len();
        mark(&mut headers, Some(&cookie), None);
        assert_eq!(headers.len(), once);
        assert_eq!(headers.get_all(SET_COOKIE).count(), 2);
        assert_eq!(headers.get_all(CACHE_CONTROL).count(), 1);
    }

    #[test]
    fn an_id_in_a_header_replaces_another_value_and_is_not_stored_in_caches() {
        let name = HeaderName::from_static("x-session");
        let mut headers = HeaderMap::new();
        headers.append(name.clone(), HeaderValue::from_static("the handler's"));
        let id = IdHeader::Header(name.clone(), HeaderValue::from_static("id"));
        for _ in 0..2 {
            mark(&mut headers, Some(&id), Some(&name));
            assert_eq!(headers.get_all(&name).collect::<Vec<_>>(), ["id"]);
            assert_eq!(headers.get_all(CACHE_CONTROL).collect::<Vec<_>>(), ["no-store"]);
            assert_eq!(headers.get_all(VARY).collect::<Vec<_>>(), ["Cookie, x-session"]);
            assert_eq!(headers.get(SET_COOKIE), None);
        }
    }

    #[test]
    fn a_vary_of_the_handler_is_kept_and_not_doubled() {
        for (vary, after) in
            [("Accept", "Accept, Cookie"), ("Accept, cookie", "Accept, cookie"), ("*", "*")]
        {
            let mut headers = HeaderMap::new();
            headers.append(VARY, HeaderValue::from_static(vary));
            mark(&mut headers, None, None);
            assert_eq!(headers.get_all(VARY).collect::<Vec<_>>(), [after]);
        }
    }

    #[test]
    fn several_lines_of_vary_become_one() {
        let mut headers = HeaderMap::new();
        headers.append(VARY, HeaderValue::from_static("Accept"));
        headers.append(VARY, HeaderValue::from_static("Accept-Language"));
        mark(&mut headers, None, None);
        let all: Vec<_> = headers.get_all(VARY).collect();
        assert_eq!(all, ["Accept, Accept-Language, Cookie"]);
    }
}
