"""Counts the operations of Activity Log records in Event Hubs' shape, straight from the records: the second opinion on `udmill report`.

    report_count.py --make          writes records of a made-up month to standard output
    report_count.py FILE...         writes the counts as JSON

It shares nothing with udmill but the definitions: one operation is one (correlation id, operation, resource); its status is that of the
latest record that tells how it ended.
"""

import collections
import datetime
import http
import json
import random
import re
import sys

CLAIM = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
STATUS = {re.sub("[^a-z]", "", status.phrase.lower()): status.value for status in http.HTTPStatus}
RISKY = ("microsoft.authorization/roleassignments/", "microsoft.authorization/elevateaccess/")
AREAS = {
    "role_assignments": RISKY,
    "policy_assignments": ("microsoft.authorization/policyassignments/",),
    "key_vault": ("microsoft.keyvault/",),
    "network_security_groups": ("microsoft.network/networksecuritygroups",),
}


def opened(value):
    """JSON text as what it holds."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def flat(record):
    """A record of the REST interface with the names of Event Hubs'; any other as it is."""
    found = {name: value["value"] if isinstance(value, dict) and "value" in value else value for name, value in record.items()}
    found["time"] = found.get("time") or found.get("eventTimestamp")
    found["resultType"] = found.get("resultType") or found.get("status")
    found["resultSignature"] = found.get("resultSignature") or found.get("subStatus")
    return found


def properties(record):
    outer = opened(record.get("properties"))
    return {**outer, **opened(outer.get("eventProperties"))}


def http_code(record):
    inner = properties(record)
    for value in (inner.get("httpStatusCode"), inner.get("statusCode"), record.get("statusCode"), record.get("resultSignature")):
        text = str(value or "")
        found = re.search(r"(?<!\d)[1-5]\d\d(?!\d)", text)
        if found:
            return int(found.group())
        word = re.sub("[^a-z]", "", text.lower())
        if word in STATUS:
            return STATUS[word]
    return None


def category(record):
    found = properties(record).get("eventCategory") or record.get("category") or ""
    return "Administrative" if found.lower() in ("write", "delete", "action") else found


def ending(record):
    """How a record says that its operation ended: succeeded, failed, denied, or None."""
    operation = (record.get("operationName") or "").lower()
    if "/policies/" in operation:
        return "denied" if "/deny" in operation else None
    word = str(record.get("resultType") or "").lower().rstrip(".")
    code = http_code(record)
    if word in ("success", "succeeded", "0"):
        bad = code is not None and code >= 400
    elif word in ("failure", "failed", "canceled", "cancelled", "error"):
        bad = True
    else:
        return None
    if not bad:
        return "succeeded"
    return "denied" if code in (401, 403) else "failed"


def caller(record):
    identity = opened(record.get("identity"))
    claims = opened(identity.get("claims")) or opened(identity.get("claim"))
    evidence = opened(opened(identity.get("authorization")).get("evidence"))
    inner = properties(record)
    for value in (
        claims.get(CLAIM + "upn"),
        claims.get("upn"),
        claims.get(CLAIM + "name"),
        claims.get("unique_name"),
        claims.get(CLAIM + "emailaddress"),
        record.get("caller"),
        inner.get("caller"),
        identity.get("UserName"),
        claims.get("name"),
        claims.get("http://schemas.microsoft.com/identity/claims/objectidentifier"),
        evidence.get("principalId"),
        claims.get("appid"),
    ):
        if value:
            return value.lower()
    return None


def resource_type(resource):
    """`a/b/c` of the last provider in `/.../providers/a/b/NAME/c/NAME`."""
    if "/providers/" not in resource:
        return "microsoft.resources/resourcegroups" if "/resourcegroups/" in resource else ""
    provider, *rest = resource.rstrip("/").rsplit("/providers/", 1)[1].split("/")
    return "/".join([provider, *rest[0::2]])


