#!/usr/bin/env python3
"""A store of keys that keeps everything in the service `lin-kv`, and so is linearizable. With the argument `seq-kv` or
`lww-kv`, it keeps everything in that one, and so is not.

With the argument `broken`, each node keeps what it was told itself, and tells nobody."""

import json
import sys

BROKEN = "broken" in sys.argv[1:]
SERVICE = next((word for word in sys.argv[1:] if word.endswith("-kv")), "lin-kv")
node = None
number = 0
waiting = {}  # Requests of ours that the service has not answered: by number, what to answer to whom.
held = {}


def say(to, body):
    print(json.dumps({"src": node, "dest": to, "body": body}), flush=True)


def answer(asked, body):
    say(asked["src"], body | {"in_reply_to": asked["body"]["msg_id"]})


def ask_service(asked):
    global number
    number += 1
    waiting[number] = asked
    body = {name: asked["body"][name] for name in ("type", "key", "value", "from", "to") if name in asked["body"]}
    say(SERVICE, body | {"msg_id": number})


def serve_alone(asked):
    body = asked["body"]
    key = body["key"]
    if body["type"] == "read":
        if key in held:
            answer(asked, {"type": "read_ok", "value": held[key]})
        else:
            answer(asked, {"type": "error", "code": 20, "text": "no such key"})
    elif body["type"] == "write":
        held[key] = body["value"]
        answer(asked, {"type": "write_ok"})
    elif held.get(key) == body["from"]:
        held[key] = body["to"]
        answer(asked, {"type": "cas_ok"})
    else:
        answer(asked, {"type": "error", "code": 22, "text": "it holds something else"})


for line in sys.stdin:
    message = json.loads(line)
    body = message["body"]
    if body["type"] == "init":
        node = body["node_id"]
        answer(message, {"type": "init_ok"})
    elif "in_reply_to" in body:
        asked = waiting.pop(body["in_reply_to"], None)
        if asked:
            answer(asked, {name: value for name, value in body.items() if name != "in_reply_to"})
    elif body["type"] not in ("read", "write", "cas"):
        answer(message, {"type": "error", "code": 10, "text": "nobody taught me that"})
    elif BROKEN:
        serve_alone(message)
    else:
        ask_service(message)
