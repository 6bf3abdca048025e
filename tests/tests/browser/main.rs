//! The examples, and the library in Chromium.

mod cross_origin;
mod examples;
mod oauth;
mod pages;
