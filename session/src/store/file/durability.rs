//! What survives a power cut.

/// Sets which changes survive a power cut, and what that costs.
///
/// A killed process does no harm with any of them: each session is in its old or in its new state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Promises nothing for a power cut: recent sessions may be lost or empty. The fastest.
    Process,
    /// After a power cut, each session is in its old or in its new state. The last few changes may
    /// be missing, including a logout. Costs one `fsync` per write, and a second one, of the
    /// folder, when an id is renewed.
    #[default]
    Power,
    /// Everything that was reported as stored, extended or destroyed survives a power cut. Costs a
    /// second `fsync`, of the folder, per write, and one per extension or end of a session.
    PowerAtOnce,
}
