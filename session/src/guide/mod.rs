//! The guide: one page per task, from the first session to running on Redis.
//!
//! | you want to | read |
//! | --- | --- |
//! | add sessions to an application and choose a store | [`getting_started`] |
//! | change a limit, the cookie or a store's behaviour | [`settings`] |
//! | know what is stored when, and what happens on errors | [`semantics`] |
//! | decide what concurrent requests do to a field | [`concurrent_requests`] |
//! | know how browsers treat the cookie and your pages | [`browsers`] |
//! | know which requests of other sites are refused | [`csrf`] |
//! | serve API clients, sign ids, run behind a proxy | [`clients`] |
//! | rename or move the cookie without logging anybody out | [`changing_the_cookie`] |
//! | keep two sessions in one application, log in with OAuth | [`two_sessions`] |
//! | let only some visitors use a handler; use the session in error pages | [`guards`] |
//! | show a message once, on the next page | [`flash_messages`] |
//! | wrap the middlewares in the right order | [`middlewares`] |
//! | use sessions in WebSockets | [`websockets`] |
//! | use sessions in GraphQL resolvers | [`graphql`] |
//! | change a struct while sessions are stored | [`deploys`] |
//! | list and destroy the sessions of a user | [`sessions_of_a_user`] |
//! | list, end, check and copy sessions from a shell | [`command_line`] |
//! | test your site | [`testing`] |
//! | run on Redis or Valkey | [`redis`] |
//! | run on PostgreSQL or SQLite | [the SQL package](https://docs.rs/actix-typed-session-sqlx) |
//! | encrypt sessions | [`sealing`] |
//! | see numbers, keep an audit log, check health, search the log | [`observability`] |
//! | answer an auditor | [`asvs`] |
//! | know what a session costs | [`speed`] |
//! | know which crates the library adds | [`dependencies`] |
//! | write a store | [`writing_a_store`] |
//! | move from another session library | [`coming_from`] |
//! | take over the sessions of your users | [`switching`] |
//! | move to another store while the site runs | [`moving`] |

#[doc = include_str!("getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("settings.md")]
pub mod settings {}

#[doc = include_str!("semantics.md")]
pub mod semantics {}

#[doc = include_str!("concurrent_requests.md")]
pub mod concurrent_requests {}

#[doc = include_str!("browsers.md")]
pub mod browsers {}

#[doc = include_str!("csrf.md")]
pub mod csrf {}

#[doc = include_str!("clients.md")]
pub mod clients {}

#[doc = include_str!("changing_the_cookie.md")]
pub mod changing_the_cookie {}

#[doc = include_str!("two_sessions.md")]
pub mod two_sessions {}

#[doc = include_str!("guards.md")]
pub mod guards {}

#[doc = include_str!("flash_messages.md")]
pub mod flash_messages {}

// The code of these pages needs crates that the library does not have. The tests of the workspace
// include and run it.
#[doc = include_str!("middlewares.md")]
#[doc = "```ignore"]
#[doc = include_str!("middlewares_site.rs")]
#[doc = "```"]
#[doc = include_str!("middlewares_2.md")]
pub mod middlewares {}

#[doc = include_str!("websockets.md")]
#[doc = "```ignore"]
#[doc = include_str!("websockets_chat.rs")]
#[doc = "```"]
#[doc = include_str!("websockets_2.md")]
pub mod websockets {}

#[doc = include_str!("graphql.md")]
#[doc = "```ignore"]
#[doc = include_str!("graphql_snapshot.rs")]
#[doc = "```"]
#[doc = include_str!("graphql_2.md")]
#[doc = "```ignore"]
#[doc = include_str!("graphql_session.rs")]
#[doc = "```"]
pub mod graphql {}

#[doc = include_str!("deploys.md")]
pub mod deploys {}

#[doc = include_str!("sessions_of_a_user.md")]
pub mod sessions_of_a_user {}

#[doc = include_str!("command_line.md")]
pub mod command_line {}

#[cfg(feature = "testing")]
#[doc = include_str!("testing.md")]
#[doc = "\n```"]
#[doc = include_str!("testing_shop.rs")]
#[doc = "```"]
pub mod testing {}

#[cfg(feature = "redis")]
#[doc = include_str!("redis.md")]
pub mod redis {}

#[cfg(feature = "encryption")]
#[doc = include_str!("sealing.md")]
pub mod sealing {}

// The code for other crates is included and run by the tests of the workspace.
#[doc = include_str!("observability.md")]
#[doc = "```ignore"]
#[doc = include_str!("observability_prometheus.rs")]
#[doc = "```"]
#[doc = include_str!("observability_2.md")]
#[doc = "```ignore"]
#[doc = include_str!("observability_metrics.rs")]
#[doc = "```"]
#[doc = include_str!("observability_3.md")]
#[doc = "```ignore"]
#[doc = include_str!("observability_otel.rs")]
#[doc = "```"]
#[doc = include_str!("observability_4.md")]
pub mod observability {}

#[doc = include_str!("asvs.md")]
pub mod asvs {}

#[doc = include_str!("speed.md")]
#[doc = include_str!("growth.svg")]
pub mod speed {}

#[doc = include_str!("dependencies.md")]
pub mod dependencies {}

#[doc = include_str!("writing_a_store.md")]
pub mod writing_a_store {}

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("switching.md")]
pub mod switching {}

#[doc = include_str!("moving.md")]
pub mod moving {}
