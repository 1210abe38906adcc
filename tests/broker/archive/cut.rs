//! A way to a server that breaks off in the middle of answers.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Passes connections on to a port of loopback. While there are cuts left, an answer that gets longer than so many bytes is cut there.
pub struct Cutting {
    /// Where it listens.
    pub port: u16,
    cuts: Arc<AtomicUsize>,
}

impl Cutting {
    /// Starts it. Its threads end with the process.
    pub fn start(to: u16, cuts: usize, after_bytes: usize) -> Cutting {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let left = Arc::new(AtomicUsize::new(cuts));
        let shared = Arc::clone(&left);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (Ok(asks), Ok(hears)) = (client.try_clone(), server.try_clone()) else { continue };
                std::thread::spawn(move || pass(asks, hears, None, 0));
                let cuts = Arc::clone(&shared);
                std::thread::spawn(move || pass(server, client, Some(cuts), after_bytes));
            }
        });
        Cutting { port, cuts: left }
    }

    /// Cuts that were not needed.
    pub fn left(&self) -> usize {
        self.cuts.load(Ordering::Acquire)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, cuts: Option<Arc<AtomicUsize>>, after_bytes: usize) {
    let mut buffer = vec![0; 1 << 16];
    let mut passed = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        passed += read;
        let one_less = |cuts: &AtomicUsize| cuts.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
        if passed > after_bytes && cuts.as_ref().is_some_and(|cuts| one_less(cuts)) {
            break;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Either side may be gone before.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
