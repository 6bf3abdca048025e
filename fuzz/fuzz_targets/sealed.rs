//! Sealed sessions. A cookie opens only if it equals, byte for byte, one that was sealed for this
//! site. A stored value opens only in the field and the session that it was sealed for.

#![no_main]

use std::collections::BTreeMap;

use actix_typed_session::{
    EncryptedStore, MemoryStore, StoreError, Timestamp,
    store::{
        Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore as _, StoreKey,
        UpdateOutcome,
    },
};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use site::{IdInHeader, KEYS, Keeps, Setting, Sites, Still, key_of, record, splice, wait};

const IN_COOKIE: Setting = Setting {
    cookie: "__Host-session",
    keeps: Keeps::InCookie,
    is_signed: false,
    header: IdInHeader::No,
    follows_connection: false,
    persistent: false,
};

thread_local! {
    static SITES: Sites = Sites::new([
        IN_COOKIE,
        Setting { cookie: "sid", persistent: true, ..IN_COOKIE },
        // The names differ, because sites that share keys and a name can use each other's cookies.
        Setting { cookie: "__Host-cart", follows_connection: true, ..IN_COOKIE },
    ]);
    static VAULT: Vault = Vault::new();
}

fuzz_target!(|input: &[u8]| match input {
    [b'v', input @ ..] => VAULT.with(|vault| vault.check(input)),
    _ => SITES.with(|sites| sites.check(input)),
});

/// The fields of each known session, as JSON.
const FIELDS: [(&str, &str); 3] =
    [("name", "\"ann\""), ("views", "41"), ("a\"b", "[null, {\"~\": \"~1.\"}]")];

/// The values of fields, or what they open to. `None`: the value must not open.
type Fields<T = String> = BTreeMap<&'static str, T>;

/// A store with sealed values, and a list of these values.
struct Vault {
    inside: MemoryStore,
    strict: EncryptedStore<MemoryStore>,
    accepts_plain: EncryptedStore<MemoryStore>,
    /// Every sealed value with its session and its field.
    truths: Vec<(StoreKey, &'static str, String)>,
    /// The same values, and values that are sealed with a key that the store does not have.
    values: Vec<Vec<u8>>,
}

impl Vault {
    fn new() -> Self {
        let inside = MemoryStore::builder().sweep_interval(None).clock(Still).build();
        let strict = EncryptedStore::new(inside.clone(), KEYS[..2].to_vec()).expect("two keys");
        let accepts_plain = strict.clone().accept_plain();
        let mut vault = Self { inside, strict, accepts_plain, truths: vec![], values: vec![] };
        for (number, sealing_key) in KEYS.into_iter().enumerate() {
            let sealing = EncryptedStore::new(vault.inside.clone(), [sealing_key]).expect("a key");
            for key in [0, 1, 2].map(key_of) {
                wait(sealing.create(&key, &record(FIELDS))).expect("memory does not fail");
                let sealed = vault.inside(&key);
                vault.values.extend(sealed.values().cloned().map(String::into_bytes));
                if number < 2 {
                    vault.truths.extend(sealed.into_iter().map(|(name, json)| (key, name, json)));
                }
                vault.forget(&key);
            }
        }
        vault
    }

