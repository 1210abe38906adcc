//! Small JSON objects, written once and cached.

/// Appends `"name":"value"`, with a comma when the object already has a member.
pub(super) fn text(name: &str, value: &str, out: &mut Vec<u8>) {
    begin(name, out);
    crate::plan::json::string(value.as_bytes(), out);
}

/// Appends `"name":value` of a finite number in its shortest form.
pub(super) fn number(name: &str, value: f64, out: &mut Vec<u8>) {
    begin(name, out);
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}

/// Appends `"name":`, with a comma when the object already has a member.
pub(super) fn begin(name: &str, out: &mut Vec<u8>) {
    if out.last().is_some_and(|last| *last != b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
