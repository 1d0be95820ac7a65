//! Bodies as they come (RFC 9113 section 6.1).

use super::super::State;
use super::super::stream::{Loss, Remote, Stream};
use super::Around;
use crate::http::wire::http2::frames::{
    END_STREAM, ErrorCode, Head, PADDED, cut, write_window_update,
};
use crate::http::wire::http2::meter::Fault;

const BODY_FIRST: &str = "a body before its header";
pub const OTHER_LENGTH: &str = "a body of another length than its Content-Length says";

/// A piece of a body that comes.
#[derive(Debug, Clone, Copy)]
pub struct DataFrame {
    stream: u32,
    /// Bytes of it that are still to come, and of padding behind them.
    left: usize,
    padding: usize,
    ends: bool,
}

impl State {
    /// A piece of a body begins. `None`: not all that has to be known of it has come.
    pub(super) fn begin_data<'b>(
        &mut self,
        head: Head,
        payload: &'b [u8],
        around: &mut Around<'_>,
    ) -> Result<Option<&'b [u8]>, Fault> {
        let (mut rest, mut padding, mut left) = (payload, 0, head.length);
        if head.has(PADDED) {
            let Some((length, payload)) = payload.split_first() else {
                return Ok(None);
            };
            (padding, rest) = (usize::from(*length), payload);
            let beside = left.checked_sub(1 + padding);
            left = beside.ok_or(Fault::Protocol)?;
        }
        self.weigh(head, around.now)?;
        let (id, ends) = (head.stream, head.has(END_STREAM));
        if self.receiving.is_idle(id) {
            return Err(Fault::Protocol);
        }
        if !self.window.spend(head.length) {
            return Err(Fault::FlowControl);
        }
        // Padding needs no room.
        self.release(head.length - left);
        let is_open = |stream: &&mut Stream| matches!(stream.remote, Remote::Open);
        if let Some(stream) = self.get(id).filter(is_open) {
            let admitted = stream.admit(head.length, left, ends);
            let more = stream.window.release(head.length - left);
            if let Some(more) = more.filter(|_| !ends) {
                write_window_update(id, more, self.sending.out());
            }
            if let Err((code, loss)) = admitted {
                self.reset(id, code, loss, around.wakers);
            }
        } else if !self.receiving.is_given_up(id) {
            self.note_late(id, around.wakers)?;
        }
        self.receiving.data = Some(DataFrame {
            stream: id,
            left,
            padding,
            ends,
        });
        self.take_data(&mut rest, around);
        Ok(Some(rest))
    }

    /// Takes what has come of a piece of a body.
    pub(super) fn take_data(&mut self, bytes: &mut &[u8], around: &mut Around<'_>) {
        let Some(mut data) = self.receiving.data.take() else {
            return;
        };
        let (part, rest) = cut(bytes, data.left);
        let (padding, rest) = cut(rest, data.padding);
        *bytes = rest;
        data.left -= part.len();
        if data.left == 0 {
            data.padding -= padding.len();
        }
        let is_whole = data.left == 0 && data.padding == 0;
        let (id, ends) = (data.stream, data.ends && is_whole);
        if !is_whole {
            self.receiving.data = Some(data);
        }
        let Some(stream) = (self.get(id)).filter(|stream| matches!(stream.remote, Remote::Open))
        else {
            self.release(part.len());
            if ends {
                self.receiving.note_ended(id);
            }
            return;
        };
        let mut unwanted = 0;
        if stream.is_served() {
            stream.body.push(part);
        } else {
            unwanted = part.len();
        }
        if ends {
            stream.remote = Remote::Ended(None);
        }
        if ends || !part.is_empty() {
            around.wakers.extend(stream.waker.take());
        }
        if unwanted > 0 {
            self.release_of(id, unwanted);
        }
        self.remove_if_over(id);
    }

    /// So many bytes of a stream's body need no room any more.
    pub(in super::super) fn release_of(&mut self, id: u32, bytes: usize) {
        self.release(bytes);
        let Some(stream) = self.get(id) else { return };
        let more = stream.window.release(bytes);
        let is_open = matches!(stream.remote, Remote::Open);
        if let Some(more) = more.filter(|_| is_open) {
            write_window_update(id, more, self.sending.out());
        }
    }
}

impl Stream {
    /// A piece of the body comes: a frame of `length` bytes with `data` bytes of it.
    fn admit(&mut self, length: usize, data: usize, ends: bool) -> Result<(), (ErrorCode, Loss)> {
        if !self.window.spend(length) {
            let loss = Loss::Malformed(Fault::FlowControl.words());
            return Err((ErrorCode::FlowControl, loss));
        }
        if self.response.as_ref().is_some_and(|it| !it.has_begun()) {
            return Err((ErrorCode::Protocol, Loss::Malformed(BODY_FIRST)));
        }
        if let Some(left) = &mut self.length {
            let less = left.checked_sub(data as u64);
            let is_right = less.is_some_and(|less| !ends || less == 0);
            if !is_right {
                // Section 8.1.1.
                return Err((ErrorCode::Protocol, Loss::Malformed(OTHER_LENGTH)));
            }
            *left = less.unwrap_or_default();
        }
        Ok(())
    }
}
