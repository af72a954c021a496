// What the page does beyond its links and forms: new events appear, the last 24 hours are drawn, keys
// move between rows, a payload is searched, texts are copied, and forms that change something are sent
// with the token. Text of a sender becomes `textContent`, never markup.
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

function query(values) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) query.set(name, value);
  query.delete("after");
  return `/?${query}`;
}

function counted(number, of) {
  return `${number.toLocaleString("en")} ${number === 1 ? of : `${of}s`}`;
}

// A part of a bar in the colour of a provider.
function part(providers, provider, side, share) {
  const created = element("span", "part", "");
  created.dataset.series = providers.indexOf(provider);
  created.style[side] = `${100 * share}%`;
  return created;
}

function sum(counts) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

// The events of an hour, with a part for each provider.
function bar(providers, { since, until, counts }, most) {
  const created = link("bar", "", query({ since, until }));
  const local = new Date(since).toLocaleTimeString("sv-SE", { timeStyle: "short" });
  const each = Object.entries(counts);
  const words = each.map(([provider, count]) => `${provider} ${count}`);
  created.title = visible([`${local}: ${counted(sum(counts), "event")}`, ...words].join(", "));
  created.setAttribute("aria-label", created.title);
  const parts = each.map(([provider, count]) => part(providers, provider, "height", count / most));
  created.append(...parts);
  return created;
}

function kind(providers, { provider, type, count }, most) {
  const created = element("li", "", "");
  created.append(
    link("", `${provider} ${type}`, query({ provider, type })),
    element("span", "number", count.toLocaleString("en")),
    part(providers, provider, "width", count / most),
  );
  return created;
}

async function json(url) {
  const response = await fetch(url);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

// Draws the last 24 hours, after the list is there.
async function draw(section) {
  const [heading, bars, list] = section.children;
  section.hidden = false;
  try {
    const { providers, hours, kinds, complete } = await json(`/api/activity${location.search}`);
    const sums = hours.map(({ counts }) => sum(counts));
    const all = counted(sum(sums), "event");
    heading.textContent = `Last 24 hours: ${complete ? all : `more than ${all}`}`;
    const most = Math.max(...sums);
    bars.append(...hours.reverse().map((hour) => bar(providers, hour, most)));
    list.append(...kinds.map((each) => kind(providers, each, kinds[0].count)));
  } catch (error) {
    heading.textContent = `The last 24 hours cannot be counted: ${error.message}`;
  }
}

// Shows where a payload has a text: opens what is around it.
function search(field) {
  const text = field.value.trim().toLowerCase();
  const tree = document.getElementById(field.dataset.search);
  const found = [];
  for (const line of tree.querySelectorAll("li, summary")) {
    const own = line.matches("li:has(> details)") ? "" : line.textContent.toLowerCase();
    const isFound = text !== "" && own.includes(text);
    line.classList.toggle("found", isFound);
    if (isFound) found.push(line);
  }
  for (const line of found) {
    const around = line.matches("summary") ? line.parentElement.parentElement : line;
    for (let at = around.closest("details"); at; at = at.parentElement.closest("details")) {
      at.open = true;
    }
  }
  found[0]?.scrollIntoView({ block: "nearest" });
  say(text === "" ? "" : counted(found.length, "match").replace("matchs", "matches"));
}

// Sends a form that changes something, and says what was done.
async function act(form) {
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return;
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const token = document.querySelector("meta[name=hookkeeper-token]").content;
    const response = await fetch(form.dataset.post, {
      method: "POST",
      headers: { "x-hookkeeper-token": token },
      body: new URLSearchParams(new FormData(form)),
    });
    const { message, gone = [] } = await response.json();
    for (const row of document.querySelectorAll("main [data-handle]")) {
      if (gone.includes(row.dataset.handle)) row.remove();
    }
    say(visible(message));
  } catch (error) {
    say(`Not done: ${error.message}`);
  }
  button.disabled = false;
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
  prepend((await json(`/api/events?${query}`)).events);
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
  "/": () => document.querySelector("input[name=q], [data-search]")?.focus(),
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

for (const field of document.querySelectorAll("[data-search]")) {
  field.parentElement.hidden = false;
  field.addEventListener("input", () => search(field));
}

for (const form of document.querySelectorAll("form[data-post]")) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(form);
  });
}

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
  const activity = document.getElementById("activity");
  if (activity) draw(activity);
}
