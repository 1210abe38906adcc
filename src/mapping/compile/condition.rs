//! Conditions to a flat list, and which of them exclude or include each other.

use super::Compiler;
use super::target;
use crate::mapping::table::{Condition, Test};
use crate::plan::program::{self, Cond};

impl Compiler<'_> {
    /// The number of a condition; equal conditions share one, so what costs more than remembering is asked once a part.
    pub(super) fn condition(&mut self, condition: &Condition) -> u32 {
        let name = text(condition);
        if let Some(number) = self.cond_numbers.get(&name) {
            self.cond_is_shared[*number as usize] = true;
            return *number;
        }
        let (cond, stable) = match condition {
            Condition::All(parts) => {
                let parts: Vec<u32> = parts.iter().map(|part| self.condition(part)).collect();
                let stable = parts.iter().all(|part| self.cond_is_stable[*part as usize]);
                (Cond::All(parts.into()), stable)
            }
            Condition::Any(parts) => {
                let parts: Vec<u32> = parts.iter().map(|part| self.condition(part)).collect();
                let stable = parts.iter().all(|part| self.cond_is_stable[*part as usize]);
                (Cond::Any(parts.into()), stable)
            }
            Condition::Not(part) => {
                let part = self.condition(part);
                (Cond::Not(part), self.cond_is_stable[part as usize])
            }
            Condition::RecordHas(path) => (Cond::Has(self.sources.read(path)), true),
            Condition::Record(path, test) => (Cond::Test(self.sources.read(path), compiled(test)), true),
            Condition::EventHas(path) => match target::resolve_any(path) {
                Ok(target) => (Cond::EventHas(self.bits.number(&format!("g:{}", target.generic))), false),
                Err(fault) => {
                    self.found.push(*fault);
                    (Cond::Any([].into()), true)
                }
            },
        };
        let number = self.conds.len() as u32;
        self.conds.push(cond);
        self.cond_is_stable.push(stable);
        self.cond_is_shared.push(false);
        self.cond_numbers.insert(name, number);
        number
    }

    /// Which conditions are remembered for a part: nothing changes their answer meanwhile, they are asked in several places, and they cost
    /// more than a look at a slot.
    pub(super) fn kept_conditions(&self) -> Vec<bool> {
        let is_cheap = |cond: &Cond| match cond {
            Cond::EventHas(_) | Cond::Not(_) => true,
            Cond::Has(source) => source.tail.is_empty(),
            Cond::Test(source, program::Test::In(_) | program::Test::Prefix(_) | program::Test::Suffix(_)) => source.tail.is_empty(),
            Cond::Test(..) | Cond::All(_) | Cond::Any(_) => false,
        };
        let stable = self.cond_is_stable.iter().zip(&self.cond_is_shared).map(|(stable, shared)| *stable && *shared);
        stable.zip(&self.conds).map(|(worth, cond)| worth && !is_cheap(cond)).collect()
    }

    /// Notes an `event_has` that no row can make true. `true` when there is one on which the condition depends.
    pub(super) fn never_holds(&mut self, condition: &Condition, fillable: &dyn Fn(&str) -> bool) -> Option<String> {
        match condition {
            Condition::All(parts) => parts.iter().find_map(|part| self.never_holds(part, fillable)),
            Condition::Any(parts) if !parts.is_empty() => {
                let never: Vec<String> = parts.iter().filter_map(|part| self.never_holds(part, fillable)).collect();
                (never.len() == parts.len()).then(|| never[0].clone())
            }
            Condition::EventHas(path) => match target::resolve_any(path) {
                Ok(target) if !fillable(&target.generic) => Some(target.generic),
                _ => None,
            },
            _ => None,
        }
    }
}

fn compiled(test: &Test) -> program::Test {
    let words = |words: &[String]| words.iter().map(|word| word.as_bytes().into()).collect();
    match test {
        Test::In(list) => program::Test::In(program::Words::of(words(list))),
        Test::Prefix(list) => program::Test::Prefix(words(list)),
        Test::Suffix(list) => program::Test::Suffix(words(list)),
        Test::Contains(list) => program::Test::Contains(words(list)),
        Test::Matches(pattern) => program::Test::Matches(pattern.clone()),
        Test::Between(low, high) => program::Test::Between(*low, *high),
    }
}

/// A condition as text without places: equal texts mean equal conditions.
pub(super) fn text(condition: &Condition) -> String {
    let list = |parts: &[Condition]| parts.iter().map(text).collect::<Vec<_>>().join(";");
    match condition {
        Condition::All(parts) if parts.len() == 1 => text(&parts[0]),
        Condition::Any(parts) if parts.len() == 1 => text(&parts[0]),
        Condition::All(parts) => format!("all({})", list(parts)),
        Condition::Any(parts) => format!("any({})", list(parts)),
        Condition::Not(part) => format!("not({})", text(part)),
        Condition::RecordHas(path) => format!("has({})", path.text),
        Condition::Record(path, test) => format!("test({},{test:?})", path.text),
        Condition::EventHas(path) => format!("event({})", path.text),
    }
}

