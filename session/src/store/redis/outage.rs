//! What a failed call means: an outage that passes, damage of one session, or a fault.

use super::client::CallError;
use crate::error::StoreError;

/// The kinds of error replies that pass: Redis is full, starting, failing over, or partitioned.
const PASSING: [&str; 10] = [
    "OOM",
    "LOADING",
    "BUSY",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "READONLY",
    "TRYAGAIN",
    "NOREPLICAS",
    "MISCONF",
    "UNKILLABLE",
];

/// The error of the store for a failed call.
pub(super) fn store_error(error: CallError) -> StoreError {
    let reply = match error {
        CallError::Unreachable(cause) => return StoreError::unavailable(cause),
        CallError::NoReply(error) => return StoreError::unavailable(error),
        CallError::Refused(reply) => reply,
    };
    if reply.contains_word("WRONGTYPE") {
        StoreError::damaged("the key holds something other than a hash")
    } else if PASSING.into_iter().any(|word| reply.contains_word(word)) {
        StoreError::unavailable(reply)
    } else {
        StoreError::internal(reply)
    }
}
