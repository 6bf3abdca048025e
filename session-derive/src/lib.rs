//! The derive macro of `actix-typed-session`. Use it through that crate, which re-exports it and
//! documents it with examples.

mod expand;
mod model;
mod parse;
mod receiver;

use proc_macro::TokenStream;

/// Makes a struct a session: generates its accessors, which record every write.
///
/// For a struct `Visitor` it generates `impl Session for Visitor` and the struct `VisitorSession`,
/// which [`TypedSession<Visitor>`](https://docs.rs/actix-typed-session) derefs to. Fields are read
/// directly and written through the accessors, each as visible as its field:
///
/// | accessor | for | does |
/// | --- | --- | --- |
/// | `f() -> &F` | every field | reads, as field access does |
/// | `set_f(F)` | every field | writes |
/// | `f_mut() -> FieldMut<F>` | every field | lends the field out; a change is recorded when the guard is dropped |
/// | `take_f() -> F` | `Option` fields | takes the value and leaves `None` |
/// | `add_f(F)` | `merge = "add"` fields | adds |
///
/// Each stored field needs `Serialize`, `Deserialize` without borrowed data, and `Default` (or
/// `#[session(default = …)]`).
///
/// # Attributes of the struct
///
/// | `#[session(…)]` | meaning |
/// | --- | --- |
/// | `namespace = "shop"` | the fields are stored as `shop.f`, apart from other structs' fields of the same name |
/// | `fields = "Name"` | the name of the generated struct |
/// | `strict` | a stored value that does not decode is an error of the extraction; by default the struct reads as fresh |
/// | `cookie = "admin"` | the session of this cookie, where middlewares are nested |
///
/// # Attributes of a field
///
/// | `#[session(…)]` | meaning |
/// | --- | --- |
/// | `default` | an absent field is `Default::default()`, as without this |
/// | `default = expression` | an absent field has this value |
/// | `rename = "name"` | the name in the store |
/// | `alias = "name"` | a name that it had in the store before; may be repeated |
/// | `skip` | the field is not stored; it has its default in each request |
/// | `accessor = "name"` | the accessors are `name()`, `set_name(…)` and so on |
/// | `merge = "last_write"` | of two requests that change the field at once, the later one wins; so without this |
/// | `merge = "add"` | the field is a number, and two requests that change it at once add up |
/// | `privilege` | a change renews the session's id, and nothing of the session is readable under the old one |
/// | `lenient` | a stored value that does not decode resets this field alone, even in a `strict` struct |
#[proc_macro_derive(Session, attributes(session))]
pub fn derive_session(input: TokenStream) -> TokenStream {
    let (input, mut errors) = parse::parse(syn::parse_macro_input!(input));
    let model = model::check(input, &mut errors);
    // The code is generated even after a mistake, so that what uses it makes no errors of its own.
    let mut tokens = expand::expand(&model);
    tokens.extend(errors.into_compile_errors());
    tokens.into()
}
