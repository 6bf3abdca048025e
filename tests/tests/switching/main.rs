//! Sites that were served by another program, which really runs and logs visitors in.

mod express;
mod synapps;
