//! Every code an outcome or a note may carry: what it means and the way out. The page `docs/codes.md` is made from it.

/// What a code is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A dead letter, at this stage.
    Reject(&'static str),
    /// A part or message that gives nothing, on purpose.
    Skip,
    /// A value that an event left out or changed.
    Note,
    /// A correction without which the record could not be read; stands in `additional.udmill_repair`.
    Repair,
}

/// One code. Codes are stable once released.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// What it is said of.
    pub said: Said,
    /// The word in metrics, headers, dead letters and summaries.
    pub id: &'static str,
    /// What happened.
    pub what: &'static str,
    /// How to mend it.
    pub mend: &'static str,
}

const fn code(said: Said, id: &'static str, what: &'static str, mend: &'static str) -> Code {
    Code { said, id, what, mend }
}

const DECODE: Said = Said::Reject("decode");
const MAP: Said = Said::Reject("map");
const EMIT: Said = Said::Reject("emit");
const PANIC: Said = Said::Reject("panic");
const ROUTE: Said = Said::Reject("route");
const DELIVER: Said = Said::Reject("deliver");
use Said::{Note, Repair, Skip};

/// The closed list, grouped by what a code is said of.
pub const CODES: &[Code] = &[
    code(
        DECODE,
        "not_json",
        "a stretch of the body is no JSON, also after every stated repair",
        "look at the dead letter's bytes; mend what writes them, then send them again with `--redrive`",
    ),
    code(
        DECODE,
        "truncated",
        "the body ends inside a record",
        "raise the size limit of whatever forwards the logs; the archive usually holds the whole record",
    ),
    code(
        DECODE,
        "too_deep",
        "a record nests deeper than the limit of 64",
        "mend the sender: no known log goes beyond 9; text with JSON in it is opened by a mapping instead",
    ),
    code(
        DECODE,
        "not_an_object",
        "a number, a word or plain text stands where a record should",
        "take free text off this topic; only JSON objects are log records",
    ),
    code(
        DECODE,
        "row_width",
        "a row of a query answer has not one cell a column, or a column has no name",
        "run the query again; the answer was cut or put together by hand",
    ),
    code(
        DECODE,
        "api_error",
        "an API's error answer was stored in place of a page",
        "fetch the page again; make the collector retry instead of storing errors",
    ),
    code(
        DECODE,
        "too_large",
        "the body is larger than the limit of 64 MiB after unpacking",
        "split it: files are cut into records by `replay`, messages should stay below the broker's own limit",
    ),
    code(DECODE, "too_many_records", "the message holds more records than the limit of one million", "split the message"),
    code(
        DECODE,
        "not_unpackable",
        "the body begins like gzip or zstd but cannot be unpacked",
        "send it again; it was damaged or cut on its way",
    ),
    code(
        MAP,
        "no_mapping",
        "no mapping takes records of this shape, provider and category",
        "write a mapping with a matching `[match]`, or pin the topic to one",
    ),
    code(
        MAP,
        "columns",
        "an element has a number of columns that the mapping does not list",
        "compare the element with the log's documented versions; add its column list to `split`",
    ),
    code(
        MAP,
        "time_missing",
        "no row gave the event's time and the message carries none",
        "add the time's field to the row of `metadata.event_timestamp`; live, the broker's time stands in",
    ),
    code(
        EMIT,
        "event_too_large",
        "the event is larger than the limit, or than the output topic takes",
        "drop or shorten the long fields in the mapping, or raise `max.message.bytes` of the topic",
    ),
    code(
        ROUTE,
        "no_output",
        "no output takes the event, and `run.unrouted` is `dead_letter`",
        "give an output a `take` that fits, or one without; then send the dead letters again with `redrive`",
    ),
    code(
        DELIVER,
        "output_refused",
        "the broker refuses the event for good",
        "the detail names the broker's reason: mostly a topic that is missing or a right to write that is",
    ),
    code(
        PANIC,
        "panic",
        "the program failed on this message; nothing of it was emitted",
        "this is a fault of udmill: please report it with the dead letter",
    ),
    code(Skip, "blank", "the body holds no bytes but white space", "nothing; a Kafka tombstone looks like this"),
    code(Skip, "null", "the value is `null`", "nothing"),
    code(Skip, "empty_object", "the value is `{}`", "nothing"),
    code(Skip, "empty_array", "the value is `[]`", "nothing"),
    code(Skip, "empty_records", "`records` holds no element", "nothing"),
    code(Skip, "null_records", "`records` is `null`", "nothing"),
    code(Skip, "empty_list", "a page without an entry", "nothing; the last page of a listing looks like this"),
    code(Skip, "empty_table", "a query answer without a row", "nothing"),
    code(Skip, "empty_each", "the record has no element to make events of", "nothing; a flow record of a quiet interval looks like this"),
    code(Skip, "each_condition", "the `when` of an `[[each]]` does not hold for this element", "nothing; the mapping says so"),
    code(Skip, "repeat", "the partition had an event of this id a short while ago, and `dedupe` is on", "nothing; the first one is there"),
    code(
        Skip,
        "other_output",
        "no output of this profile takes the event; one of another profile takes the record's",
        "nothing; the settings say so",
    ),
    code(
        Skip,
        "no_output",
        "no output takes the event, and `run.unrouted` is `count`",
        "nothing when that is wanted; else give an output a `take` that fits",
    ),
    code(
        Note,
        "columns",
        "an element has a number of columns that the mapping does not list; it feeds no field",
        "add its column list to `split`",
    ),
    code(Note, "does_not_fit", "the value does not fit the field: text for a number, or out of its range", "convert it in the row"),
    code(Note, "duration_out_of_range", "a duration beyond what the field can hold", "look at the record: the unit may be another"),
    code(Note, "label_cut", "a label's value was cut to 1,024 bytes", "nothing, or drop the field"),
    code(Note, "list_cut", "a list was cut to 64 entries", "nothing, or name the entries you need"),
    code(Note, "negative_duration", "a duration below zero", "look at the record: clocks of two machines differ"),
    code(Note, "not_a_bool", "neither `true` nor `false`", "compare the value with the row's converter"),
    code(Note, "not_a_duration", "no ISO 8601 duration, clock time or number", "compare the value with the row's converter"),
    code(
        Note,
        "not_a_flow",
        "the five parts of a community id are not two addresses, two ports and a protocol",
        "nothing; the other fields stand",
    ),
    code(Note, "not_a_guid", "no GUID", "compare the value with the row's converter"),
    code(Note, "not_a_ja3", "no 32 hexadecimal digits", "nothing; the text is kept in `additional`"),
    code(Note, "not_a_ja4", "not of the form `a_b_c` of a JA4", "nothing; the text is kept in `additional`"),
    code(Note, "not_a_mac", "no 48-bit hardware address", "nothing; the text is kept in `additional`"),
    code(Note, "not_a_network", "no address with a prefix length", "nothing; the text is kept in `additional`"),
    code(Note, "not_a_number", "no finite number", "compare the value with the row's converter"),
    code(Note, "not_a_port", "no whole number from 0 to 65535", "nothing; the text is kept in `additional`"),
    code(Note, "not_a_resource_id", "no path of an Azure resource", "compare the value with the row's source"),
    code(Note, "not_a_status", "no HTTP status code or name", "compare the value with the row's converter"),
    code(Note, "not_a_timestamp", "no date and time in a known form", "name the form's own converter in the row"),
    code(Note, "not_a_uint", "no whole number from 0", "compare the value with the row's converter"),
    code(Note, "not_a_url", "no absolute URL", "nothing; the text is kept in `additional`"),
    code(Note, "not_an_email", "no mail address", "nothing; the text is kept in `additional`"),
    code(Note, "not_an_int", "no whole number within 64 bits", "compare the value with the row's converter"),
    code(Note, "not_an_ip", "no IPv4 or IPv6 address: a masked one, a host's name or a word", "nothing; the text is kept in `additional`"),
    code(Note, "not_millis", "no whole milliseconds", "compare the value with the row's converter"),
    code(Note, "not_seconds", "no whole seconds", "compare the value with the row's converter"),
    code(Note, "not_ticks", "no ticks of 100 nanoseconds", "compare the value with the row's converter"),
    code(Note, "not_utf8", "the decoded bytes are no text", "nothing"),
    code(Note, "redacted", "a secret was blacked out", "rotate the secret: it stands in the source's log"),
    code(Note, "time_out_of_range", "a time before year 1 or after year 9999", "look at the record: the unit may be another"),
    code(
        Note,
        "unmapped_dropped",
        "more unread leaves than the 64 entries or 8 KiB an event keeps",
        "write rows for the useful ones, `drop` the others",
    ),
    code(Repair, "single_quotes", "names and texts stood in single quotes", "nothing, or mend the sender"),
    code(Repair, "control_characters", "raw control characters, line ends among them, stood inside text", "nothing, or mend the sender"),
    code(Repair, "big_number", "a number beyond 64 bits was kept as text", "nothing"),
    code(
        Repair,
        "lone_surrogate",
        "half of a surrogate pair became U+FFFD",
        "nothing, or mend the sender: it cuts text inside a character",
    ),
    code(Repair, "invalid_utf8", "bytes that are not UTF-8 became U+FFFD", "nothing, or mend the sender"),
    code(Repair, "stray_escape", "a backslash stood before a character that JSON does not escape", "nothing, or mend the sender"),
    code(Repair, "stray_comma", "a comma stood with nothing between or after it", "nothing"),
    code(Repair, "foreign_word", "`None`, `True`, `NaN` and the like stood for JSON's words", "nothing, or mend the sender"),
];
