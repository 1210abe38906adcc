//! Converters to numbers, booleans and plain text.

use super::{Converter, Digits, Gives, text_of, utf8};
use crate::plan::convert::{Args, Fault, Input, Output};

/// See [`super`].
pub(super) const CONVERTERS: &[Converter] = &[
    Converter {
        name: "text",
        run: text,
        takes: "text, number, boolean",
        gives: Gives::Text,
        params: &[],
        doc: "Numbers in their shortest form, booleans as `true` and `false`.",
        examples: &[("\"text\"", "abc", "abc")],
    },
    Converter {
        name: "int",
        run: int,
        takes: "whole number, or its text",
        gives: Gives::Int,
        params: &[],
        doc: "A whole number of 64 bits. `78`, `\"78\"` and `78.0` are the same; `1.5` is refused, not rounded.",
        examples: &[
            ("\"int\"", "78", "78"),
            ("\"int\"", " -1021 ", "-1021"),
            ("\"int\"", "78.0", "78"),
            ("\"int\"", "1.5", "fault:not_an_int"),
        ],
    },
    Converter {
        name: "uint",
        run: uint,
        takes: "whole number from 0, or its text",
        gives: Gives::UInt,
        params: &[],
        doc: "A whole number from 0 to 18446744073709551615. Byte and packet counts; a negative one is refused.",
        examples: &[("\"uint\"", "18446744073709551615", "18446744073709551615"), ("\"uint\"", "-1", "fault:not_a_uint")],
    },
    Converter {
        name: "float",
        run: float,
        takes: "number, or its text",
        gives: Gives::Float,
        params: &[],
        doc: "A finite number with a point; `\"0\"` is a value, empty text, `NaN` and `inf` are refused.",
        examples: &[("\"float\"", "52.3676", "52.3676"), ("\"float\"", "0", "0"), ("\"float\"", "NaN", "fault:not_a_number")],
    },
    Converter {
        name: "bool",
        run: boolean,
        takes: "boolean, its text, 0 or 1",
        gives: Gives::Bool,
        params: &[],
        doc: "`true`, `false`, `yes`, `no`, `1` and `0` in any case.",
        examples: &[("\"bool\"", "True", "true"), ("\"bool\"", "0", "false"), ("\"bool\"", "maybe", "fault:not_a_bool")],
    },
    Converter {
        name: "http_status",
        run: http_status,
        takes: "status number, or its text or name",
        gives: Gives::Int,
        params: &[],
        doc: "100 to 599, from a number, `200 OK`, a name of RFC 9110 in any case and with or without blanks (`NotFound`), or Azure's \
              `Failed.NotFound`. A word that names a state and no status (`Started.`, `Succeeded`) is absent.",
        examples: &[
            ("\"http_status\"", "404", "404"),
            ("\"http_status\"", "Failed.NotFound", "404"),
            ("\"http_status\"", "Bad Request", "400"),
            ("\"http_status\"", "Started.", "absent"),
            ("\"http_status\"", "0", "fault:not_a_status"),
        ],
    },
];

fn text(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    if matches!(input, Input::Text(_)) {
        return Ok(Output::Same);
    }
    out.extend_from_slice(text_of(input, &mut Digits::default()));
    Ok(Output::Text)
}

/// Two to the power of 53: beyond it a float no longer tells neighbouring whole numbers apart.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number out of any input, wide enough for both signs.
pub(super) fn whole(input: Input<'_>) -> Option<i128> {
    let from_float = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128);
    match input {
        Input::Int(number) => Some(number.into()),
        Input::UInt(number) => Some(number.into()),
        Input::Float(number) => from_float(number),
        Input::Bool(_) => None,
        Input::Text(text) => {
            let text = text.trim_ascii();
            // `parse` would take a `+`, which no source writes; what it means there is not known.
            if text.first() == Some(&b'+') || text.len() > 40 {
                return None;
            }
            let text = std::str::from_utf8(text).ok()?;
            text.parse().ok().or_else(|| text.strip_suffix(".0").and_then(|text| text.parse().ok()))
        }
    }
}

/// A finite number out of any input.
pub(super) fn real(input: Input<'_>) -> Option<f64> {
    let number = match input {
        Input::Int(number) => number as f64,
        Input::UInt(number) => number as f64,
        Input::Float(number) => number,
        Input::Bool(_) => return None,
        Input::Text(text) => {
            let text = text.trim_ascii();
            // `parse` also takes `inf`, `nan` and `infinity`; a number has a digit first or after its sign or point.
            if !text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)) || text.len() > 64 {
                return None;
            }
            std::str::from_utf8(text).ok()?.parse().ok()?
        }
    };
    number.is_finite().then_some(number)
}

