//! The derive macro of `actix-typed-session`. Use it through that crate, which re-exports it and
//! documents it with examples.

mod duration;
mod expand;
mod methods;
mod model;
mod parse;
mod receiver;

use proc_macro::TokenStream;

/// Makes a struct a session: generates its accessors, which record every write.
///
/// For a struct `Visitor` it generates `impl Session for Visitor` and the struct `VisitorSession`,
/// which `TypedSession<Visitor>` is another name for. Fields are read directly and written through the
/// accessors, each as visible as its field:
///
/// | accessor | for | does |
/// | --- | --- | --- |
/// | `f() -> &F` | every field | reads, as field access does |
/// | `set_f(F)` | every field | writes |
/// | `f_mut() -> FieldMut<F>` | every field | lends the field out; a change is recorded when the guard is dropped |
/// | `take_f() -> F` | `Option` fields | takes the value and leaves `None` |
/// | `add_f(F)` | `merge = "add"` fields | adds |
///
/// ```
/// use actix_typed_session::{Session, TypedSession};
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(merge = "add")]
///     views: u64,
///     search: Option<String>,
///     cart: Vec<u32>,
/// }
///
/// async fn handler(mut session: TypedSession<Visitor>) -> String {
///     session.set_views(session.views + 1);
///     session.add_views(1);
///     session.cart_mut().push(7);
///     let search: Option<String> = session.take_search();
///     format!("{} views, {} items, {search:?}", session.views, session.cart().len())
/// }
/// ```
///
/// The struct has named fields and owns its data; it may have type and const parameters, and no
/// lifetimes. Each stored field needs `Serialize`, `Deserialize` without borrowed data, and `Default`
/// (or `#[session(default = …)]`).
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
/// ```
/// use actix_typed_session::{Session, TypedSession};
///
/// /// Stored as `shop.cart`. `TypedSession<Shop>` is called `ShopAccessors`.
/// #[derive(Session)]
/// #[session(namespace = "shop", fields = "ShopAccessors")]
/// struct Shop {
///     cart: Vec<u32>,
/// }
///
/// impl ShopAccessors {
///     fn put(&mut self, item: u32) {
///         self.cart_mut().push(item);
///     }
/// }
///
/// /// The session of the middleware whose cookie is called `admin`. If it does not decode, the
/// /// administrator gets an error, and not an empty session.
/// #[derive(Session)]
/// #[session(cookie = "admin", strict)]
/// struct Admin {
///     user_id: Option<i64>,
/// }
/// # async fn handler(mut shop: TypedSession<Shop>) { shop.put(1) }
/// ```
///
/// # Attributes of a field
///
/// | `#[session(…)]` | meaning |
/// | --- | --- |
/// | `default` | an absent field is `Default::default()`, as without this |
/// | `default = expression` | an absent field has this value; `Self` is the struct |
/// | `rename = "name"` | the name in the store |
/// | `alias = "name"` | a name that it had in the store before; may be repeated |
/// | `skip` | the field is not stored; it has its default in each request |
/// | `accessor = "name"` | the accessors are `name()`, `set_name(…)` and so on |
/// | `merge = "last_write"` | of two requests that change the field at once, the later one wins; so without this |
/// | `merge = "add"` | the field is a number, and two requests that change it at once add up |
/// | `merge = "max"`, `merge = "min"` | the larger or the smaller of both values stays |
/// | `merge = "union"` | the field is a set or a map, and what either request has added or removed is added or removed |
/// | `merge = "reject"` | the later request fails with 409, and nothing of it is stored |
/// | `merge_with = function` | `fn(base: &F, theirs: F, ours: F) -> F` decides; `base` is what both have read |
/// | `privilege` | a change renews the session's id, and nothing of the session is readable under the old one |
/// | `index` | the sessions with a value of this field can be listed and ended, with `Sessions`; at most four fields, and no `merge = "add"` |
/// | `lenient` | a stored value that does not decode resets this field alone, even in a `strict` struct |
/// | `ttl = "15m"` | a value ends this long after it was written, while the session goes on; see [below](#values-that-end) |
///
/// `skip` goes with `default` and `accessor`, and with none of the others, which are about the store.
///
/// For an `index` field `f` the struct itself gets a function `by_f(&F) -> By<Self>`, as visible as the field, which
/// names the sessions with this value; `accessor = "g"` makes it `by_g`. Mark the field in every struct that has it: who
/// changes it without the mark does not tell the index.
///
/// ```
/// use actix_typed_session::{Session, SessionError, Sessions, TypedSession};
/// use serde::{Deserialize, Serialize};
/// use std::collections::BTreeSet;
///
/// fn longer(_base: &String, theirs: String, ours: String) -> String {
///     if theirs.len() > ours.len() { theirs } else { ours }
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum Theme {
///     Light,
///     Dark,
/// }
///
/// #[derive(Session)]
/// struct Visitor {
///     /// Absent from the store until it is something else than `Light`. A theme that this release
///     /// does not know reads as `Light`, too.
///     #[session(default = Theme::Light, lenient)]
///     theme: Theme,
///     /// Stored as `uid`. What older releases stored as `user` or `user_id` is read as well.
///     /// `Sessions` finds all sessions of a user.
///     #[session(rename = "uid", alias = "user", alias = "user_id", privilege, index)]
///     user_id: Option<i64>,
///     /// `session.id()` is the session's id, so the accessor has another name.
///     #[session(accessor = "order")]
///     id: Option<u32>,
///     #[session(merge = "add", default = 100)]
///     credit: i64,
///     #[session(merge = "last_write")]
///     name: String,
///     #[session(merge = "union")]
///     seen: BTreeSet<u32>,
///     #[session(merge_with = longer)]
///     draft: String,
///     /// For this request only.
///     #[session(skip)]
///     messages: Vec<String>,
/// }
///
/// async fn handler(mut session: TypedSession<Visitor>) {
///     session.set_theme(Theme::Dark);
///     session.set_user_id(Some(7));
///     session.set_order(session.id.map(|id| id + 1));
///     session.add_credit(-5);
///     session.messages_mut().push("welcome".to_owned());
/// }
///
/// async fn log_out_everywhere(sessions: Sessions<Visitor>) -> Result<u64, SessionError> {
///     sessions.end_all(&Visitor::by_user_id(&Some(7))).await
/// }
/// ```
///
/// # Values that end
///
/// A field with a `ttl` reads as its default once this time has passed since it was written, by the
/// middleware's clock. The time is made of `ms`, `s`, `m`, `h` and `d`: `"500ms"`, `"90s"`, `"15m"`,
/// `"1h 30m"`. It is for what must not last as long as the session does: that the user has just proved who
/// they are (OWASP ASVS 5.0, 7.5, asks for it before sensitive operations), or a one-time code (6.5).
///
/// ```
/// use actix_typed_session::{Session, TypedSession};
///
/// #[derive(Session)]
/// struct Account {
///     #[session(privilege)]
///     user_id: Option<i64>,
///     /// The password was given again a moment ago.
///     #[session(privilege, ttl = "15m")]
///     is_sure: bool,
///     /// Of two requests that redeem the code at once, one fails.
///     #[session(ttl = "10m", merge = "reject")]
///     code: Option<String>,
/// }
///
/// async fn redeem(mut session: TypedSession<Account>, code: String) -> &'static str {
///     match session.take_code() {
///         Some(expected) if expected == code => {
///             session.set_is_sure(true);
///             "now you may"
///         }
///         _ => "wrong or too late",
///     }
/// }
/// ```
///
/// - `set_f` always begins the time anew, even with an equal value. `f_mut` and `modify` begin it anew if they
///   change the value, and leave it alone otherwise; so a counter of attempts is a field of its own. The
///   default ends the value at once and stores nothing.
/// - A request sees the value that was good when it extracted the session, until it reloads or extracts it
///   once more. What it has seen end stays ended, also if the clock is set back meanwhile.
/// - An ended value is not removed from the store until the field is written or the session ends.
/// - With `privilege`, writing the field renews the session's id. That it ends by itself does not.
/// - A value that was stored before the field had a `ttl` has no end that anybody knows, and reads as the
///   default. One that was stored with a `ttl` does not decode when the attribute is gone. Another time in a
///   later release is for values written then.
/// - `merge` is `"last_write"` or `"reject"`: values that end at different times cannot be merged.
#[proc_macro_derive(Session, attributes(session))]
pub fn derive_session(input: TokenStream) -> TokenStream {
    let (input, mut errors) = parse::parse(syn::parse_macro_input!(input));
    let model = model::check(input, &mut errors);
    // The code is generated even after a mistake, so that what uses it makes no errors of its own.
    let mut tokens = expand::expand(&model);
    tokens.extend(errors.into_compile_errors());
    tokens.into()
}
