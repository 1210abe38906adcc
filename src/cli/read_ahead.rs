//! A reader that is ahead of its reader: what takes long to come (decompression, a store far away) has a thread of its own.

use std::io::{self, Read};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

/// One piece. Large enough that handing over costs nothing.
const PIECE_BYTES: usize = 128 << 10;

/// Pieces that may wait. More would not be faster, as what is behind is either always faster or always slower.
const PIECES: usize = 4;

/// Reads from a thread of its own.
pub struct ReadAhead {
    /// An empty piece is the end.
    pieces: Receiver<io::Result<Vec<u8>>>,
    emptied: Sender<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
    has_ended: bool,
}

impl ReadAhead {
    /// Begins to read. The thread ends with what it reads, or with the first piece that nobody takes.
    ///
    /// # Errors
    ///
    /// No thread could be started.
    pub fn start(mut inner: impl Read + Send + 'static) -> io::Result<ReadAhead> {
        let (to_reader, pieces) = bounded(PIECES);
        let (emptied, to_fill) = bounded::<Vec<u8>>(PIECES);
        thread::Builder::new().name("read ahead".to_owned()).spawn(move || {
            loop {
                let mut piece = to_fill.try_recv().unwrap_or_default();
                piece.resize(PIECE_BYTES, 0);
                let read = loop {
                    match inner.read(&mut piece) {
                        Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                        read => break read,
                    }
                };
                let is_last = !matches!(read, Ok(1..));
                let piece = read.map(|read| {
                    piece.truncate(read);
                    piece
                });
                if to_reader.send(piece).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(ReadAhead { pieces, emptied, piece: io::Cursor::default(), has_ended: false })
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.has_ended {
                return Ok(read);
            }
            // When the other side has ended nobody wants it.
            let _ = self.emptied.try_send(std::mem::take(&mut self.piece).into_inner());
            match self.pieces.recv() {
                Ok(Ok(piece)) => {
                    self.has_ended = piece.is_empty();
                    self.piece = io::Cursor::new(piece);
                }
                Ok(Err(fault)) => {
                    self.has_ended = true;
                    return Err(fault);
                }
                // It ended without an end: a panic, whose message has been printed. Half a file must not pass for a whole one.
                Err(_) => return Err(io::Error::other("what reads and decompresses this input has failed")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives pieces of odd sizes, then ends as told.
    struct Source {
        left: Vec<u8>,
        end: fn() -> io::Result<usize>,
    }

    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.left.len().min(buffer.len()).min(1 + self.left.len() / 3);
            if read == 0 {
                return (self.end)();
            }
            buffer[..read].copy_from_slice(&self.left[..read]);
            self.left.drain(..read);
            Ok(read)
        }
    }

    #[test]
    fn what_goes_in_comes_out_and_so_does_the_end() {
        let whole: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        let broken = || Err(io::Error::other("the disk is gone"));
        let panics = || panic!("a decoder's fault, thrown on purpose by a test");
        for (name, end, expected) in [
            ("an end", (|| Ok(0)) as fn() -> io::Result<usize>, None),
            ("a fault", broken, Some("the disk is gone")),
            ("a panic", panics, Some("has failed")),
        ] {
            let mut reader = ReadAhead::start(Source { left: whole.clone(), end }).expect("a thread");
            let mut text = Vec::new();
            let outcome = reader.read_to_end(&mut text).map_err(|fault| fault.to_string());
            assert!(text == whole, "{name}: what came before it is whole");
            match expected {
                None => assert_eq!(outcome, Ok(whole.len()), "case: {name}"),
                Some(part) => assert!(outcome.is_err_and(|fault| fault.contains(part)), "case: {name}"),
            }
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_ends_the_thread() {
        let (told, heard) = bounded::<()>(1);
        struct Endless(#[allow(dead_code)] Sender<()>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                Ok(buffer.len())
            }
        }
        let mut reader = ReadAhead::start(Endless(told)).expect("a thread");
        reader.read_exact(&mut [0; 10]).expect("ten bytes");
        drop(reader);
        assert!(heard.recv().is_err(), "its end drops what it read from");
    }
}
