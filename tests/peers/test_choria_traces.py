"""What Choria's own programs asked of their broker, recorded, asked again: Sluice answers as nats-server does.

The traces hold the state that stood before them (other buckets in a list), so the judge is the reference given the same requests; that these are
the recorded ones is seen from how many of its answers equal the recorded answers.
"""

import json
import re

import pytest

import servers
from test_twin import pair  # noqa: F401  (two servers side by side)
from twin import compare, play, script

FOLDER = servers.ROOT / "tests/fixtures/choria"
# So many of the recorded answers the reference gives again; the rest shows figures of what stood before the recording.
AS_RECORDED = {"ajc": 80, "election": 9, "governor": 20, "kv": 25, "scout": 0, "submit": 0}

# A restore needs the chunks that the snapshot gave.
LEFT_OUT = re.compile(r"\$JS\.(API\.STREAM\.(SNAPSHOT|RESTORE)|SNAPSHOT)\.")


def header_pairs(block):
    return tuple(tuple(part.strip() for part in line.split(":", 1)) for line in block.split("\r\n")[1:] if ":" in line)


def text_of(data):
    return data if isinstance(data, str) else "" if data is None else json.dumps(data, separators=(",", ":"))


def steps_of(path):
    """[(step, recorded answers)], after steps that make the streams which stood before the recording."""
    out, known = [], set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        event = json.loads(line)
        if event.get("kind") not in ("request", "publish") or LEFT_OUT.match(event["subject"]):
            continue
        answers = [a for a in event.get("answers") or [] if isinstance(a, dict)]
        verb, _, name = event["subject"].removeprefix("$JS.API.STREAM.").partition(".")
        if verb in ("INFO", "CREATE") and name not in known:
            known.add(name)
            config = answers[0].get("data", {}).get("config") if verb == "INFO" and answers else None
            if config:
                out.insert(0, (script.Step(path.stem, 0, "api", [f"STREAM.CREATE.{name}"], body=text_of({**config, "metadata": {}})), []))
        # The recorder put all that came to one inbox under each of its requests: an API call has one answer.
        if event["subject"].startswith("$JS.API.") and not re.search(r"\.(MSG\.NEXT|DIRECT)\.", event["subject"]):
            answers = answers[:1]
        step = script.Step(path.stem, number, "req" if "reply" in event else "send", [event["subject"]], count=len(answers),
                           headers=header_pairs(event.get("headers", "")), body=text_of(event.get("data")))
        out.append((step, answers))
    return out


def recorded(answer):
    """A recorded answer in the form in which answers are compared."""
    body = answer.get("data", "")
    out = {"body": compare.mask(body) if isinstance(body, dict) else text_of(body)}
    if "subject" in answer:
        out["subject"] = compare.mask_subject(answer["subject"])
    return out


def as_recorded(answer, told):
    """New options of newer servers are in every configuration: what was recorded must be there."""
    before, now = recorded(answer)["body"], told["body"]
    if not isinstance(before, dict) or not isinstance(now, dict):
        return before == now
    now = compare.flatten(now)
    return all(now.get(path) == value for path, value in compare.flatten(before).items())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("api-trace-*.jsonl")), ids=lambda p: p.stem.removeprefix("api-trace-"))
def test_trace(pair, path):  # noqa: F811
    events = steps_of(path)
    result = play.play([step for step, _ in events], *pair(""), patience=0.3)
    wrong = [f"{path.name}:{step.number}: {step.words[0]} {where}: ours {a!r}, theirs {b!r}" for step, where, a, b in result.found]
    assert not wrong, "\n".join(wrong[:40])
    told = {step.number: answers for step, answers in result.answers}
    asked = [(step, answers) for step, answers in events if answers]
    same = sum(1 for step, answers in asked if len(answers) == len(told[step.number]) and all(map(as_recorded, answers, told[step.number])))
    print(f"{path.stem}: {len(asked)} requests, {same} answered as recorded")
    assert same >= AS_RECORDED[path.stem.removeprefix("api-trace-")]
