//! One file a target.

pub mod certificate;
pub mod client_hello;
pub mod cookie_header;
pub mod forwarding;
pub mod header_list;
pub mod http2_frames;
pub mod proxy_protocol;
pub mod request_head;
pub mod reverse;
pub mod routes;
pub mod set_cookie;
pub mod target;
pub mod token;
