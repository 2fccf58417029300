#!/usr/bin/env python3
"""A node for `kafka` and `echo`, and for `pn-counter` and `g-counter`.

Logs and what is committed are kept in the service `lin-kv`, a value for each log, and changed by compare-and-set. Each
node counts what it was told itself in a value of its own in `lin-kv`, and reads the values of all.

With the argument `broken`, a log is read, and written without a look at what others have written meanwhile; an echo is
of what was asked before; and a node counts in its memory, and tells the service from time to time."""

import json
import sys

BROKEN = "broken" in sys.argv[1:]
PAGE = 10  # As many messages as a poll is answered with.
node, nodes, number, before = None, [], 0, None
waiting = {}  # What to do with the answers of the service, by the number of the request.
counted, told = 0, 0


def say(to, body):
    print(json.dumps({"src": node, "dest": to, "body": body}), flush=True)


def answer(asked, body):
    say(asked["src"], body | {"in_reply_to": asked["body"]["msg_id"]})


def ask_service(body, then):
    global number
    number += 1
    waiting[number] = then
    say("lin-kv", body | {"msg_id": number})


def change(asked, key, empty, change, done):
    """Changes a value of the service to what `change` makes of it, and answers with what `done` says then."""

    def with_value(reply):
        if reply["type"] == "error" and reply["code"] != 20:
            return answer(asked, reply)
        held = reply.get("value", empty)
        new = change(held)

        def decided(reply):
            if reply["type"] == "error":
                ask_service({"type": "read", "key": key}, with_value)
            else:
                said = done(new)
                if said:
                    answer(asked, said)

        if BROKEN:
            return ask_service({"type": "write", "key": key, "value": new}, decided)
        body = {"type": "cas", "key": key, "from": held, "to": new, "create_if_not_exists": True}
        ask_service(body, decided)

    ask_service({"type": "read", "key": key}, with_value)


def gather(asked, keys, empty, done):
    """Reads values of the service, and answers with what `done` says of them."""
    held, left = {}, list(keys)

    def ask_on(reply=None):
        if reply:
            held[left.pop(0)] = reply.get("value", empty)
        if left:
            ask_service({"type": "read", "key": left[0]}, ask_on)
        else:
            answer(asked, done(held))

    ask_on()


def poll(asked, offsets):
    def page(held):
        logs = {key: held["log " + key] for key in offsets}
        shown = {key: list(enumerate(log))[offsets[key]:][:PAGE] for key, log in logs.items()}
        return {"type": "poll_ok", "msgs": {key: messages for key, messages in shown.items() if messages}}

    gather(asked, ["log " + key for key in offsets], [], page)


def commit(asked, left):
    """Commits the offsets of logs, one after the other; a change that answers nobody goes on with the next."""
    if not left:
        return answer(asked, {"type": "commit_offsets_ok"})
    (key, offset), rest = left[0], left[1:]
    change(asked, "committed " + key, -1, lambda held: max(held, offset), lambda _: commit(asked, rest))


def add(asked, delta):
    global counted, told
    if not BROKEN:
        return change(asked, node, 0, lambda held: held + delta, lambda _: {"type": "add_ok"})
    counted += delta
    told += 1
    answer(asked, {"type": "add_ok"})
    if told % 5 == 0:
        ask_service({"type": "write", "key": node, "value": counted}, lambda reply: None)


def serve(message):
    global node, nodes, before
    body = message["body"]
    kind = body["type"]
    if kind == "init":
        node, nodes = body["node_id"], body["node_ids"]
        answer(message, {"type": "init_ok"})
    elif "in_reply_to" in body:
        waiting.pop(body["in_reply_to"], lambda reply: None)(body)
    elif kind == "echo":
        echo = before if BROKEN and before else body["echo"]
        before = body["echo"]
        answer(message, {"type": "echo_ok", "echo": echo})
    elif kind == "send":
        end = lambda log: {"type": "send_ok", "offset": len(log) - 1}
        change(message, "log " + body["key"], [], lambda log: log + [body["msg"]], end)
    elif kind == "poll":
        poll(message, body["offsets"])
    elif kind == "commit_offsets":
        commit(message, list(body["offsets"].items()))
    elif kind == "list_committed_offsets":
        known = lambda held: {key: held["committed " + key] for key in body["keys"] if held["committed " + key] >= 0}
        said = lambda held: {"type": "list_committed_offsets_ok", "offsets": known(held)}
        gather(message, ["committed " + key for key in body["keys"]], -1, said)
    elif kind == "add":
        add(message, body["delta"])
    elif kind == "read":
        gather(message, nodes, 0, lambda held: {"type": "read_ok", "value": sum(held.values())})
    else:
        answer(message, {"type": "error", "code": 10, "text": "nobody taught me that"})


for line in sys.stdin:
    serve(json.loads(line))
