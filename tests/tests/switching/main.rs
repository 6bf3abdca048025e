//! Sites that were served by another program, which really runs and logs visitors in.

mod actix;
mod express;
mod moving;
mod synapps;
