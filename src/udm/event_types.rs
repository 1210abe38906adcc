//! [`EventTypes`]: what each event type asks of an event, as data.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::Level;

/// Every event type and the rules that hold for all of them.
#[derive(Debug)]
pub struct EventTypes {
    types: Vec<EventType>,
    by_name: HashMap<&'static str, usize>,
    /// What every event needs.
    pub require: Vec<Requirement>,
    /// What no event may have.
    pub forbid: Vec<Requirement>,
    /// Paths below a noun; one of them makes [`Predicate::Machine`] hold.
    pub machine_paths: Vec<&'static str>,
    /// Paths below a noun; one of them makes [`Predicate::User`] hold.
    pub user_paths: Vec<&'static str>,
}

/// One value of `metadata.event_type`.
#[derive(Debug)]
pub struct EventType {
    /// `USER_LOGIN`, ...
    pub name: &'static str,
    /// Enum number.
    pub number: u32,
    /// `user`, `resource`, `network`, ...
    pub group: &'static str,
    /// `guide`, `inferred` or `platform`: where its rules come from.
    pub basis: &'static str,
    /// Whether a mapping may produce it.
    pub emit: bool,
    /// Google asks for another type instead.
    pub deprecated: bool,
    /// What it needs, both levels.
    pub require: Vec<Requirement>,
    /// What it may not have, both levels.
    pub forbid: Vec<Requirement>,
}

/// One requirement or ban.
#[derive(Debug)]
pub struct Requirement {
    /// `Error` gates an event type, `Warn` is counted.
    pub level: Level,
    /// The test.
    pub rule: Predicate,
    /// Why, in a few words.
    pub why: &'static str,
}

