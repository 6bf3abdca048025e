//! The guide: one page per job, in the order from the first session to a site in production.
//!
//! Each page begins with what you can do after it, and ends with the way to the pages before and
//! after it. [Getting started](getting_started#choose-a-store) has the table that chooses a store.
//!
//! # First steps
//!
//! | page | read it to |
//! | --- | --- |
//! | [Getting started](getting_started) | add sessions to an application, log users in, choose a store |
//! | [All settings](settings) | change a limit, the cookie or a store's behaviour |
//! | [Testing](testing) | test handlers and pages with prepared sessions |
//!
//! # Your struct
//!
//! | page | read it to |
//! | --- | --- |
//! | [Semantics](semantics) | know what is stored when, and what happens on errors |
//! | [Concurrent requests](concurrent_requests) | decide what concurrent requests do to a field |
//! | [Flash messages](flash_messages) | show a message once, on the next page |
//! | [Deploys](deploys) | change a struct while sessions are stored |
//!
//! # Your users
//!
//! | page | read it to |
//! | --- | --- |
//! | [Guards](guards) | let only some visitors use a handler; use the session in error pages |
//! | [Two sessions](two_sessions) | keep two sessions in one application, log in with OAuth |
//! | [The sessions of a user](sessions_of_a_user) | list and destroy them, limit their number, log out with single sign-on |
//! | [Cross-site requests](csrf) | know which requests of other sites are refused |
//!
//! # Clients and other crates
//!
//! | page | read it to |
//! | --- | --- |
//! | [Browsers](browsers) | know how browsers treat the cookie and your pages |
//! | [Clients](clients) | serve API clients, sign ids, run behind a proxy |
//! | [Changing the cookie](changing_the_cookie) | rename or move the cookie without logging anybody out |
//! | [Middlewares](middlewares) | wrap the middlewares in the right order |
//! | [WebSockets](websockets) | use sessions in WebSockets |
//! | [GraphQL](graphql) | use sessions in GraphQL resolvers |
//!
//! # Production
//!
//! | page | read it to |
//! | --- | --- |
//! | [Redis and Valkey](redis) | run on one server, Sentinel or a cluster |
//! | [The package for SQL](https://docs.rs/actix-typed-session-sqlx) | run on PostgreSQL, MariaDB or SQLite |
//! | [Encrypted sessions](sealing) | encrypt sessions, or keep them in the cookie |
//! | [Numbers and events](observability) | watch a site: metrics, an audit log, readiness, the log |
//! | [The command line](command_line) | list, end, check and copy sessions from a shell |
//! | [Moving to another store](moving) | outgrow a store while the site runs |
//! | [Speed](speed) | know what a session costs |
//! | [Dependencies](dependencies) | know which crates the library adds |
//! | [OWASP ASVS](asvs) | answer an auditor |
//!
//! # Coming from another library, and beyond
//!
//! | page | read it to |
//! | --- | --- |
//! | [Coming from another library](coming_from) | translate the calls of another session library |
//! | [Switching](switching) | take over the sessions that your users have |
//! | [Writing a store](writing_a_store) | keep sessions in a database of your own |

/// Makes a module of each page. Each ends with links to the pages before and after it.
macro_rules! pages {
    ($($pages:tt)+) => {
        pages_after! { () $($pages)+ }
    };
}

/// The same for the pages after one, which has a name and a title.
macro_rules! pages_after {
    (
        ($($before:tt)*)
        $page:ident $title:literal $texts:tt $(if $feature:literal)?;
        $next:ident $next_title:literal $($rest:tt)+
    ) => {
        page! { $page $texts $(if $feature)? ($($before)*) ($next $next_title) }
        pages_after! { ($page $title) $next $next_title $($rest)+ }
    };
    (($($before:tt)*) $page:ident $title:literal $texts:tt $(if $feature:literal)?;) => {
        page! { $page $texts $(if $feature)? ($($before)*) () }
    };
}

/// A page: the files of this folder that it is made of, with texts between them.
macro_rules! page {
    (
        $page:ident { $($kind:ident $text:literal)+ } $(if $feature:literal)?
        ($($before:ident $before_title:literal)?) ($($next:ident $next_title:literal)?)
    ) => {
        $(#[cfg(feature = $feature)])?
        $(#[doc = text!($kind $text)])+
        #[doc = concat!(
            "\n\n---\n\n",
            $("[← ", $before_title, "](crate::guide::", stringify!($before), ") · ",)?
            "[all pages](crate::guide)",
            $(" · [", $next_title, " →](crate::guide::", stringify!($next), ")",)?
        )]
        pub mod $page {}
    };
}

/// A part of a page.
macro_rules! text {
    (file $name:literal) => {
        include_str!($name)
    };
    (text $text:literal) => {
        $text
    };
}

// The tests of the workspace include and run the code that needs other crates.
pages! {
    getting_started "Getting started" { file "getting_started.md" };
    settings "All settings" { file "settings.md" };
    testing "Testing" {
        file "testing.md"
        text "\n```"
        file "testing_shop.rs"
        text "```"
    } if "testing";
    semantics "Semantics" { file "semantics.md" };
    concurrent_requests "Concurrent requests" { file "concurrent_requests.md" };
    flash_messages "Flash messages" { file "flash_messages.md" };
    deploys "Deploys" { file "deploys.md" };
    guards "Guards" { file "guards.md" };
    two_sessions "Two sessions" { file "two_sessions.md" };
    sessions_of_a_user "The sessions of a user" { file "sessions_of_a_user.md" };
    csrf "Cross-site requests" { file "csrf.md" };
    browsers "Browsers" { file "browsers.md" };
    clients "Clients" { file "clients.md" };
    changing_the_cookie "Changing the cookie" { file "changing_the_cookie.md" };
    middlewares "Middlewares" {
        file "middlewares.md"
        text "```ignore"
        file "middlewares_site.rs"
        text "```"
        file "middlewares_2.md"
    };
    websockets "WebSockets" {
        file "websockets.md"
        text "```ignore"
        file "websockets_chat.rs"
        text "```"
        file "websockets_2.md"
    };
    graphql "GraphQL" {
        file "graphql.md"
        text "```ignore"
        file "graphql_snapshot.rs"
        text "```"
        file "graphql_2.md"
        text "```ignore"
        file "graphql_session.rs"
        text "```"
    };
    redis "Redis and Valkey" { file "redis.md" } if "redis";
    sealing "Encrypted sessions" { file "sealing.md" } if "encryption";
    observability "Numbers and events" {
        file "observability.md"
        text "```ignore"
        file "observability_prometheus.rs"
        text "```"
        file "observability_2.md"
        text "```ignore"
        file "observability_metrics.rs"
        text "```"
        file "observability_3.md"
        text "```ignore"
        file "observability_otel.rs"
        text "```"
        file "observability_4.md"
    };
    command_line "The command line" { file "command_line.md" };
    moving "Moving to another store" { file "moving.md" };
    speed "Speed" {
        file "speed.md"
        file "growth.svg"
    };
    dependencies "Dependencies" { file "dependencies.md" };
    asvs "OWASP ASVS" { file "asvs.md" };
    coming_from "Coming from another library" { file "coming_from.md" };
    switching "Switching" { file "switching.md" };
    writing_a_store "Writing a store" { file "writing_a_store.md" };
}
