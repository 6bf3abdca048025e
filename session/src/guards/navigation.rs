//! Whether a person opens a page in a browser.

use actix_web::{
    HttpRequest,
    http::header::{ACCEPT, HeaderMap, HeaderName},
};

/// How the browser makes the request (W3C Fetch Metadata, 2.2).
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// What libraries for scripts add on their own.
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Whether the answer is shown to a person as a page. A script that is sent to a page would read
/// the page as if it were its answer.
pub(super) fn is_navigation(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let mut modes = headers.get_all(SEC_FETCH_MODE);
    match modes.next() {
        Some(mode) => mode == "navigate" && modes.next().is_none(),
        // Over plain http and in old browsers.
        None => !headers.contains_key(X_REQUESTED_WITH) && accepts_html(headers),
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let mut types = headers
        .get_all(ACCEPT)
        .flat_map(|accept| accept.as_bytes().split(|byte| matches!(byte, b',' | b';')));
    types.any(|it| it.trim_ascii().eq_ignore_ascii_case(b"text/html"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    fn opens_page(headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(TestRequest::default(), |request, header| request.append_header(*header));
        is_navigation(&request.to_http_request())
    }

    #[test]
    fn a_browser_says_what_it_asks_for() {
        assert!(opens_page(&[("Sec-Fetch-Mode", "navigate"), ("Accept", "*/*")]));
        for mode in ["cors", "no-cors", "same-origin", "websocket", "", "Navigate"] {
            assert!(!opens_page(&[("Sec-Fetch-Mode", mode), ("Accept", BROWSER)]), "{mode}");
        }
        let doubled = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Mode", "cors")];
        assert!(!opens_page(&doubled));
    }

    #[test]
    fn without_the_header_a_page_is_html() {
        for accept in [BROWSER, "text/html", "TEXT/HTML", "application/json, text/html;q=0.1"] {
            assert!(opens_page(&[("Accept", accept)]), "{accept}");
        }
        for accept in ["*/*", "application/json", "text/htmlx", ""] {
            assert!(!opens_page(&[("Accept", accept)]), "{accept}");
        }
        assert!(!opens_page(&[]));
        assert!(!opens_page(&[("Accept", BROWSER), ("X-Requested-With", "XMLHttpRequest")]));
    }

    #[test]
    fn a_web_socket_is_not_a_page() {
        let upgrade = ("Upgrade", "websocket");
        assert!(!opens_page(&[("Sec-Fetch-Mode", "websocket"), upgrade, ("Accept", "*/*")]));
        assert!(!opens_page(&[upgrade]));
        // Some proxies say so of every request.
        assert!(opens_page(&[("Sec-Fetch-Mode", "navigate"), upgrade]));
    }
}