/// A test of an event. Paths are snake_case from the UDM root; a repeated field on the way means "in any element".
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// The path exists and is not empty.
    Has(&'static str),
    /// The path exists; an empty object is enough.
    Present(&'static str),
    /// One of [`EventTypes::machine_paths`] below this noun is not empty.
    Machine(&'static str),
    /// One of [`EventTypes::user_paths`] below this noun is not empty.
    User(&'static str),
    /// One must hold.
    Any(Vec<Predicate>),
    /// All must hold.
    All(Vec<Predicate>),
    /// Must not hold.
    Not(Box<Predicate>),
    /// When `condition` holds, `then` must.
    If {
        /// The condition.
        condition: Box<Predicate>,
        /// What it brings.
        then: Box<Predicate>,
    },
    /// The path holds this word.
    Eq(&'static str, &'static str),
}

impl EventTypes {
    /// The rules that are built in.
    pub fn get() -> &'static EventTypes {
        static TYPES: OnceLock<EventTypes> = OnceLock::new();
        TYPES.get_or_init(|| {
            static DATA: OnceLock<Value> = OnceLock::new();
            let text = include_str!("data/event-types.json");
            EventTypes::build(DATA.get_or_init(|| serde_json::from_str(text).expect("the embedded rules are JSON; a test parses them")))
        })
    }

    fn build(data: &'static Value) -> EventTypes {
        let types: Vec<EventType> =
            data["event_types"].as_object().into_iter().flatten().map(|(name, facts)| EventType::build(name, facts)).collect();
        EventTypes {
            by_name: types.iter().enumerate().map(|(index, found)| (found.name, index)).collect(),
            types,
            require: requirements(&data["all_events"]["require"]),
            forbid: requirements(&data["all_events"]["forbid"]),
            machine_paths: data["machine_paths"].as_array().into_iter().flatten().map(text).collect(),
            user_paths: data["user_paths"].as_array().into_iter().flatten().map(text).collect(),
        }
    }

    /// The type called `name`, compared exactly.
    pub fn find(&self, name: &str) -> Option<&EventType> {
        self.by_name.get(name).map(|index| &self.types[*index])
    }

    /// Every type in file order.
    pub fn all(&self) -> &[EventType] {
        &self.types
    }

    /// A [`Predicate::Machine`] or [`Predicate::User`] spelt out as full paths, any of which makes it hold; `None` for the other forms.
    pub fn expand(&self, predicate: &Predicate) -> Option<Vec<String>> {
        let (noun, paths) = match predicate {
            Predicate::Machine(noun) => (noun, &self.machine_paths),
            Predicate::User(noun) => (noun, &self.user_paths),
            _ => return None,
        };
        Some(paths.iter().map(|path| format!("{noun}.{path}")).collect())
    }
}

impl EventType {
    fn build(name: &'static str, facts: &'static Value) -> EventType {
        EventType {
            name,
            number: facts["number"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default(),
            group: text(&facts["group"]),
            basis: text(&facts["basis"]),
            emit: facts["emit"] == true,
            deprecated: facts["deprecated"] == true,
            require: requirements(&facts["require"]),
            forbid: requirements(&facts["forbid"]),
        }
    }

    /// The requirements that gate the type.
    pub fn gates(&self) -> impl Iterator<Item = &Requirement> {
        self.require.iter().filter(|requirement| requirement.level == Level::Error)
    }
}

fn requirements(list: &'static Value) -> Vec<Requirement> {
    let level = |word: &Value| if word == "error" { Level::Error } else { Level::Warn };
    let one = |facts: &'static Value| Requirement {
        level: level(&facts["level"]),
        rule: Predicate::build(&facts["rule"]),
        why: text(&facts["why"]),
    };
    list.as_array().into_iter().flatten().map(one).collect()
}

fn text(value: &'static Value) -> &'static str {
    value.as_str().unwrap_or_default()
}

impl Predicate {
    fn build(rule: &'static Value) -> Predicate {
        let list = |value: &'static Value| value.as_array().into_iter().flatten().map(Predicate::build).collect();
        let boxed = |value: &'static Value| Box::new(Predicate::build(value));
        let (key, value) =
            rule.as_object().and_then(|object| object.iter().next()).expect("every embedded rule is an object; a test reads them all");
        match key.as_str() {
            "has" => Predicate::Has(text(value)),
            "present" => Predicate::Present(text(value)),
            "machine" => Predicate::Machine(text(value)),
            "user" => Predicate::User(text(value)),
            "any" => Predicate::Any(list(value)),
            "all" => Predicate::All(list(value)),
            "not" => Predicate::Not(boxed(value)),
            "if" => Predicate::If { condition: boxed(value), then: boxed(&rule["then"]) },
            "eq" => Predicate::Eq(text(&value[0]), text(&value[1])),
            other => panic!("embedded rules know no `{other}`; a test reads them all"),
        }
    }

    /// Calls `visit` with every path the predicate looks at; `machine` and `user` give their expanded paths.
    pub fn visit_paths(&self, visit: &mut dyn FnMut(&str)) {
        match self {
            Predicate::Has(path) | Predicate::Present(path) | Predicate::Eq(path, _) => visit(path),
            Predicate::Machine(_) | Predicate::User(_) => {
                EventTypes::get().expand(self).into_iter().flatten().for_each(|path| visit(&path));
            }
            Predicate::Any(list) | Predicate::All(list) => list.iter().for_each(|one| one.visit_paths(visit)),
            Predicate::Not(one) => one.visit_paths(visit),
            Predicate::If { condition, then } => {
                condition.visit_paths(visit);
                then.visit_paths(visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udm::Schema;

    #[test]
    fn every_rule_names_paths_and_types_of_the_schema() {
        let (types, schema) = (EventTypes::get(), Schema::get());
        assert_eq!(types.all().len(), 105);
        let words = schema.enum_type("Metadata.EventType").expect("the enum exists");
        for found in types.all() {
            assert_eq!(words.value(found.name).and_then(|word| word.number), Some(i64::from(found.number)), "{}", found.name);
            for requirement in found.require.iter().chain(&found.forbid).chain(&types.require).chain(&types.forbid) {
                requirement.rule.visit_paths(&mut |path| assert!(schema.resolve(path).is_some(), "{}: {path}", found.name));
            }
        }
    }

    #[test]
    fn a_login_is_gated_by_its_target_and_extension() {
        let login = EventTypes::get().find("USER_LOGIN").expect("it exists");
        let gates: Vec<&Predicate> = login.gates().map(|gate| &gate.rule).collect();
        assert!(gates.contains(&&Predicate::Has("target")));
        assert!(gates.contains(&&Predicate::Present("extensions.auth")));
        assert_eq!(gates.len(), 3);
        assert!(!EventTypes::get().find("ANALYST_ADD_COMMENT").expect("it exists").emit);
        assert!(EventTypes::get().find("user_login").is_none());
    }
}
