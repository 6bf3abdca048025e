//! How requests that bring the same session of another program find each other, in any process.
//!
//! The request that takes a session over leaves a claim in the store, under a key that is made of
//! the foreign id. `create` never overwrites, so one request of several leaves it. The others find
//! the new session's id in it.
//!
//! The new id is masked with bytes that are made of the foreign id. So a stolen copy of the store
//! opens no session, and neither does a foreign id alone.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest as _, Sha256};

use super::foreign::ForeignId;
use crate::{
    crypto::random_bytes,
    id::{SessionId, StoreKey},
    record::{Patch, Record},
    time::Timestamp,
};

/// How long a claim lives. A client whose first response was lost gets its session again by the
/// foreign id within this time.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// The field that holds the masked id.
const FIELD: &str = "imported";
const NONCE_BYTES: usize = 16;

/// The key of the claim on a foreign session. `cookie` is the name of this library's cookie.
pub(crate) fn claim_key(cookie: &str, foreign: &ForeignId) -> StoreKey {
    // No session's id has a NUL, so no id that a client sends has this key.
    let parts = ["actix-typed-session: claim of an import, 1", cookie, foreign.as_str()];
    StoreKey::from_bytes(Sha256::digest(parts.join("\0")).into())
}

/// The claim on a foreign session that goes on as the session with this id.
///
/// # Panics
/// The operating system has no random numbers.
pub(crate) fn claim_record(id: &SessionId, foreign: &ForeignId, now: Timestamp) -> Record {
    let nonce = random_bytes::<NONCE_BYTES>();
    let mut bytes = nonce.to_vec();
    bytes.extend(masked(id.as_str().as_bytes(), foreign, &nonce));
    let json: Box<RawValue> =
        to_raw_value(&URL_SAFE_NO_PAD.encode(bytes)).expect("text always serialises");
    let mut patch = Patch::default();
    patch.set(FIELD.into(), Arc::from(json));
    patch
        .apply_to(&Record::new(now, now.saturating_add(LIFETIME)))
        .expect("a new record is not retired, and the patch expects no version")
}

/// The id in a claim. `None`: it is damaged.
pub(crate) fn claimed_id(claim: &Record, foreign: &ForeignId) -> Option<SessionId> {
    let text: String = serde_json::from_str(claim.field(FIELD)?.get()).ok()?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (nonce, id) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    SessionId::parse(&masked(id, foreign, nonce))
}

/// Masks bytes, or removes the mask. The mask is HMAC-SHA256 of a random nonce and a counter, whose
/// key is the foreign id, so it is used once.
fn masked(bytes: &[u8], foreign: &ForeignId, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
    let blocks = (0_u32..).flat_map(|counter| {
        let mut mac = Hmac::<Sha256>::new_from_slice(foreign.as_str().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(b"actix-typed-session: mask of an imported session's id");
        mac.update(nonce);
        mac.update(&counter.to_be_bytes());
        mac.finalize().into_bytes()
    });
    bytes.iter().zip(blocks).map(|(byte, mask)| byte ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

    #[test]
    fn a_claim_gives_the_id_to_those_who_have_the_foreign_id() {
        let foreign = ForeignId::new("7e57d004-2b97-4e7a-b45f-5387367791cd");
        for id in [SessionId::random(), SessionId::new("a".repeat(128)).expect("an id")] {
            let claim = claim_record(&id, &foreign, NOW);
            assert_eq!(claimed_id(&claim, &foreign), Some(id.clone()));
            assert_ne!(claimed_id(&claim, &ForeignId::new("other")), Some(id));
        }
    }

    #[test]
    fn a_claim_does_not_show_the_id_and_masks_each_id_in_another_way() {
        let foreign = ForeignId::new("foreign");
        let id = SessionId::new("a".repeat(128)).expect("an id");
        let shown = |claim: &Record| claim.field(FIELD).expect("it is there").get().to_owned();
        let (one, other) = (claim_record(&id, &foreign, NOW), claim_record(&id, &foreign, NOW));
        assert_ne!(shown(&one), shown(&other));
        assert!(!shown(&one).contains(&URL_SAFE_NO_PAD.encode("aaa")));
    }

    #[test]
    fn each_foreign_id_and_each_cookie_has_its_own_claim() {
        let key = |cookie: &str, id: &str| claim_key(cookie, &ForeignId::new(id));
        assert_eq!(key("a", "x"), key("a", "x"));
        assert_ne!(key("a", "x"), key("b", "x"));
        assert_ne!(key("a", "x"), key("a", "y"));
    }
}
