//! Which blobs there are: bounded questions to the store, by the dates in names.
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore};

use super::dates;

/// Questions asked at once.
const AT_ONCE: usize = 8;

/// A blob of the span that was asked for.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the store says about it.
    pub meta: ObjectMeta,
    /// The hour of its name, in hours since the Unix epoch; 0 for a name without one.
    pub hour: i64,
}

/// What was found out about the folders of a place.
#[derive(Debug, Default)]
pub struct Folders {
    /// Those that hold years.
    dated: Vec<Path>,
    /// Blobs that lie beside folders, with or without a date.
    beside: Vec<ObjectMeta>,
}

/// Looks through the folders down to the years. One question a folder: a resource of Azure lies about nine deep.
///
/// # Errors
///
/// As the store.
pub async fn folders(store: &dyn ObjectStore, prefix: &str) -> Result<Folders, Error> {
    let mut found = Folders::default();
    let mut next = vec![if prefix.is_empty() { Path::default() } else { Path::parse(prefix)? }];
    while !next.is_empty() {
        let asked: Vec<_> = futures::stream::iter(std::mem::take(&mut next))
            .map(|folder| async move {
                let there = store.list_with_delimiter((!folder.as_ref().is_empty()).then_some(&folder)).await?;
                Ok::<_, Error>((folder, there))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for (folder, there) in asked {
            let is_year = |path: &Path| path.as_ref().rsplit('/').next().is_some_and(dates::is_year);
            if there.common_prefixes.iter().any(is_year) {
                found.dated.push(folder);
            }
            next.extend(there.common_prefixes.into_iter().filter(|path| !is_year(path)));
            found.beside.extend(there.objects);
        }
    }
    Ok(found)
}

impl Folders {
    /// The blobs of some hours, the oldest first. `whole_days` asks for days instead of single hours, and for what lies beside the folders.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn blobs(
        &self,
        store: &dyn ObjectStore,
        (first, last): (i64, i64),
        whole_days: bool,
        names_end: &str,
    ) -> Result<Vec<Candidate>, Error> {
        let spans = if whole_days { dates::days(first, last) } else { (first..=last).map(|hour| dates::folder(hour, false)).collect() };
        let folders = self.dated.iter().flat_map(|folder| {
            spans.iter().map(move |span| Path::parse(if folder.as_ref().is_empty() { span.clone() } else { format!("{folder}/{span}") }))
        });
        let asked: Vec<Vec<ObjectMeta>> = futures::stream::iter(folders)
            .map(|folder| async move { store.list(Some(&folder?)).try_collect::<Vec<_>>().await })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let beside = self.beside.iter().filter(|_| whole_days).cloned();
        let mut found: Vec<Candidate> = asked
            .into_iter()
            .flatten()
            .chain(beside)
            .filter(|meta| meta.location.as_ref().ends_with(names_end))
            .map(|meta| Candidate { hour: dates::hour(meta.location.as_ref()).unwrap_or(0), meta })
            .filter(|one| one.hour == 0 || (first..=last).contains(&one.hour))
            .collect();
        found.sort_by(|left, right| (left.hour, left.meta.location.as_ref()).cmp(&(right.hour, right.meta.location.as_ref())));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;

    #[tokio::test]
    async fn only_the_hours_asked_for_are_found_the_oldest_first() {
        let store = object_store::memory::InMemory::new();
        for name in [
            "flowLogResourceID=/B/y=2026/m=01/d=31/h=23/m=00/macAddress=1/PT1H.json",
            "flowLogResourceID=/A/y=2026/m=02/d=01/h=00/m=00/macAddress=1/PT1H.json",
            "flowLogResourceID=/A/y=2026/m=01/d=30/h=00/m=00/macAddress=1/PT1H.json",
            "flowLogResourceID=/A/y=2026/m=02/d=01/h=00/m=00/macAddress=1/PT1H.tmp",
            "loose.json",
        ] {
            store.put(&Path::parse(name).expect("a name"), "{}".into()).await.expect("written");
        }
        let folders = folders(&store, "").await.expect("listed");
        let names = |found: Vec<Candidate>| -> Vec<String> {
            found.into_iter().map(|one| one.meta.location.as_ref().replace("flowLogResourceID=/", "").chars().take(24).collect()).collect()
        };
        let newest = folders.blobs(&store, (491_639, 491_640), false, ".json").await.expect("listed");
        assert_eq!(names(newest), ["B/y=2026/m=01/d=31/h=23/", "A/y=2026/m=02/d=01/h=00/"]);
        let all = folders.blobs(&store, (491_592, 491_640), true, ".json").await.expect("listed");
        assert_eq!(names(all), ["loose.json", "A/y=2026/m=01/d=30/h=00/", "B/y=2026/m=01/d=31/h=23/", "A/y=2026/m=02/d=01/h=00/"]);
    }
}
