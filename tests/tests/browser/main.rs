//! The examples, and the library in Chromium.

mod cross_origin;
mod examples;
mod former_cookie;
mod oauth;
mod pages;
mod shop;
mod sso;
