//! SPEC section 8: what is sent bit by bit arrives bit by bit, and what a user of curl would try.

mod curl;
mod events;
mod ranges;
