//! Cookies, headers, the additions of proxies, and form tokens, as clients may send them. A client
//! reads a session only if it sends the true id, and every response is well-formed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use site::{IdInHeader, Keeps, Setting, Sites};

const PLAIN: Setting = Setting {
    cookie: "__Host-session",
    keeps: Keeps::AtHand,
    is_signed: false,
    header: IdInHeader::No,
    follows_connection: false,
    persistent: false,
};

thread_local! {
    static SITES: Sites = Sites::new([
        PLAIN,
        Setting { is_signed: true, keeps: Keeps::Away, ..PLAIN },
        Setting { header: IdInHeader::Bearer, persistent: true, ..PLAIN },
        Setting { header: IdInHeader::Named, cookie: "sid", is_signed: true, ..PLAIN },
        Setting { follows_connection: true, keeps: Keeps::Away, ..PLAIN },
        Setting { follows_connection: true, is_signed: true, header: IdInHeader::Bearer, ..PLAIN },
    ]);
}

fuzz_target!(|input: &[u8]| SITES.with(|sites| sites.check(input)));
