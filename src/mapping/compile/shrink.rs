//! Only the bits that something asks for keep a place: most plans then fit one or two words, and a row sets them in one step.

use crate::plan::Plan;
use crate::plan::program::{Cond, Filled, Mask, Need, Out};
use std::collections::BTreeMap;

/// Numbers the bits anew that conditions, requirements, output and rows ask for, and forgets the others.
pub(super) fn shrink(plan: &mut Plan) {
    let mut places: BTreeMap<u32, u32> = BTreeMap::new();
    visit(plan, &mut |bit| {
        places.insert(*bit, 0);
    });
    for row in &plan.rows {
        for bit in bits(&row.unless) {
            places.insert(bit, 0);
        }
    }
    for (at, place) in places.values_mut().enumerate() {
        *place = at as u32;
    }
    visit(plan, &mut |bit| *bit = places[bit]);
    for row in &mut plan.rows {
        row.unless = mask(bits(&row.unless).filter_map(|bit| places.get(&bit).copied()));
        row.sets = mask(bits(&row.sets).filter_map(|bit| places.get(&bit).copied()));
    }
    plan.base_bits = vec![0; places.len().div_ceil(64)];
    for row in &plan.literal_rows {
        for &(word, bits) in &plan.rows[*row as usize].sets {
            plan.base_bits[word as usize] |= bits;
        }
    }
}

/// Calls `tell` with every bit that the plan asks for outside the masks of its rows.
fn visit(plan: &mut Plan, tell: &mut dyn FnMut(&mut u32)) {
    tell(&mut plan.time_bit);
    if let Some(tags) = &mut plan.tags {
        tell(&mut tags.list_bit);
    }
    for cond in &mut plan.conds {
        if let Cond::EventHas(bit) = cond {
            tell(bit);
        }
    }
    for need in &mut plan.needs {
        visit_need(need, tell);
    }
    for out in &mut plan.out {
        match out {
            Out::Open { filled: Filled::Bit(bit), .. }
            | Out::OpenList { filled: Filled::Bit(bit), .. }
            | Out::OpenElement { filled: Filled::Bit(bit), .. }
            | Out::ReceivedTime { bit, .. } => tell(bit),
            _ => {}
        }
    }
}

fn visit_need(need: &mut Need, tell: &mut dyn FnMut(&mut u32)) {
    match need {
        Need::Bit(bit) => tell(bit),
        Need::Not(inner) => visit_need(inner, tell),
        Need::All(parts) | Need::Any(parts) => parts.iter_mut().for_each(|part| visit_need(part, tell)),
        Need::Always | Need::Never | Need::Word(..) => {}
    }
}

fn bits(mask: &Mask) -> impl Iterator<Item = u32> + '_ {
    mask.iter().flat_map(|&(word, bits)| (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| u32::from(word) * 64 + bit))
}

pub(super) fn mask(bits: impl Iterator<Item = u32>) -> Mask {
    let mut words: BTreeMap<u16, u64> = BTreeMap::new();
    for bit in bits {
        *words.entry((bit / 64) as u16).or_default() |= 1 << (bit % 64);
    }
    words.into_iter().collect()
}