/// What must hold for the condition to hold, flattened.
fn atoms(condition: &Condition) -> Vec<&Condition> {
    match condition {
        Condition::All(parts) => parts.iter().flat_map(atoms).collect(),
        Condition::Any(parts) if parts.len() == 1 => atoms(&parts[0]),
        other => vec![other],
    }
}

/// Whether two conditions can never hold together, as far as their form tells.
pub(super) fn exclude(first: &Condition, second: &Condition) -> bool {
    if let Condition::Any(parts) = first
        && parts.len() > 1
    {
        return parts.iter().all(|part| exclude(part, second));
    }
    if let Condition::Any(parts) = second
        && parts.len() > 1
    {
        return parts.iter().all(|part| exclude(first, part));
    }
    let (left, right) = (atoms(first), atoms(second));
    left.iter().any(|a| right.iter().any(|b| contradict(a, b)))
        || left.iter().any(|a| matches!(a, Condition::Any(parts) if parts.len() > 1 && parts.iter().all(|part| exclude(part, second))))
        || right.iter().any(|b| matches!(b, Condition::Any(parts) if parts.len() > 1 && parts.iter().all(|part| exclude(first, part))))
}

fn contradict(a: &Condition, b: &Condition) -> bool {
    match (a, b) {
        (Condition::Not(inner), other) | (other, Condition::Not(inner)) if implies(other, inner) => true,
        (Condition::Record(p, _), Condition::Record(q, _)) if p.text != q.text || is_list(p) => false,
        (Condition::Record(_, Test::In(words)), Condition::Record(_, test))
        | (Condition::Record(_, test), Condition::Record(_, Test::In(words))) => !words.iter().any(|word| passes(word, test)),
        (Condition::Record(_, Test::Between(low, high)), Condition::Record(_, Test::Between(from, to))) => high < from || to < low,
        (Condition::Record(_, Test::Prefix(left)), Condition::Record(_, Test::Prefix(right))) => {
            left.iter().all(|a| right.iter().all(|b| !a.starts_with(b.as_str()) && !b.starts_with(a.as_str())))
        }
        (Condition::Record(_, Test::Suffix(left)), Condition::Record(_, Test::Suffix(right))) => {
            left.iter().all(|a| right.iter().all(|b| !a.ends_with(b.as_str()) && !b.ends_with(a.as_str())))
        }
        _ => false,
    }
}

/// A path that may give several values: two tests of it may hold for different ones.
fn is_list(path: &crate::mapping::table::SourcePath) -> bool {
    use crate::mapping::table::Step;
    path.steps.iter().any(|step| matches!(step, Step::From(_) | Step::Each | Step::Where(_, None) | Step::Members | Step::Leaves))
}

/// Whether the first condition holding makes the second hold, as far as their form tells.
pub(super) fn implies(first: &Condition, second: &Condition) -> bool {
    if let Condition::Any(parts) = first
        && !parts.is_empty()
    {
        return parts.iter().all(|part| implies(part, second));
    }
    let have = atoms(first);
    match second {
        Condition::All(parts) => parts.iter().all(|part| implies(first, part)),
        Condition::Any(parts) if parts.iter().any(|part| implies(first, part)) => true,
        wanted => have.iter().any(|atom| text(atom) == text(wanted) || narrower(atom, wanted)),
    }
}

fn narrower(atom: &Condition, wanted: &Condition) -> bool {
    match (atom, wanted) {
        (Condition::Record(p, Test::In(words)), Condition::Record(q, test)) if p.text == q.text => {
            words.iter().all(|word| passes(word, test))
        }
        (Condition::Record(p, _), Condition::RecordHas(q)) => p.text == q.text,
        (Condition::EventHas(p), Condition::EventHas(q)) => p.text.strip_prefix(&q.text).is_some_and(|rest| rest.starts_with('.')),
        _ => false,
    }
}

fn passes(word: &str, test: &Test) -> bool {
    match test {
        Test::In(words) => words.iter().any(|other| other == word),
        Test::Prefix(words) => words.iter().any(|other| word.starts_with(other.as_str())),
        Test::Suffix(words) => words.iter().any(|other| word.ends_with(other.as_str())),
        Test::Contains(words) => words.iter().any(|other| word.contains(other.as_str())),
        Test::Matches(pattern) => pattern.is_match(word.as_bytes()),
        Test::Between(low, high) => word.parse::<f64>().is_ok_and(|n| *low <= n && n <= *high),
    }
}
