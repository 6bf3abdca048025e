//! The Redis store on real servers: one, a cluster, and one behind sentinels.

mod costs;
mod hostile;
mod index;
mod laws;
mod listing;
mod local_cache;
mod parts;
mod renewals;
mod server;
mod together;
mod values;
