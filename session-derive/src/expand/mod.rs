//! From a [`Model`] to code. Nothing can fail here.

mod accessors;
mod constants;
mod description;
mod generics;
mod glue;
mod quiet;
mod session;
mod with;

use proc_macro2::TokenStream;
use quote::quote;

use crate::check::model::Model;

/// Generates the code for a session struct.
pub(crate) fn expand(model: &Model) -> TokenStream {
    let generics = generics::Parameters::new(model);
    let with = with::with(model, &generics);
    let constants = constants::constants(model, &generics);
    let accessors = accessors::accessors(model, &generics);
    let glue = glue::glue(model, &generics);
    let session = session::session(model, &generics);
    quote! { #with #constants #accessors #glue #session }
}
