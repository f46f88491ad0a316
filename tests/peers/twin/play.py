"""Plays one script to both servers at once and says where the answers differ."""

import dataclasses
import json
import re

from twin.compare import differences, shown
from twin.line import Line
from twin.script import ASKING

SECONDS = 15  # an answer that never comes fails after this; a passing run never waits for it


class Side:
    """One server's end of the play."""

    def __init__(self, server):
        self.server = server
        self.line = Line(server.port)
        self.values = {}
        self.taken = {}  # label → messages already compared
        self.inboxes = {}
        self.empty()

    def empty(self):
        """No stream is left from the script before."""
        while names := (self.ask("STREAM.NAMES").get("streams") or []):
            for name in names:
                self.ask(f"STREAM.DELETE.{name}")

    def ask(self, path):
        label = self.inbox()
        self.line.publish(f"$JS.API.{path}", self.inboxes[label])
        if not self.line.wait(label, 1, SECONDS):
            raise TimeoutError(f"{self.server.name}: no answer to {path}")
        self.line.unsubscribe(label)
        return json.loads(self.line.boxes.pop(label)[0].payload)

    def inbox(self, label=None):
        label = label or f"call{len(self.inboxes)}"
        self.inboxes[label] = f"_INBOX.{label}"
        self.line.subscribe(label, self.inboxes[label])
        return label

    def fill(self, text):
        """This server's values in place of ${VAR}."""
        return re.sub(r"\$\{(\w+)\}", lambda m: str(self.values[m[1]]), text)

    def hide(self, text):
        for name, value in self.values.items():
            if isinstance(value, str) and len(value) > 3:
                text = text.replace(value, f"${{{name}}}")
        return text

    def start(self, step):
        """Sends what the step says. @return the label its answers come in on, or None."""
        words = [self.fill(w) for w in step.words]
        body = self.fill(step.body).encode()
        headers = [(k, self.fill(v)) for k, v in step.headers]
        line = self.line
        match step.command:
            case "api" | "req" | "pub":
                subject = f"$JS.API.{words[0]}" if step.command == "api" else words[0]
                label = self.inbox()
                line.publish(subject, self.inboxes[label], headers, body)
                return label
            case "pubs":
                label = self.inbox()
                for n in range(step.count):
                    line.publish(words[0], self.inboxes[label], headers, str(n + 1).encode())
                return label
            case "pull":
                label = words[0] if words[0] in self.inboxes else self.inbox(words[0])
                line.publish(f"$JS.API.CONSUMER.MSG.NEXT.{words[1]}.{words[2]}", self.inboxes[label], headers, body)
                return label
            case "ack?":
                label = self.inbox()
                line.publish(line.boxes[words[0]][int(words[1]) - 1].reply, self.inboxes[label], headers, body)
                return label
            case "more":
                return words[0]
            case "send":
                line.publish(words[0], "", headers, body)
            case "sub":
                self.inboxes[words[0]] = words[1]
                line.subscribe(words[0], words[1], words[2] if len(words) > 2 else "")
                line.flush()
            case "ack":
                line.publish(line.boxes[words[0]][int(words[1]) - 1].reply, "", headers, body)
                line.flush()
            case "unsub":
                line.unsubscribe(words[0])
                line.flush()
            case "restart":
                line.close()
                self.server.stop()
                self.server.start()
                kept = line.boxes
                self.line = Line(self.server.port)
                self.line.boxes = kept
        return None

    def settle(self):
        """The server has worked off what was sent: no answer that it owes is far."""
        self.line.flush()
        self.ask("INFO")

    def collect(self, step, label, seconds=SECONDS):
        """The answers of the step, as compared."""
        done = self.taken.get(label, 0)
        complete = self.line.wait(label, done + step.count, seconds)
        if step.count == 0:
            self.settle()
        messages = self.line.boxes[label][done:done + step.count]
        self.taken[label] = done + len(messages)
        if label.startswith("call") and step.count > 0 and complete:
            self.line.unsubscribe(label)
        answers = [shown(m, self.inboxes[label]) for m in messages]
        for name, path in step.takes.items():
            self.values[name] = value_at(messages, path)
        answers = json.loads(self.hide(json.dumps(answers)))
        if step.sorted:
            answers.sort(key=lambda a: json.dumps(a, sort_keys=True))
        return answers

    def leftovers(self):
        """What came and nobody waited for, by label."""
        self.settle()
        out = {}
        for label, messages in self.line.boxes.items():
            late = messages[self.taken.get(label, 0):]
            if late and label in self.inboxes:
                out[label] = [shown(m, self.inboxes[label]) for m in late]
        return out


def value_at(messages, path):
    number, part, *rest = path.split(".", 2)
    message = messages[int(number)]
    if part == "headers":
        return dict(message.headers)[rest[0]]
    value = json.loads(message.payload)
    for key in rest[0].split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


class Result:
    def __init__(self):
        self.exchanges = 0
        self.found = []  # (step, path, ours, theirs)
        self.answers = []  # (step, the reference's answers)
        self.subjects = set()
        self.codes = set()  # err_codes of the reference


def error_codes(value):
    if isinstance(value, dict):
        if "err_code" in value:
            yield value["err_code"]
        for v in value.values():
            yield from error_codes(v)
    elif isinstance(value, list):
        for v in value:
            yield from error_codes(v)


def past_deletion(theirs, step, answers, tries=200):
    """The reference deletes a stream's folder behind its reply, and can't create the stream again until it is gone."""
    while step.command == "api" and step.words[0].startswith("STREAM.CREATE.") and 10049 in error_codes(answers) and tries > 0:
        tries -= 1
        answers = theirs.collect(step, theirs.start(step))
    return answers


def play(steps, ours, theirs, patience=None):
    """`ours`, `theirs`: running servers. With `patience` (seconds) a step's count is only what may come: theirs is waited for that long, and
    ours must give as many; what comes later is compared at the end."""
    result = Result()
    sides = [Side(ours), Side(theirs)]
    asked = {}
    try:
        for step in steps:
            labels = [side.start(step) for side in sides]
            if step.command not in ASKING:
                continue
            asked[labels[0]] = step
            if patience is not None and step.count > 0:
                sides[1].line.wait(labels[1], step.count, patience)
                step = dataclasses.replace(step, count=min(step.count, len(sides[1].line.boxes[labels[1]])))
            answers = [side.collect(step, label) for side, label in zip(sides, labels)]
            answers[1] = past_deletion(sides[1], step, answers[1])
            result.answers.append((step, answers[1]))
            result.exchanges += step.count if step.command == "pubs" else 1
            if step.command == "api":
                result.subjects.add(step.words[0])
            elif step.command == "pull":
                result.subjects.add(f"CONSUMER.MSG.NEXT.{step.words[1]}.{step.words[2]}")
            elif step.command == "req":
                result.subjects.add(step.words[0].removeprefix("$JS.API."))
            result.codes.update(error_codes(answers[1]))
            result.found += [(step, path, a, b) for path, a, b in differences(*answers)]
        late = [side.leftovers() for side in sides]
        for label in {*late[0], *late[1]}:
            for path, a, b in differences(late[0].get(label, []), late[1].get(label, [])):
                result.found.append((asked.get(label, steps[0]), f"late.{label if not label.startswith('call') else ''}{path}", a, b))
    finally:
        for side in sides:
            side.line.close()
    return result
