//! A replay gives the same bytes on one processor and on many, packed and plain, and ends as it should when it cannot go on.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::{record, said, udmill};
use crate::ends;

/// All samples as one folder of logs, among them damaged ones: each file three times, plain, as gzip and as zstd, and some cut off.
fn archive(folder: &Path) -> usize {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut found = Vec::new();
    ends::files(&samples, &mut found);
    found.sort();
    for (at, path) in found.iter().enumerate() {
        let text = fs::read(path).expect("a sample is readable");
        let name = |ending: &str| folder.join(format!("{at:03}.json{ending}"));
        // Every twelfth stands more often than a batch or a megabyte holds, and every seventh is cut in the middle.
        let times = if at % 12 == 0 { 1 + (1 << 20) / text.len().max(1) } else { 1 };
        let text = [text.as_slice(), b"\n"].concat().repeat(times);
        let text = if at % 7 == 3 { &text[..text.len() / 2] } else { &text[..] };
        fs::write(name(""), text).expect("a file");
        let mut gzip = flate2::write::GzEncoder::new(File::create(name(".gz")).expect("a file"), flate2::Compression::fast());
        gzip.write_all(text).and_then(|()| gzip.try_finish()).expect("written");
        fs::write(name(".zst"), zstd::encode_all(text, 1).expect("memory")).expect("a file");
    }
    // And one that breaks off within its packing: its sound beginning is milled, and the others are read all the same.
    let whole = fs::read(folder.join("000.json.gz")).expect("a file");
    fs::write(folder.join("999.json.gz"), &whole[..whole.len() / 2]).expect("a file");
    found.len() * 3 + 1
}

/// What a replay with these arguments wrote, rejected, counted and said.
fn replay(input: &Path, to: &Path, arguments: &[&str]) -> (Option<i32>, Vec<u8>, Vec<u8>, Value, String) {
    let (events, letters) = (to.join("events"), to.join("letters"));
    let name = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let input = input.to_str().expect("UTF-8");
    let (events_name, letters_name) = (name(&events), name(&letters));
    let fixed = ["replay", input, "-o", &events_name, "--dead-letter", &letters_name, "--summary", "json"];
    let output = udmill(&[&fixed[..], arguments].concat(), b"");
    let said = said(&output);
    let (told, summary): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| !line.starts_with('{'));
    let mut summary: Value = serde_json::from_str(summary.first().unwrap_or(&"")).unwrap_or_else(|fault| panic!("{fault}: {said}"));
    summary["seconds"].take();
    let read = |path| fs::read(path).expect("an output");
    (output.status.code(), read(&events), read(&letters), summary, told.join("\n"))
}

#[test]
fn all_samples_give_the_same_bytes_with_any_number_of_jobs() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let files = archive(folder.path());
    let (code, events, letters, summary, told) = replay(folder.path(), to.path(), &["--jobs", "1"]);
    assert_eq!(code, Some(1), "one input breaks off: {told}");
    assert!(told.contains("999.json.gz") && told.lines().count() == 1, "{told}");
    assert_eq!(summary["files"], files);
    assert!(events.len() > 8 << 20 && letters.len() > 100 << 10, "{} bytes of events, {} of dead letters", events.len(), letters.len());
    for jobs in ["2", "5"] {
        let many = replay(folder.path(), to.path(), &["--jobs", jobs]);
        assert!(many.1 == events, "events with {jobs} jobs");
        assert!(many.2 == letters, "dead letters with {jobs} jobs");
        assert_eq!((many.0, &many.3, &many.4), (code, &summary, &told), "{jobs} jobs");
    }
    // What repeats what depends on the order, so one thread looks for it; readers run ahead of it all the same.
    let alone = replay(folder.path(), to.path(), &["--dedupe", "--jobs", "1"]);
    let ahead = replay(folder.path(), to.path(), &["--dedupe", "--jobs", "5"]);
    assert!(alone.3["skips"]["repeat"].as_u64() > Some(1_000), "every sample stands there three times: {}", alone.3);
    assert!(alone == ahead, "{}\n{}", alone.3, ahead.3);
}

#[test]
fn packed_or_plain_the_events_are_the_same() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let text: String = (0..9_000).map(|number| record(number) + "\n").collect();
    let several = |pack: &dyn Fn(&str) -> Vec<u8>| -> Vec<u8> {
        // Archives that grow get a member at a time.
        let (first, rest) = text.split_at(text.len() / 3);
        [pack(first), pack(rest)].concat()
    };
    let gzip = |text: &str| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).expect("memory");
        writer.finish().expect("memory")
    };
    let mut expected = None;
    for (name, bytes) in [
        ("plain", text.clone().into_bytes()),
        ("gzip", several(&gzip)),
        ("zstd", several(&|text| zstd::encode_all(text.as_bytes(), 1).expect("memory"))),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        for jobs in ["1", "3"] {
            let (code, events, _, summary, told) = replay(&path, to.path(), &["-j", jobs]);
            assert_eq!((code, told.as_str(), &summary["emitted"]), (Some(0), "", &9_000.into()), "{name}");
            let expected = expected.get_or_insert_with(|| events.clone());
            assert!(*expected == events, "case: {name}, {jobs} jobs");
        }
    }
}

/// A device whose writes fail as those to a full disk do.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_any_number_of_jobs() {
    let folder = tempfile::tempdir().expect("a folder");
    let text: String = (0..20_000).map(|number| record(number) + "\n").collect();
    let path = folder.path().join("a.ndjson");
    fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("UTF-8");
    for jobs in ["1", "5"] {
        let output = udmill(&["replay", path, "-o", "/dev/full", "--jobs", jobs, "--summary", "none"], b"");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("writing: "), "{}", said(&output));
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_replay_quietly() {
    let folder = tempfile::tempdir().expect("a folder");
    let text: String = (0..100_000).map(|number| record(number) + "\n").collect();
    for name in ["a.ndjson", "b.ndjson", "c.ndjson"] {
        fs::write(folder.path().join(name), &text).expect("a file");
    }
    for jobs in ["1", "2", "5"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_udmill"))
            .args(["replay", "--summary", "none", "--jobs", jobs])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("udmill starts");
        let mut some = [0; 100];
        child.stdout.take().expect("a pipe").read_exact(&mut some).expect("events");
        assert!(some.starts_with(b"{\"metadata\":"), "{}", String::from_utf8_lossy(&some));
        // The pipe is closed now.
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = child.try_wait().expect("its status") {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().expect("killed");
                panic!("{jobs} jobs: it goes on for a minute though nobody reads");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut said = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert_eq!((status.code(), said.as_str()), (Some(1), ""), "{jobs} jobs");
    }
}
