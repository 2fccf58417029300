#!/usr/bin/env python3
"""A node for `unique-ids`, `broadcast` and `txn-list-append`.

Ids are of the node and counted from a number that no other start of it has. What is broadcast is kept in a file, and
told to all others again and again. Transactions change one value in the service `lin-kv`, by compare-and-set.

With the argument `broken`, ids are only counted, what is broadcast is told once and kept in no file, and transactions
change what the node holds itself."""

import json
import os
import sys
import threading
import time

BROKEN = "broken" in sys.argv[1:]
lock = threading.RLock()
node, nodes, number = None, [], 0
waiting = {}  # What to do with the answers of the service, by the number of the request.
heard, root = set(), {}


def say(to, body):
    with lock:
        print(json.dumps({"src": node, "dest": to, "body": body}), flush=True)


def answer(asked, body):
    say(asked["src"], body | {"in_reply_to": asked["body"]["msg_id"]})


def ask_service(body, then):
    global number
    number += 1
    waiting[number] = then
    say("lin-kv", body | {"key": "root", "msg_id": number})


def others():
    return [other for other in nodes if other != node]


def hear(messages, tell):
    heard.update(messages)
    if not BROKEN:
        with open("heard.new", "w") as file:
            json.dump(sorted(heard), file)
        os.replace("heard.new", "heard.json")
    for other in others() if tell else []:
        say(other, {"type": "heard", "messages": list(messages)})


def remind():
    while not BROKEN:
        time.sleep(0.2)
        with lock:
            for other in others():
                say(other, {"type": "heard", "messages": sorted(heard)})


def applied(state, steps):
    """The state after the steps, and the steps with what they read."""
    state, done = dict(state), []
    for verb, key, value in steps:
        if verb == "append":
            state[str(key)] = state.get(str(key), []) + [value]
        else:
            value = state.get(str(key))
        done.append([verb, key, value])
    return state, done


def transact(asked):
    def with_state(reply):
        before = reply.get("value", {})
        after, done = applied(before, asked["body"]["txn"])

        def decided(reply):
            if reply["type"] == "cas_ok":
                answer(asked, {"type": "txn_ok", "txn": done})
            else:
                answer(asked, {"type": "error", "code": 30, "text": "another was faster"})

        change = {"type": "cas", "from": before, "to": after, "create_if_not_exists": True}
        ask_service(change, decided)

    ask_service({"type": "read"}, with_state)


def serve(message):
    global node, nodes, number, root
    body = message["body"]
    kind = body["type"]
    if kind == "init":
        node, nodes = body["node_id"], body["node_ids"]
        if not BROKEN:
            number = time.time_ns()
            if os.path.exists("heard.json"):
                heard.update(json.load(open("heard.json")))
        answer(message, {"type": "init_ok"})
        threading.Thread(target=remind, daemon=True).start()
    elif "in_reply_to" in body:
        waiting.pop(body["in_reply_to"], lambda reply: None)(body)
    elif kind == "topology":
        answer(message, {"type": "topology_ok"})
    elif kind == "generate":
        number += 1
        answer(message, {"type": "generate_ok", "id": number if BROKEN else f"{node}-{number}"})
    elif kind == "broadcast":
        hear([body["message"]], tell=True)
        answer(message, {"type": "broadcast_ok"})
    elif kind == "heard":
        hear(body["messages"], tell=False)
    elif kind == "read":
        answer(message, {"type": "read_ok", "messages": sorted(heard)})
    elif kind == "txn" and BROKEN:
        root, done = applied(root, body["txn"])
        answer(message, {"type": "txn_ok", "txn": done})
    elif kind == "txn":
        transact(message)
    else:
        answer(message, {"type": "error", "code": 10, "text": "nobody taught me that"})


for line in sys.stdin:
    with lock:
        serve(json.loads(line))
