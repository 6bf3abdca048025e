//! The ids that a client presents, and the channel that they came through.

use super::sign::Claim;
use crate::id::SessionId;

/// The ids that a client sent.
///
/// A browser can hold several cookies of one name with different paths or domains, for example
/// after a change of the settings, and sends them all. The first one that names a live session
/// counts. A renewed id counts only if none of the others does, because its client has the new id
/// too.
#[derive(Debug, Default)]
pub(crate) struct Presented {
    /// Well-formed ids in the order sent. The limit bounds the store calls that a forged header
    /// causes.
    claims: [Option<Claim>; MOST_IDS],
    /// How many values were parsed.
    values: usize,
    /// Whether the client sent anything in place of an id.
    pub(crate) any: bool,
    /// Whether it sent the present cookie.
    pub(crate) has_own: bool,
    /// Which former cookies it sent, as bits.
    formers: u32,
    /// Whether a later release wrote a cookie, which this one cannot read.
    pub(crate) is_later: bool,
    pub(crate) channel: IdChannel,
}

/// The channel that an id came through. The response uses the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdChannel {
    /// The cookie, also for clients that presented nothing.
    #[default]
    Cookie,
    /// The header.
    Header,
    /// The request names several sessions, so it gets none of them.
    Conflict,
}

/// The content of the session's header in a request.
#[derive(Debug)]
pub(crate) enum InHeader {
    /// The header is absent, or has another purpose.
    Nothing,
    /// The client wants its id in the header, and sent no valid one. `any`: it sent another value.
    NoId { any: bool },
    /// A valid id.
    Id(Claim),
    /// Several different ids.
    Conflict,
}

/// The most ids that the store is asked for.
const MOST_IDS: usize = 4;
/// The most cookies of one name that are parsed. A forged one costs a MAC for each key.
pub(super) const MOST_VALUES: usize = 64;

