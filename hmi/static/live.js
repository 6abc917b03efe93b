// Live values in the browser: one websocket per page, elements that carry data-row, a screen that admits when it is stale.
// The server's messages are described in hmi/live.py.
"use strict";
(() => {
  const STALE_MS = 4000; // a lost server must be obvious within five seconds
  const RETRY_MS = 1500;
  const SESSION_ENDED = 1008;
  const values = new Map(); // key -> [value, quality, version]
  let alarms = { frame: [] };
  let version = 0;
  let heard = 0;
  let gone = false;
  let socket = null;
  const decoder = new TextDecoder();
  const shapes = {
    1: '<rect x="2" y="2" width="16" height="16"/>',
    2: '<path d="M10 1 L19 18 L1 18 Z"/>',
    3: '<path d="M1 2 L19 2 L10 19 Z"/>',
    4: '<circle cx="10" cy="10" r="9"/>',
  };
  const page = () => document.querySelector("[data-live]");
  const words = (element) => (element.wkWords ??= JSON.parse(element.dataset.words));
  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  const escape = (text) => String(text).replace(/[&<>"']/g, (character) => ENTITIES[character]); // quotes: for attributes
  const lang = () => (page()?.dataset.lang === "en" ? 1 : 0);

  function number(value, decimals) {
    return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  }

  function showText(element, value, quality) {
    const data = element.dataset;
    let text = "----";
    if (data.as === "words") text = value === null ? "----" : (words(element)[value] ?? String(value));
    else if (data.as === "moment") text = value ? when(1000 * value, page().dataset.zone) : "----";
    else if (data.as === "digits") text = value === null ? "----" : value.toFixed(0);
    else if (value !== null) text = number(value, Number(data.decimals ?? 1));
    const unknown = quality === 2;
    if (unknown && data.as === "words" && data.unknown) text = data.unknown;
    const suffix = unknown ? " ×" : quality === 1 ? " ?" : "";
    if (element instanceof SVGElement) {
      element.replaceChildren(span(text, "wk-number"));
      if (!suffix && data.unit) element.append(span(" " + data.unit, "wk-unit"));
      if (suffix) element.append(span(suffix, "wk-badge"));
    } else {
      element.textContent = text;
      element.dataset.mark = suffix.trim();
    }
  }

  function span(text, name) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "tspan");
    node.textContent = text;
    node.setAttribute("class", name);
    return node;
  }

  function mark(element, value, quality) {
    for (const name of [...element.classList]) if (/^(q|is)-/.test(name)) element.classList.remove(name);
    element.classList.add("q-" + quality);
    if (value !== null) element.classList.add("is-" + Math.round(value));
  }

  const painters = {
    class: mark,
    words: (element, value, quality) => { mark(element, value, quality); showText(element, value, quality); },
    number: (element, value, quality) => { mark(element, null, quality); showText(element, value, quality); },
    moment: (element, value, quality) => { mark(element, null, quality); showText(element, value, quality); },
    digits: (element, value, quality) => { mark(element, null, quality); showText(element, value, quality); },
    bar: (element, value, quality) => {
      mark(element, null, quality);
      element.style.width = Math.max(0, Math.min(100, (100 * (value ?? 0)) / Number(element.dataset.max))) + "%";
    },
  };

  function paint() {
    for (const element of document.querySelectorAll("[data-row]")) {
      const known = values.get(element.dataset.row);
      if (!known || element.wkVersion === known[2]) continue;
      element.wkVersion = known[2];
      painters[element.dataset.as ?? "number"](element, known[0], known[1]);
    }
  }

  function symbol(alarm) {
    return `<svg class="wk-symbol p${alarm.priority} ${alarm.unacked ? "blink" : ""} ${alarm.active ? "" : "cleared"}"
      viewBox="0 0 20 20" role="img">${shapes[alarm.priority]}<text x="10" y="15">${alarm.priority}</text></svg>`;
  }

  function when(ms, zone) {
    return new Date(ms).toLocaleString("sv-SE", { timeZone: zone });
  }

  function paintBanner() {
    const banner = document.querySelector("[data-banner]");
    if (!banner) return;
    const urgent = alarms.frame.filter((alarm) => alarm.unacked).slice(0, Number(banner.dataset.max));
    banner.innerHTML = urgent.length
      ? urgent.map((alarm) => `<a class="wk-urgent" href="/alarms" title="${escape(alarm.source[lang()])} – ${escape(alarm.text[lang()])}">${symbol(alarm)}<span class="at">${when(alarm.since,
          page().dataset.zone).slice(11)}</span><b>${escape(alarm.source[lang()])}</b><span>${escape(alarm.text[lang()])}</span></a>`).join("")
      : `<span class="wk-quiet">${escape(banner.dataset.quiet)}</span>`;
  }

  function filtered(list) {
    const wanted = (name) => document.querySelector(`[data-filter="${name}"]`)?.value ?? "";
    const text = wanted("text").toLowerCase();
    return list.filter((alarm) =>
      (!wanted("priority") || alarm.priority === Number(wanted("priority"))) &&
      (!wanted("state") || alarm.state === Number(wanted("state"))) &&
      (!text || [...alarm.source, ...alarm.text].join(" ").toLowerCase().includes(text)));
  }

  function paintAlarms() {
    const body = document.querySelector("[data-alarm-list]");
    if (!body) return;
    const mine = filtered(alarms.alarms ?? []);
    const names = words(body);
    body.innerHTML = mine.map((alarm) => `<tr class="${alarm.unacked ? "unacked" : ""}" data-alarm="${escape(alarm.id)}">
      <td>${symbol(alarm)}</td><td>${escape(names.states[alarm.state] ?? "")}</td><td class="at">${when(alarm.since, page().dataset.zone)}</td>
      <td><a href="${escape(alarm.link)}">${escape(alarm.source[lang()])}</a></td><td>${escape(alarm.text[lang()])}</td>
      <td class="right">${alarm.value === null ? "" : `${number(alarm.value, 2)} ${escape(alarm.unit)}`}</td>
      <td>${alarm.unacked && names.ack ? `<button class="wk-button" data-ack="${escape(alarm.id)}">${escape(names.ack)}</button>` : ""}</td></tr>`).join("")
      || `<tr><td colspan="7" class="wk-quiet">${escape(names.none)}</td></tr>`;
  }

  const FIELDS = ["id", "state", "priority", "active", "unacked", "value", "since", "unit", "text", "source", "link"];
  function alarmObjects(list) {
    return list.map((row) => Object.fromEntries(FIELDS.map((name, place) => [name, row[place]])));
  }

  function showTime(message) {
    const clock = document.querySelector("[data-clock]");
    if (clock) clock.textContent = when(message.t, page().dataset.zone) + (message.x > 1 ? ` ×${message.x}` : "");
  }

  function take(message) {
    gone = message.gone === true;
    if (gone) return stale();
    heard = performance.now();
    version += 1;
    for (const [key, value, quality] of message.d) values.set(String(key), [value, quality, version]);
    if (message.a) {
      alarms[message.p] = alarmObjects(message.a);
      if (message.p === "frame") paintBanner(); else paintAlarms();
    }
    showTime(message);
    paint();
    stale();
  }

  function stale() {
    const lost = gone || performance.now() - heard > STALE_MS;
    document.documentElement.classList.toggle("wk-stale", lost);
    const link = document.querySelector("[data-link]");
    if (link) link.textContent = lost ? link.dataset.lost : link.dataset.good;
  }

  async function leaveIfEnded() {
    try {
      const answer = await fetch("/session", { headers: { accept: "application/json" } });
      if (answer.status === 401) window.location.assign("/login");
    } catch { /* the server is away: the screen says so already */ }
  }

  function open() {
    const root = page();
    if (!root) return setTimeout(open, 50);
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${window.location.host}/live/${root.dataset.live}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => take(JSON.parse(decoder.decode(event.data)));
    socket.onclose = (event) => {
      if (event.code === SESSION_ENDED || event.code === 1006) leaveIfEnded();
      setTimeout(open, RETRY_MS);
    };
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ack],[data-ack-all],[data-release]");
    if (!button) return;
    if ("release" in button.dataset) emitEvent("release", {});
    else if (button.dataset.ack) emitEvent("acknowledge", { alarms: [button.dataset.ack] });
    else if ("ackAll" in button.dataset) {
      emitEvent("acknowledge", { alarms: filtered(alarms.alarms ?? []).filter((alarm) => alarm.unacked).map((alarm) => alarm.id) });
    }
  });
  document.addEventListener("input", (event) => { if (event.target.dataset.filter) paintAlarms(); });
  document.addEventListener("input", (event) => {
    if (!("search" in event.target.dataset)) return;
    const text = event.target.value.toLowerCase();
    for (const row of document.querySelectorAll("tr[data-find]")) row.hidden = !row.dataset.find.toLowerCase().includes(text);
  });
  setInterval(stale, 500);
  setInterval(() => { paint(); }, 700); // elements that a dialog brought after the last message
  // what NiceGUI draws later than the first message must still get its banner and list
  let drawn = false;
  const settled = setInterval(() => {
    if (!drawn && page()) { drawn = true; paintBanner(); paintAlarms(); clearInterval(settled); }
  }, 50);
  heard = performance.now();
  open();
})();
