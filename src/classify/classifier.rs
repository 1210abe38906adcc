//! Facts to whatever was claimed for them.

use std::collections::HashMap;

use super::facts::{Facts, Shape};

/// Two tables claim the same records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// The shape is none of the closed list.
    #[error("`{0}` is not a shape; expected one of openai_audit, activity, activity_rest, azure, log_analytics, unknown")]
    Shape(String),
    /// The entry is taken.
    #[error("shape `{shape}`, provider `{provider}`, category `{category}` is already claimed")]
    Taken {
        /// The shape.
        shape: &'static str,
        /// The provider; `*` for every one.
        provider: String,
        /// The category; `*` for every one.
        category: String,
    },
}

/// Which of a record's facts chose the table, most specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// Shape, provider and category.
    ProviderAndCategory,
    /// Shape and provider.
    Provider,
    /// Shape and category.
    Category,
    /// The shape alone.
    Shape,
    /// Nothing claimed its shape: the table of shape `azure` takes it.
    Fallback,
}

impl MatchedBy {
    /// A phrase for `explain`.
    pub fn name(self) -> &'static str {
        match self {
            MatchedBy::ProviderAndCategory => "shape, provider and category",
            MatchedBy::Provider => "shape and provider",
            MatchedBy::Category => "shape and category",
            MatchedBy::Shape => "shape",
            MatchedBy::Fallback => "fallback",
        }
    }
}

/// Entries `(shape, provider?, category?)` and what they lead to.
pub struct Classifier<T> {
    // A key is `provider NUL category`; the empty text stands for "every". One map a shape.
    entries: [HashMap<Box<[u8]>, T, ahash::RandomState>; Shape::ALL.len()],
    // The claims on every record of a shape.
    whole: [Option<T>; Shape::ALL.len()],
}

impl<T> Default for Classifier<T> {
    fn default() -> Self {
        // Fixed keys are safe here: entries come from tables, and records only look up.
        let entries = std::array::from_fn(|_| HashMap::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4)));
        Classifier { entries, whole: std::array::from_fn(|_| None) }
    }
}

impl<T> Classifier<T> {
    /// Claims the records of a shape, of one provider and category where they are given. Both are compared in lower case, and whole.
    ///
    /// # Errors
    ///
    /// [`Clash`] when the shape does not exist or the entry is taken; nothing is changed then.
    pub fn add(&mut self, shape: &str, provider: Option<&str>, category: Option<&str>, item: T) -> Result<(), Clash> {
        let Some(shape) = Shape::from_name(shape) else { return Err(Clash::Shape(shape.to_string())) };
        let word = |text: Option<&str>| text.unwrap_or("*").to_string();
        let taken = || Clash::Taken { shape: shape.name(), provider: word(provider), category: word(category) };
        if provider.is_none() && category.is_none() {
            let whole = &mut self.whole[shape as usize];
            if whole.is_some() {
                return Err(taken());
            }
            *whole = Some(item);
            return Ok(());
        }
        let key = format!("{}\0{}", provider.unwrap_or_default(), category.unwrap_or_default()).to_ascii_lowercase();
        match self.entries[shape as usize].entry(key.into_bytes().into_boxed_slice()) {
            std::collections::hash_map::Entry::Occupied(_) => Err(taken()),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(item);
                Ok(())
            }
        }
    }

    /// What the most specific claim on a record with these facts leads to. At most three look-ups before the shape's own entry.
    pub fn find(&self, facts: &Facts) -> Option<(&T, MatchedBy)> {
        let entries = &self.entries[facts.shape as usize];
        let (has_provider, has_category) = (facts.has_provider(), facts.has_category());
        let tries = [
            (has_provider && has_category, facts.both(), MatchedBy::ProviderAndCategory),
            (has_provider, facts.provider_key(), MatchedBy::Provider),
            (has_category, facts.category_key(), MatchedBy::Category),
        ];
        for (possible, key, by) in tries {
            if possible && let Some(item) = entries.get(key) {
                return Some((item, by));
            }
        }
        if let Some(item) = &self.whole[facts.shape as usize] {
            return Some((item, MatchedBy::Shape));
        }
        self.whole[Shape::Azure as usize].as_ref().map(|item| (item, MatchedBy::Fallback))
    }
}
