"""The language of the .twin files: one step a line, the same for both servers.

  base NAME JSON            a template; `@NAME JSON` further on is the template with JSON merged into it (null takes out)
  api PATH [JSON]           request on $JS.API.PATH, one answer
  req SUBJECT [BODY]        request on any subject
  pub SUBJECT [BODY]        publish with a reply subject: its PubAck
  pubs SUBJECT COUNT        COUNT publishes with the bodies 1, 2, …
  send SUBJECT [BODY]       publish without a reply
  sub LABEL SUBJECT [QUEUE] listen; the messages are compared by `more`
  pull LABEL S C [BODY]     pull request on consumer C of stream S; its messages go to LABEL
  more LABEL                waits for more messages on LABEL
  ack LABEL K [BODY]        sends BODY to the reply subject of LABEL's message K (from 1)
  ack? LABEL K [BODY]       the same as a request
  unsub LABEL
  restart                   both servers are stopped and started

`*N` before the body: N answers are waited for (default 1; 0 = none, what comes late is reported). `sorted`: in any order.
`[Name: value; …]` before the body: headers. `-> VAR=path` at the end: takes a value out of the answers ("0.body.name", "0.headers.Nats-Pin-Id");
${VAR} is that server's value, wherever it stands. `"…"` around a body is not needed; `<N bytes>` is a body of N bytes, `<N>` inside a body that many letters.
"""

import dataclasses
import json
import pathlib
import re

FOLDER = pathlib.Path(__file__).parent
# Steps with an answer of their own.
ASKING = {"api", "req", "pub", "pubs", "pull", "more", "ack?"}
COMMANDS = ASKING | {"send", "sub", "ack", "unsub", "restart", "server"}


@dataclasses.dataclass
class Step:
    script: str
    number: int
    command: str
    words: list
    count: int = 1
    sorted: bool = False
    headers: tuple = ()
    body: str = ""
    takes: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        return " ".join([self.command, *self.words, self.body]).strip()


# Words before the body.
WORDS = {"api": 1, "req": 1, "pub": 1, "pubs": 2, "send": 1, "sub": 3, "pull": 3, "more": 1, "ack": 2, "ack?": 2, "unsub": 1, "restart": 0,
         "server": 9}


def merge(base, patch):
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return patch
    out = dict(base)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value) if isinstance(value, dict) else value
    return out


def expand(body, bases):
    """`@NAME {…}` → JSON text; `<N bytes>` → that many."""
    body = re.sub(r"<(\d+)>", lambda m: "x" * int(m[1]), body)
    if template := re.match(r"@(\w+)\s*(.*)$", body):
        patch = json.loads(template[2]) if template[2] else {}
        return json.dumps(merge(bases[template[1]], patch), separators=(",", ":"))
    if size := re.fullmatch(r"<(\d+) bytes>", body):
        return "x" * int(size[1])
    return body


def parse_step(name, number, text, bases):
    command, _, rest = text.partition(" ")
    if command not in COMMANDS:
        raise ValueError(f"{name}:{number}: no such step: {command}")
    step = Step(name, number, command, [])
    while take := re.search(r"\s*-> (\w+)=(\S+)$", rest):
        step.takes[take[1]] = take[2]
        rest = rest[:take.start()]
    rest = rest.strip()
    while rest and len(step.words) < WORDS[command]:
        word, _, rest = rest.partition(" ")
        step.words.append(word)
        rest = rest.strip()
    if count := re.match(r"\*(\d+)( |$)", rest):
        step.count = int(count[1])
        rest = rest[count.end():].strip()
    if re.match(r"sorted( |$)", rest):
        step.sorted, rest = True, rest[6:].strip()
    if headers := re.match(r"\[([^\]:]+:[^\]]*)\]( |$)", rest):
        step.headers = tuple(tuple(p.strip() for p in h.split(":", 1)) for h in headers[1].split(";"))
        rest = rest[headers.end():]
    step.body = expand(rest, bases)
    if command == "pubs":
        step.count = int(step.words[1])
    return step


def load(path):
    """The steps of one file."""
    bases, steps = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            if text.startswith("base "):
                _, name, value = text.split(" ", 2)
                bases[name] = json.loads(expand(value, bases))
            else:
                steps.append(parse_step(path.stem, number, text, bases))
        except (ValueError, KeyError) as e:
            raise ValueError(f"{path.name}:{number}: {e}") from e
    return steps


def scripts():
    return sorted(FOLDER.glob("*.twin"))
