// What the page does beyond its links and forms: new events appear, keys move between rows, and
// texts are copied. Text of a sender becomes `textContent`, never markup.
"use strict";

const INTERVAL_MS = 2000;
// An event can appear in the index a minute after it was recorded.
const OVERLAP_MS = 60000;
const LIMIT = 100;
// The row that was opened, and the list that it was in.
const OPENED = "hookkeeper-opened";
const LIST = "hookkeeper-list";

const list = document.querySelector("table.events");
const links = () => [...document.querySelectorAll("#rows a.handle, ol.history h2 a")];

// As the server does, shows a character that is invisible or changes the direction of text.
const visible = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");

function element(tag, className, text) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.textContent = visible(text);
  return created;
}

function link(className, text, href) {
  const created = element("a", className, text);
  created.href = href;
  return created;
}

function column(className, child) {
  const created = element("td", className, "");
  created.append(typeof child === "string" ? visible(child) : child);
  return created;
}

// One event, as the server renders it.
function row(event) {
  const created = document.createElement("tr");
  created.dataset.testid = "event-row";
  created.dataset.handle = event.handle;
  created.dataset.recorded = event.recordedtime;
  const handle = encodeURIComponent(event.handle);
  const entity = [event.source, event.subject].map(encodeURIComponent).join("/");
  const time = element("time", "", new Date(event.recordedtime).toLocaleString("sv-SE"));
  time.dateTime = event.recordedtime;
  const type = column("type", event.type.replace(/^(com|app)\.[^.]*\./, ""));
  type.title = visible(event.type);
  created.append(
    column("", link("handle", event.handle, `/events/${handle}`)),
    column("", time),
    type,
    column("", link("subject", event.subject, `/entities/${entity}`)),
    column("source", event.source),
  );
  return created;
}

// Adds the events that are not listed. What a person reads or has chosen stays where it is.
function prepend(events) {
  const rows = document.getElementById("rows");
  const listed = new Set([...rows.children].map((row) => row.dataset.handle));
  const unseen = events.filter((event) => !listed.has(event.handle));
  if (unseen.length === 0) return;
  const stays = window.scrollY > 0 || rows.contains(document.activeElement);
  const height = rows.offsetHeight;
  rows.prepend(...unseen.map(row));
  if (stays) window.scrollBy(0, rows.offsetHeight - height);
  document.querySelector(".empty")?.remove();
  say(unseen.length === LIMIT ? "More events came than are shown: reload the page." : "");
}

function say(text) {
  const status = document.getElementById("status");
  if (status.textContent !== text) status.textContent = text;
}

function reach() {
  const newest = document.querySelector("#rows tr")?.dataset.recorded ?? list.dataset.now;
  return new Date(Date.parse(newest) - OVERLAP_MS).toISOString();
}

async function look() {
  const query = new URLSearchParams(location.search);
  query.set("since", reach());
  query.set("limit", LIMIT);
  const response = await fetch(`/api/events?${query}`);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  prepend(answer.events);
}

async function follow() {
  if (!document.hidden) {
    try {
      await look();
    } catch (error) {
      say(`New events cannot be read: ${error.message}`);
    }
  }
  setTimeout(follow, INTERVAL_MS);
}

function move(step) {
  const all = links();
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? all[0] : all[Math.min(Math.max(at + step, 0), all.length - 1)];
  next?.focus();
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  "/": () => document.querySelector("input[name=q]")?.focus(),
  Escape: () => {
    if (location.pathname !== "/") location.assign(sessionStorage.getItem(LIST) ?? "/");
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

// Leaves what is not filtered out of the URL.
document.querySelector("form.filter")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) field.disabled = field.name && field.value === "";
});

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    const copied = await navigator.clipboard.writeText(text).then(() => true, () => false);
    button.textContent = copied ? "Copied" : "The browser does not allow to copy";
    setTimeout(() => (button.textContent = label), INTERVAL_MS);
  });
}

if (list) {
  sessionStorage.setItem(LIST, location.pathname + location.search);
  const opened = sessionStorage.getItem(OPENED);
  links().find((link) => link.textContent === opened)?.focus();
  sessionStorage.removeItem(OPENED);
  list.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-handle]");
    if (row) sessionStorage.setItem(OPENED, row.dataset.handle);
  });
  if ("live" in list.dataset) setTimeout(follow, INTERVAL_MS);
}
