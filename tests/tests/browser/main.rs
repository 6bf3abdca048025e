//! The examples, and the library in Chromium.

mod examples;
mod oauth;
mod pages;
