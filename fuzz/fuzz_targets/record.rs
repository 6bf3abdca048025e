//! Bytes that a store may hold. A record that can be read is written and read back unchanged.

#![no_main]

use actix_typed_session::store::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::from_bytes(bytes) {
        let written = record.to_bytes();
        let again = Record::from_bytes(&written).expect("what was written is read");
        assert_eq!(again.to_bytes(), written);
    }
});