    /// Runs one input. Its first bytes are the session, the store and the call. In each line, the
    /// first byte names a field, and the rest is the value to plant there, with [orders](splice).
    /// The other fields have their true values.
    fn check(&self, input: &[u8]) {
        let [owner, store, call, input @ ..] = input else { return };
        let key = key_of(usize::from(*owner) % 3);
        let is_strict = store % 2 == 0;
        let store = if is_strict { &self.strict } else { &self.accepts_plain };
        let here = self.truths.iter().filter(|(other, ..)| *other == key);
        let mut planted: Fields = here.map(|(_, name, json)| (*name, json.clone())).collect();
        for line in input.split(|byte| *byte == b'\n') {
            let Some((field, line)) = line.split_first() else { continue };
            let text = String::from_utf8(splice(line, &self.values)).ok();
            if let Some(json) = text.and_then(|text| RawValue::from_string(text).ok()) {
                planted.insert(FIELDS[usize::from(*field) % 3].0, json.get().to_owned());
            }
        }
        let open = |name, json: &String| {
            let is_true = |truth: &(StoreKey, _, String)| *truth == (key, name, json.clone());
            let value = || FIELDS.into_iter().find(|(other, _)| *other == name);
            if self.truths.iter().any(is_true) {
                value().map(|(_, value)| value.to_owned())
            } else {
                (!is_strict && !json.starts_with("\"~")).then(|| json.clone())
            }
        };
        let mut opened: Fields<Option<String>> =
            planted.iter().map(|(name, json)| (*name, open(name, json))).collect();
        wait(self.inside.create(&key, &record(planted.clone()))).expect("memory does not fail");
        self.reads(store, &key, &opened);

        let mut patch = Patch::default();
        let mut keys = vec![key];
        match call % 4 {
            0 => {}
            1 => {
                patch.add("views".into(), Number::Int(0), Number::Int(1));
                let views = &mut opened.get_mut("views").expect("it is planted");
                let updated = wait(store.update(&key, &patch));
                if let Some(json) = views {
                    assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{updated:?}");
                    let before = record([("views", json.clone())]);
                    *json = fields(&patch.apply_to(&before).expect("it is live"))
                        .remove("views")
                        .expect("a sum");
                } else {
                    assert!(updated.is_err(), "nothing is added to what does not open");
                    assert_eq!(self.inside(&key), planted, "and it stays as it is");
                }
            }
            2 => {
                patch.set(
                    "name".into(),
                    RawValue::from_string("\"bob\"".into()).expect("JSON").into(),
                );
                let updated = wait(store.update(&key, &patch));
                assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{updated:?}");
                opened.insert("name", Some("\"bob\"".into()));
            }
            _ => {
                let grace = Grace::new(Timestamp::from_unix_ms(u64::MAX), OldIdReads::Snapshot);
                let new = StoreKey::from_bytes([7; 32]);
                let rotated = wait(store.rotate(&key, &new, &patch, grace));
                if opened.values().all(Option::is_some) {
                    assert!(matches!(rotated, Ok(UpdateOutcome::Applied { .. })), "{rotated:?}");
                    // Every value is sealed now, even those that were accepted as plain values.
                    self.reads(&self.strict, &new, &opened);
                    keys.push(new);
                } else {
                    assert!(rotated.is_err(), "what does not open is not moved");
                }
            }
        }
        self.reads(store, &key, &opened);
        for key in keys {
            self.forget(&key);
        }
    }

    /// Asserts that a session has these values, or fails to load if one of them must not open.
    fn reads(
        &self,
        store: &EncryptedStore<MemoryStore>,
        key: &StoreKey,
        opened: &Fields<Option<String>>,
    ) {
        let opened: Option<Fields> =
            opened.iter().map(|(name, json)| Some((*name, json.clone()?))).collect();
        match wait(store.load(key, &LoadOptions::default())) {
            Ok(record) => assert_eq!(Some(fields(&record.expect("it is there"))), opened),
            Err(error) => {
                assert_eq!(None, opened, "{error:?}");
                let is_of_later_format =
                    self.inside(key).values().any(|json| is_of_later_format(json));
                assert!(matches!(error, StoreError::Damaged(_)) || is_of_later_format, "{error:?}");
            }
        }
    }

    fn inside(&self, key: &StoreKey) -> Fields {
        let record =
            wait(self.inside.load(key, &LoadOptions::default())).expect("memory does not fail");
        fields(&record.expect("it is there"))
    }

    fn forget(&self, key: &StoreKey) {
        wait(self.inside.destroy(key)).expect("memory does not fail");
    }
}

fn fields(record: &Record) -> Fields {
    let known = |name| FIELDS.into_iter().map(|(known, _)| known).find(|known| *known == name);
    let fields = record.fields();
    fields
        .map(|(name, json)| (known(name).expect("a known field"), json.get().to_owned()))
        .collect()
}

/// Whether it begins like a value that a later release sealed. Such a value is not damage.
fn is_of_later_format(json: &str) -> bool {
    let start = json.strip_prefix("\"~").and_then(|text| text.split_once('.'));
    start.is_some_and(|(start, _)| {
        start.parse::<u32>().is_ok_and(|format| format > 1 && format.to_string() == start)
    })
}
