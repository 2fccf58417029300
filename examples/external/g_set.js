#!/usr/bin/env node
// A set that only grows: each node keeps it in a file, and tells the others all of it, again and again.
//
// With the argument `broken`, it answers before it has told anybody, and keeps nothing in a file: what it has not told
// when it crashes is lost.

const fs = require("fs");
const readline = require("readline");

const FILE = "elements.json";
const broken = process.argv.includes("broken");
let node = null;
let nodes = [];
let elements = new Set();

function say(to, body) {
  process.stdout.write(JSON.stringify({ src: node, dest: to, body }) + "\n");
}

function answer(asked, body) {
  say(asked.src, { ...body, in_reply_to: asked.body.msg_id });
}

function keep() {
  if (broken) return;
  // A crash leaves the old file or the new one.
  fs.writeFileSync(FILE + ".new", JSON.stringify([...elements]));
  fs.renameSync(FILE + ".new", FILE);
}

function tellOthers() {
  for (const other of nodes) {
    if (other !== node) say(other, { type: "have", elements: [...elements] });
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line);
  const body = message.body;
  switch (body.type) {
    case "init":
      node = body.node_id;
      nodes = body.node_ids;
      if (fs.existsSync(FILE)) elements = new Set(JSON.parse(fs.readFileSync(FILE, "utf8")));
      setInterval(tellOthers, broken ? 1000 : 200);
      answer(message, { type: "init_ok" });
      break;
    case "add":
      elements.add(body.element);
      keep();
      answer(message, { type: "add_ok" });
      break;
    case "read":
      answer(message, { type: "read_ok", value: [...elements] });
      break;
    case "have":
      for (const element of body.elements) elements.add(element);
      keep();
      break;
    default:
      answer(message, { type: "error", code: 10, text: "nobody taught me that" });
  }
}).on("close", () => process.exit(0));
