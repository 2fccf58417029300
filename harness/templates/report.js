'use strict';
// The explorer: every operation of the run on one axis of time, with faults, nodes and messages.
// Whatever comes from the system under test is drawn on the canvas or set as text, never as markup.
(async () => {
  const began = performance.now();
  const byId = (id) => document.getElementById(id);
  const OUTCOMES = ['never ended', 'ok', 'fail', 'info'];
  const WHY = ['', 'cut by fault', 'lost by fault', 'the receiver is down', 'the buffer is full', 'too long'];
  const GUTTER = 118, HEADER = 20, AXIS = 22, MESSAGES_DRAWN = 6000;

  // ---- Copying commands, which works without the rest.
  for (const code of document.querySelectorAll('.command code')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'copy';
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = 'copied';
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = 'selected: press Ctrl-C';
      }
    });
    code.after(button);
  }
  // A link to an anomaly opens it.
  const openLinked = () => {
    const linked = /^#anomaly-\d+$/.test(location.hash) && byId(location.hash.slice(1));
    if (linked) { linked.open = true; linked.scrollIntoView(); }
  };
  addEventListener('hashchange', openLinked);
  openLinked();

  // ---- Unpacking.
  const unpack = async () => {
    const text = atob(byId('columns').textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const bytes = await unpack();
  const headLength = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + headLength)));
  const columns = {};
  {
    let at = 4 + headLength;
    for (const [name, length] of head.columns) {
      columns[name] = bytes.subarray(at, at + length);
      at += length;
    }
  }
  // Reads a column number by number: seven bits a byte, the lowest first.
  const reader = (column) => {
    let at = 0;
    return () => {
      let byte = column[at++];
      if (byte < 128) return byte;
      let number = byte & 127, factor = 128;
      do {
        byte = column[at++];
        number += (byte & 127) * factor;
        factor *= 128;
      } while (byte > 127);
      return number;
    };
  };
  const signed = (number) => (number % 2 === 0 ? number / 2 : -(number + 1) / 2);
  const all = (name, count, Type) => {
    const next = reader(columns[name]), numbers = new Type(count);
    for (let i = 0; i < count; i++) numbers[i] = next();
    return numbers;
  };

  const count = head.operations;
  const invoked = new Float64Array(count), completed = new Float64Array(count);
  const process = new Int32Array(count);
  const lane = all('lane', count, Uint16Array), node = all('node', count, Int32Array);
  const kind = all('kind', count, Uint8Array), key = all('key', count, Uint32Array);
  const outcome = all('outcome', count, Uint8Array);
  // 0 is no text; others are one more than the number of a text.
  const given = new Uint32Array(count), to = new Uint32Array(count), learned = new Uint32Array(count);
  {
    const since = reader(columns.invoked), lasted = reader(columns.lasted), change = reader(columns.process);
    const codes = [reader(columns.given), reader(columns.to), reader(columns.learned)];
    const into = [given, to, learned], processes = new Int32Array(head.sessions.length);
    let at = 0, texts = 0;
    for (let i = 0; i < count; i++) {
      at += since();
      invoked[i] = at;
      const length = lasted();
      completed[i] = length === 0 ? -1 : at + length - 1;
      process[i] = processes[lane[i]] += signed(change());
      for (let c = 0; c < 3; c++) {
        const code = codes[c]();
        if (code === 1) into[c][i] = ++texts;
        else if (code > 1) into[c][i] = texts - code + 2;
      }
    }
  }
  // A text is a number, or a piece of the bytes of all texts.
  const numbers = new Float64Array(head.texts), starts = new Uint32Array(head.texts + 1);
  {
    const next = reader(columns.text);
    let number = 0, at = 0;
    for (let i = 0; i < head.texts; i++) {
      const length = next();
      if (length === 0) numbers[i] = number += signed(next());
      else { numbers[i] = NaN; at += length - 1; }
      starts[i + 1] = at;
    }
  }
  const decoder = new TextDecoder();
  const textOf = (code) => {
    if (code === 0) return '';
    const i = code - 1;
    if (!Number.isNaN(numbers[i])) return String(numbers[i]);
    return decoder.decode(columns['text-bytes'].subarray(starts[i], starts[i + 1]));
  };

  // ---- Messages, where there is a trace.
  const messages = head.messages;
  const mSent = new Float64Array(messages), mReceived = new Float64Array(messages), mNumber = new Float64Array(messages);
  const mColumn = (name, Type) => (messages === 0 ? new Type(0) : all(name, messages, Type));
  const mFrom = mColumn('m-from', Uint16Array), mTo = mColumn('m-to', Uint16Array), mKind = mColumn('m-kind', Uint16Array);
  const mWhy = mColumn('m-why', Uint8Array), mFault = mColumn('m-fault', Uint32Array), mCopies = mColumn('m-copies', Uint32Array);
  if (messages > 0) {
    const since = reader(columns['m-sent']), lasted = reader(columns['m-lasted']), number = reader(columns['m-number']);
    let at = 0, last = 0;
    for (let i = 0; i < messages; i++) {
      mSent[i] = at += since();
      const length = lasted();
      mReceived[i] = length === 0 ? -1 : at + length - 1;
      mNumber[i] = last += number();
    }
  }

  // ---- Lanes: clients above, nodes below.
  const sessions = head.sessions.length, lanes = sessions + head.nodes.length;
  const laneOfNode = new Map(head.nodes.map((number, i) => [number, sessions + i]));
  const laneOfSession = new Map(head.sessions.map((number, i) => [number, i]));
  const laneOfPlace = head.places.map((place) => {
    const number = Number(place.slice(1));
    const found = place[0] === 'n' ? laneOfNode.get(number) : place[0] === 'c' ? laneOfSession.get(number) : undefined;
    return found === undefined ? -1 : found;
  });
  const laneHeight = Math.max(7, Math.min(24, Math.floor(620 / lanes)));
  const height = HEADER + lanes * laneHeight + AXIS;
  const laneTop = (l) => HEADER + l * laneHeight;
  // Who only reads what replicas hold when all is over is no client.
  const finals = head.phases.filter(([phase]) => phase === 'final').map(([, at]) => at)[0] ?? Infinity;
  const firsts = new Float64Array(sessions).fill(-1);
  for (let i = 0; i < count; i++) if (firsts[lane[i]] < 0) firsts[lane[i]] = invoked[i];
  const laneName = (l) => {
    if (l >= sessions) return `node n${head.nodes[l - sessions]}`;
    return `${firsts[l] >= finals ? 'final reads' : 'client'} ${head.sessions[l]}`;
  };
  // When nodes led, and when they were down.
  const leads = [], downs = [];
  {
    const leader = new Map(), down = new Map();
    for (const { at, place, what, words, term } of head.happenings) {
      const l = laneOfPlace[place];
      if (l < 0) continue;
      const open = leader.get(l);
      if (open && (what === 'role' || what === 'stops')) { leads.push({ ...open, to: at }); leader.delete(l); }
      if (what === 'role' && words === 'leader') leader.set(l, { lane: l, from: at, term });
      if (what === 'stops') down.set(l, { lane: l, from: at, words });
      if (what === 'starts' && down.has(l)) { downs.push({ ...down.get(l), to: at }); down.delete(l); }
    }
    for (const open of leader.values()) leads.push({ ...open, to: head.end });
    for (const open of down.values()) downs.push({ ...open, to: head.end });
  }

  // The latest end of each 1024 operations: whole blocks that are over are skipped when drawing.
  const BLOCK = 1024, blockEnd = new Float64Array(Math.ceil(count / BLOCK));
  for (let i = 0; i < count; i++) {
    const end = completed[i] < 0 ? head.end : completed[i];
    if (end > blockEnd[i >> 10]) blockEnd[i >> 10] = end;
  }
  const firstAfter = (times, at) => {
    let low = 0, high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < at) low = middle + 1; else high = middle;
    }
    return low;
  };

  // ---- What is looked at.
  const view = { from: 0, to: Math.max(1, head.end) };
  const shown = [true, true, true, true];
  let matches = null, matchCount = 0, only = false, selected = -1, selectedMessage = -1, anomaly = -1, cone = null, withMessages = messages > 0;
  let width = 900, waiting = false;
  const canvas = byId('canvas'), context = canvas.getContext('2d');
  const x = (at) => GUTTER + ((at - view.from) / (view.to - view.from)) * (width - GUTTER);
  const timeAt = (px) => view.from + ((px - GUTTER) / (width - GUTTER)) * (view.to - view.from);
  const seconds = (at, digits) => `${((at * head.unit) / 1e9).toFixed(digits)} s`;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  const look = (from, to) => {
    const least = Math.max(20, 1000 / head.unit), most = Math.max(1, head.end * 1.02);
    const length = Math.min(most, Math.max(least, to - from));
    view.from = Math.max(-most * 0.02, Math.min(from, most - length));
    view.to = view.from + length;
    redraw();
  };
  const zoom = (factor, at) => look(at - (at - view.from) * factor, at + (view.to - at) * factor);
  const middle = () => (view.from + view.to) / 2;

  const operationText = (i) => {
    const op = head.kinds[kind[i]].name, name = head.keys[key[i]];
    if (op === 'txn') return `txn ${textOf(outcome[i] === 1 && learned[i] ? learned[i] : given[i])}`;
    return [op, name, textOf(given[i]), textOf(to[i])].filter((word) => word !== '').join(' ');
  };
  const outcomeText = (i) => {
    const word = OUTCOMES[outcome[i]];
    if (!learned[i] || head.kinds[kind[i]].name === 'txn') return word;
    return `${word} ${textOf(learned[i])}`;
  };
  const endOf = (i) => (completed[i] < 0 ? head.end : completed[i]);

  // ---- Drawing.
  let colours = {};
  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['paper', 'ink', 'soft', 'line', 'panel', 'ok', 'fail', 'info', 'bad', 'band', 'band-ink', 'leader', 'past', 'future', 'link']) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  };
  const colourOf = (o) => [colours.info, colours.ok, colours.fail, colours.info][o];
  const isFaded = (i) => (matches && !matches[i]) || (cone && !cone.past[i] && !cone.future[i]);

  const draw = () => {
    const before = performance.now();
    const scale = devicePixelRatio || 1;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = colours.paper;
    context.fillRect(0, 0, width, height);
    context.font = '11px system-ui, sans-serif';
    context.textBaseline = 'middle';
    drawGrid();
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, width - GUTTER, height);
    context.clip();
    drawFaults();
    drawNodes();
    drawMessages();
    drawOperations();
    drawAnomalies();
    context.restore();
    document.documentElement.dataset.frame = (performance.now() - before).toFixed(1);
  };
  const drawGrid = () => {
    context.fillStyle = colours.ink;
    context.textAlign = 'left';
    for (let l = 0; l < lanes; l++) {
      context.fillStyle = l < sessions && l % 2 === 0 ? colours.panel : colours.paper;
      context.fillRect(0, laneTop(l), width, laneHeight);
      // Where lanes are low, some go without a name: names must not cover each other.
      if (laneHeight >= 12 || l % 2 === 0 || l >= sessions) {
        context.fillStyle = colours.soft;
        context.fillText(laneName(l), 6, laneTop(l) + laneHeight / 2);
      }
    }
    context.strokeStyle = colours.line;
    if (sessions < lanes) {
      context.beginPath();
      context.moveTo(0, laneTop(sessions));
      context.lineTo(width, laneTop(sessions));
      context.stroke();
    }
    // Marks at round times.
    const span = (view.to - view.from) * head.unit, rough = span / 8, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(step / 1e9))));
    context.textAlign = 'center';
    context.fillStyle = colours.soft;
    for (let at = Math.ceil((view.from * head.unit) / step) * step; at <= view.to * head.unit; at += step) {
      const px = x(at / head.unit);
      if (px < GUTTER) continue;
      context.beginPath();
      context.moveTo(px, HEADER);
      context.lineTo(px, height - AXIS);
      context.stroke();
      context.fillText(`${(at / 1e9).toFixed(digits)} s`, px, height - AXIS / 2);
    }
  };
  const drawFaults = () => {
    context.textAlign = 'left';
    let free = GUTTER;
    for (const fault of head.faults) {
      const left = x(fault.from), right = x(fault.to === null ? head.end : fault.to);
      if (right < GUTTER || left > width) continue;
      context.fillStyle = colours.band;
      context.globalAlpha = 0.13;
      context.fillRect(left, 0, Math.max(1.5, right - left), height - AXIS);
      context.globalAlpha = 0.4;
      for (const number of fault.nodes) {
        const l = laneOfNode.get(number);
        if (l !== undefined) context.fillRect(left, laneTop(l) + 2, Math.max(1.5, right - left), laneHeight - 4);
      }
      context.globalAlpha = 1;
      const words = `${fault.id}: ${fault.kind} ${fault.what}`, at = Math.max(left, GUTTER) + 3;
      if (at >= free) {
        context.fillStyle = colours['band-ink'];
        context.fillText(words, at, HEADER / 2);
        free = at + context.measureText(words).width + 8;
      }
    }
  };
  const drawNodes = () => {
    for (let l = sessions; l < lanes; l++) {
      context.fillStyle = colours.line;
      context.fillRect(GUTTER, laneTop(l) + laneHeight / 2 - 0.5, width, 1);
    }
    for (const lead of leads) {
      const left = x(lead.from), right = x(lead.to);
      if (right < GUTTER || left > width) continue;
      context.fillStyle = colours.leader;
      context.fillRect(left, laneTop(lead.lane) + laneHeight - 5, Math.max(2, right - left), 4);
      if (right - left > 60 && laneHeight > 16) context.fillText(`leads, term ${lead.term}`, Math.max(left, GUTTER) + 3, laneTop(lead.lane) + 7);
    }
    for (const down of downs) {
      const left = x(down.from), right = x(down.to);
      if (right < GUTTER || left > width) continue;
      context.fillStyle = colours.bad;
      context.globalAlpha = 0.55;
      context.fillRect(left, laneTop(down.lane) + laneHeight / 2 - 2, Math.max(2, right - left), 4);
      context.globalAlpha = 1;
    }
  };
  const messagesInView = () => [Math.max(0, firstAfter(mSent, view.from - longest)), firstAfter(mSent, view.to)];
  let longest = 0;
  for (let i = 0; i < messages; i++) longest = Math.max(longest, mReceived[i] - mSent[i]);
  longest = Math.min(longest, head.end / 20);
  const drawMessages = () => {
    if (!withMessages) return;
    const [from, until] = messagesInView();
    if (until - from > MESSAGES_DRAWN) return;
    for (let i = from; i < until; i++) {
      const a = laneOfPlace[mFrom[i]], b = laneOfPlace[mTo[i]];
      if (a === undefined || b === undefined || a < 0 || b < 0) continue;
      const isOfNodes = a >= sessions && b >= sessions, isLost = mWhy[i] > 0 && mReceived[i] < 0;
      const inCone = cone && cone.messages[i];
      const [x1, y1, y2] = [x(mSent[i]), laneTop(a) + laneHeight / 2, laneTop(b) + laneHeight / 2];
      const x2 = mReceived[i] < 0 ? x1 + 10 : x(mReceived[i]);
      const part = isLost ? 0.6 : 1, [ex, ey] = [x1 + (x2 - x1) * part, y1 + (y2 - y1) * part];
      context.globalAlpha = cone ? (inCone ? 1 : 0.07) : isOfNodes || isLost ? 0.75 : 0.3;
      context.strokeStyle = i === selectedMessage ? colours.link : isLost ? colours.bad : cone && inCone ? (cone.messages[i] === 1 ? colours.past : colours.future) : colours.soft;
      context.lineWidth = i === selectedMessage ? 3 : 1;
      context.setLineDash(mCopies[i] > 0 ? [4, 2] : []);
      context.beginPath();
      context.moveTo(x1, y1);
      context.lineTo(ex, ey);
      if (isLost) {
        context.moveTo(ex - 3, ey - 3); context.lineTo(ex + 3, ey + 3);
        context.moveTo(ex - 3, ey + 3); context.lineTo(ex + 3, ey - 3);
      }
      context.stroke();
    }
    context.setLineDash([]);
    context.lineWidth = 1;
    context.globalAlpha = 1;
  };
  // ---- Levels of detail. The finest has for each lane a byte for each of so many stretches of the run: a bit for each
  // outcome, plain and faded, of the operations that touch it. Each coarser one joins two stretches.
  const DIRECT_MAX = 12000;
  let stretches = 131072;
  while (stretches > 4096 && stretches * sessions > 16e6) stretches /= 2;
  const coarsest = Math.log2(stretches / 512);
  let whole = null, found = null;
  // All operations, none of them faded, and where each begins and ends: the same for every search.
  const layOut = () => {
    const perUnit = stretches / Math.max(1, head.end + 1), finest = new Uint8Array(sessions * stretches);
    const begins = new Uint32Array(count), ends = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const bit = 1 << (outcome[i] * 2), base = lane[i] * stretches;
      const end = completed[i] < 0 ? invoked[i] : completed[i];
      begins[i] = base + Math.floor(invoked[i] * perUnit);
      ends[i] = base + Math.min(stretches - 1, Math.floor(end * perUnit));
      for (let at = begins[i]; at <= ends[i]; at++) finest[at] |= bit;
    }
    const levels = [finest];
    while (levels.length <= coarsest) {
      const pairs = new Uint16Array(levels[levels.length - 1].buffer), coarser = new Uint8Array(pairs.length);
      for (let i = 0; i < coarser.length; i++) coarser[i] = pairs[i] | (pairs[i] >> 8);
      levels.push(coarser);
    }
    return { levels, begins, ends };
  };
  // All of them faded, and over that those that are not: what is faded shows only where there is nothing else.
  const picked = ({ levels, begins, ends }, level) => {
    const plain = new Uint32Array(levels[level].buffer), faded = new Uint32Array(plain.length);
    for (let i = 0; i < plain.length; i++) faded[i] = plain[i] << 1;
    const bytes = new Uint8Array(faded.buffer);
    for (let i = 0; i < count; i++) {
      if ((matches !== null && matches[i] === 0) || (cone !== null && isFaded(i))) continue;
      const bit = 1 << (outcome[i] * 2);
      for (let at = begins[i] >> level, end = ends[i] >> level; at <= end; at++) bytes[at] |= bit;
    }
    return bytes;
  };
  // The bytes of one level. What was searched for is laid out on the levels that are looked at.
  const bytesOf = (level) => {
    whole ??= layOut();
    if (matches === null && cone === null) return whole.levels[level];
    if (!found || found.matches !== matches || found.cone !== cone) found = { matches, cone, levels: [] };
    return found.levels[level] ??= picked(whole, level);
  };
  // The colour of each byte of a stretch: of several outcomes the one that matters most, of the faded only where nothing else is.
  const paletteOf = () => {
    const palette = new Uint8ClampedArray(4 * 256);
    for (let byte = 1; byte < 256; byte++) {
      let best = -1;
      for (let o = 0; o < 4; o++) if (shown[o] && (byte & (1 << (o * 2)))) best = o * 2;
      const isFadedOnly = best < 0 && !only;
      for (let o = 0; o < 4; o++) if (isFadedOnly && shown[o] && (byte & (2 << (o * 2)))) best = o * 2 + 1;
      if (best < 0) continue;
      const hex = parseInt(colourOf(best >> 1).slice(1), 16);
      palette.set([hex >> 16, (hex >> 8) & 255, hex & 255, best % 2 === 0 ? 255 : 41], 4 * byte);
    }
    return new Uint32Array(palette.buffer);
  };
  // Draws operations as one picture of a pixel a stretch and lane, which is then made as high as lanes are: what that takes
  // is the same for every number of operations.
  const sheet = document.createElement('canvas');
  const drawStretches = () => {
    const pixels = Math.ceil((width - GUTTER) * (devicePixelRatio || 1)), whole = head.end + 1;
    const length = view.to - view.from, palette = paletteOf();
    let level = coarsest;
    while (level > 0 && (length / whole) * (stretches >> level) < pixels) level--;
    const parts = stretches >> level, bytes = bytesOf(level), perStretch = whole / parts;
    const from = Math.max(0, Math.floor(view.from / perStretch)), until = Math.min(parts, Math.ceil(view.to / perStretch));
    const image = new ImageData(pixels, sessions), dots = new Uint32Array(image.data.buffer), row = new Uint8Array(pixels);
    const wide = (perStretch / length) * pixels, start = ((0.5 * perStretch - view.from) / length) * pixels;
    for (let l = 0; l < sessions; l++) {
      const base = l * parts;
      row.fill(0);
      for (let stretch = from; stretch < until; stretch++) {
        const dot = Math.floor(start + stretch * wide);
        if (dot >= 0 && dot < pixels) row[dot] |= bytes[base + stretch];
      }
      for (let dot = 0; dot < pixels; dot++) dots[l * pixels + dot] = palette[row[dot]];
    }
    if (sheet.width !== pixels || sheet.height !== sessions) { sheet.width = pixels; sheet.height = sessions; }
    sheet.getContext('2d').putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    for (let l = 0; l < sessions; l++) context.drawImage(sheet, 0, l, pixels, 1, GUTTER, laneTop(l) + 2, width - GUTTER, laneHeight - 4);
  };
  const drawOperations = () => {
    const inView = firstAfter(invoked, view.to) - firstAfter(invoked, view.from);
    if (inView > DIRECT_MAX) {
      drawStretches();
      if (cone) outlineCone((width - GUTTER) / (view.to - view.from));
    } else drawEach();
    if (selected >= 0) outline(selected, colours.link, 2.5);
  };
  const drawEach = () => {
    // What would fall on the same place of the same lane is drawn once.
    const drawn = new Int32Array(sessions * 8).fill(-1);
    const faded = [[], [], [], []], plain = [[], [], [], []], labels = [];
    const last = firstAfter(invoked, view.to), perUnit = (width - GUTTER) / (view.to - view.from);
    for (let block = 0; block << 10 < last; block++) {
      if (blockEnd[block] < view.from) continue;
      const until = Math.min(last, (block + 1) << 10);
      for (let i = block << 10; i < until; i++) {
        const o = outcome[i];
        if (!shown[o]) continue;
        const end = completed[i] < 0 ? invoked[i] : completed[i];
        if (end < view.from) continue;
        const isOut = isFaded(i);
        if (isOut && only) continue;
        const left = GUTTER + (invoked[i] - view.from) * perUnit, right = GUTTER + (end - view.from) * perUnit;
        const slot = lane[i] * 8 + o * 2 + (isOut ? 1 : 0);
        if (right <= drawn[slot]) continue;
        drawn[slot] = Math.ceil(Math.max(right, left + 1));
        (isOut ? faded : plain)[o].push(left, laneTop(lane[i]) + 2, Math.max(1, right - left - 0.5));
        if (right - left > 26 && !isOut && labels.length < 400) labels.push(i, left, right);
      }
    }
    const tall = laneHeight - 4;
    for (const [rows, alpha] of [[faded, 0.16], [plain, 1]]) {
      context.globalAlpha = alpha;
      for (let o = 0; o < 4; o++) {
        context.fillStyle = colourOf(o);
        const row = rows[o];
        for (let r = 0; r < row.length; r += 3) context.fillRect(row[r], row[r + 1], row[r + 2], tall);
      }
    }
    context.globalAlpha = 1;
    if (cone) outlineCone(perUnit);
    if (laneHeight > 13) {
      context.textAlign = 'left';
      context.fillStyle = '#10161d';
      for (let r = 0; r < labels.length; r += 3) {
        const [i, left, right] = [labels[r], Math.max(labels[r + 1], GUTTER), labels[r + 2]];
        if (right - left < 24) continue;
        context.save();
        context.beginPath();
        context.rect(left, laneTop(lane[i]), right - left - 2, laneHeight);
        context.clip();
        context.fillText(`${operationText(i)} ${outcome[i] === 1 && learned[i] && head.kinds[kind[i]].name !== 'txn' ? '→ ' + textOf(learned[i]) : ''}`, left + 3, laneTop(lane[i]) + laneHeight / 2);
        context.restore();
      }
    }
  };
  const outlineCone = (perUnit) => {
    context.lineWidth = 2;
    for (const [members, colour] of [[cone.past, colours.past], [cone.future, colours.future]]) {
      context.strokeStyle = colour;
      const last = firstAfter(invoked, view.to);
      let drawn = 0;
      for (let i = 0; i < last && drawn < 3000; i++) {
        if (!members[i] || endOf(i) < view.from) continue;
        const left = GUTTER + (invoked[i] - view.from) * perUnit;
        const right = GUTTER + ((completed[i] < 0 ? invoked[i] : completed[i]) - view.from) * perUnit;
        context.strokeRect(left, laneTop(lane[i]) + 2, Math.max(2, right - left), laneHeight - 4);
        drawn++;
      }
    }
    context.lineWidth = 1;
  };
  const outline = (i, colour, thick) => {
    const left = x(invoked[i]), right = x(completed[i] < 0 ? head.end : completed[i]);
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.setLineDash(completed[i] < 0 ? [5, 4] : []);
    context.strokeRect(left - 1, laneTop(lane[i]) + 1, Math.max(4, right - left + 2), laneHeight - 2);
    context.setLineDash([]);
    context.lineWidth = 1;
  };
  const drawAnomalies = () => {
    context.fillStyle = colours.bad;
    for (const one of head.anomalies) {
      const px = x(one.at);
      if (px < GUTTER || px > width) continue;
      context.beginPath();
      context.moveTo(px, height - AXIS);
      context.lineTo(px - 4, height - AXIS + 7);
      context.lineTo(px + 4, height - AXIS + 7);
      context.fill();
    }
    if (anomaly < 0) return;
    for (const id of head.anomalies[anomaly].operations) {
      const i = id - head.first;
      if (i < 0 || i >= count) continue;
      const left = x(invoked[i]), right = x(completed[i] < 0 ? invoked[i] : completed[i]);
      context.fillStyle = colourOf(outcome[i]);
      context.fillRect(left, laneTop(lane[i]) + 2, Math.max(1, right - left), laneHeight - 4);
      outline(i, colours.bad, 2);
      if (laneHeight <= 13) continue;
      context.textAlign = 'left';
      context.fillStyle = '#10161d';
      if (right - left > 60) context.fillText(`${operationText(i)} ${outcomeText(i)}`, Math.max(left, GUTTER) + 4, laneTop(lane[i]) + laneHeight / 2, right - left - 6);
    }
  };

  // ---- Choosing.
  const status = (words) => { byId('status').textContent = words; };
  const fit = (from, to) => { const pad = Math.max((to - from) * 0.25, 1e6 / head.unit); look(from - pad, to + pad); };
  const toAnomaly = (step) => {
    const known = head.anomalies.length;
    if (known === 0) return status('no anomaly was found in this run');
    anomaly = anomaly < 0 ? (step > 0 ? 0 : known - 1) : (anomaly + step + known) % known;
    const one = head.anomalies[anomaly];
    const members = one.operations.map((id) => id - head.first).filter((i) => i >= 0 && i < count);
    let from = one.at, until = one.at;
    for (const i of members) { from = Math.min(from, invoked[i]); until = Math.max(until, completed[i] < 0 ? invoked[i] : completed[i]); }
    fit(from, until);
    if (members.length > 0) select(members[members.length - 1]);
    status(`anomaly ${anomaly + 1} of ${known}: ${one.guarantee}, ${one.name} at ${seconds(one.at, 3)}: ${one.sentence}`);
  };
  const select = (i) => {
    selected = i;
    selectedMessage = -1;
    const box = byId('details');
    box.hidden = i < 0;
    cone = null;
    if (i >= 0) {
      describe(box, [
        ['operation', String(i + head.first)], ['process', `${process[i]} (session ${head.sessions[lane[i]]})`],
        ['node asked first', node[i] === 0 ? 'not known' : `n${node[i] - 1}`], ['asked', operationText(i)],
        ['outcome', outcomeText(i)], ['invoked', seconds(invoked[i], 6)],
        ['completed', completed[i] < 0 ? 'never' : `${seconds(completed[i], 6)}, after ${(((completed[i] - invoked[i]) * head.unit) / 1e6).toFixed(3)} ms`],
        ['under', faultsAt(invoked[i], endOf(i)) || 'no fault'],
      ]);
    }
    redraw();
  };
  const selectMessage = (i) => {
    selected = -1;
    selectedMessage = i;
    const box = byId('details');
    box.hidden = false;
    const fate = mReceived[i] >= 0 ? `${seconds(mReceived[i], 6)}, after ${(((mReceived[i] - mSent[i]) * head.unit) / 1e6).toFixed(3)} ms` : 'never';
    describe(box, [
      ['message', String(mNumber[i])], ['kind', head.message_kinds[mKind[i]]], ['from', head.places[mFrom[i]]], ['to', head.places[mTo[i]]],
      ['sent', seconds(mSent[i], 6)], ['received', fate],
      ['lost', mWhy[i] === 0 ? 'no' : WHY[mWhy[i]] + (mFault[i] > 0 ? ` ${mFault[i] - 1}` : '')], ['copies', String(mCopies[i])],
    ]);
    redraw();
  };
  const describe = (box, rows) => {
    const list = document.createElement('dl');
    for (const [name, words] of rows) {
      const term = document.createElement('dt'), value = document.createElement('dd');
      term.textContent = name;
      value.textContent = words;
      list.append(term, value);
    }
    box.replaceChildren(list);
  };
  const faultsAt = (from, to) => head.faults
    .filter((fault) => fault.from <= to && (fault.to === null || fault.to >= from))
    .map((fault) => `fault ${fault.id} (${fault.kind} ${fault.what})`).join(', ');
  const operationAt = (px, py) => {
    const l = Math.floor((py - HEADER) / laneHeight);
    if (l < 0 || l >= sessions) return -1;
    const at = timeAt(px), slack = (timeAt(px + 4) - at), last = firstAfter(invoked, at + slack);
    let best = -1;
    for (let i = last - 1; i >= 0; i--) {
      if ((i & 1023) === 1023 && blockEnd[i >> 10] < at - slack) { i -= 1023; continue; }
      if (lane[i] !== l || !shown[outcome[i]]) continue;
      if ((completed[i] < 0 ? invoked[i] : completed[i]) >= at - slack) { best = i; break; }
    }
    return best;
  };
  const messageAt = (px, py) => {
    if (!withMessages) return -1;
    const [from, until] = messagesInView();
    if (until - from > MESSAGES_DRAWN) return -1;
    let best = -1, nearest = 6;
    for (let i = from; i < until; i++) {
      const a = laneOfPlace[mFrom[i]], b = laneOfPlace[mTo[i]];
      if (a < 0 || b < 0) continue;
      const [x1, y1, y2] = [x(mSent[i]), laneTop(a) + laneHeight / 2, laneTop(b) + laneHeight / 2];
      const x2 = mReceived[i] < 0 ? x1 + 10 : x(mReceived[i]);
      const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
      if (length === 0) continue;
      const part = Math.max(0, Math.min(1, ((px - x1) * (x2 - x1) + (py - y1) * (y2 - y1)) / length));
      const far = Math.hypot(px - x1 - part * (x2 - x1), py - y1 - part * (y2 - y1));
      if (far < nearest) { nearest = far; best = i; }
    }
    return best;
  };

  // ---- Searching. Every word must be in an operation: its kind, key, value, process, session, node, outcome.
  const search = (words) => {
    const tokens = words.trim().toLowerCase().split(/\s+/).filter((token) => token !== '');
    if (tokens.length === 0) {
      matches = null;
      matchCount = count;
      tellCounts();
      return redraw();
    }
    matches = new Uint8Array(count).fill(1);
    for (const token of tokens) keep(token);
    matchCount = matches.reduce((sum, is) => sum + is, 0);
    tellCounts();
    redraw();
  };
  // How many operations match what is searched, and how many are shown where some outcomes are not.
  const tellCounts = () => {
    const left = shown.every((is) => is) ? count : outcome.reduce((sum, one) => sum + (shown[one] ? 1 : 0), 0);
    const hidden = left < count ? `${left} of ${count} operations are shown` : '';
    const matching = matches ? `${matchCount} of ${count} operations match; n goes to the next` : '';
    status([matching, hidden].filter((part) => part !== '').join('; ') || `${count} operations`);
  };
  const keep = (token) => {
    const parts = /^(op|key|value|process|session|node|outcome):(.*)$/.exec(token);
    const field = parts ? parts[1] : '', word = parts ? parts[2] : token;
    const may = (name) => field === '' || field === name;
    const kinds = head.kinds.map((one) => may('op') && one.name === word);
    const keys = head.keys.map((name) => may('key') && name.toLowerCase() === word);
    const outcomes = OUTCOMES.map((name) => may('outcome') && name.split(' ')[0] === word);
    const number = (letter, name) => {
      const digits = field === name ? word.replace(/^[a-z]/, '') : field === '' && word[0] === letter ? word.slice(1) : '';
      return /^\d+$/.test(digits) ? Number(digits) : -1;
    };
    const p = number('p', 'process'), s = number('s', 'session'), n = number('n', 'node');
    const texts = may('value') ? textsWith(word) : new Uint8Array(head.texts + 1);
    for (let i = 0; i < count; i++) {
      if (matches[i] === 0) continue;
      const is = kinds[kind[i]] || keys[key[i]] || outcomes[outcome[i]] || process[i] === p || head.sessions[lane[i]] === s
        || (n >= 0 && node[i] === n + 1) || texts[given[i]] || texts[to[i]] || texts[learned[i]];
      if (!is) matches[i] = 0;
    }
  };
  // Numbers must be the same; texts must have the word in them.
  const textsWith = (word) => {
    const found = new Uint8Array(head.texts + 1), wanted = word === '' ? NaN : Number(word);
    for (let i = 0; i < head.texts; i++) {
      if (Number.isNaN(numbers[i])) found[i + 1] = textOf(i + 1).toLowerCase().includes(word) ? 1 : 0;
      else if (numbers[i] === wanted) found[i + 1] = 1;
    }
    return found;
  };
  const toMatch = (step) => {
    if (!matches || matchCount === 0) return;
    let i = selected < 0 ? (step > 0 ? -1 : count) : selected;
    do { i = (i + step + count) % count; } while (!matches[i]);
    show(i);
  };
  const show = (i) => {
    select(i);
    const length = Math.max((view.to - view.from) / 2, (endOf(i) - invoked[i]) * 3);
    if (invoked[i] < view.from || invoked[i] > view.to || view.to - view.from > head.end / 3) {
      const span = Math.min(length * 2, 2e9 / head.unit);
      look(invoked[i] - span / 2, invoked[i] + span / 2);
    }
    status(`operation ${i + head.first}: process ${process[i]}, ${operationText(i)}, ${outcomeText(i)}`);
  };
  const toNeighbour = (step) => {
    if (selected < 0) return;
    for (let i = selected + step; i >= 0 && i < count; i += step) {
      if (lane[i] === lane[selected]) return show(i);
    }
  };

  // ---- The causal cone: what an operation can have known of, and what can have known of it.
  const coneOf = (chosen) => {
    const past = new Uint8Array(count), future = new Uint8Array(count), inCone = new Uint8Array(messages);
    if (messages > 0) coneByMessages(chosen, past, future, inCone);
    else coneByValues(chosen, past, future);
    past[chosen] = future[chosen] = 0;
    return { past, future, messages: inCone };
  };
  const coneByMessages = (chosen, past, future, inCone) => {
    const known = new Float64Array(lanes).fill(-1), reached = new Float64Array(lanes).fill(Infinity);
    known[lane[chosen]] = endOf(chosen);
    reached[lane[chosen]] = invoked[chosen];
    const arrived = Array.from({ length: messages }, (_, i) => i).filter((i) => mReceived[i] >= 0);
    arrived.sort((a, b) => mReceived[b] - mReceived[a] || b - a);
    for (const i of arrived) {
      const a = laneOfPlace[mFrom[i]], b = laneOfPlace[mTo[i]];
      if (a < 0 || b < 0 || mReceived[i] > known[b]) continue;
      inCone[i] = 1;
      known[a] = Math.max(known[a], mSent[i]);
    }
    arrived.sort((a, b) => mSent[a] - mSent[b] || a - b);
    for (const i of arrived) {
      const a = laneOfPlace[mFrom[i]], b = laneOfPlace[mTo[i]];
      if (a < 0 || b < 0 || mSent[i] < reached[a]) continue;
      inCone[i] = 2;
      reached[b] = Math.min(reached[b], mReceived[i]);
    }
    for (let i = 0; i < count; i++) {
      if (invoked[i] <= known[lane[i]]) past[i] = 1;
      if (endOf(i) >= reached[lane[i]] && i !== chosen && !past[i]) future[i] = 1;
    }
  };
  // Without messages: the order of each client, and who read what somebody wrote.
  const coneByValues = (chosen, past, future) => {
    const writer = new Map(), before = new Int32Array(count).fill(-1), latest = new Int32Array(sessions).fill(-1);
    const made = (i) => (head.kinds[kind[i]].writes ? to[i] || given[i] : 0);
    const from = new Int32Array(count).fill(-1);
    for (let i = 0; i < count; i++) {
      before[i] = latest[lane[i]];
      latest[lane[i]] = i;
      const written = made(i);
      if (written && !writer.has(`${key[i]} ${written}`)) writer.set(`${key[i]} ${written}`, i);
    }
    for (let i = 0; i < count; i++) {
      const source = learned[i] ? writer.get(`${key[i]} ${learned[i]}`) : undefined;
      if (source !== undefined && source !== i) from[i] = source;
    }
    // A read may begin before the write that it sees: until nothing changes, and so a few times at most.
    const spread = (members, backwards) => {
      members[chosen] = 1;
      for (let changed = true, rounds = 0; changed && rounds < 8; rounds++) {
        changed = false;
        for (let step = 0; step < count; step++) {
          const i = backwards ? count - 1 - step : step;
          for (const source of [before[i], from[i]]) {
            if (source < 0) continue;
            const [a, b] = backwards ? [i, source] : [source, i];
            if (members[a] && !members[b]) { members[b] = 1; changed = true; }
          }
        }
      }
    };
    spread(past, true);
    spread(future, false);
  };
  const toggleCone = () => {
    if (selected < 0) return status('choose an operation first: click it, or press e or n');
    cone = cone ? null : coneOf(selected);
    if (cone) {
      const sum = (members) => members.reduce((total, is) => total + is, 0);
      const by = messages > 0 ? 'by messages' : 'by the order of each client and what was read';
      status(`causal cone of operation ${selected + head.first}, ${by}: ${sum(cone.past)} before it, ${sum(cone.future)} after it`);
    }
    redraw();
  };

  // ---- Keys and pointers.
  const pan = (part) => look(view.from + (view.to - view.from) * part, view.to + (view.to - view.from) * part);
  const clear = () => { select(-1); anomaly = -1; byId('search').value = ''; search(''); };
  const KEYS = [
    ['e', 'next anomaly', () => toAnomaly(1)], ['E', 'anomaly before', () => toAnomaly(-1)],
    ['/', 'search', () => byId('search').focus()],
    ['n', 'next operation that matches', () => toMatch(1)], ['N', 'the one before', () => toMatch(-1)],
    [']', 'next operation of the same client', () => toNeighbour(1)], ['[', 'the one before', () => toNeighbour(-1)],
    ['+', 'zoom in', () => zoom(0.5, middle())], ['-', 'zoom out', () => zoom(2, middle())],
    ['ArrowLeft', 'earlier', () => pan(-0.2)], ['ArrowRight', 'later', () => pan(0.2)],
    ['0', 'the whole run', () => look(0, head.end)], ['c', 'causal cone of the chosen operation', toggleCone],
    ['m', 'messages on or off', () => { withMessages = !withMessages && messages > 0; byId('messages').setAttribute('aria-pressed', withMessages); redraw(); }],
    ['Escape', 'choose and search nothing', clear], ['?', 'these keys', () => byId('help').showModal()],
  ];
  const press = (name) => {
    const found = KEYS.find(([key]) => key === name || (key === '+' && name === '='));
    if (found) found[2]();
    return Boolean(found);
  };
  for (const [name, words] of KEYS) {
    const row = byId('keys').insertRow(), label = document.createElement('kbd');
    label.textContent = name;
    row.insertCell().append(label);
    row.insertCell().textContent = words;
  }
  addEventListener('keydown', (event) => {
    const isTyping = event.target instanceof HTMLInputElement && event.target.type === 'search';
    if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open || (isTyping && event.key !== 'Escape')) return;
    if (press(event.key)) event.preventDefault();
    if (isTyping) event.target.blur();
  });
  for (const button of document.querySelectorAll('#tools [data-key]')) button.addEventListener('click', () => press(button.dataset.key));
  byId('search').addEventListener('input', (event) => search(event.target.value));
  byId('search-form').addEventListener('submit', (event) => { event.preventDefault(); byId('search').blur(); toMatch(1); });
  byId('only').addEventListener('change', (event) => { only = event.target.checked; redraw(); });
  for (const o of [1, 2, 3]) {
    const label = document.createElement('label'), box = document.createElement('input');
    box.type = 'checkbox';
    box.checked = true;
    box.id = `show-${OUTCOMES[o]}`;
    box.addEventListener('change', () => {
      shown[o] = box.checked;
      if (o === 3) shown[0] = box.checked;
      tellCounts();
      redraw();
    });
    label.append(box, ` ${OUTCOMES[o]}`);
    byId('outcomes').append(label);
  }
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  let dragged = null;
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const [px] = place(event);
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(Math.sign(event.deltaX || event.deltaY) * 0.1);
    else zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(Math.max(GUTTER, px)));
  }, { passive: false });
  canvas.addEventListener('pointerdown', (event) => { canvas.setPointerCapture(event.pointerId); dragged = { px: place(event)[0], from: view.from, to: view.to, moved: false }; });
  canvas.addEventListener('pointermove', (event) => {
    const [px, py] = place(event);
    if (!dragged) return tell(px, py);
    if (Math.abs(px - dragged.px) > 3) dragged.moved = true;
    const by = ((dragged.px - px) / (width - GUTTER)) * (dragged.to - dragged.from);
    if (dragged.moved) look(dragged.from + by, dragged.to + by);
  });
  canvas.addEventListener('pointerup', (event) => {
    const [px, py] = place(event), wasMoved = dragged && dragged.moved;
    dragged = null;
    if (wasMoved) return;
    const found = operationAt(px, py), message = found < 0 ? messageAt(px, py) : -1;
    if (message >= 0) selectMessage(message); else select(found);
  });
  canvas.addEventListener('pointerleave', () => { byId('tip').hidden = true; });
  const tell = (px, py) => {
    const tip = byId('tip'), i = operationAt(px, py), message = i < 0 ? messageAt(px, py) : -1;
    tip.hidden = i < 0 && message < 0;
    if (tip.hidden) return;
    tip.textContent = i >= 0 ? `${operationText(i)}: ${outcomeText(i)}`
      : `${head.message_kinds[mKind[message]]} ${head.places[mFrom[message]]} → ${head.places[mTo[message]]}${mWhy[message] > 0 ? ': ' + WHY[mWhy[message]] + (mFault[message] > 0 ? ` ${mFault[message] - 1}` : '') : ''}`;
    tip.style.left = `${Math.min(px + 12, width - 240)}px`;
    tip.style.top = `${Math.min(py + 14, height - 40)}px`;
  };
  const resize = () => {
    const found = byId('stage').clientWidth || 900, scale = devicePixelRatio || 1;
    // What is set to the size that it has is wiped all the same.
    if (found === width && canvas.width === Math.floor(found * scale)) return;
    width = found;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.height = `${height}px`;
    redraw();
  };

  // ---- Beginning.
  readColours();
  byId('tools').hidden = byId('stage').hidden = false;
  byId('messages').hidden = messages === 0;
  byId('messages').setAttribute('aria-pressed', withMessages);
  resize();
  new ResizeObserver(resize).observe(byId('stage'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { readColours(); redraw(); });
  const cut = head.operations < head.of ? `; ${head.operations} of all ${head.of} operations are in this file, from number ${head.first} on` : '';
  const cutMessages = head.messages < head.messages_of ? `; ${head.messages} of all ${head.messages_of} messages are in this file` : '';
  const sentMessages = messages > 0 ? `, ${messages} messages` : '';
  status(`${count} operations${sentMessages}${cut}${cutMessages}`);
  draw();
  document.documentElement.dataset.ready = (performance.now() - began).toFixed(0);
})();
