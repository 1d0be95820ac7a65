use std::sync::Arc; use bytes::Bytes; use pingora::http::RequestHeader; use crate::dispatch::PoolSite;
pub struct Mirror; pub struct Copy;
impl Mirror { pub fn new(target: Arc<PoolSite>, ratio: f64) -> Self {todo!()} pub fn wants(&self) -> bool {todo!()} pub fn begin(self: &Arc<Self>, head: RequestHeader, has_body: bool) -> Copy {todo!()} }
impl Copy { pub fn piece(&mut self, body: &Bytes) {todo!()} pub fn end(self) {todo!()} }
