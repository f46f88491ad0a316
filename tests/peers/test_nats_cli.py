"""The official command line tool, the same commands on Sluice and on the reference: same exit codes, same words."""

import os
import pathlib
import re
import shlex
import subprocess

import servers
from left_out import leave_out

CLI = servers.ROOT / "build/peers/nats"
CONF = """
jetstream: enabled
system_account: SYS
accounts { APP { jetstream: enabled, users: [ {user: u, password: p} ] }, SYS { users: [ {user: sys, password: s} ] } }
"""
# What begins with "sys" is asked as the system account. Folders and files are beside each server's store.
COMMANDS = """
account info
stream add ORDERS --subjects=orders.> --defaults
stream add WQ --subjects=wq.> --retention=work --defaults --max-age=1h --dupe-window=1m
stream ls
stream report
pub orders.a hello --count=5
pub orders.b hi -H A:b -J
req orders.c x --raw
stream info ORDERS
stream state ORDERS
stream subjects ORDERS
stream get ORDERS 1
stream get ORDERS --last-for orders.b
consumer add ORDERS C1 --pull --defaults
consumer add ORDERS P1 --target=push.here --defaults
consumer ls ORDERS
consumer info ORDERS C1
consumer report ORDERS
consumer next ORDERS C1 --count=2
consumer pause ORDERS C1 1h --force
consumer resume ORDERS C1 --force
consumer edit ORDERS C1 --description=x --force
consumer cp ORDERS C1 C2
consumer rm ORDERS C2 --force
stream edit ORDERS --description=d --force
stream cp ORDERS ORDERS2 --subjects=o2.>
stream rmm ORDERS 2 --force
stream purge ORDERS --subject=orders.b --force
stream backup ORDERS {dir}/backup --no-progress
stream rm ORDERS --force
stream restore {dir}/backup --no-progress
stream info ORDERS
stream seal ORDERS2 --force
stream find --subject orders.a
stream graph ORDERS
kv add BOX --history=3 --ttl=1h
kv put BOX a 1
kv put BOX b 2
kv update BOX a 3 1
kv create BOX a 9
kv get BOX a
kv history BOX a
kv del BOX b --force
kv ls BOX
kv info BOX
kv ls
kv compact BOX --force
kv rm BOX --force
object add THINGS
object put THINGS {dir}/blob --name=blob --no-progress
object info THINGS blob
object ls THINGS
object get THINGS blob --output={dir}/blob.out --no-progress --force
object seal THINGS --force
object rm THINGS blob --force
service ls
bench pub bench.x --msgs 1000 --no-progress
bench js pub async jsb --create --msgs 100 --no-progress
server check connection
server check stream --stream ORDERS --lag-critical 0
server check jetstream
server check consumer --stream ORDERS --consumer C1
server check kv --bucket NOPE
sys server info
sys server ls
sys server report connections
sys server report jetstream
sys server report accounts
sys server report health
sys server ping --count 1
sys server request variables
sys server request connections
sys server request jetstream
sys server request kick 999
sys server account info APP
sys server stream-check
sys server consumer-check
account report connections
account report statistics
account tls
""".strip().splitlines()
# Their words hold figures of a moment, or what only Go or a cluster has.
ONLY_THE_CODE = ("account info", "stream subjects", "server", "sys ", "bench", "account report", "stream report", "consumer report", "stream graph", "stream backup",
                 "stream restore", "object put", "object get", "consumer edit", "stream edit", "pub ", "consumer next")


def blurred(text):
    for pattern, word in ((r"\d{4}-\d\d-\d\d[ T][\d:.]+Z?", "TIME"), (r"\d\d:\d\d:\d\d(\.\d+)?", "TIME"), (r":\d{5}\b", ":PORT"),
                          (r"\b\d+(\.\d+)?(ns|µs|us|ms|s)\b", "DURATION"), (r"\bnever\b", "never"), (r"[UN][A-Z0-9]{55}", "ID"),
                          (r"sluice-peers-\w+", "DIR"), (r"\b(ours|reference)\b", "SERVER"), (r"Modification Time: .*", "TIME"),
                          (r"Object-\w+|NUID: \w+", "NUID"), (r"\x1b\[\w+", "")):
        text = re.sub(pattern, word, text)
    return [re.sub(r" +", " ", line).strip() for line in text.splitlines() if line.strip()]


def played(farm, make, name):
    path = farm.folder / f"{name}.conf"
    path.write_text(CONF)
    server = make(name=name, extra=("-c", str(path))).start()
    folder = farm.folder / name
    folder.mkdir()
    (folder / "blob").write_bytes(bytes(300_000))
    environment = dict(os.environ, HOME=str(folder))
    url = server.url.split("://")[1]
    out = []
    for command in COMMANDS:
        user, words = ("sys:s", command[4:]) if command.startswith("sys ") else ("u:p", command)
        done = subprocess.run([str(CLI), "-s", f"nats://{user}@{url}", "--timeout=20s", *shlex.split(words.format(dir=folder))], env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        out.append((command, done.returncode, done.stdout))
    server.stop()
    return out, (folder / "blob.out").exists() and (folder / "blob.out").read_bytes() == bytes(300_000)


def test_the_same_commands_say_the_same(farm):
    if not CLI.exists() or not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("the nats command is not here (Go module github.com/nats-io/natscli/nats)", is_required=False)
    reference, reference_got = played(farm, farm.nats_server, "reference")
    ours, ours_got = played(farm, farm.sluice_as_nats_server, "ours")
    for (command, code, text), (_, our_code, our_text) in zip(reference, ours, strict=True):
        assert our_code == code, f"{command}: {our_text[-2000:]}"
        if not command.startswith(ONLY_THE_CODE):
            assert blurred(our_text) == blurred(text), command
    assert ours_got == reference_got == True, "the object came back as it was put"
