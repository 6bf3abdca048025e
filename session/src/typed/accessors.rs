//! What the generated accessors call.

use std::{fmt, mem, time::Duration};

use super::{
    decode::read,
    field_mut::{FieldMut, Tracking},
    record::{modify, number, record_change},
    session::{Session, Visit},
    tracked::Tracked,
};
use crate::{
    error::SessionError,
    fields::{Field, Snapshot},
    request::{SessionHandle, Status},
};

/// The methods of every generated struct, in one place. `$header` is the head of the `impl` block.
#[doc(hidden)]
#[macro_export]
macro_rules! __session_methods {
    ({ $($header:tt)* } $session:ty) => {
        $($header)* {
            /// The id that the client has, or gets with this response.
            ///
            /// See [`SessionHandle::id`](::actix_typed_session::SessionHandle::id).
            pub fn id(&self) -> ::core::option::Option<&::actix_typed_session::SessionId> {
                self.0.handle().id()
            }

            /// Where the session stands.
            pub fn status(&self) -> ::actix_typed_session::Status {
                self.0.handle().status()
            }

            /// Begins a new, empty session under a new id, and destroys the old one. Call it at login,
            /// before writing who logged in.
            ///
            /// See [`SessionHandle::regenerate`](::actix_typed_session::SessionHandle::regenerate).
            pub fn regenerate(&mut self) {
                self.0.regenerate();
            }

            /// Gives the session a new id at the end of the request, and keeps its data.
            ///
            /// See [`SessionHandle::renew`](::actix_typed_session::SessionHandle::renew).
            pub fn renew(&mut self) {
                self.0.renew();
            }

            /// Deletes the session from the store, and its cookie from the client, whatever the
            /// response is.
            ///
            /// See [`SessionHandle::destroy`](::actix_typed_session::SessionHandle::destroy).
            pub fn destroy(&mut self) {
                self.0.destroy();
            }

            /// Reads the stored session again and drops what this request has changed but not saved.
            ///
            /// # Errors
            /// See [`SessionHandle::reload`](::actix_typed_session::SessionHandle::reload); also
            /// `Decode` if the struct is `strict` and a stored value does not decode.
            pub async fn reload(
                &mut self,
            ) -> ::core::result::Result<(), ::actix_typed_session::SessionError> {
                self.0.reload().await
            }

            /// Stores the changes now, instead of at the end of the request.
            ///
            /// # Errors
            /// See [`SessionHandle::save`](::actix_typed_session::SessionHandle::save).
            pub async fn save(
                &mut self,
            ) -> ::core::result::Result<(), ::actix_typed_session::SessionError> {
                self.0.save().await
            }

            /// Extends the session at the end of the request, even if it was extended a moment ago.
            pub fn touch(&mut self) {
                self.0.touch();
            }

            /// A token for the page's forms, which proves that they were made for this session. A visitor
            /// without a session gets one with it.
            ///
            /// See [`SessionHandle::csrf_token`](::actix_typed_session::SessionHandle::csrf_token).
            #[must_use = "the token belongs into the page"]
            pub fn csrf_token(&mut self) -> ::std::string::String {
                self.0.csrf_token()
            }

            /// Checks that a form was made for this session.
            ///
            /// # Errors
            /// See [`SessionHandle::verify_csrf`](::actix_typed_session::SessionHandle::verify_csrf).
            pub fn verify_csrf(
                &self,
                token: &str,
            ) -> ::core::result::Result<(), ::actix_typed_session::SessionError> {
                self.0.handle().verify_csrf(token)
            }

            /// How long the session lives without a request that uses it.
            pub fn max_age(&self) -> ::core::time::Duration {
                self.0.handle().max_age()
            }

            /// Lets this session live for another time without a request, now and from now on.
            ///
            /// See [`SessionHandle::set_max_age`](::actix_typed_session::SessionHandle::set_max_age).
            pub fn set_max_age(&mut self, max_age: ::core::time::Duration) {
                self.0.set_max_age(max_age);
            }

            /// Whether the session's cookie outlives the browser.
            pub fn is_persistent(&self) -> bool {
                self.0.handle().is_persistent()
            }

            /// Lets this session's cookie outlive the browser, or not: "remember me".
            pub fn set_persistent(&mut self, persistent: bool) {
                self.0.set_persistent(persistent);
            }

            /// Changes several fields at once. What has really changed is found by comparison.
            pub fn modify<__R>(
                &mut self,
                change: impl ::core::ops::FnOnce(&mut $session) -> __R,
            ) -> __R {
                self.0.modify(change)
            }

            /// The same session without its struct, for code that ends or renews sessions of any kind.
            pub fn handle(&self) -> &::actix_typed_session::SessionHandle {
                self.0.handle()
            }
        }
    };
}

#[allow(missing_docs, reason = "most are documented where the generated structs call them")]
impl<T: Session> Tracked<T> {
    /// Reads the struct from a loaded session.
    pub(super) fn open(handle: SessionHandle) -> Result<Self, SessionError> {
        let value = read(handle.fields())?;
        let generation = handle.fields().generation();
        Ok(Self { value, handle, generation })
    }

