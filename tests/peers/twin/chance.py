"""Scripts by chance: random configurations, publishes with random headers, reads, purges, pauses. The same seed gives the same script.

No value depends on when a step runs: ages and windows are long or none, and nothing is copied from another stream.
"""

import json
import random

from twin import script

SECOND = 1_000_000_000
FAR, PAST = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
SUBJECTS = ["s.a", "s.b", "s.c", "s.a.b", "x", "s.a.b.c"]

STREAM = {
    "subjects": [["s.>"], ["s.*"], ["s.a", "s.b"], ["s.a.>", "s.b"], ["s.>", "s.a"], ["x"], [], ["s..a"], ["s.a b"], ["$JS.x"], [">"], ["*"],
                 ["s.a", "s.a"], ["s.*.c", "s.b.*"]],
    "retention": ["limits", "interest", "workqueue"],
    "max_consumers": [-1, 0, 1, 2, -5],
    "max_msgs": [-1, 0, 1, 3, 100, -7],
    "max_bytes": [-1, 0, 1000, 1 << 20, -3],
    "max_age": [0, 3600 * SECOND, -1, 1],
    "max_msgs_per_subject": [-1, 0, 1, 2, -4],
    "max_msg_size": [-1, 0, 10, 1000, -2],
    "storage": ["file", "memory"],
    "discard": ["old", "new"],
    "discard_new_per_subject": [True, False],
    "num_replicas": [0, 1, 2, 3, 6, -1],
    "no_ack": [True, False],
    "duplicate_window": [0, 120 * SECOND, -1, 7200 * SECOND],
    "sealed": [True, False, False],
    "deny_delete": [True, False],
    "deny_purge": [True, False],
    "allow_rollup_hdrs": [True, False],
    "allow_direct": [True, False],
    "mirror_direct": [True, False],
    "first_seq": [0, 5, 1000],
    "compression": ["none", "s2"],
    "allow_msg_ttl": [True, True, False],
    "subject_delete_marker_ttl": [0, SECOND, 10 * SECOND, 500_000_000, -1],
    "allow_msg_counter": [True, False],
    "allow_atomic": [True, False],
    "allow_batched": [True, False],
    "allow_msg_schedules": [True, False],
    "persist_mode": ["default", "async"],
    "description": ["", "x", "y" * 5000],
    "metadata": [{}, {"a": "b"}, {"_nats.req.level": "0"}, {"": ""}],
    "consumer_limits": [{}, {"inactive_threshold": -1}, {"max_ack_pending": 5}, {"inactive_threshold": 3600 * SECOND, "max_ack_pending": -1}],
    "subject_transform": [{"src": "s.>", "dest": "t.>"}, {"src": "s.*", "dest": "t.{{wildcard(1)}}"}, {"src": "", "dest": "x"},
                          {"src": "s.*", "dest": "t.*.*"}, {"src": ">", "dest": ""}, {"src": "s.*", "dest": "t.{{partition(3,1)}}"},
                          {"src": "s.*", "dest": "t.{{nope(1)}}"}],
    "republish": [{"src": ">", "dest": "rp.>"}, {"src": "s.>", "dest": "s.>"}, {"dest": "rp.>"},
                  {"src": "s.*", "dest": "rp.$1", "headers_only": True}, {"src": "x", "dest": "rp"}],
    "placement": [{}, {"cluster": "c"}, {"tags": ["a"]}],
    "template_owner": ["x"],
}

