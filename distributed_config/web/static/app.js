// What makes the pages quicker. Every one of them works without it.
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function element(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function say(text) {
  one("#said").textContent = text;
}

document.documentElement.classList.add("scripts");

// --- menus, copying, keys

document.addEventListener("click", async (event) => {
  for (const menu of all(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  const button = event.target.closest("[data-copy], [data-copy-of]");
  if (!button) return;
  const text = button.dataset.copy ?? one(`#${button.dataset.copyOf}`).textContent;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser does not allow copying here.");
  }
});

const isTyping = (event) => event.target.closest("input, textarea, select, [contenteditable=true]");
let pressed = "";

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of all(".menu[open]")) {
      menu.open = false;
      one("summary", menu).focus();
    }
  }
  if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const before = pressed;
  pressed = event.key;
  if (before === "g") one(`.nav [data-key="${CSS.escape(event.key)}"]`)?.click();
  else if (event.key === "/" && one("#q")) {
    event.preventDefault();
    one("#q").focus();
  } else if (event.key === "p") one("[data-pause]")?.click();
  else one(`.head [data-key="${CSS.escape(event.key)}"]`)?.click();
});

// --- changes as they happen, by WebSocket, while somebody looks

const pulse = one("[data-live]");
const feed = one("[data-feed]");
const waiting = [];
let socket = null;
let later = null;
let pause = 1000;
let after = pulse?.dataset.after;

function showState(isConnected) {
  pulse.classList.toggle("off", !isConnected);
  pulse.lastElementChild.textContent = isConnected ? "Live" : "Not connected";
  one("#away").hidden = isConnected;
}

function address(path, query) {
  const given = new URLSearchParams(
    Object.entries(query).filter(([name, value]) => value != null && !(name === "environment" && value === "default")),
  );
  return `/ui/${path}?${given.toString().replaceAll("%2F", "/")}`;
}

function entry(change) {
  const words = JSON.parse(pulse.dataset.events)[change.kind];
  const text = words ? words.replace("{number}", change.version) : change.kind.replace(".", " ");
  const about = document.createDocumentFragment();
  if (change.service) {
    const link = element("a", change.service);
    link.href = address("service", { service: change.service, environment: change.environment });
    about.append(link);
  } else about.append(element("b", change.definition ?? change.environment ?? change.subject ?? "the organisation"));
  about.append(" ", element("span", text));
  if (change.environment && change.environment !== "default") about.append(" ", element("span", change.environment, "badge"));
  const item = element("li", "", "new");
  const when = element("small", `${change.actor}, just now`);
  if (feed.dataset.feed === "short") {
    item.append(about, when);
    return item;
  }
  const what = element("div", "");
  what.append(about);
  if (change.note) what.append(element("span", change.note, "note"));
  const face = element("span", change.actor.slice(0, 1).toUpperCase() || "?", "face");
  face.setAttribute("aria-hidden", "true");
  face.dataset.hue = [...change.actor].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % 4;
  item.append(element("span", change.revision, "mono faint rev"), face, what, when);
  if (change.kind === "version.created") {
    const link = element("a", "Difference", "soft");
    link.href = address("history", { service: change.service, environment: change.environment, v: change.version });
    link.setAttribute("aria-label", `Difference of version ${change.version} of ${change.service}`);
    item.append(link);
  }
  return item;
}

function isWanted(change) {
  const only = feed.dataset.service;
  if (!only) return true;
  return only.endsWith("/") ? (change.service ?? "").startsWith(only) : change.service === only;
}

function show(change) {
  if (!feed || !isWanted(change)) return;
  const button = one("[data-pause]");
  if (button?.getAttribute("aria-pressed") === "true") {
    waiting.push(change);
    button.firstChild.textContent = `Go on (${waiting.length}) `;
    return;
  }
  one("[data-none]", feed)?.remove();
  feed.prepend(entry(change));
  const most = feed.dataset.feed === "short" ? 8 : 200;
  while (feed.children.length > most) feed.lastElementChild.remove();
}

