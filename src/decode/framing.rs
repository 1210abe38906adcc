//! A byte stream, such as a file, cut into messages in bounded memory.
//!
//! A message is one JSON value: a line of NDJSON, a pretty-printed object, a payload. An envelope too long to be a message of its own,
//! such as a `PT1H.json` of two gigabytes, is opened and each of its records is a message. How the stream was chunked never changes what
//! comes out. Broken text comes out too, cut off from its sound neighbours: decoding says what is wrong with it.

use super::cut::{Cutter, Step};
use super::scan::skip_space;

/// A value that ends within this many bytes, on one line, stays one message, envelope or not. 1 MiB: the usual limit of a broker's message.
const LINE_BYTES: usize = 1 << 20;
/// Below this size an unfinished value is looked at again after every chunk; above it only when it has grown by half.
const EAGER_BYTES: usize = 64 << 10;
/// How often, on average, a byte of broken text may be read again in search of the next record.
const LOOK_FACTOR: usize = 16;

/// One message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where it begins in the stream, in bytes from its start; a byte order mark counts.
    pub offset: u64,
    /// Its bytes, without the separators around it.
    pub bytes: &'a [u8],
}

/// Cuts a stream. Feed it with [`Framer::push`], take frames with [`Framer::next_frame`] until there is none, push again; at the end call
/// [`Framer::finish`] and take the rest.
///
/// ```
/// let mut framer = udmill::decode::Framer::new(1 << 20);
/// framer.push(b"{\"a\":1}\n{\"b\"");
/// framer.push(b":2}\n");
/// framer.finish();
/// let mut seen = Vec::new();
/// while let Some(frame) = framer.next_frame() {
///     seen.push((frame.offset, String::from_utf8_lossy(frame.bytes).into_owned()));
/// }
/// assert_eq!(seen, [(0, r#"{"a":1}"#.to_string()), (8, r#"{"b":2}"#.to_string())]);
/// ```
pub struct Framer {
    cutter: Cutter,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are done with.
    at: usize,
    /// Offset in the stream of the first byte of `buffer`.
    base: u64,
    /// Bytes that were waiting when the last look found nothing.
    tried: usize,
    max: usize,
    finished: bool,
    started: bool,
    /// Inside an envelope that was opened.
    inside: bool,
}

enum Line {
    /// A whole value ends here.
    Ends(usize),
    /// Not by the look of it.
    No,
    More,
}

impl Framer {
    /// A framer whose frames have at most `max_bytes` bytes; a longer value comes out in broken parts. Its memory is at most that and a
    /// few chunks.
    pub fn new(max_bytes: usize) -> Self {
        let max = max_bytes.max(1);
        Framer {
            cutter: Cutter::new(false, LOOK_FACTOR.saturating_mul(max)),
            buffer: Vec::new(),
            at: 0,
            base: 0,
            tried: 0,
            max,
            finished: false,
            started: false,
            inside: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        // Moving what is left costs less than it may seem: it is less than one frame.
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Says that the stream has ended.
    pub fn finish(&mut self) {
        self.finished = true;
        self.tried = 0;
    }

    /// The next frame; `None` when more bytes are needed, or, after [`Framer::finish`], when the stream is done.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let (start, end) = self.next_range()?;
        Some(Frame { offset: self.base + start as u64, bytes: &self.buffer[start..end] })
    }

    fn next_range(&mut self) -> Option<(usize, usize)> {
        if !self.started {
            if self.buffer.len() < 3 && !self.finished {
                return None;
            }
            self.started = true;
            if self.buffer.starts_with(super::BOM) {
                self.at = super::BOM.len();
            }
        }
        loop {
            let waiting = self.buffer.len() - self.at;
            if waiting < self.max && waiting > EAGER_BYTES && waiting < self.tried + self.tried / 2 {
                return None;
            }
            if !self.inside {
                match self.line() {
                    Line::Ends(end) => {
                        let start = skip_space(&self.buffer, self.at);
                        self.at = end;
                        self.tried = 0;
                        return Some((start, end));
                    }
                    Line::More => {
                        self.tried = waiting;
                        return None;
                    }
                    Line::No => {}
                }
            }
            // A value longer than a frame is judged by its first bytes alone, so that no chunking can change the verdict.
            let full = waiting >= self.max;
            let text = &self.buffer[self.at..][..waiting.min(self.max)];
            let step = match self.cutter.next(text, 0, self.finished && !full) {
                Step::More if full => self.cutter.next_of_part(text),
                step => step,
            };
            self.inside = self.cutter.is_inside();
            self.tried = 0;
            match step {
                Step::Piece { start, end, .. } => {
                    let start = self.at + start;
                    self.at += end;
                    return Some((start, self.at));
                }
                Step::Envelope { end } => self.at += end,
                Step::More => {
                    self.tried = waiting;
                    return None;
                }
                Step::End if full => self.at += text.len(),
                Step::End => return None,
            }
        }
    }

    /// Whether the bytes up to the next line end are one message. A line that opens and closes, holds whole texts, and is followed by a
    /// line that opens, is one; it need not be read closer than that.
    fn line(&self) -> Line {
        let start = skip_space(&self.buffer, self.at);
        // Judged by so many bytes and no more, so that no chunking can change the verdict.
        let limit = LINE_BYTES.min(self.max);
        let text = &self.buffer[start..self.buffer.len().min(start + limit)];
        if !matches!(text.first(), Some(b'{' | b'[')) {
            return Line::No;
        }
        let is_cut = text.len() == limit;
        let end = match memchr::memchr(b'\n', text) {
            Some(end) => end,
            None if is_cut => return Line::No,
            None if self.finished => text.len(),
            None => return Line::More,
        };
        let line = text[..end].trim_ascii_end();
        if !matches!(line.last(), Some(b'}' | b']')) || line.len() < 2 || !has_whole_texts(line) {
            return Line::No;
        }
        match text.get(skip_space(text, end)) {
            Some(b'{' | b'[') => Line::Ends(start + line.len()),
            // Blank lines could go on for ever; past a frame's length the careful way decides.
            None if is_cut => Line::No,
            None if self.finished => Line::Ends(start + line.len()),
            None => Line::More,
            Some(_) => Line::No,
        }
    }
}

/// Whether every text in double quotes that begins in `line` also ends in it: whether it holds an even number of quotes that no backslash
/// takes away. Most bytes are only counted; a backslash outside a text takes nothing away.
pub(super) fn has_whole_texts(line: &[u8]) -> bool {
    let (mut rest, mut is_inside) = (line, false);
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        is_inside ^= quotes_are_odd(&rest[..backslash]);
        rest = rest.get(backslash + 1 + usize::from(is_inside)..).unwrap_or_default();
    }
    is_inside == quotes_are_odd(rest)
}

fn quotes_are_odd(text: &[u8]) -> bool {
    memchr::memchr_iter(b'"', text).count() % 2 == 1
}
