//! Streams cut into messages: the chunks do not matter, a frame is the stream's own bytes at its offset, nothing of a record is in no
//! frame, and whole records beside damaged ones come out whole.

use crate::pieces::{Budget, JSON_PIECES, broken, damage, has_more_envelopes, lost, record, wrapped};
use udmill::decode::Framer;

/// Pushes the text in chunks that `size` gives and takes what comes out.
fn frames(text: &[u8], max: usize, mut size: impl FnMut() -> usize) -> Vec<(u64, Vec<u8>)> {
    let mut framer = Framer::new(max);
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (chunk, after) = rest.split_at(size().clamp(1, rest.len().max(1)).min(rest.len()));
        framer.push(chunk);
        rest = after;
        if rest.is_empty() {
            framer.finish();
        }
        while let Some(frame) = framer.next_frame() {
            out.push((frame.offset, frame.bytes.to_vec()));
        }
        if rest.is_empty() {
            return out;
        }
    }
}

/// Runs until the budget is spent; panics on the first fault.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    while budget.more() {
        let records: Vec<String> = (0..1 + random.usize(..12)).map(|number| record(&mut random, number)).collect();
        let mut damaged = records.clone();
        let mut is_hit = vec![false; records.len()];
        for _ in 0..random.usize(..3) {
            let at = random.usize(..records.len());
            if let Some(text) = broken(&mut random, &records[at]) {
                (damaged[at], is_hit[at]) = (text, true);
            }
        }
        let form = random.u8(..4);
        let mut text = wrapped(form, &damaged).into_bytes();
        // Whatever bytes: then neighbours may go down together, but every byte still comes out.
        let is_wild = random.bool();
        if is_wild {
            for _ in 0..=random.usize(..4) {
                damage(&mut random, &mut text, &JSON_PIECES);
            }
        }
        let max = [40, 200, 1000, 3000, 1 << 20][random.usize(..5)];
        let shown = || format!("form {form}, at most {max} bytes a frame: {:?}", String::from_utf8_lossy(&text));
        let whole = frames(&text, max, || usize::MAX);
        let most = 1 + random.usize(..600);
        let mut chunks = fastrand::Rng::with_seed(random.u64(..));
        let cut = frames(&text, max, || 1 + chunks.usize(..most));
        if whole != cut {
            let at = whole.iter().zip(&cut).take_while(|(a, b)| a == b).count();
            panic!("chunks matter at frame {at}: {:?} and {:?}, {}", whole.get(at), cut.get(at), shown());
        }
        let mut last = 0;
        for (offset, frame) in &whole {
            assert!(*offset >= last, "frames overlap, {}", shown());
            assert!(frame.len() <= max.max(1), "a frame of {} bytes, {}", frame.len(), shown());
            assert!(text[*offset as usize..].starts_with(frame), "a frame is not the stream's bytes at {offset}, {}", shown());
            last = offset + frame.len() as u64;
        }
        let lost = lost(&text, whole.iter().map(|(offset, frame)| *offset as usize..*offset as usize + frame.len()));
        assert!(lost.is_none() || has_more_envelopes(&text, form), "bytes in no frame: {lost:?}, {}", shown());
        if !is_wild && max >= 1000 {
            for (record, _) in records.iter().zip(&is_hit).filter(|(_, is_hit)| !**is_hit) {
                let comes_out = whole.iter().any(|(_, frame)| memmem(frame, record.as_bytes()));
                assert!(comes_out, "a whole record is cut: {record}, {}", shown());
            }
        }
    }
}

fn memmem(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}
