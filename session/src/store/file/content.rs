//! The bytes of a session's file: its record, and a digest of the session's key and the record.
//!
//! A write gives the old file of a session to another one, see `spare`. So a slow reader may see
//! the bytes of two sessions, or of none. The digest shows it. It also shows that a disk has
//! changed a byte, and that a file was copied from another session.

use sha2::{Digest as _, Sha256};

use crate::{
    id::StoreKey,
    record::{Record, RecordError},
};

/// A new line, and 32 hexadecimal digits in quotes.
pub(super) const DIGEST_BYTES: usize = 35;

/// Why bytes are not those of a session.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentError {
    #[error("it was cut off or changed, or is a copy of another session's file")]
    OtherDigest,
    #[error(transparent)]
    Record(RecordError),
}

/// The bytes of a session's file.
pub(super) fn to_bytes(key: &StoreKey, record: Vec<u8>) -> Vec<u8> {
    let digest = digest(key, &record);
    let mut bytes = record;
    bytes.extend_from_slice(&digest);
    bytes
}

/// Reads the bytes of a session's file.
pub(super) fn from_bytes(key: &StoreKey, bytes: &[u8]) -> Result<Record, ContentError> {
    let (record, end) = bytes.split_at(bytes.len().saturating_sub(DIGEST_BYTES));
    if end != digest(key, record) {
        // What is wrong with the record says more. A later release may have other digests.
        let record = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let error = Record::from_bytes(record).err();
        return Err(error.map_or(ContentError::OtherDigest, ContentError::Record));
    }
    Record::from_bytes(record).map_err(ContentError::Record)
}

fn digest(key: &StoreKey, record: &[u8]) -> [u8; DIGEST_BYTES] {
    let hash = Sha256::new().chain_update(key.as_bytes()).chain_update(record).finalize();
    let mut text = [b'"'; DIGEST_BYTES];
    text[0] = b'\n';
    for (digits, byte) in text[2..].chunks_exact_mut(2).zip(hash) {
        for (digit, value) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(value)];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::file::fixture::key, time::Timestamp};

    #[test]
    fn bytes_of_two_sessions_are_no_session() {
        let record = |n| Record::new(Timestamp::default(), Timestamp::from_unix_ms(n)).to_bytes();
        let one = to_bytes(&key(1), record(1_000));
        assert!(from_bytes(&key(1), &one).is_ok());
        assert!(from_bytes(&key(2), &one).is_err(), "the file of another session");
        let later = to_bytes(&key(1), record(2_000));
        assert_eq!(one.len(), later.len());
        for end in 0..one.len() {
            assert!(from_bytes(&key(1), &one[..end]).is_err(), "a part");
            let mixture = [&one[..end], &later[end..]].concat();
            let read = from_bytes(&key(1), &mixture);
            assert!(read.is_err() || mixture == one || mixture == later, "half of each");
            let mut erased = one.clone();
            erased[end..].fill(0);
            assert!(from_bytes(&key(1), &erased).is_err(), "half erased");
        }
    }
}
