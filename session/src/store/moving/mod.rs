//! A store that moves a site's sessions to another store while the site runs.

mod capabilities;
mod index_pages;
mod move_all;
mod stage;
mod steps;
mod store;

pub use store::MovingStore;
