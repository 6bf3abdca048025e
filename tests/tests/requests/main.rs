//! What a request does to its session, and the response to the client, over real sockets.

mod abandoned;
mod concurrency;
mod cookie_path;
mod exporters;
mod fixtures;
mod flash;
mod former_cookie;
mod graphql;
mod guards;
mod http;
mod import;
mod layers;
mod limits;
mod many_sessions;
mod middlewares;
mod node;
mod observe;
mod order;
mod remember_me;
mod renamed;
mod renewal;
mod sessions;
mod transport;
mod websockets;
