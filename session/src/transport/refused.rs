//! Ids whose signature was refused, for those who want to know of them.

use actix_web::http::header::HeaderMap;

use super::{cookie::CookieSettings, header::HeaderSettings, presented::MOST_VALUES};

impl CookieSettings {
    /// Whether a client has sent an id without a valid signature, where ids are signed. It reads
    /// the headers again, which only a request with something invalid has to pay for.
    pub(crate) fn has_refused(
        &self,
        headers: &HeaderMap,
        header: Option<&HeaderSettings>,
        with_formers: bool,
    ) -> bool {
        if self.signer.is_none() {
            return false;
        }
        let (mut values, mut has_refused) = (0, false);
        let mut check = |value: &[u8]| {
            values += 1;
            has_refused |= !has_refused
                && values <= MOST_VALUES
                && self.may_be_ours(value)
                && self.read_any(value).is_none();
        };
        self.each_value(headers, |value, _| check(value));
        if with_formers {
            let others = self.formers.iter().filter(|former| former.name != self.name);
            others.for_each(|former| former.each_value(headers, |value, _| check(value)));
        }
        header.iter().for_each(|header| header.tokens(headers, self).for_each(&mut check));
        has_refused
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{AUTHORIZATION, COOKIE, HeaderValue};

    use super::super::sign::Signer;
    use super::*;
    use crate::{crypto::Key, id::SessionId};

    const ID: &str = "0123456789abcdefghijklmnop";

    fn settings(key: u8) -> CookieSettings {
        let signer = Signer::new(&[Key::from_bytes([key; 32])], "sid");
        CookieSettings { name: "sid".into(), signer, ..CookieSettings::default() }
    }

    fn refuses(settings: &CookieSettings, cookies: &str, token: &str) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [(COOKIE, cookies), (AUTHORIZATION, token)] {
            headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        }
        settings.has_refused(&headers, Some(&HeaderSettings::Bearer), true)
    }

    #[test]
    fn an_id_without_a_valid_signature_is_refused_and_other_text_is_not_an_id() {
        let (ours, theirs) = (settings(1), settings(2));
        let id = SessionId::new(ID).expect("an id");
        let (good, forged) = (ours.write(&id).into_owned(), theirs.write(&id).into_owned());
        for (cookies, token, is_refused) in [
            (format!("sid={good}"), String::new(), false),
            (format!("sid={forged}"), String::new(), true),
            (format!("sid={ID}"), String::new(), true),
            (format!("sid={good}; sid={forged}"), String::new(), true),
            (format!("other={forged}"), String::new(), false),
            ("sid=garbage; sid=".to_owned(), String::new(), false),
            (String::new(), format!("Bearer {forged}"), true),
            (String::new(), format!("Bearer {good}"), false),
            (String::new(), format!("Basic {forged}"), false),
        ] {
            assert_eq!(refuses(&ours, &cookies, &token), is_refused, "{cookies} {token}");
        }
        let unsigned = CookieSettings { name: "sid".into(), ..CookieSettings::default() };
        assert!(!refuses(&unsigned, &format!("sid={forged}"), ""));
    }

    #[test]
    fn a_former_key_or_an_unsigned_former_cookie_is_not_refused() {
        let id = SessionId::new(ID).expect("an id");
        let mut ours = settings(1);
        ours.accept(CookieSettings { name: "old".into(), ..settings(2) });
        assert!(!refuses(&ours, &format!("old={}", settings(2).write(&id)), ""));
        assert!(refuses(&ours, &format!("old={}", settings(3).write(&id)), ""));
        ours.accept(CookieSettings { name: "older".into(), ..CookieSettings::default() });
        assert!(!refuses(&ours, &format!("older={ID}"), ""));
    }

    #[test]
    fn a_flood_of_forged_values_costs_a_bounded_number_of_signatures() {
        let flood = format!("{}sid={ID}", "sid=garbage; ".repeat(MOST_VALUES));
        assert!(!refuses(&settings(1), &flood, ""));
    }
}
