//! The methods that every generated struct has besides the accessors of its fields.
//!
//! This is their only list. No accessor can have the name of one of them, so [`names`] reads the
//! names from the code.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

/// Generates the methods. `session` is the type of the session struct.
pub(crate) fn code(session: &TokenStream) -> TokenStream {
    [found(session), ids(), storage(), csrf(), lifetime(), whole_struct(session)]
        .into_iter()
        .collect()
}

/// The names of the methods.
pub(crate) fn names() -> HashSet<String> {
    let code: Vec<TokenTree> = code(&TokenStream::new()).into_iter().collect();
    let name = |pair: &[TokenTree]| match pair {
        [TokenTree::Ident(keyword), TokenTree::Ident(name)] if keyword == "fn" => {
            Some(name.to_string())
        }
        _ => None,
    };
    code.windows(2).filter_map(name).collect()
}

fn found(session: &TokenStream) -> TokenStream {
    quote! {
        /// The session that an extractor of this request has loaded already: for error pages, log
        /// lines and responders. It does not ask the store.
        ///
        /// `None` if no extractor has loaded the session, and outside of its middleware, where the
        /// response is closed. See
        /// [`TypedSession`](::actix_typed_session::TypedSession#without-an-extractor).
        #[must_use]
        pub fn of(
            request: &::actix_typed_session::__private::HttpRequest,
        ) -> ::core::option::Option<Self> {
            ::actix_typed_session::__private::loaded::<#session>(request)
        }
    }
}

fn ids() -> TokenStream {
    quote! {
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
    }
}

fn storage() -> TokenStream {
    quote! {
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
    }
}

fn csrf() -> TokenStream {
    quote! {
        /// A token for the page's forms, which proves that they were made for this session. A
        /// visitor without a session gets one with it.
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
    }
}

fn lifetime() -> TokenStream {
    quote! {
        /// How long the session lives from now on if no request uses it.
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

        /// Lets this session's cookie outlive the browser, or not.
        ///
        /// For a "remember me" checkbox, see
        /// [`SessionHandle::remember_for`](::actix_typed_session::SessionHandle::remember_for).
        pub fn set_persistent(&mut self, persistent: bool) {
            self.0.set_persistent(persistent);
        }
    }
}

fn whole_struct(session: &TokenStream) -> TokenStream {
    quote! {
        /// Changes several fields at once. What has really changed is found by comparison.
        pub fn modify<__R>(
            &mut self,
            change: impl ::core::ops::FnOnce(&mut #session) -> __R,
        ) -> __R {
            self.0.modify(change)
        }

        /// The same session without its struct, for code that ends or renews sessions of any kind.
        pub fn handle(&self) -> &::actix_typed_session::SessionHandle {
            self.0.handle()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_generated_methods() {
        let names = names();
        assert_eq!(names.len(), 17, "{names:?}");
        for name in ["of", "id", "reload", "csrf_token", "set_persistent", "modify", "handle"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
