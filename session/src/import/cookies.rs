//! Finds the cookies of other programs in requests.

use actix_web::HttpRequest;
use percent_encoding::percent_decode;

use crate::transport::CookieSettings;

/// The most cookies of one name that are looked at. A forged one costs a MAC for each key.
const MOST_VALUES: usize = 16;

/// The first value of a cookie that `read` accepts. Values are decoded from percent-encoding, as
/// both actix-session and Express encode them.
pub(super) fn find_cookie<T>(
    request: &HttpRequest,
    name: &str,
    mut read: impl FnMut(&[u8]) -> Option<T>,
) -> Option<T> {
    let cookie = CookieSettings { name: name.to_owned(), ..CookieSettings::default() };
    let (mut found, mut values) = (None, 0);
    cookie.each_value(request.headers(), |value, _| {
        values += 1;
        if found.is_none() && values <= MOST_VALUES {
            found = read(&percent_decode(value).collect::<Vec<u8>>());
        }
    });
    found
}
