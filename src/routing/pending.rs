#![allow(unused)]
use super::path::NormalPath;
use crate::config::model;
use crate::config::model::*;
use crate::headers::HeadersMut;
use http::{HeaderMap, HeaderValue, Method};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub struct Values<'a> {
    pub https: bool,
    pub host: &'a str,
    pub port: u16,
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub method: &'a Method,
    pub client: IpAddr,
    pub peer: IpAddr,
    pub request_id: &'a str,
    pub listener: &'a str,
    pub route: &'a str,
    pub tls_version: Option<&'a str>,
    pub tls_cipher: Option<&'a str>,
    pub sni: Option<&'a str>,
    pub headers: &'a HeaderMap,
}
pub fn expand(template: &Template, values: &Values<'_>) -> Option<HeaderValue> {
    todo!()
}
pub fn apply(edits: &HeaderEdits, message: &mut impl HeadersMut, values: &Values<'_>) {
    todo!()
}
pub fn rewritten(
    rewrite: &PathRewrite,
    path: &NormalPath<'_>,
    taken: usize,
    query: Option<&[u8]>,
) -> Option<Vec<u8>> {
    todo!()
}
pub struct Reverse<'a> {
    pub rewrite: &'a model::Rewrite,
    pub original_prefix: &'a [u8],
    pub https: bool,
    pub client_authority: &'a str,
    pub server_authorities: [&'a str; 2],
}
impl Reverse<'_> {
    pub fn map(&self, response: &mut impl HeadersMut) {
        todo!()
    }
}
pub struct Schedule;
impl Schedule {
    pub fn new(weights: &[u16]) -> Self {
        todo!()
    }
    pub fn next(&self) -> usize {
        todo!()
    }
}