CONSUMER = {
    "durable_name": ["c", "d", "c d"],
    "name": ["c", "d", "x y"],
    "description": ["", "x", "y" * 5000],
    "deliver_policy": ["all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject", "bad"],
    "opt_start_seq": [0, 1, 3, 100],
    "opt_start_time": [PAST, FAR, "nonsense"],
    "ack_policy": ["none", "all", "explicit", "explicit", "flow_control"],
    "ack_wait": [0, 30 * SECOND, 3600 * SECOND, -1, 1],
    "max_deliver": [0, -1, 1, 3, -7],
    "backoff": [[], [SECOND], [SECOND, 2 * SECOND], [SECOND] * 4, [-1]],
    "filter_subject": ["", "s.a", "s.*", "s.>", "x", "s..a", ">", "s.a.b"],
    "filter_subjects": [[], ["s.a"], ["s.a", "s.b"], ["s.a", "s.a"], ["s.*", "s.a"], ["", "s.a"], ["x"]],
    "replay_policy": ["instant", "original"],
    "rate_limit_bps": [0, 1000, 1 << 40],
    "sample_freq": ["", "100", "50%", "abc", "0", "-1", "101"],
    "max_waiting": [0, 1, 512, -1, 100000],
    "max_ack_pending": [0, -1, 1, 1000, -9],
    "headers_only": [True, False],
    "max_batch": [0, 1, 100, -1],
    "max_expires": [0, SECOND, -1, 1_000_000],
    "max_bytes": [0, 100, -1],
    "inactive_threshold": [0, 3600 * SECOND, -1],
    "num_replicas": [0, 1, 3, -1],
    "mem_storage": [True, False],
    "metadata": [{}, {"a": "b"}],
    "pause_until": [PAST, FAR],
    "deliver_subject": ["", "to", "to.*", "s.a", "to x"],
    "deliver_group": ["", "g", "g.h", "g h"],
    "flow_control": [True, False],
    "idle_heartbeat": [0, 5 * SECOND, -1, 1_000_000],
    "priority_groups": [[], ["g"], ["g", "h"], [""], ["g h"], ["a" * 20]],
    "priority_policy": ["none", "overflow", "pinned_client", "prioritized", "bad"],
    "priority_timeout": [0, 60 * SECOND],
}

HEADERS = {
    "Nats-Msg-Id": list("abcd"),
    "Nats-Expected-Stream": ["S", "T"],
    "Nats-Expected-Last-Sequence": ["0", "1", "2", "3", "x", "-1", "999"],
    "Nats-Expected-Last-Msg-Id": ["a", "b", "z"],
    "Nats-Expected-Last-Subject-Sequence": ["0", "1", "2", "x"],
    "Nats-Expected-Last-Subject-Sequence-Subject": ["s.a", "s.*", "x"],
    "Nats-Rollup": ["sub", "all", "SUB", "x"],
    "Nats-TTL": ["1h", "never", "0", "-1", "x", "500ms", "3600"],
    "Nats-Incr": ["+1", "-5", "1", "x", "+99999999999999999999999"],
    "Nats-Schedule": ["@at " + FAR, "@every 1h", "@every 1ms", "0 0 0 1 1 *", "x", "@at x"],
    "Nats-Schedule-Target": ["s.b", "s.a", "x", "s.*"],
    "Nats-Schedule-TTL": ["1h", "x", "never"],
    "Nats-Schedule-Source": ["s.c", "s.*", "x"],
    "Nats-Schedule-Time-Zone": ["Europe/Berlin", "x"],
    "Nats-Required-Api-Level": ["0", "1", "4", "5", "99", "x"],
    "Nats-Batch-Id": ["b1", "b2", "x" * 65],
    "Nats-Batch-Sequence": ["1", "2", "3", "0", "x"],
    "Nats-Batch-Commit": ["1", "0", "eob", "x"],
    "Foo": ["", "bar", "a b"],
}