function hear(event) {
  const message = JSON.parse(event.data);
  if (message.event === "reset") return location.reload();
  after = message.id ?? after;
  if (message.event !== "changes") return;
  const { changes } = message;
  // That a service was created is what its version 0 says too.
  const isSaid = (change) =>
    change.kind === "service.created" && changes.some((other) => other.service === change.service && other.version === 0);
  changes.filter((change) => !isSaid(change)).forEach(show);
}

function connect() {
  clearTimeout(later);
  if (document.hidden) {
    socket?.close();
    socket = null;
    return;
  }
  // A plain WSGI server has no WebSockets: it is asked, and holds the answer until something happens.
  if (pulse.dataset.streams === "no") return ask();
  if (socket) return;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/api/v1/changes?after=${encodeURIComponent(after)}`);
  socket.onopen = () => {
    pause = 1000;
    showState(true);
  };
  socket.onmessage = hear;
  socket.onclose = (event) => {
    socket = null;
    if (document.hidden) return;
    showState(false);
    // The session has ended: the page asks to log in. Another refusal would be the same next time.
    if (event.code === 4401) return location.reload();
    if (event.code === 4410) return location.reload();
    later = setTimeout(connect, pause);
    pause = Math.min(pause * 2, 15000);
  };
}

let isAsking = false;

async function ask() {
  if (isAsking) return;
  isAsking = true;
  while (!document.hidden) {
    try {
      const answer = await fetch(`/api/v1/changes?after=${encodeURIComponent(after)}&wait=25`, { headers: { Accept: "application/json" } });
      if (answer.status === 401 || answer.status === 410) return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      const found = await answer.json();
      showState(true);
      hear({ data: JSON.stringify({ event: "changes", id: `${found.revision}.${after.split(".")[1]}`, changes: found.changes }) });
    } catch {
      showState(false);
      await new Promise((resolve) => setTimeout(resolve, 5000));
    }
  }
  isAsking = false;
}

one("[data-pause]")?.addEventListener("click", (event) => {
  const button = event.currentTarget;
  const isPaused = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", isPaused);
  button.firstChild.textContent = isPaused ? "Go on " : "Pause ";
  if (!isPaused) waiting.splice(0).forEach(show);
});

if (pulse && feed) {
  document.addEventListener("visibilitychange", connect);
  connect();
} else if (pulse) pulse.hidden = true;

// --- the editor

const form = one("[data-editor]");
const raw = form && one("textarea.raw", form);

if (raw) {
  const { edit, problems, rangeAt, EditorView } = await import(form.dataset.editor);
  const host = element("div", "", "host");
  raw.after(host);
  raw.hidden = true;
  let changed = raw.dataset.fresh === "false";
  let typed = null;
  const view = edit(host, {
    doc: raw.value,
    schema: raw.dataset.schema ? JSON.parse(raw.dataset.schema) : null,
    label: "Document",
    onSave: () => form.requestSubmit(),
    onChange: (text) => {
      raw.value = text;
      changed = true;
      clearTimeout(typed);
      typed = setTimeout(() => raw.dispatchEvent(new Event("typed", { bubbles: true })), 400);
    },
  });
  const places = () => all("[data-pointer]").map(({ dataset }) => ({ pointer: dataset.pointer, message: dataset.message }));
  const mark = () => {
    problems(view, places());
    for (const item of all("#state [data-pointer]")) {
      if (one("button", item)) continue;
      const button = element("button", "", "place");
      button.type = "button";
      button.append(...item.childNodes);
      item.append(button);
    }
  };
  mark();
  document.addEventListener("htmx:after:swap", mark);
  document.addEventListener("click", (event) => {
    const item = event.target.closest("[data-pointer]");
    if (!item) return;
    const range = rangeAt(view.state, item.dataset.pointer);
    view.dispatch({
      selection: { anchor: range.from, head: range.to },
      effects: EditorView.scrollIntoView(range.from, { y: "center" }),
    });
    view.focus();
  });
  form.addEventListener("submit", () => {
    changed = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (changed) event.preventDefault();
  });
}
