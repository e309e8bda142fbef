//! Multipart bodies (RFC 2046 section 5.1) as they stream past: strict, and bounded in everything that is held. What a part's head says is
//! handed on unread; what stands before the first boundary and behind the last is passed over.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use memchr::memmem::{self, Finder};

/// Most bytes before the first boundary: real senders have none.
pub const PREAMBLE_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of the head of a part.
pub const PART_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most blanks behind a boundary; a gateway may add some.
const PADDING_BYTES_MAX: usize = 64;

/// Why a body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum MultipartError {
    /// It ends before its closing boundary.
    #[error("the body ends before its closing boundary")]
    Unfinished,
    /// Its first boundary does not come.
    #[error("the first boundary does not come within {PREAMBLE_BYTES_MAX} bytes")]
    Preamble,
    /// The head of a part is too long.
    #[error("the head of a part is longer than {PART_HEAD_BYTES_MAX} bytes")]
    Head,
    /// Something other than a line end stands behind a boundary.
    #[error("a boundary is followed by something other than a line end")]
    Boundary,
    /// The bytes stopped coming.
    #[error("the body could not be received")]
    Body(#[from] std::io::Error),
}

/// What stands next in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A part begins; this is its head, without the empty line.
    Part(Bytes),
    /// Bytes of the part.
    Data(Bytes),
    /// The part is over.
    PartEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    BehindBoundary,
    Head,
    Data,
    Done,
}

/// Splits a body. Bytes go in by [`Splitter::push`], pieces come out of [`Splitter::next`].
#[derive(Debug)]
pub struct Splitter {
    delimiter: Finder<'static>,
    /// Slices of what was received, as long as it needs no joining.
    buffer: Bytes,
    state: State,
}

impl Splitter {
    /// For a boundary without its leading hyphens.
    #[must_use]
    pub fn new(boundary: &str) -> Self {
        // The first boundary has no line end before it when there is no preamble.
        Self {
            delimiter: Finder::new(&format!("\r\n--{boundary}")).into_owned(),
            buffer: Bytes::from_static(b"\r\n"),
            state: State::Preamble,
        }
    }

    /// Takes the next bytes, however they are cut. Take all pieces after each push.
    pub fn push(&mut self, bytes: Bytes) {
        if self.state == State::Done {
            return;
        }
        if self.buffer.is_empty() {
            self.buffer = bytes;
        } else {
            let mut joined = BytesMut::with_capacity(self.buffer.len() + bytes.len());
            joined.extend_from_slice(&self.buffer);
            joined.extend_from_slice(&bytes);
            self.buffer = joined.freeze();
        }
    }

    /// The next piece, or none until more bytes come.
    ///
    /// # Errors
    /// When the body is malformed or a limit is reached.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => match self.delimiter.find(&self.buffer) {
                    Some(at) => self.pass_boundary(at),
                    None if self.buffer.len() > PREAMBLE_BYTES_MAX => return Err(MultipartError::Preamble),
                    None => return Ok(None),
                },
                State::BehindBoundary => {
                    if !self.behind_boundary()? {
                        return Ok(None);
                    }
                }
                State::Head => return self.head(),
                State::Data => return Ok(self.data()),
                State::Done => return Ok(None),
            }
        }
    }

    /// The body is over.
    ///
    /// # Errors
    /// When it ends before its closing boundary.
    pub fn finish(&self) -> Result<(), MultipartError> {
        if self.state == State::Done { Ok(()) } else { Err(MultipartError::Unfinished) }
    }

    fn pass_boundary(&mut self, at: usize) {
        let _ = self.buffer.split_to(at + self.delimiter.needle().len());
        self.state = State::BehindBoundary;
    }

    /// Passes over what ends the line of a boundary; whether there was enough to see.
    fn behind_boundary(&mut self) -> Result<bool, MultipartError> {
        let Some(two) = self.buffer.first_chunk::<2>() else { return Ok(false) };
        if two == b"--" {
            self.buffer = Bytes::new();
            self.state = State::Done;
            return Ok(true);
        }
        let blanks = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if blanks > PADDING_BYTES_MAX {
            return Err(MultipartError::Boundary);
        }
        match self.buffer.get(blanks..blanks + 2) {
            None => Ok(false),
            Some(b"\r\n") => {
                // The line end stays: a head without lines is an empty line.
                let _ = self.buffer.split_to(blanks);
                self.state = State::Head;
                Ok(true)
            }
            Some(_) => Err(MultipartError::Boundary),
        }
    }

    fn head(&mut self) -> Result<Option<Piece>, MultipartError> {
        let searched = self.buffer.len().min(PART_HEAD_BYTES_MAX + 4);
        let Some(at) = memmem::find(&self.buffer[..searched], b"\r\n\r\n") else {
            if self.buffer.len() > PART_HEAD_BYTES_MAX {
                return Err(MultipartError::Head);
            }
            return Ok(None);
        };
        let head = self.buffer.split_to(at);
        let _ = self.buffer.split_to(4);
        self.state = State::Data;
        Ok(Some(Piece::Part(head.slice(head.len().min(2)..))))
    }

    fn data(&mut self) -> Option<Piece> {
        if let Some(at) = self.delimiter.find(&self.buffer) {
            if at > 0 {
                return Some(Piece::Data(self.buffer.split_to(at)));
            }
            self.pass_boundary(0);
            return Some(Piece::PartEnd);
        }
        let sure = self.buffer.len() - self.held_back();
        (sure > 0).then(|| Piece::Data(self.buffer.split_to(sure)))
    }

    /// How many of the last bytes may be the beginning of a boundary.
    fn held_back(&self) -> usize {
        let delimiter = self.delimiter.needle();
        let longest = self.buffer.len().min(delimiter.len() - 1);
        let tail = &self.buffer[self.buffer.len() - longest..];
        let begins = |start: &usize| delimiter.starts_with(&tail[*start..]);
        (0..longest).find(begins).map_or(0, |start| longest - start)
    }
}

