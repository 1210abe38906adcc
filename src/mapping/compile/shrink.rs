//! Only the bits that something asks for keep a place: most plans then fit one or two words, and a row sets them in one step.

use crate::plan::program::{Cond, Filled, Mask, Need, Out, SlotMarks};
use crate::plan::{MAX_LABEL_BYTES, Plan};
use std::collections::BTreeMap;

/// Numbers the bits anew that conditions, requirements, output and rows ask for, and forgets the others. `always` are the rows that run
/// whatever is present, `readers` the slots that rows read.
pub(super) fn shrink(plan: &mut Plan, always: &[u32], readers: &[(u32, u32)]) {
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
    plan.filled_from = places.len().div_ceil(64);
    plan.candidates_from = plan.filled_from + plan.rows.len().div_ceil(64);
    for row in &mut plan.rows {
        row.unless = mask(bits(&row.unless).filter_map(|bit| places.get(&bit).copied()));
        row.sets = mask(bits(&row.sets).filter_map(|bit| places.get(&bit).copied()));
    }
    let words = plan.rows.len().div_ceil(64);
    plan.base_bits = vec![0; plan.candidates_from + words];
    for row in &plan.literal_rows {
        for (word, bits) in plan.rows[*row as usize].sets.words() {
            plan.base_bits[word as usize] |= bits;
        }
    }
    let (filled, candidate) = (plan.filled_from as u32 * 64, plan.candidates_from as u32 * 64);
    for row in always {
        plan.base_bits[plan.candidates_from + *row as usize / 64] |= 1 << (row % 64);
    }
    // Rows of elements have a cell for each element, not one of the part's.
    let of_elements: Vec<u32> = plan.scopes.iter().flat_map(|scope| scope.rows.iter().copied()).collect();
    for (number, row) in plan.rows.iter_mut().enumerate().filter(|(number, _)| !of_elements.contains(&(*number as u32))) {
        row.sets = mask(bits(&row.sets).chain([filled + number as u32]));
    }
    plan.slot_marks = vec![SlotMarks::default(); plan.slot_count];
    for (slot, marks) in plan.slot_marks.iter_mut().enumerate() {
        let rows: Vec<u32> = readers.iter().filter(|(read, _)| *read as usize == slot).map(|(_, row)| *row).collect();
        let copies = |row: &u32| plan.rows[*row as usize].slot as usize == slot;
        let scalar = rows.iter().flat_map(|row| match copies(row) {
            true => bits(&plan.rows[*row as usize].sets).collect(),
            false => vec![candidate + row],
        });
        marks.scalar = mask(scalar);
        marks.container = mask(rows.iter().map(|row| candidate + row));
        let is_label = rows.iter().any(|row| copies(row) && plan.rows[*row as usize].label);
        marks.longest = if is_label { MAX_LABEL_BYTES as u32 } else { u32::MAX };
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
    mask.words().flat_map(|(word, bits)| (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit))
}

fn mask(bits: impl Iterator<Item = u32>) -> Mask {
    let mut words: BTreeMap<u32, u64> = BTreeMap::new();
    for bit in bits {
        *words.entry(bit / 64).or_default() |= 1 << (bit % 64);
    }
    words.into_iter().collect()
}