impl Presented {
    /// The well-formed ids in the order sent.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().flatten()
    }

    /// Whether the client presented this id in the form that it would get today.
    pub(crate) fn is_up_to_date(&self, id: &SessionId) -> bool {
        self.claims().any(|claim| claim.id == *id && !claim.is_outdated)
    }

    /// Whether the client sent a value that is not a valid id. Also true if it sent one twice.
    pub(crate) fn has_invalid(&self) -> bool {
        let claims = self.claims().count();
        self.any && (claims == 0 || self.values > claims)
    }

    /// Adds the value of a cookie. `read` parses it.
    #[inline]
    pub(crate) fn add_cookie(&mut self, read: impl FnOnce() -> Option<Claim>) {
        self.has_own = true;
        self.add_value(read);
    }

    /// Adds the value of the present cookie or of a former one.
    #[inline]
    pub(super) fn add_value(&mut self, read: impl FnOnce() -> Option<Claim>) {
        self.any = true;
        self.values += 1;
        if self.values <= MOST_VALUES
            && let Some(free) = self.claims.iter().position(Option::is_none)
            && let Some(claim) = read()
            && self.claims().all(|other| other.id != claim.id)
        {
            self.claims[free] = Some(claim);
        }
    }

    /// Remembers that the client has sent a former cookie, the one with this place in the list.
    pub(crate) fn add_former(&mut self, place: usize) {
        self.formers |= u32::try_from(place).ok().and_then(|it| 1_u32.checked_shl(it)).unwrap_or(0);
    }

    /// Whether the client has sent a former cookie.
    #[inline]
    pub(crate) fn has_formers(&self) -> bool {
        self.formers != 0
    }

    /// The places of the former cookies that the client has sent.
    pub(super) fn formers(&self) -> impl Iterator<Item = usize> {
        let formers = self.formers;
        (0..32).filter(move |place| formers & (1 << place) != 0)
    }

    /// Adds the content of the header. Call it after all cookies were added.
    pub(crate) fn and_in_header(self, in_header: InHeader) -> Self {
        let has_cookie = self.claims().next().is_some();
        match in_header {
            InHeader::Nothing => self,
            // A script can send the header. It must not get the id of an `HttpOnly` cookie that
            // way.
            InHeader::NoId { .. } if self.any => self,
            InHeader::NoId { any } => Self { any, channel: IdChannel::Header, ..Self::default() },
            InHeader::Id(claim) if has_cookie => {
                if self.claims().all(|other| other.id == claim.id) {
                    self
                } else {
                    Self::conflict()
                }
            }
            InHeader::Id(claim) => Self {
                claims: [Some(claim), None, None, None],
                any: true,
                channel: IdChannel::Header,
                ..self
            },
            InHeader::Conflict => Self::conflict(),
        }
    }

    /// The client is treated as if it had sent no id.
    fn conflict() -> Self {
        Self { channel: IdChannel::Conflict, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(letter: &str) -> Claim {
        let id = SessionId::new(letter.repeat(30)).expect("an id");
        Claim::new(id)
    }

    fn cookies(letters: &[&str]) -> Presented {
        let mut presented = Presented::default();
        for letter in letters {
            presented.add_cookie(|| (!letter.is_empty()).then(|| claim(letter)));
        }
        presented
    }

    fn joined(cookies_: &[&str], in_header: InHeader) -> String {
        let joined = cookies(cookies_).and_in_header(in_header);
        let ids: String = joined.claims().map(|claim| &claim.id.as_str()[..1]).collect();
        format!("{:?} {ids} {}", joined.channel, joined.any)
    }

    #[test]
    fn only_an_id_that_the_client_has_with_the_newest_signature_is_up_to_date() {
        let has = |is_outdated| {
            let claim = Claim { is_outdated, ..claim("a") };
            Presented::default().and_in_header(InHeader::Id(claim))
        };
        assert!(has(false).is_up_to_date(&claim("a").id));
        assert!(!has(true).is_up_to_date(&claim("a").id));
        for is_outdated in [false, true] {
            assert!(!has(is_outdated).is_up_to_date(&claim("b").id));
        }
    }

    #[test]
    fn a_cookie_and_a_header_must_name_one_session() {
        let id = |letter| InHeader::Id(claim(letter));
        assert_eq!(joined(&[], id("a")), "Header a true");
        assert_eq!(joined(&["a"], id("a")), "Cookie a true");
        assert_eq!(joined(&["a"], id("b")), "Conflict  false");
        assert_eq!(joined(&["a", "b"], id("a")), "Conflict  false");
        assert_eq!(joined(&["", "a"], id("b")), "Conflict  false");
        assert_eq!(joined(&[""], id("a")), "Header a true", "a cookie without a valid id");
        assert_eq!(joined(&["a"], InHeader::Conflict), "Conflict  false");
        assert_eq!(joined(&[], InHeader::Conflict), "Conflict  false");
    }

    #[test]
    fn a_header_without_an_id_leaves_a_cookie_alone() {
        let no_id = |any| InHeader::NoId { any };
        assert_eq!(joined(&[], no_id(false)), "Header  false");
        assert_eq!(joined(&[], no_id(true)), "Header  true");
        for any in [false, true] {
            assert_eq!(joined(&["a"], no_id(any)), "Cookie a true");
            assert_eq!(joined(&[""], no_id(any)), "Cookie  true");
        }
        assert_eq!(joined(&["a"], InHeader::Nothing), "Cookie a true");
        assert_eq!(joined(&[], InHeader::Nothing), "Cookie  false");
    }

    #[test]
    fn forged_values_are_parsed_up_to_a_limit() {
        let mut presented = Presented::default();
        let mut parsed = 0;
        for _ in 0..1_000 {
            presented.add_cookie(|| {
                parsed += 1;
                None
            });
        }
        assert_eq!(parsed, MOST_VALUES);
        assert!(presented.any);
    }
}