    /// Reads the stored fields again if another extractor changed them. Fields that are not stored
    /// stay.
    fn refresh(&mut self) {
        let generation = self.handle.fields().generation();
        if self.generation == generation {
            return;
        }
        self.generation = generation;
        let mut latest = read(self.handle.fields()).unwrap_or_else(|_| T::fresh());
        T::visit(&mut Swap { one: &mut self.value, other: &mut latest });
    }

    /// What the struct changed itself needs no refresh.
    fn is_current(&mut self) {
        self.generation = self.handle.fields().generation();
    }

    /// Gives a field a value, unless that cannot be stored.
    pub fn set<F>(&mut self, field: &'static Field<T, F>, value: F) {
        self.refresh();
        let current = (field.get_mut)(&mut self.value);
        let after = (field.snapshot)(&value);
        // Only a sum is recorded by what it was before; any other field is compared to what is stored.
        let before = match &after {
            Snapshot::Sum(_) => Some((field.snapshot)(current)),
            Snapshot::Value(_) | Snapshot::Failed(_) => None,
        };
        if !matches!(after, Snapshot::Failed(_)) {
            *current = value;
        }
        let fields = self.handle.fields();
        record_change(fields, field, before, after, || (field.snapshot)(&field.fresh()));
        self.is_current();
    }

    /// Lends a field out for changes in place.
    pub fn edit<F>(&mut self, field: &'static Field<T, F>) -> FieldMut<'_, F> {
        self.refresh();
        FieldMut {
            value: (field.get_mut)(&mut self.value),
            tracking: Some(Tracking {
                handle: &self.handle,
                generation: &mut self.generation,
                field,
                snapshot: field.snapshot,
                default: field.default,
                before: None,
            }),
        }
    }

    /// Adds to a field whose writes add up.
    pub fn add<F>(&mut self, field: &'static Field<T, F>, by: F) {
        self.refresh();
        let current = (field.get_mut)(&mut self.value);
        match ((field.snapshot)(current), (field.snapshot)(&by)) {
            (Snapshot::Sum(before), Snapshot::Sum(by)) => {
                if let Ok(sum) = (field.decode)(&before.saturating_add(by).to_json()) {
                    *current = sum;
                }
                self.handle.fields().add(field, by, || number(&(field.snapshot)(&field.fresh())));
            }
            (Snapshot::Failed(error), _) | (_, Snapshot::Failed(error)) => {
                self.handle.fields().refuse(field.schema, error);
            }
            // The derive calls this for sums only.
            (Snapshot::Value(_) | Snapshot::Sum(_), _) => {}
        }
        self.is_current();
    }

    /// A field that is not stored.
    pub fn unsaved<F>(&mut self, get_mut: fn(&mut T) -> &mut F) -> &mut F {
        get_mut(&mut self.value)
    }

    /// Lends out a field that is not stored.
    pub fn edit_unsaved<F>(&mut self, get_mut: fn(&mut T) -> &mut F) -> FieldMut<'_, F> {
        FieldMut { value: get_mut(&mut self.value), tracking: None }
    }

    pub fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    pub fn regenerate(&mut self) {
        self.handle.regenerate();
        self.value = T::fresh();
        self.is_current();
    }

    pub fn renew(&mut self) {
        self.handle.renew();
    }

    pub fn destroy(&mut self) {
        self.handle.destroy();
        self.value = T::fresh();
        self.is_current();
    }

    pub async fn reload(&mut self) -> Result<(), SessionError> {
        self.handle.reload().await?;
        self.value = read(self.handle.fields())?;
        self.is_current();
        Ok(())
    }

    pub async fn save(&mut self) -> Result<(), SessionError> {
        self.handle.save().await
    }

    pub fn touch(&mut self) {
        self.handle.touch();
    }

    pub fn csrf_token(&mut self) -> String {
        self.handle.csrf_token()
    }

    pub fn set_max_age(&mut self, max_age: Duration) {
        self.handle.set_max_age(max_age);
        if self.handle.status() == Status::Destroyed {
            self.value = T::fresh();
            self.is_current();
        }
    }

    pub fn set_persistent(&mut self, persistent: bool) {
        self.handle.set_persistent(persistent);
    }

    pub fn modify<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.refresh();
        let result = modify(&mut self.value, self.handle.fields(), change);
        self.is_current();
        result
    }
}

impl<T: Session> fmt::Debug for Tracked<T> {
    /// The struct's name and the status; the values are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(T::SCHEMA.type_name).field(&self.handle.status()).finish()
    }
}

/// Swaps the stored fields of two structs.
struct Swap<'a, T> {
    one: &'a mut T,
    other: &'a mut T,
}

impl<T> Visit<T> for Swap<'_, T> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        mem::swap((field.get_mut)(self.one), (field.get_mut)(self.other));
    }
}