/// A body that streams in, part by part.
pub struct Multipart<S> {
    body: S,
    splitter: Splitter,
    inside: bool,
}

impl<S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin> Multipart<S> {
    /// A body with this boundary.
    #[must_use]
    pub fn new(body: S, boundary: &str) -> Self {
        Self { body, splitter: Splitter::new(boundary), inside: false }
    }

    /// The head of the next part, after passing over what is left of this one; none behind the last.
    ///
    /// # Errors
    /// When the body cannot be read on.
    pub async fn next_part(&mut self) -> Result<Option<Bytes>, MultipartError> {
        while self.inside {
            self.chunk().await?;
        }
        match self.piece().await? {
            Some(Piece::Part(head)) => {
                self.inside = true;
                Ok(Some(head))
            }
            Some(Piece::Data(_) | Piece::PartEnd) => unreachable!("the part before was read to its end"),
            None => Ok(None),
        }
    }

    /// The next bytes of the part; none at its end.
    ///
    /// # Errors
    /// When the body cannot be read on.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        if !self.inside {
            return Ok(None);
        }
        match self.piece().await? {
            Some(Piece::Data(bytes)) => Ok(Some(bytes)),
            Some(Piece::PartEnd | Piece::Part(_)) | None => {
                self.inside = false;
                Ok(None)
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Piece>, MultipartError> {
        loop {
            if let Some(piece) = self.splitter.next_piece()? {
                return Ok(Some(piece));
            }
            match self.body.next().await {
                Some(bytes) => self.splitter.push(bytes?),
                None => return self.splitter.finish().map(|()| None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads and bodies.
    type Parts = Vec<(Vec<u8>, Vec<u8>)>;

    /// The parts of a body that comes in pieces of a size.
    fn split(body: &[u8], size: usize) -> Result<Parts, MultipartError> {
        let mut splitter = Splitter::new("b0");
        let mut parts = Parts::new();
        for chunk in body.chunks(size) {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Some(piece) = splitter.next_piece()? {
                match piece {
                    Piece::Part(head) => parts.push((head.to_vec(), Vec::new())),
                    Piece::Data(bytes) => parts.last_mut().unwrap().1.extend_from_slice(&bytes),
                    Piece::PartEnd => {}
                }
            }
        }
        splitter.finish().map(|()| parts)
    }

    #[test]
    fn bodies_are_split_however_they_are_cut() {
        let part = |head: &str, body: &str| (head.as_bytes().to_vec(), body.as_bytes().to_vec());
        for (body, expected) in [
            ("--b0\r\nA: b\r\n\r\none\r\n--b0--", vec![part("A: b", "one")]),
            (
                "--b0\r\nA: b\r\nC: d\r\n\r\none\r\n--b0\r\n\r\ntwo\r\n--b0--\r\n",
                vec![part("A: b\r\nC: d", "one"), part("", "two")],
            ),
            ("before\r\n--b0\r\n\r\none\r\n--b0--\r\nbehind", vec![part("", "one")]),
            ("--b0 \t\r\n\r\n\r\n--b\r\n--b1\r\r\n--\r\n--b0--", vec![part("", "\r\n--b\r\n--b1\r\r\n--")]),
            ("--b0\r\nA: b\r\n\r\n\r\n--b0--", vec![part("A: b", "")]),
            ("--b0--", vec![]),
        ] {
            for size in [1, 2, 3, 7, 1000] {
                assert_eq!(split(body.as_bytes(), size).unwrap(), expected, "{body:?} by {size}");
            }
        }
    }

    #[test]
    fn what_is_malformed_or_endless_is_refused() {
        let long = "x".repeat(PART_HEAD_BYTES_MAX + 10);
        for (body, expected) in [
            ("", MultipartError::Unfinished),
            ("--b0\r\n\r\none", MultipartError::Unfinished),
            ("--b0\r\n\r\none\r\n--b", MultipartError::Unfinished),
            ("--b0\n\none\n--b0--", MultipartError::Boundary),
            ("--b0x\r\n\r\none\r\n--b0--", MultipartError::Boundary),
            (&format!("--b0\r\nA: {long}"), MultipartError::Head),
            (&format!("--b0\r\nA: {long}\r\n\r\n"), MultipartError::Head),
            (&long, MultipartError::Preamble),
            (&format!("--b0{}", " ".repeat(100)), MultipartError::Boundary),
        ] {
            for size in [1, 5, 100_000] {
                let found = split(body.as_bytes(), size).unwrap_err();
                assert_eq!(found.to_string(), expected.to_string(), "{size}");
            }
        }
    }
}
