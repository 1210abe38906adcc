#!/usr/bin/env python3
"""Judges UDM events by Google's own protobuf.

Reads NDJSON from stdin, one UDM object a line, and parses each strictly: an unknown field, an unknown enum word, a wrong type or a wrong text
form refuses the event. One field is taken out first, and only that: network.http.parsedUserAgent, which Google's parsers write but whose
number is reserved in the public proto.

Prints one line for every refused event and a summary on stderr. Exit code 0: all accepted; 1: at least one refused; 2: nothing to judge.
"""

import json
import sys

from google.backstory import UDM
from google.protobuf import json_format


class Duplicate(ValueError):
    """One JSON object names a member twice; the last would win silently."""


def members(pairs):
    """Makes an object, refusing what JSON parsers usually pass over: one name twice."""
    found = {}
    for name, value in pairs:
        if name in found:
            raise Duplicate(f"member `{name}` stands twice")
        found[name] = value
    return found


def without_parsed_user_agent(event):
    http = event.get("network", {}).get("http") if isinstance(event.get("network"), dict) else None
    if isinstance(http, dict):
        http.pop("parsedUserAgent", None)
    return event


def judge(line):
    """Gives None for an accepted event, else what is wrong with it."""
    try:
        event = json.loads(line, object_pairs_hook=members)
    except ValueError as fault:
        return f"no JSON: {fault}"
    if not isinstance(event, dict):
        return "a JSON object was expected"
    try:
        json_format.ParseDict(without_parsed_user_agent(event), UDM.pb()(), ignore_unknown_fields=False)
    except (json_format.ParseError, TypeError, ValueError) as fault:
        return " ".join(str(fault).split())
    return None


def main():
    count = refused = 0
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        count += 1
        fault = judge(line)
        if fault is not None:
            refused += 1
            print(f"line {number}: {fault}")
    print(f"udm_check: {count} events, {refused} refused", file=sys.stderr)
    if count == 0:
        return 2
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