fn int(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    whole(input).and_then(|number| i64::try_from(number).ok()).map(Output::Int).ok_or(Fault("not_an_int"))
}

fn uint(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    let number = whole(input).and_then(|number| u64::try_from(number).ok()).ok_or(Fault("not_a_uint"))?;
    Ok(i64::try_from(number).map_or(Output::UInt(number), Output::Int))
}

fn float(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    // Text that already is a JSON number is written as it stands: reading and printing it again costs more than the rest of the row.
    if let Input::Text(text) = input
        && crate::plan::convert::is_plain_number(text)
    {
        return Ok(Output::Same);
    }
    real(input).map(Output::Float).ok_or(Fault("not_a_number"))
}

fn boolean(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits).trim_ascii();
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    if is(&["true", "yes", "1"]) {
        Ok(Output::Bool(true))
    } else if is(&["false", "no", "0"]) {
        Ok(Output::Bool(false))
    } else {
        Err(Fault("not_a_bool"))
    }
}

/// Names of RFC 9110, RFC 6585 and the .NET enum `HttpStatusCode`, which Azure writes; lower case without blanks, sorted.
const STATUS_NAMES: [(&str, i64); 63] = [
    ("accepted", 202),
    ("alreadyreported", 208),
    ("ambiguous", 300),
    ("badgateway", 502),
    ("badrequest", 400),
    ("conflict", 409),
    ("continue", 100),
    ("created", 201),
    ("earlyhints", 103),
    ("expectationfailed", 417),
    ("faileddependency", 424),
    ("forbidden", 403),
    ("found", 302),
    ("gatewaytimeout", 504),
    ("gone", 410),
    ("httpversionnotsupported", 505),
    ("imused", 226),
    ("insufficientstorage", 507),
    ("internalservererror", 500),
    ("lengthrequired", 411),
    ("locked", 423),
    ("loopdetected", 508),
    ("methodnotallowed", 405),
    ("misdirectedrequest", 421),
    ("moved", 301),
    ("movedpermanently", 301),
    ("multiplechoices", 300),
    ("multistatus", 207),
    ("networkauthenticationrequired", 511),
    ("nocontent", 204),
    ("nonauthoritativeinformation", 203),
    ("notacceptable", 406),
    ("notextended", 510),
    ("notfound", 404),
    ("notimplemented", 501),
    ("notmodified", 304),
    ("ok", 200),
    ("partialcontent", 206),
    ("paymentrequired", 402),
    ("permanentredirect", 308),
    ("preconditionfailed", 412),
    ("preconditionrequired", 428),
    ("processing", 102),
    ("proxyauthenticationrequired", 407),
    ("redirect", 302),
    ("requestedrangenotsatisfiable", 416),
    ("requestentitytoolarge", 413),
    ("requestheaderfieldstoolarge", 431),
    ("requesttimeout", 408),
    ("requesturitoolong", 414),
    ("resetcontent", 205),
    ("seeother", 303),
    ("serviceunavailable", 503),
    ("switchingprotocols", 101),
    ("temporaryredirect", 307),
    ("toomanyrequests", 429),
    ("unauthorized", 401),
    ("unavailableforlegalreasons", 451),
    ("unprocessablecontent", 422),
    ("unprocessableentity", 422),
    ("unsupportedmediatype", 415),
    ("upgraderequired", 426),
    ("useproxy", 305),
];

/// The last piece of `Failed.NotFound` is the name; `Succeeded.` and `Started.` have none.
fn http_status(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    if let Some(number) = whole(input) {
        return if (100..=599).contains(&number) { Ok(Output::Int(number as i64)) } else { Err(Fault("not_a_status")) };
    }
    let Input::Text(text) = input else { return Err(Fault("not_a_status")) };
    let text = utf8(text)?.trim();
    if let Some((number, _)) = text.split_once(' ')
        && number.len() == 3
        && let Some(number) = whole(Input::Text(number.as_bytes()))
    {
        return if (100..=599).contains(&number) { Ok(Output::Int(number as i64)) } else { Err(Fault("not_a_status")) };
    }
    let name = text.rsplit('.').next().unwrap_or_default();
    let mut folded = [0u8; 32];
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !b" -_".contains(byte)) {
        if length == folded.len() {
            return Ok(Output::Absent);
        }
        folded[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    let found = STATUS_NAMES.binary_search_by(|(known, _)| known.as_bytes().cmp(&folded[..length]));
    Ok(found.map_or(Output::Absent, |index| Output::Int(STATUS_NAMES[index].1)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn status_names_are_sorted() {
        assert!(super::STATUS_NAMES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
