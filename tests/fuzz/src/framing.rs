//! Streams cut into messages: the chunks do not matter, a frame is the stream's own bytes at its offset, nothing of a record is in no
//! frame, and whole records beside damaged ones come out whole.
//!
//! Three kinds of streams: records in every wrapping, some of them damaged; soups of the tokens that decide about structure; real samples
//! with damage. Frames are shorter than a record as often as longer.

use crate::pieces::{Budget, JSON_PIECES, broken, damage, lost, one, record, wrapped};
use udmill::decode::Framer;

/// What decides where a value, a line or an envelope begins and ends.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "'",
    "\\",
    "\n",
    " ",
    "a",
    "1",
    "\"a\"",
    "\"a\":1",
    "null",
    "\u{feff}",
    "\u{1e}",
    "{}",
    "\"records\":",
    "{\"records\":[",
    "]}",
    "{\"time\":1,\"category\":2}",
    "\"time\":1,\"category\":2}",
];

/// Pushes the text in chunks that `size` gives and takes what comes out. `at_once`: the stream's end is told with the last chunk, before
/// what it completes is taken.
fn frames(text: &[u8], max: usize, at_once: bool, mut size: impl FnMut() -> usize) -> Vec<(u64, Vec<u8>)> {
    let mut framer = Framer::new(max);
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (chunk, after) = rest.split_at(size().clamp(1, rest.len().max(1)).min(rest.len()));
        framer.push(chunk);
        rest = after;
        if rest.is_empty() && at_once {
            framer.finish();
        }
        while let Some(frame) = framer.next_frame() {
            out.push((frame.offset, frame.bytes.to_vec()));
        }
        if rest.is_empty() {
            break;
        }
    }
    framer.finish();
    while let Some(frame) = framer.next_frame() {
        out.push((frame.offset, frame.bytes.to_vec()));
    }
    out
}

/// The frames of a stream, after every promise that holds for any bytes was held against them.
fn checked(random: &mut fastrand::Rng, text: &[u8], max: usize) -> Vec<(u64, Vec<u8>)> {
    let shown = || format!("at most {max} bytes a frame: {:?}", String::from_utf8_lossy(text));
    let whole = frames(text, max, true, || usize::MAX);
    // Byte by byte, in equal chunks and in unequal ones: a verdict may fall at any place.
    let equal = 1 + random.usize(..30);
    let most = 1 + random.usize(..600);
    let mut chunks = fastrand::Rng::with_seed(random.u64(..));
    let mut ways: Vec<(&str, Box<dyn FnMut() -> usize>)> =
        vec![("unequal", Box::new(move || 1 + chunks.usize(..most))), ("equal", Box::new(move || equal))];
    if text.len() < 400 {
        ways.push(("single", Box::new(|| 1)));
    }
    for (name, way) in &mut ways {
        let cut = frames(text, max, false, way);
        if whole != cut {
            let at = whole.iter().zip(&cut).take_while(|(a, b)| a == b).count();
            let frame = |frames: &[(u64, Vec<u8>)]| frames.get(at).map(|(at, bytes)| format!("{at}: {}", String::from_utf8_lossy(bytes)));
            panic!("{name} chunks ({equal}, {most}) matter at frame {at}: {:?} and {:?}, {}", frame(&whole), frame(&cut), shown());
        }
    }
    let mut last = 0;
    for (offset, frame) in &whole {
        assert!(*offset >= last, "frames overlap, {}", shown());
        assert!(frame.len() <= max, "a frame of {} bytes, {}", frame.len(), shown());
        assert!(text[*offset as usize..].starts_with(frame), "a frame is not the stream's bytes at {offset}, {}", shown());
        last = offset + frame.len() as u64;
    }
    whole
}

/// Records in a wrapping, some of them damaged, and whether they may be told apart still.
fn records(random: &mut fastrand::Rng) {
    let records: Vec<String> = (0..1 + random.usize(..12)).map(|number| record(random, number)).collect();
    let mut damaged = records.clone();
    let mut is_hit = vec![false; records.len()];
    for _ in 0..random.usize(..3) {
        let at = random.usize(..records.len());
        if let Some(text) = broken(random, &records[at]) {
            (damaged[at], is_hit[at]) = (text, true);
        }
    }
    let form = random.u8(..4);
    let mut text = wrapped(form, &damaged).into_bytes();
    // Whatever bytes: then neighbours may go down together, but every byte still comes out.
    let is_wild = random.bool();
    if is_wild {
        for _ in 0..=random.usize(..4) {
            damage(random, &mut text, &JSON_PIECES);
        }
    }
    let max = [1 + random.usize(..300), 40, 200, 1000, 3000, 1 << 20][random.usize(..6)];
    let whole = checked(random, &text, max);
    let shown = || format!("form {form}, at most {max} bytes a frame: {:?}", String::from_utf8_lossy(&text));
    let lost = lost(&text, whole.iter().map(|(offset, frame)| *offset as usize..*offset as usize + frame.len()));
    assert!(lost.is_none(), "bytes in no frame: {lost:?}, {}", shown());
    if !is_wild && max >= 1000 {
        for (record, _) in records.iter().zip(&is_hit).filter(|(_, is_hit)| !**is_hit) {
            let comes_out = whole.iter().any(|(_, frame)| memmem(frame, record.as_bytes()));
            assert!(comes_out, "a whole record is cut: {record}, {}", shown());
        }
    }
}

/// The samples that a reader of this project has, each at most so long that thousands of streams a second are cut.
fn samples() -> Vec<Vec<u8>> {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples")];
    let mut samples = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("samples can be listed") {
            let path = entry.expect("samples can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json" || ending == "ndjson") {
                samples.push(std::fs::read(&path).expect("samples can be read"));
            }
        }
    }
    samples.sort_unstable();
    assert!(samples.len() > 20, "only {} samples were found", samples.len());
    samples
}

/// Runs until the budget is spent; panics on the first fault.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let samples = samples();
    while budget.more() {
        match random.u8(..8) {
            0..2 => {
                let tokens: String = (0..1 + random.usize(..60)).map(|_| one(&mut random, &TOKENS)).collect();
                let max = 1 + random.usize(..80);
                checked(&mut random, tokens.as_bytes(), max);
            }
            2 => {
                let sample = &samples[random.usize(..samples.len())];
                let from = random.usize(..=sample.len() / 2);
                let mut text = sample[from..(from + random.usize(..8000)).min(sample.len())].to_vec();
                for _ in 0..random.usize(..4) {
                    damage(&mut random, &mut text, &JSON_PIECES);
                }
                let max = [1 + random.usize(..4000), 200, 1 << 20][random.usize(..3)];
                checked(&mut random, &text, max);
            }
            _ => records(&mut random),
        }
    }
}

fn memmem(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}
