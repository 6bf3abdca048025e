//! Random calls that are the same in every run.

use std::sync::Arc;

use super::records::{json, ticks};
use crate::{
    record::{ExpiryChange, Number, Patch},
    testing::harness::Harness,
};

/// Marsaglia's xorshift.
pub(super) struct Random(u64);

impl Random {
    /// Each seed above zero gives another sequence.
    pub(super) fn new(seed: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed))
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Returns an element.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Returns a patch of up to two fields; sometimes also an expiry, a version or a reset.
    pub(super) fn patch<H: Harness>(&mut self, harness: &Arc<H>) -> Patch {
        let mut patch = Patch::default();
        for _ in 0..self.below(3) {
            let name = self.pick(&["a", "b", "c"]);
            let n = self.below(100) as i64 - 50;
            match self.below(4) {
                0 => patch.remove(name.into()),
                1 => patch.add(name.into(), Number::Int(7), Number::from(n)),
                2 => patch.set(name.into(), json(&format!("[{n}]"))),
                _ => patch.set(name.into(), json(&n.to_string())),
            }
        }
        match self.below(8) {
            0 => {
                patch.set_expiry(ExpiryChange::ExtendTo(ticks(harness, self.below(20) as u32 + 1)))
            }
            1 => patch.set_expiry(ExpiryChange::Set(ticks(harness, self.below(9) as u32 + 2))),
            2 => patch.expect_version(self.below(4)),
            3 => patch.reset(harness.now()),
            _ => {}
        }
        patch
    }
}
