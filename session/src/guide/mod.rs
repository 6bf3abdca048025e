//! The guide: how to begin, what is guaranteed, how clients present their sessions, how to list and end the sessions of a user,
//! how to run it on Redis, how to encrypt it, what it costs, how to write a store, and where to find what other libraries call
//! otherwise.

#[doc = include_str!("getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("semantics.md")]
pub mod semantics {}

#[doc = include_str!("browsers.md")]
pub mod browsers {}

#[doc = include_str!("concurrent_requests.md")]
pub mod concurrent_requests {}

#[doc = include_str!("clients.md")]
pub mod clients {}

#[doc = include_str!("sessions_of_a_user.md")]
pub mod sessions_of_a_user {}

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

#[cfg(feature = "sealed")]
#[doc = include_str!("sealing.md")]
pub mod sealing {}

#[cfg(feature = "redis")]
#[doc = include_str!("redis.md")]
pub mod redis {}
