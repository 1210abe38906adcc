"""Judges JSON or TOML files by a JSON Schema: one line of JSON a file, its faults as a list of texts.

    schema_check.py SCHEMA.json FILE...
"""

import json
import sys
import tomllib

import jsonschema

with open(sys.argv[1], encoding="utf-8") as text:
    schema = json.load(text)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    with open(name, "rb") as text:
        value = tomllib.load(text)
    faults = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
    print(json.dumps({"file": name, "faults": faults}))
