//! The calls of a store.

/// A call of [`SessionStore`](crate::store::SessionStore) or
/// [`FindByIndex`](crate::store::FindByIndex).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`create`](crate::store::SessionStore::create)
    Create,
    /// [`load`](crate::store::SessionStore::load)
    Load,
    /// [`update`](crate::store::SessionStore::update)
    Update,
    /// [`touch`](crate::store::SessionStore::touch)
    Touch,
    /// [`destroy`](crate::store::SessionStore::destroy)
    Destroy,
    /// [`rotate`](crate::store::SessionStore::rotate)
    Rotate,
    /// [`find`](crate::store::FindByIndex::find)
    Find,
}

/// How many operations there are.
pub(super) const OPERATIONS: usize = Operation::ALL.len();

impl Operation {
    /// All operations, in a fixed order.
    pub const ALL: &'static [Self] = &[
        Self::Create,
        Self::Load,
        Self::Update,
        Self::Touch,
        Self::Destroy,
        Self::Rotate,
        Self::Find,
    ];

    /// Returns the name of the method, such as `load`, for labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Load => "load",
            Self::Update => "update",
            Self::Touch => "touch",
            Self::Destroy => "destroy",
            Self::Rotate => "rotate",
            Self::Find => "find",
        }
    }
}
