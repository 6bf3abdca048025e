//! The derive macro of [`actix-typed-session`](https://docs.rs/actix-typed-session). Depend on that
//! crate, which re-exports the macro as `actix_typed_session::Session`.

mod check;
mod errors;
mod expand;
mod methods;
mod parse;

use proc_macro::TokenStream;

/// Makes a struct a session: generates its accessors, which record every write.
///
/// For a struct `Visitor` the derive generates `impl Session for Visitor` and the struct
/// `VisitorSession`. `TypedSession<Visitor>` is another name for `VisitorSession`. Fields are read
/// directly and written through the accessors. Each accessor is as visible as its field:
///
/// | accessor | exists for | does |
/// | --- | --- | --- |
/// | `f() -> &F` | every field | reads, like field access |
/// | `set_f(F)` | every field | writes |
/// | `f_mut() -> FieldMut<F>` | every field | lends a guard that records a change |
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
/// The struct has named fields and owns its data. It may have type and const parameters, but no
/// lifetimes. Each stored field needs `Serialize`, `Deserialize` without borrowed data, and
/// `Default` (or `#[session(default = …)]`).
///
/// A session is stored field by field, so attributes of serde on the struct or its fields would
/// have no effect. Each is a compile error that names the attribute to write instead. They work as
/// usual on the types of the fields.
///
/// # Attributes of the struct
///
/// Each of them is written as `#[session(…)]` above the struct.
///
/// - **`namespace = "shop"`** stores each field `f` as `shop.f`, so that two structs can have
///   fields of the same name. Defaults to no prefix.
/// - **`fields = "ShopAccessors"`** names the generated struct. Defaults to the name of the struct
///   and `Session`, as in `VisitorSession`.
/// - **`strict`** makes a stored value that does not decode an error of the extraction. By default
///   the field reads as its default instead, with a warning in the log. If it is a `privilege`, the
///   whole struct reads as fresh.
/// - **`cookie = "admin"`** selects the session of this cookie, where middlewares are nested.
///   Defaults to the session of the innermost middleware, with a warning in the log.
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
/// /// administrator gets an error instead of an empty session.
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
/// Each of them is written as `#[session(…)]` above the field.
///
/// What a field is called, and what it is when the store has no value:
///
/// - **`default = 100`** sets the value of an absent field. The expression may use `Self`, which is
///   the struct. `default` alone is `Default::default()`, like no attribute. Setting an absent
///   field to its default stores nothing. So a visitor who chooses the default gets another value
///   when a later release changes it. If the choice must stay, make the field an `Option` whose
///   default is `None`.
/// - **`rename = "uid"`** sets the name in the store. Defaults to the name of the field.
/// - **`alias = "user"`** adds a name under which an earlier release stored the field. It may be
///   repeated. It is the whole name in the store: a `namespace` does not prefix it. Defaults to
///   none. See [below](#names-that-change).
/// - **`accessor = "order"`** makes the accessors `order()`, `set_order(…)` and so on. Defaults to
///   the name of the field.
/// - **`skip`** keeps the field out of the store. The field has its default at the beginning of
///   each request. `skip` can be combined with `default` and `accessor` alone, because the other
///   attributes concern the store.
/// - **`with = "module"`** stores the field through `module::serialize` and `module::deserialize`,
///   as serde's attribute of this name does. See [below](#types-that-serde-cannot-store). It cannot
///   be combined with `merge = "add"`. Defaults to the type's `Serialize` and `Deserialize`.
///
/// What happens if two requests change the field at once:
///
/// - **`merge = "last_write"`**: the later change wins. This is the default.
/// - **`merge = "add"`**: both changes of a number add up.
/// - **`merge = "max"`**, **`merge = "min"`**: the larger or the smaller value wins.
/// - **`merge = "union"`**: what either request adds to a set or map is added, and what either
///   removes is removed.
/// - **`merge = "reject"`**: the later request fails with 409, and nothing of it is stored.
/// - **`merge_with = function`**: `fn(base: &F, theirs: F, ours: F) -> F` decides. Both requests
///   have read `base`. `theirs` is the stored value, `ours` is the value of the later request.
///
/// What else the library does with the field:
///
/// - **`privilege`** renews the session's id when the field changes. Then nothing of the session is
///   readable under the old id. Off by default.
/// - **`index`** lets `Sessions` list and end the sessions with a value of this field. At most four
///   fields of a struct can be indexed, none of them with `merge = "add"` or `ttl`. Off by default.
/// - **`flash`** makes a list of messages one whose messages are shown once. It adds
///   `take_f().await?`, which takes them out of the session. The type is a `Vec` or a `VecDeque`.
///   It cannot be combined with `default`, `with`, `merge`, `merge_with`, `privilege`, `index` and
///   `ttl`. Off by default. See the guide.
/// - **`lenient`** resets this field alone if its stored value does not decode, even if it is a
///   `privilege` or the struct is `strict`. Off by default.
/// - **`ttl = "15m"`** ends a value this long after it was written, while the session goes on. See
///   [below](#values-that-end). By default a value ends with the session.
///
/// For an `index` field `f` the struct gets a function `by_f(&F) -> IndexKey<Self>`, as visible as
/// the field. It returns the key for the sessions with this value. `accessor = "g"` makes it
/// `by_g`. Write `index` in every struct that has the field: a struct without it changes the field
/// and not the index.
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
///     /// Absent from the store while it is `Light`. A theme that this release does not have
///     /// reads as `Light`, too.
///     #[session(default = Theme::Light)]
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
///     sessions.destroy_all(&Visitor::by_user_id(&Some(7))).await
/// }
/// ```
///
/// # Names that change
///
/// A field is read under its name, or else under the first alias that is stored. The first write
/// moves it to its name. So a field or a namespace can be renamed while sessions are stored:
///
/// ```
/// use actix_typed_session::Session;
///
/// /// The first release had no namespace, the second one had `market`.
/// #[derive(Session)]
/// #[session(namespace = "shop")]
/// struct Shop {
///     #[session(alias = "market.cart", alias = "cart")]
///     cart: Vec<u32>,
/// }
/// ```
///
/// A test can check that no release loses what is stored: `Shop::check_stored_schema("shop.json")`
/// with the feature `testing`.
///
/// # Types that serde cannot store
///
/// A session is stored as JSON. `with` names a module that writes and reads a type for which serde
/// or JSON has no form. Modules of other crates work too, such as `time::serde::rfc3339`, and so do
/// types with these two functions, such as `serde_with::As::<DisplayFromStr>`.
///
/// ```
/// use actix_typed_session::Session;
/// use std::collections::HashMap;
///
/// /// Stores a map as a list of pairs, because the keys of JSON maps are strings.
/// mod pairs {
///     use serde::{Deserialize, Deserializer, Serializer};
///     use std::collections::HashMap;
///
///     type Board = HashMap<(u8, u8), char>;
///
///     pub fn serialize<S: Serializer>(board: &Board, serializer: S) -> Result<S::Ok, S::Error> {
///         serializer.collect_seq(board)
///     }
///
///     pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Board, D::Error> {
///         Ok(Vec::deserialize(deserializer)?.into_iter().collect())
///     }
/// }
///
/// #[derive(Session)]
/// struct Game {
///     #[session(with = "pairs")]
///     board: HashMap<(u8, u8), char>,
/// }
/// ```
///
/// An `index` field is found by the JSON that the module writes. A field of type
/// `Option<Option<V>>` needs no module: the derive stores its `Some(value)` as `[value]`, because
/// JSON has one `null` for `Some(None)` and `None`.
///
/// # Values that end
///
/// A field with a `ttl` reads as its default once this time has passed since it was written, by the
/// middleware's clock. The time consists of whole numbers with the units `ms`, `s`, `m` (minutes),
/// `h` and `d`: `"500ms"`, `"90s"`, `"15m"`, `"1h 30m"`.
///
/// Use it for what must end before the session does. One example is that the user has just proved
/// who they are, which OWASP ASVS 5.0, 7.5, requires before sensitive operations. Another is a
/// one-time code (6.5).
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
///     /// If two requests redeem the code at once, one of them fails.
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
/// - `set_f` always restarts the time, even with an equal value. `f_mut` and `modify` restart it if
///   they change the value, and otherwise leave it alone. So keep a counter of attempts in another
///   field. Writing the default ends the value at once and stores nothing.
/// - A request sees the value that was good when it extracted the session, until it reloads the
///   session or extracts it again. A value that it has seen end stays ended, even if the clock is
///   set back.
/// - An ended value stays in the store until the field is written or the session ends.
/// - With `privilege`, writing the field renews the session's id. The end of its time does not.
/// - A value that was stored before the field had a `ttl` has no known end, and reads as the
///   default. A value that was stored with a `ttl` does not decode after the attribute is removed.
///   If a later release changes the time, values that are already stored keep theirs.
/// - `merge` is `"last_write"` or `"reject"`: values that end at different times cannot be merged.
#[proc_macro_derive(Session, attributes(session, serde))]
pub fn derive_session(input: TokenStream) -> TokenStream {
    let (input, mut errors) = parse::input::parse(syn::parse_macro_input!(input));
    let model = check::session::check(input, &mut errors);
    // Code is generated even after a mistake, to avoid follow-up errors in the code that uses it.
    let mut tokens = expand::expand(&model);
    tokens.extend(errors.into_compile_errors());
    tokens.into()
}

/// The code of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
