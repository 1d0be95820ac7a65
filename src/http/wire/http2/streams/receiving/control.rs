//! Frames that belong to no message (RFC 9113 sections 6.3 to 6.9).

use std::ops::RangeInclusive;
use std::task::Waker;

use super::super::stream::{Loss, Stream};
use super::super::{LAST_CALL, Peer, State};
use crate::http::wire::http2::flow::LARGEST_WINDOW;
use crate::http::wire::http2::frames::{
    ACK, ENABLE_PUSH, ErrorCode, HEADER_TABLE_SIZE, Head, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, PING, SETTING, SETTINGS, write_frame,
};
use crate::http::wire::http2::meter::Fault;

/// What becomes of a stream that is said something about which can't be.
const MALFORMED: Loss = Loss::Malformed("a frame says what it can't");
/// What may be announced to us as the largest frame (section 6.5.2).
const ANNOUNCED: RangeInclusive<u32> = (1 << 14)..=(1 << 24) - 1;

impl State {
    pub(super) fn take_priority(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        if head.stream == 0 {
            return Err(Fault::Protocol);
        }
        let Ok([a, b, c, d, _]) = <[u8; 5]>::try_from(payload) else {
            if self.receiving.is_idle(head.stream) {
                return Err(Fault::FrameSize);
            }
            self.reset(head.stream, ErrorCode::FrameSize, MALFORMED, wakers);
            return Ok(());
        };
        let depends_on = u32::from_be_bytes([a, b, c, d]) & LARGEST_WINDOW;
        if depends_on == head.stream {
            if self.receiving.is_idle(head.stream) {
                return Err(Fault::Protocol);
            }
            self.reset(head.stream, ErrorCode::Protocol, MALFORMED, wakers);
        }
        Ok(())
    }

    pub(super) fn take_reset(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        let code: [u8; 4] = payload.try_into().map_err(|_| Fault::FrameSize)?;
        if self.receiving.is_idle(head.stream) {
            return Err(Fault::Protocol);
        }
        let loss = match (self.peer, u32::from_be_bytes(code)) {
            (Peer::Client, _) => Loss::Gone,
            (Peer::Server, code) if code == ErrorCode::RefusedStream as u32 => Loss::Unprocessed,
            (Peer::Server, code) => Loss::Reset(code),
        };
        self.receiving.note_ended(head.stream);
        let is_in_vain = |stream: &mut Stream| !stream.is_closed() && stream.is_served();
        if self.get(head.stream).is_some_and(is_in_vain) {
            self.deeds.note_cancelled();
        }
        self.lose(head.stream, loss, wakers);
        Ok(())
    }

    pub(super) fn take_settings(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::Protocol);
        }
        if head.has(ACK) {
            return if payload.is_empty() {
                Ok(())
            } else {
                Err(Fault::FrameSize)
            };
        }
        let (settings, rest) = payload.as_chunks::<SETTING>();
        if !rest.is_empty() {
            return Err(Fault::FrameSize);
        }
        // Of several in one frame the last one counts, and only that one is worth a look at all streams.
        let mut window = None;
        for [n, m, a, b, c, d] in settings {
            let value = u32::from_be_bytes([*a, *b, *c, *d]);
            match u16::from_be_bytes([*n, *m]) {
                HEADER_TABLE_SIZE => self.sending.allow_table(value),
                ENABLE_PUSH if value > u32::from(self.peer == Peer::Client) => {
                    return Err(Fault::Protocol);
                }
                MAX_CONCURRENT_STREAMS if self.peer == Peer::Server => {
                    self.max_streams = usize::try_from(value).unwrap_or(usize::MAX);
                }
                INITIAL_WINDOW_SIZE if value > LARGEST_WINDOW => return Err(Fault::FlowControl),
                INITIAL_WINDOW_SIZE => window = Some(value),
                MAX_FRAME_SIZE if !ANNOUNCED.contains(&value) => {
                    return Err(Fault::Protocol);
                }
                // What else there is doesn't concern what we send. Section 6.5.2: what is unknown is ignored.
                _ => {}
            }
        }
        if let Some(window) = window {
            self.set_initial_window(window, wakers)?;
        }
        write_frame(SETTINGS, ACK, 0, &[], self.sending.out());
        Ok(())
    }

    /// Section 6.9.2.
    fn set_initial_window(&mut self, size: u32, wakers: &mut Vec<Waker>) -> Result<(), Fault> {
        let change = self.sending.set_initial(size);
        let mut ids = Vec::with_capacity(self.list.len());
        for (id, stream) in &mut self.list {
            if !stream.send_window.change(change) {
                return Err(Fault::FlowControl);
            }
            ids.push(*id);
        }
        if change > 0 {
            for id in ids {
                self.note_opened(id, wakers);
            }
        }
        Ok(())
    }

    pub(super) fn take_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::Protocol);
        }
        if payload.len() != LAST_CALL.len() {
            return Err(Fault::FrameSize);
        }
        if !head.has(ACK) {
            write_frame(PING, ACK, 0, payload, self.sending.out());
        } else if *payload == LAST_CALL {
            self.has_heard = true;
        }
        Ok(())
    }

    pub(super) fn take_go_away(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::Protocol);
        }
        let Some([a, b, c, d, code @ ..]) = payload.first_chunk::<8>() else {
            return Err(Fault::FrameSize);
        };
        self.is_closing = true;
        if self.peer == Peer::Server {
            let last = u32::from_be_bytes([*a, *b, *c, *d]) & LARGEST_WINDOW;
            self.drop_unprocessed(last, u32::from_be_bytes(*code), wakers);
        }
        Ok(())
    }

    /// The server looks at no request after the `last`.
    fn drop_unprocessed(&mut self, last: u32, code: u32, wakers: &mut Vec<Waker>) {
        let last = self.last.map_or(last, |before| before.min(last));
        self.last = Some(last);
        let loss = if code == ErrorCode::NoError as u32 {
            Loss::GoingAway
        } else {
            Loss::Unprocessed
        };
        let ids = self.list.iter().map(|(id, _)| *id);
        let ids: Vec<u32> = ids.filter(|id| *id > last).collect();
        for id in ids {
            self.lose(id, loss, wakers);
        }
    }

    pub(super) fn take_window_update(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        let bytes: [u8; 4] = payload.try_into().map_err(|_| Fault::FrameSize)?;
        let bytes = u32::from_be_bytes(bytes) & LARGEST_WINDOW;
        if head.stream == 0 {
            return match (bytes, self.sending.open_window(bytes)) {
                (0, _) => Err(Fault::Protocol),
                (_, false) => Err(Fault::FlowControl),
                _ => Ok(()),
            };
        }
        if self.receiving.is_idle(head.stream) {
            return Err(Fault::Protocol);
        }
        let Some(stream) = self.get(head.stream) else {
            // It was closed when this was on its way (section 5.1).
            return Ok(());
        };
        if bytes == 0 {
            self.reset(head.stream, ErrorCode::Protocol, MALFORMED, wakers);
        } else if stream.send_window.change(i64::from(bytes)) {
            self.note_opened(head.stream, wakers);
        } else {
            let code = ErrorCode::FlowControl;
            self.reset(head.stream, code, MALFORMED, wakers);
        }
        Ok(())
    }
}
