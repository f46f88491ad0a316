"""Two answers, key by key: what is volatile is masked by name, what differs is listed with its path."""

import base64
import json
import re

ZERO_TIME = "0001-01-01T00:00:00Z"

# Times: shown or not is compared, and whether they are zero; the value is not.
TIMES = {"created", "ts", "time", "timestamp", "last_active", "first_ts", "last_ts", "pinned_ts", "start", "end", "stop"}
# Anything else that two servers can't have in common.
VOLATILE = {"id", "pause_remaining", "leader", "server", "server_id", "host", "rtt", "_nats.ver", "_nats.level", "active",
            "pinned_client_id", "pinned_id", "ack_time", "lag", "kind_id"}
VOLATILE_HEADERS = {"Nats-Time-Stamp", "Nats-Pin-Id", "Nats-Consumer-Stalled", "Nats-Stream-Identity"}
# The figures of INFO count what earlier scripts did.
VOLATILE_IN = {"api": {"total", "errors", "level", "inflight"}}


def mask(value, key=None, within=None):
    if key in TIMES and isinstance(value, str):
        return value if value == ZERO_TIME else "a time"
    if key in VOLATILE or key in VOLATILE_IN.get(within, ()):
        return f"a {type(value).__name__}"
    if isinstance(value, dict):
        if value.get("err_code") == 10025:  # the words are those of the decoder
            value = {**value, "description": "invalid JSON"}
        return {k: mask(v, k, key) for k, v in value.items()}
    if isinstance(value, list):
        # The reference tells how its sources stand in the order of a Go map, another one each time.
        if key == "sources" and all(isinstance(v, dict) and "lag" in v for v in value):
            value = sorted(value, key=lambda v: (v["name"], str(v.get("filter_subject"))))
        return [mask(v, key) for v in value]
    if key in ("response", "request") and isinstance(value, str):  # audits carry JSON as text
        try:
            return mask(json.loads(value))
        except ValueError:
            return value
    return value


def mask_subject(subject):
    """The stored time in an ack subject, the random token of a flow control subject."""
    if subject.startswith("$JS.ACK."):
        tokens = subject.split(".")
        if len(tokens) == 9:
            tokens[7] = "time"
        return ".".join(tokens)
    return re.sub(r"^(\$JS\.FC\..*)\.[^.]+$", r"\1.token", subject)


def shown(message, inbox):
    """A message as it is compared."""
    body = message.payload.decode("utf-8", "replace")
    if body.startswith("{"):
        try:
            body = mask(json.loads(body))
        except ValueError:
            pass
    out = {"body": body}
    if message.subject != inbox:
        out["subject"] = mask_subject(message.subject)
    if message.reply:
        out["reply"] = mask_subject(message.reply)
    if message.status:
        out["status"] = message.status
        # The words of a JSON error are those of the decoder.
        out["status"] = re.sub(r"^(400 Bad Request - )(json:|invalid character|unexpected).*", r"\1decoder", out["status"])
    if message.headers:
        out["headers"] = [f"{k}: {'volatile' if k in VOLATILE_HEADERS else mask_subject(v)}" for k, v in message.headers]
    if isinstance(body, dict) and isinstance(body.get("message"), dict) and "hdrs" in body["message"]:
        body["message"]["hdrs"] = base64.b64decode(body["message"]["hdrs"]).decode("utf-8", "replace")
    return out


def flatten(value, path=""):
    """path → leaf; empty objects and lists are leaves."""
    if isinstance(value, dict) and value:
        return {p: leaf for k, v in value.items() for p, leaf in flatten(v, f"{path}.{k}" if path else k).items()}
    if isinstance(value, list) and value:
        return {p: leaf for i, v in enumerate(value) for p, leaf in flatten(v, f"{path}.{i}" if path else str(i)).items()}
    return {path: value}


def differences(ours, theirs):
    """[(path, ours, theirs)]; a missing side is None."""
    a, b = flatten(ours), flatten(theirs)
    return [(path, a.get(path), b.get(path)) for path in sorted({*a, *b}) if a.get(path) != b.get(path) or (path in a) != (path in b)]
