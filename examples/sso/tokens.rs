//! The tokens of the provider, and how the site checks them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header, get_current_timestamp, jwk::JwkSet,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The event that makes a token a logout token.
pub const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be, in seconds, and how long its id is remembered.
const LOGOUT_AGE: u64 = 2 * 60;

/// Who has logged in, and in which session of the provider.
#[derive(Serialize, Deserialize)]
pub struct IdToken {
    pub iss: String,
    pub aud: String,
    pub exp: u64,
    pub sub: String,
    pub sid: String,
    pub nonce: String,
}

/// What ended: one session of the provider, or all of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutToken {
    pub iss: String,
    pub aud: String,
    pub iat: u64,
    pub exp: u64,
    pub jti: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    pub events: HashMap<String, HashMap<String, String>>,
    /// An ID token has one, and a logout token must not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// Why a token is refused. It is for the log, and not for the one who sent it.
pub type Refused = &'static str;

/// What the site knows of the provider.
pub struct Verifier {
    issuer: String,
    client: String,
    /// In reality the site loads them from the provider's `jwks_uri`, and once more if a token
    /// names a key that is not among them.
    keys: JwkSet,
    /// The ids of the logout tokens of the last minutes, and when each came. Several processes
    /// keep them where all of them look.
    seen: Mutex<HashMap<String, u64>>,
}

impl Verifier {
    pub fn new(issuer: &str, client: &str, keys: JwkSet) -> Self {
        let (issuer, client) = (issuer.to_owned(), client.to_owned());
        Self { issuer, client, keys, seen: Mutex::default() }
    }

    /// Checks the token of a login that began with this nonce.
    pub fn id_token(&self, token: &str, nonce: &str) -> Result<IdToken, Refused> {
        let claims: IdToken = self.claims(token)?;
        if claims.nonce != nonce {
            return Err("it was made for another login");
        }
        Ok(claims)
    }

    /// Checks a logout token, as section 2.6 of OpenID Connect Back-Channel Logout 1.0 demands.
    pub fn logout_token(&self, token: &str) -> Result<LogoutToken, Refused> {
        let claims: LogoutToken = self.claims(token)?;
        let now = get_current_timestamp();
        if claims.nonce.is_some() || !claims.events.contains_key(LOGOUT_EVENT) {
            return Err("it is not a logout token");
        }
        if claims.sub.is_none() && claims.sid.is_none() {
            return Err("it names neither a user nor a session");
        }
        if now.abs_diff(claims.iat) > LOGOUT_AGE {
            return Err("it is too old, or the clocks differ");
        }
        // A copy must not end sessions that began later.
        let mut seen = self.seen();
        seen.retain(|_, came| now.abs_diff(*came) <= 2 * LOGOUT_AGE);
        match seen.insert(claims.jti.clone(), now) {
            Some(_) => Err("it came before"),
            None => Ok(claims),
        }
    }

    /// Lets a logout token come once more, because its sessions could not be ended.
    pub fn expect_again(&self, token: &LogoutToken) {
        self.seen().remove(&token.jti);
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a token says, if it is for this site and one of the provider's keys has signed it.
    fn claims<T: DeserializeOwned>(&self, token: &str) -> Result<T, Refused> {
        let header = decode_header(token).map_err(|_| "it is not a token")?;
        let key = header.kid.and_then(|kid| self.keys.find(&kid)).ok_or("its key is unknown")?;
        let key = DecodingKey::from_jwk(key).map_err(|_| "its key is not valid")?;
        // The site decides which algorithm is right, and not the token.
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.client]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        let decoded = decode(token, &key, &rules);
        decoded.map(|token| token.claims).map_err(|_| "it is forged, expired or for another site")
    }
}
