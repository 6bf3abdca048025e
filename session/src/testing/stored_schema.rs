//! The check of several structs against one file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    schema::{self, Declared, Mode},
    typed::{Session, declared},
};

/// Checks that this release reads what earlier releases have stored, for several structs.
///
/// [`Session::check_stored_schema`] does it for one struct, and says what the file is. Name all
/// structs of a site here. A field can then move from one struct to another of the same session.
/// The check also finds structs of one session that store the same name in different ways.
///
/// # Examples
/// ```no_run
/// use actix_typed_session::{Session, testing::StoredSchema};
///
/// #[derive(Session)]
/// #[session(namespace = "account")]
/// struct Account {
///     #[session(privilege, index)]
///     user_id: Option<i64>,
/// }
///
/// #[derive(Session)]
/// #[session(namespace = "cart")]
/// struct Cart {
///     items: Vec<String>,
/// }
///
/// // In a `#[test]` function:
/// StoredSchema::at("site.session.json").of::<Account>().of::<Cart>().check();
/// ```
#[must_use = "call `check`"]
pub struct StoredSchema {
    path: PathBuf,
    declared: Vec<Declared>,
}

impl StoredSchema {
    /// Begins a check with the file at this path. A relative path begins at the folder of the
    /// package, where its `Cargo.toml` is.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), declared: Vec::new() }
    }

    /// Adds a struct. The file describes all structs of the check, and no others.
    pub fn of<T: Session>(self) -> Self {
        self.samples::<T>([])
    }

    /// Adds a struct, with values of your own as examples; see
    /// [`Session::check_stored_schema_with`].
    pub fn samples<T: Session>(mut self, samples: impl IntoIterator<Item = T>) -> Self {
        let samples: Vec<T> = samples.into_iter().collect();
        self.declared.push(declared(&samples));
        self
    }

    /// Checks the structs. `UPDATE_SESSION_SCHEMA` decides what is written; see
    /// [`Session::check_stored_schema`].
    ///
    /// # Panics
    /// The release would lose what is stored, two structs disagree, the file does not exist, or it
    /// cannot be read or written.
    #[track_caller]
    pub fn check(self) {
        schema::check_and_print(&self.path, self.declared);
    }

    /// The faults of these structs if earlier releases had those of `before`.
    #[doc(hidden)]
    pub fn faults_after(self, before: Self) -> Vec<String> {
        schema::faults(&before.declared, &self.declared)
    }

    /// As [`check`](Self::check), with the value of the environment variable. Returns what would
    /// be printed.
    #[doc(hidden)]
    pub fn check_as(self, variable: &str) -> Result<Vec<String>, String> {
        schema::check(&self.path, Mode::parse(variable)?, self.declared)
    }
}

impl fmt::Debug for StoredSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let structs: Vec<_> = self.declared.iter().map(|declared| &declared.name).collect();
        f.debug_struct("StoredSchema").field("path", &self.path).field("structs", &structs).finish()
    }
}