def count(files):
    operations = {}
    for name in files:
        with open(name, encoding="utf-8") as lines:
            for line in lines:
                if not line.strip():
                    continue
                record = flat(json.loads(line))
                operation, resource = (record.get("operationName") or "").lower(), record["resourceId"].lower()
                found = operations.setdefault((record["correlationId"], operation, resource), [])
                found.append(record)
    total = collections.Counter()
    categories, failed, deleted, callers = (collections.Counter() for _ in range(4))
    areas = {area: collections.Counter() for area in AREAS}
    roles = []
    for (_, operation, resource), records in operations.items():
        records.sort(key=lambda record: record["time"])
        ends = [end for end in map(ending, records) if end]
        status = ends[-1] if ends else "without_outcome"
        is_failed = status in ("failed", "denied")
        total["operations"] += 1
        total["failed" if is_failed else status] += 1
        total["denied"] += status == "denied"
        categories[category(records[0])] += 1
        failed[operation] += is_failed
        who = next(filter(None, map(caller, records)), None)
        callers[who] += who is not None
        if operation.endswith(("/delete", "/purge/action")):
            deleted[resource_type(resource)] += 1
        for area, prefixes in AREAS.items():
            if operation.startswith(prefixes):
                areas[area]["operations"] += 1
                areas[area]["failed"] += is_failed
        if operation.startswith(RISKY):
            roles.append([who or "", operation, "no outcome" if status == "without_outcome" else status, resource])
    return {
        "totals": {**{name: total[name] for name in ("operations", "succeeded", "failed", "denied", "without_outcome")}, "unique_callers": len(+callers)},
        "by_category": dict(categories),
        "security_events": {area: {name: counts[name] for name in ("operations", "failed")} for area, counts in areas.items()},
        "deletions_by_resource_type": dict(deleted),
        "failed_by_type": dict(+failed),
        "role_assignment_changes": sorted(roles),
    }


def make():
    """A month of operations with their starts and ends; the same at every call."""
    dice = random.Random(5)
    subscription = "/subscriptions/00000000-0000-0000-0000-000000000001"
    kinds = [
        ("Microsoft.Compute/virtualMachines", "write", 20),
        ("Microsoft.Compute/virtualMachines", "delete", 4),
        ("Microsoft.Storage/storageAccounts", "delete", 2),
        ("Microsoft.Authorization/roleAssignments", "write", 6),
        ("Microsoft.Authorization/roleAssignments", "delete", 3),
        ("Microsoft.Authorization/policyAssignments", "write", 2),
        ("Microsoft.KeyVault/vaults", "write", 5),
        ("Microsoft.Network/networkSecurityGroups/securityRules", "write", 6),
        ("Microsoft.Insights/diagnosticSettings", "delete", 1),
        ("Microsoft.Web/sites", "restart/action", 12),
    ]
    begin = datetime.datetime(2026, 1, 1)
    records = []
    for number in range(900):
        kind, verb, _ = dice.choices(kinds, [weight for *_, weight in kinds])[0]
        provider, *types = kind.split("/")
        path = "/".join(f"{name}/{name[:4].lower()}-{dice.randint(1, 60):02}" for name in types)
        resource = f"{subscription}/resourceGroups/rg-{dice.choice(['prod', 'test'])}/providers/{provider}/{path}"
        at = begin + datetime.timedelta(seconds=dice.triangular(0, 30 * 86400, 17 * 86400))
        common = {
            "resourceId": resource,
            "operationName": f"{kind}/{verb}",
            "category": "Administrative",
            "correlationId": f"{number:08x}-0000-4000-8000-{dice.getrandbits(48):012x}",
            "callerIpAddress": f"203.0.113.{dice.randint(1, 60)}",
            "level": "Information",
            "identity": {"claims": {CLAIM + "upn": f"Person{int(dice.triangular(1, 30, 3))}@example.com"}},
        }
        end = dice.choices(["succeeded", "failed", "denied", "none"], [88, 5, 4, 3])[0]
        steps = [("Start", None, 0)] + [("Accept", 202, 2)] * dice.randint(0, 1)
        if end != "none":
            code = {"succeeded": dice.choice([200, 201, 204]), "failed": dice.choice([404, 409, 500]), "denied": 403}[end]
            steps.append(("Success" if end == "succeeded" else "Failure", code, dice.randint(3, 90)))
        for word, code, seconds in steps:
            time = (at + datetime.timedelta(seconds=seconds)).isoformat(timespec="seconds") + ".0000000Z"
            inner = {"eventCategory": "Administrative"}
            if code:
                inner["statusCode"] = str(code)
            # Providers spell their own name in two ways, between two records of one operation too.
            name = common["operationName"].upper() if word == "Accept" else common["operationName"]
            records.append({"time": time, **common, "operationName": name, "resultType": word, "properties": inner})
    dice.shuffle(records)
    for record in records:
        print(json.dumps(record))


if sys.argv[1:] == ["--make"]:
    make()
else:
    json.dump(count(sys.argv[1:]), sys.stdout, indent=1, sort_keys=True)