class Writer:
    """Writes one script, of `length` steps or a few more."""

    def __init__(self, seed, length=70):
        self.random = random.Random(seed)
        self.steps = []
        for _ in range(3):
            self.api("STREAM.CREATE.S", self.stream(4))
        if self.random.random() < 0.7:
            self.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
        while len(self.steps) < length:
            self.any()

    def step(self, text):
        self.steps.append(script.parse_step("by chance", len(self.steps) + 1, text, {}))

    def api(self, path, body=None):
        self.step(f"api {path}" if body is None else f"api {path} {json.dumps(body, separators=(',', ':'))}")

    def one(self, *values):
        return self.random.choice(values)

    def some(self, table, least, most):
        keys = self.random.sample(list(table), self.random.randint(least, min(most, len(table))))
        return {key: self.random.choice(table[key]) for key in keys}

    def stream(self, most):
        return {"name": "S", "subjects": ["s.>"], **self.some(STREAM, 0, most)}

    def headers(self):
        if self.random.random() < 0.45:
            return ""
        some = self.some(HEADERS, 1, 3 if self.random.random() < 0.8 else 5)
        return "[" + "; ".join(f"{name}: {value}" for name, value in some.items()) + "] "

    def consumer(self):
        config = self.some(CONSUMER, 0, 6)
        if self.random.random() < 0.7:
            config.setdefault("durable_name", self.one("c", "d"))
        request = {"stream_name": "S", "config": config}
        if self.random.random() < 0.3:
            request["action"] = self.one("create", "update", "", "x")
        if self.random.random() < 0.1:
            request["pedantic"] = True
        durable = config.get("durable_name", "")
        name = config.get("name") or durable
        how = self.random.random()
        if how < 0.3 and durable and " " not in durable:
            self.api(f"CONSUMER.DURABLE.CREATE.S.{durable}", request)
        elif how < 0.9 and name and " " not in name:
            filter_subject = config.get("filter_subject", "")
            in_subject = filter_subject and self.random.random() < 0.8
            self.api(f"CONSUMER.CREATE.S.{name}" + (f".{filter_subject}" if in_subject else ""), request)
        elif name:
            self.api("CONSUMER.CREATE.S", request)

    def update(self):
        body = self.stream(2)
        if self.random.random() < 0.1:
            body["pedantic"] = True
        self.api("STREAM.UPDATE.S", body)

    def info(self):
        self.api("STREAM.INFO.S", self.one(None, {"deleted_details": True}, {"subjects_filter": self.one(">", "s.*", "x", "s.a")},
                                           {"subjects_filter": ">", "offset": self.one(0, 1, 9, -1)}))

    def any(self):
        c = self.one("c", "d")
        seqs = [0, 1, 2, 3, 9]
        acts = [
            (6, lambda: self.api("STREAM.CREATE.S", self.stream(6))),
            (10, self.update),
            (20, lambda: self.step(f"pub {self.random.choice(SUBJECTS)} {self.headers()}{self.one('', 'x', 'hello', '<50>')}")),
            (4, lambda: self.step(f"pubs {self.random.choice(SUBJECTS[:3])} {self.random.randint(2, 5)}")),
            (15, self.consumer),
            (7, self.info),
            (6, lambda: self.api(f"CONSUMER.INFO.S.{c}")),
            (4, lambda: self.api("STREAM.MSG.GET.S", self.some({"seq": seqs, "last_by_subj": ["s.a", "s.*", "x"], "next_by_subj": ["s.a", "s.>", "x"],
                                                                 "no_hdr": [True], "start_time": [PAST]}, 1, 2))),
            (4, lambda: self.api("STREAM.MSG.DELETE.S", self.some({"seq": seqs, "no_erase": [True, False]}, 1, 2))),
            (4, lambda: self.api("STREAM.PURGE.S", self.one(None, self.some({"filter": ["s.a", "s.>", "x", "s.*"], "seq": [0, 1, 3, 99],
                                                                              "keep": [0, 1, 2, -1]}, 1, 3)))),
            (4, lambda: self.api(f"CONSUMER.DELETE.S.{c}")),
            (2, lambda: self.api("CONSUMER.NAMES.S", self.one(None, {"offset": self.one(0, 1, 5)}))),
            (2, lambda: self.api("CONSUMER.LIST.S")),
            (2, lambda: self.api(f"CONSUMER.PAUSE.S.{c}", self.one(None, {"pause_until": FAR}, {"pause_until": PAST}))),
            (1, lambda: self.api(f"CONSUMER.UNPIN.S.{c}", {"group": self.one("g", "h", "")})),
            (2, lambda: self.api("STREAM.NAMES", self.one(None, {"subject": self.one("s.a", "x", ">", "s.*")}))),
            (2, lambda: self.api("STREAM.LIST")),
        ]
        self.random.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()
