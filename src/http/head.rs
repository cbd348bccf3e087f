//! The head of a request, as its bytes came: whether two readers could take it for two different requests.
//!
//! Owns watching the bytes of a connection up to the end of its first head. The library that reads the
//! request forgives a line that ends without a carriage return, and a length beside a chunked body. A proxy
//! in front may read either in another way, and take what follows for a request of its own. Never changes a
//! byte and never looks at a body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a line that are looked at; more than any name of a header that counts here.
const LINE_BYTES_MAX: usize = 64;

/// Whether the head that was read is ambiguous; told while it is read.
#[derive(Debug, Clone, Default)]
pub struct Ambiguous(Arc<AtomicBool>);

impl Ambiguous {
    /// True once the head has shown that it can be read in two ways.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks at a head, however it is cut into pieces.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of the line under way.
    line: Vec<u8>,
    /// The last byte, whatever the length of the line.
    last: u8,
    begun: bool,
    ended: bool,
    lengths: u32,
    encodings: u32,
    bare: bool,
}

impl Lines {
    fn look(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().copied() {
            if self.ended {
                return;
            }
            if byte == b'\n' {
                self.end_of_line();
            } else if self.line.len() < LINE_BYTES_MAX {
                self.line.push(byte);
            }
            self.last = byte;
        }
    }

    fn end_of_line(&mut self) {
        self.bare |= self.last != b'\r';
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        // Empty lines in front of a request are passed over.
        self.ended = self.begun && line.is_empty();
        self.begun |= !line.is_empty();
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        self.lengths = self.lengths.saturating_add(name.eq_ignore_ascii_case(b"content-length").into());
        self.encodings = self.encodings.saturating_add(name.eq_ignore_ascii_case(b"transfer-encoding").into());
        self.line.clear();
    }

    fn is_ambiguous(&self) -> bool {
        self.bare || self.lengths > 1 || self.encodings > 1 || (self.lengths > 0 && self.encodings > 0)
    }
}

/// A connection whose first head is looked at on the way.
pub struct Watched<S> {
    stream: S,
    lines: Lines,
    told: Ambiguous,
}

impl<S> Watched<S> {
    /// Tells `told` once the head is seen to be ambiguous.
    pub fn new(stream: S, told: Ambiguous) -> Self {
        Self { stream, lines: Lines::default(), told }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if !self.lines.ended {
            self.lines.look(buffer.filled().get(before..).unwrap_or_default());
            self.told.0.fetch_or(self.lines.is_ambiguous(), Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ambiguous(head: &str) -> bool {
        let (mut whole, mut bytewise) = (Lines::default(), Lines::default());
        whole.look(head.as_bytes());
        head.as_bytes().chunks(1).for_each(|byte| bytewise.look(byte));
        assert!(whole.ended && bytewise.ended, "{head:?} has no end");
        assert_eq!(whole.is_ambiguous(), bytewise.is_ambiguous(), "{head:?}");
        whole.is_ambiguous()
    }

    #[test]
    fn b10_a_head_that_can_be_read_in_two_ways() {
        let long = format!("POST / HTTP/1.1\r\nX: {}\r\nContent-Length: 1\r\n\r\n", "content-length:".repeat(999));
        for plain in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nGET / HTTP/1.1\r\n\r\nContent-Length: 1\nContent-Length: 2\n", &long] {
            assert!(!is_ambiguous(plain), "{plain:?}");
        }
        for ambiguous in [
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\n\n",
        ] {
            assert!(is_ambiguous(ambiguous), "{ambiguous:?}");
        }
    }
}
