//! Structs in functions, in macros, with `cfg` on fields, in deep modules.

#![allow(clippy::non_minimal_cfg, reason = "conditions that are always and never true")]

use actix_typed_session::{Session, TypedSession};

macro_rules! session {
    ($(#[$attr:meta])* $vis:vis $name:ident {
        $($field:ident: $ty:ty = $default:expr, $stored:literal;)*
    }) => {
        $(#[$attr])*
        #[derive(Session)]
        $vis struct $name {
            $(
                #[session(default = $default, rename = $stored)]
                $vis $field: $ty,
            )*
        }
    };
}

session! {
    /// A session from a macro.
    pub Made {
        views: u64 = 0, "v";
        user: Option<i64> = None, "u";
    }
}

macro_rules! int {
    () => {
        u64
    };
}

#[derive(Session)]
struct Configured {
    always: int!(),
    #[cfg(any())]
    never: Unknown,
    #[cfg(all())]
    #[session(merge = "add")]
    present: u64,
    #[cfg_attr(all(), session(rename = "a"))]
    #[cfg_attr(any(), session(unknown))]
    renamed: u8,
    // Both may have the name, since there is one of them.
    #[cfg(any())]
    #[session(rename = "doubled")]
    one: u8,
    #[cfg(all())]
    #[session(rename = "doubled")]
    other: u8,
}

mod outer {
    pub mod middle {
        pub mod actix_typed_session {}
        pub mod core {}
        pub mod std {}

        #[derive(::actix_typed_session::Session)]
        pub(in crate::outer) struct Deep {
            pub(in crate::outer) a: u8,
            pub(super) b: Option<u8>,
            pub(self) c: u8,
        }

        #[derive(::actix_typed_session::Session)]
        pub struct Empty {}
    }

    pub(super) fn handler() {
        let _ = deep;
    }

    fn deep(mut session: ::actix_typed_session::TypedSession<middle::Deep>) {
        session.set_a(session.a + 1);
        let _: Option<u8> = session.take_b();
    }
}

fn handler(mut made: TypedSession<Made>, mut configured: TypedSession<Configured>) {
    #[derive(Session)]
    struct Local {
        a: u8,
    }

    fn inner(mut local: TypedSession<Local>) {
        local.set_a(1);
    }

    let _ = inner;
    let _: Option<i64> = made.take_user();
    configured.add_present(1);
    configured.set_other(configured.renamed);
}

fn main() {
    let _ = handler;
    let _ = outer::handler;
    let _ = outer::middle::EmptySession::id;
}
