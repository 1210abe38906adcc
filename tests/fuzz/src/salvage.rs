//! Bodies that are not JSON: every byte of a record lies in a finding, but for what the README says of damage, what is read is JSON, whole records beside damaged ones are read as
//! they are alone, and reading a body twice gives the same.

use crate::pieces::{Budget, JSON_PIECES, broken, damage, lost, record, wrapped};
use udmill::decode::{Decoder, Doc, Found, Limits};

/// The findings of a body: records as JSON, everything else as nothing.
fn read(decoder: &mut Decoder, doc: &mut Doc, found: &mut Vec<Found>, body: &[u8]) -> Vec<Option<Vec<u8>>> {
    decoder.decode(body, doc, found);
    let json = |one: &Found| match one {
        Found::Record { root, .. } => {
            let mut out = Vec::new();
            doc.write_json(*root, &mut out);
            Some(out)
        }
        _ => None,
    };
    found.iter().map(json).collect()
}

/// Runs until the budget is spent; panics on the first fault.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut decoder = Decoder::new(Limits { nesting: 24, ..Limits::default() });
    let (mut doc, mut found, mut spans) = (Doc::default(), Vec::new(), Vec::new());
    while budget.more() {
        let records: Vec<String> = (0..1 + random.usize(..10)).map(|number| record(&mut random, number)).collect();
        let mut damaged = records.clone();
        let mut is_hit = vec![false; records.len()];
        for _ in 0..=random.usize(..3) {
            let at = random.usize(..records.len());
            if let Some(text) = broken(&mut random, &records[at]) {
                (damaged[at], is_hit[at]) = (text, true);
            }
        }
        let form = random.u8(..4);
        let mut body = wrapped(form, &damaged).into_bytes();
        let is_wild = random.bool();
        if is_wild {
            for _ in 0..=random.usize(..5) {
                damage(&mut random, &mut body, &JSON_PIECES);
            }
        }
        let shown = || format!("form {form}: {:?} {body:?}", String::from_utf8_lossy(&body));
        let events = read(&mut decoder, &mut doc, &mut found, &body);
        assert!(!events.is_empty(), "no finding, {}", shown());
        for json in events.iter().flatten() {
            let fault = serde_json::from_slice::<serde_json::Value>(json).err();
            assert!(fault.is_none(), "{fault:?} in {}, {}", String::from_utf8_lossy(json), shown());
        }
        decoder.spans(&body, &mut spans);
        assert_eq!(spans.len(), events.len(), "findings and spans, {}", shown());
        assert!(spans.is_sorted_by_key(|span| span.start), "the order of spans, {}", shown());
        // A packed body's spans are of another text; none of these is packed, but damage may write anything at the front.
        let text = decoder.text(&body);
        let lost = lost(text, spans.iter().cloned());
        assert!(lost.is_none(), "bytes in no finding: {lost:?}, {}", shown());
        let again = read(&mut decoder, &mut doc, &mut found, &body);
        assert!(events == again, "a second reading differs, {}", shown());
        if !is_wild {
            for (text, _) in records.iter().zip(&is_hit).filter(|(_, is_hit)| !**is_hit) {
                let alone = read(&mut decoder, &mut doc, &mut found, text.as_bytes());
                assert!(events.contains(&alone[0]), "a sound record is gone: {text}, {}", shown());
            }
        }
    }
}
