//! Modules in which the names of the prelude mean something else.

#![no_implicit_prelude]

mod types {
    #![allow(dead_code)]

    use ::actix_typed_session::{Session, TypedSession};

    pub struct Result;
    pub struct Vec;
    pub struct Box;
    pub trait Default {}
    pub trait Clone {}
    pub trait Into {}
    pub trait From {}
    pub trait Fn {}
    pub trait FnOnce {}
    pub trait Send {}
    pub trait Sync {}
    pub trait Sized {}
    pub trait Drop {}
    pub trait Iterator {}
    pub trait Deref {}
    pub trait Debug {}
    pub trait FromRequest {}

    #[derive(::core::default::Default, ::serde::Serialize, ::serde::Deserialize)]
    pub struct String(::core::primitive::u8);

    #[derive(::core::default::Default, ::serde::Serialize, ::serde::Deserialize)]
    pub enum Option<T> {
        #[default]
        Nothing,
        Something(T),
    }

    #[derive(Session)]
    pub struct Visitor {
        pub name: String,
        pub choice: Option<::core::primitive::u64>,
        #[session(privilege)]
        pub standard: ::std::option::Option<::std::string::String>,
        #[session(merge = "add")]
        pub views: ::core::primitive::u64,
        #[session(skip)]
        pub scratch: ::std::vec::Vec<()>,
    }

    pub fn handler(mut session: TypedSession<Visitor>) {
        session.set_views(session.views + 1);
        session.add_views(1);
        session.set_choice(Option::Something(1));
        let _: ::core::option::Option<::std::string::String> = session.take_standard();
        let _: Option<::core::primitive::u64> = session.take_choice();
    }
}

mod values {
    #![allow(dead_code, non_snake_case, non_upper_case_globals)]

    use ::actix_typed_session::Session;

    pub fn Some() {}
    pub fn Ok() {}
    pub fn Err() {}
    pub const None: ::core::primitive::u8 = 0;

    #[macro_export]
    macro_rules! unimplemented {
        () => {
            compile_error!("not this one")
        };
    }

    #[derive(Session)]
    #[session(cookie = "admin", strict)]
    pub struct Visitor {
        pub a: ::std::option::Option<::core::primitive::u8>,
    }
}

mod result_alias {
    #![allow(dead_code)]

    use ::actix_typed_session::Session;

    pub type Result<T> = ::core::result::Result<T, ::std::string::String>;
    pub type Option<T> = ::core::option::Option<::std::boxed::Box<T>>;

    #[derive(Session)]
    pub struct Visitor {
        pub choice: Option<::core::primitive::u64>,
    }
}

fn main() {
    let _ = types::handler;
    let _ = values::VisitorSession::id;
    let _ = result_alias::VisitorSession::take_choice;
}
