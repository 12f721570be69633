// The page: one socket, what it told, and the parts of the screen that show it.

import { $, el, face, icon, clockTime, dayName } from "./dom.js";
import { renderMessage } from "./message.js";
import { Composer } from "./composer.js";
import { Guide } from "./guide.js";
import { showModal } from "./modal.js";

const TYPING_MS = 10000;
const kept = { // what a reload of this tab brings back
  get: (name) => sessionStorage.getItem(name),
  set: (name, value) => sessionStorage.setItem(name, value),
};
const state = {
  people: {}, channels: [], bot: "", viewer: kept.get("viewer"), channel: kept.get("channel"), suggestions: [],
  messages: new Map(), unread: new Set(), typing: new Map(), clock: { now: 0, at: 0 },
};

// the socket

let socket = null;
let number = 0;
const waiting = new Map();

function ask(what, request = {}) {
  if (socket?.readyState !== WebSocket.OPEN) { notice("The demo is not running any more; start it again."); return Promise.resolve(undefined); }
  number += 1;
  socket.send(JSON.stringify({ n: number, do: what, ...request }));
  return new Promise((resolve) => waiting.set(number, resolve));
}

function connect(delay = 500) {
  socket = new WebSocket(new URL("ws", location.href).href.replace(/^http/, "ws"));
  socket.onopen = () => { delay = 500; open(state.viewer); };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = () => {
    waiting.forEach((resolve) => resolve(undefined));
    waiting.clear();
    notice("The connection is gone; trying again…", true);
    setTimeout(() => connect(Math.min(delay * 2, 8000)), delay);
  };
}

function receive(what) {
  if (what.event) { (changes[what.event] ?? (() => {}))(what); return; }
  const resolve = waiting.get(what.n);
  waiting.delete(what.n);
  if (what.error) notice(what.error);
  resolve?.(what.error ? undefined : what.ok ?? null);
}

function notice(text, stays = false) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  clearTimeout(notice.timer);
  if (!stays) notice.timer = setTimeout(() => { $("notice").hidden = true; }, 6000);
}

// what changes

const changes = {
  message({ message }) {
    const list = state.messages.get(message.channel) ?? [];
    const at = list.findIndex((m) => m.id === message.id);
    if (at >= 0) list[at] = message;
    else list.push(message);
    state.messages.set(message.channel, list);
    if (at < 0) state.typing.get(message.channel)?.delete(message.author);
    if (message.channel !== state.channel) { if (at < 0) { state.unread.add(message.channel); showChannels(); } return; }
    place(list, at < 0 ? list.length - 1 : at);
    showTyping();
  },
  delete({ channel, id }) {
    const list = state.messages.get(channel);
    if (!list) return;
    state.messages.set(channel, list.filter((message) => message.id !== id));
    if (channel === state.channel) showMessages(false);
  },
  typing({ channel, id }) {
    if (id === state.viewer) return;
    if (!state.typing.has(channel)) state.typing.set(channel, new Map());
    state.typing.get(channel).set(id, performance.now() + TYPING_MS);
    showTyping();
  },
  clock({ clock, text }) { setClock(clock, text); },
  night({ clock, text }) { setClock(clock, text); },
  comparison({ comparison }) { guide.compare(comparison); },
};

// what messages can do

const context = {
  get people() { return state.people; },
  get channels() { return state.channels; },
  get viewer() { return state.viewer; },
  get channel() { return state.channel; },
  get bot() { return state.bot; },
  get suggestions() { return state.suggestions; },
  now,
  jump(id) {
    const row = $(`m${id}`);
    if (!row) return;
    row.scrollIntoView({ block: "center", behavior: "smooth" });
    row.classList.add("flash");
    setTimeout(() => row.classList.remove("flash"), 1200);
  },
  react(message, emoji, on) { return ask("react", { ...which(message), emoji, on }); },
  reply(message) { composer.setReply(message); },
  edit(message) { composer.edit(message); },
  editLast() {
    const mine = (state.messages.get(state.channel) ?? []).filter((m) => m.author === state.viewer);
    if (mine.length) composer.edit(mine.at(-1));
  },
  remove(message) { return ask("delete", which(message)); },
  async click(message, control, button) {
    button.classList.add("busy");
    this.after(await ask("click", { ...which(message), custom_id: control }));
    button.classList.remove("busy");
  },
  async choose(message, control, values) { this.after(await ask("choose", { ...which(message), custom_id: control, values })); },
  after(outcome) {
    if (outcome && !outcome.answered) notice("The application did not respond in time.");
    if (outcome?.modal) showModal(outcome.modal, async (values) => this.after(await ask("submit", { channel: state.channel, interaction: outcome.interaction, values })));
  },
};
const which = (message) => ({ channel: message.channel, message: message.id });
const composer = new Composer(context, ask);
const guide = new Guide(context, {
  say: (text) => { composer.fill(`@${state.people[state.bot].name} ${text}`); composer.send(); },
  run: (name) => composer.runNow(name),
  advance: () => ask("night"),
}, kept);

// the screen

async function open(viewer) {
  const told = await ask("open", { viewer });
  if (!told) return;
  $("notice").hidden = true;
  Object.assign(state, { people: told.people, channels: told.channels, bot: told.bot, viewer: told.viewer, suggestions: told.suggestions });
  kept.set("viewer", state.viewer);
  state.messages = new Map(Object.entries(told.messages));
  if (!state.channels.some((channel) => channel.id === state.channel)) state.channel = state.channels[0].id;
  document.title = `${told.guild.name} · Nightschool demo`;
  $("guild").textContent = told.guild.name;
  setClock(told.clock, told.night);
  showViewer();
  showPeople();
  showSuggestions(told.suggestions);
  guide.open(told.clock, told.comparison);
  await go(state.channel);
}

async function go(id) {
  state.channel = id;
  kept.set("channel", id);
  state.unread.delete(id);
  const channel = state.channels.find((c) => c.id === id);
  $("channel-name").textContent = (channel.kind === "dm" ? "@ " : "# ") + channel.name;
  $("channel-topic").textContent = channel.topic;
  document.body.classList.remove("menu-open");
  showChannels();
  showMessages(true);
  showTyping();
  await composer.open(channel);
  if (matchMedia("(hover: hover)").matches) $("draft").focus();
}

function showChannels() {
  const row = (channel) => el("button", { type: "button", class: state.unread.has(channel.id) ? "channel unread" : "channel", "aria-current": channel.id === state.channel ? "page" : null, onclick: () => go(channel.id) },
    el("span", { class: "hash" }, { private: icon("lock", 15), dm: "" }[channel.kind] ?? "#"), channel.kind === "dm" ? face(state.people[state.bot], 24) : null, channel.name);
  const kind = (direct) => state.channels.filter((channel) => (channel.kind === "dm") === direct).map(row);
  $("channels").replaceChildren(el("h2", {}, "Channels"), ...kind(false), el("h2", {}, "Direct messages"), ...kind(true));
}

function showMessages(toEnd) {
  const list = state.messages.get(state.channel) ?? [];
  const older = list.length >= 100 ? el("li", {}, el("button", { type: "button", class: "older", onclick: loadOlder }, "Load older messages")) : null;
  $("messages").replaceChildren(...[older, ...list.map((message, at) => renderMessage(message, list[at - 1], context))].filter(Boolean));
  if (toEnd) toBottom();
}

async function loadOlder() {
  const list = state.messages.get(state.channel);
  const older = await ask("older", { channel: state.channel, before: list[0].id });
  if (!older?.length) { document.querySelector(".older")?.remove(); return; }
  const height = $("scroll").scrollHeight;
  state.messages.set(state.channel, [...older, ...list]);
  showMessages(false);
  $("scroll").scrollTop += $("scroll").scrollHeight - height;
}

function place(list, at) {
  const near = nearEnd();
  const fresh = renderMessage(list[at], list[at - 1], context);
  const old = $(`m${list[at].id}`);
  const control = old?.contains(document.activeElement) ? document.activeElement.dataset.control : null;
  if (old?.classList.contains("chosen")) fresh.classList.add("chosen");
  if (old) old.replaceWith(fresh);
  else $("messages").append(fresh);
  if (control) fresh.querySelector(`[data-control="${CSS.escape(control)}"]`)?.focus();
  fresh.querySelectorAll("img").forEach((image) => image.addEventListener("load", () => near && toBottom()));
  if (near || list[at].author === state.viewer && !old) toBottom();
}

let atEnd = true; // stays so when the room for messages changes: a turned phone, a strip that opens
function nearEnd() { return $("scroll").scrollHeight - $("scroll").scrollTop - $("scroll").clientHeight < 160; }
function toBottom() { $("scroll").scrollTop = $("scroll").scrollHeight; }

function showTyping() {
  const active = [...(state.typing.get(state.channel) ?? [])].filter(([, until]) => until > performance.now()).map(([id]) => state.people[id]?.name).filter(Boolean);
  $("typing").replaceChildren(...(active.length ? [el("span", { class: "dots" }), el("b", {}, active.join(", ")), active.length > 1 ? " are typing…" : " is typing…"] : []));
}

function showViewer() {
  const playable = Object.values(state.people).filter((person) => person.playable);
  const me = state.people[state.viewer];
  $("viewer-face").replaceChildren(face(me, 32));
  $("viewer-select").replaceChildren(...playable.map((person) => el("option", { value: person.id, selected: person.id === state.viewer }, person.name + (person.admin ? " (admin)" : ""))));
}

function showPeople() {
  const all = Object.values(state.people);
  const group = (title, people) => [el("h2", {}, `${title} — ${people.length}`), ...people.map((person) => el("button", { type: "button", class: "person", disabled: !person.playable, "aria-pressed": person.playable ? String(person.id === state.viewer) : null, title: person.playable ? `View as ${person.name}` : person.name, onclick: () => open(person.id) },
    face(person, 32), el("span", { class: "name", style: { "--who": person.colour } }, person.name), person.admin ? icon("crown", 14) : null, person.bot ? el("span", { class: "tag" }, "APP") : null))];
  $("people").replaceChildren(...group("Admin", all.filter((p) => p.admin)), ...group("Apps", all.filter((p) => p.bot)), ...group("Members", all.filter((p) => p.playable && !p.admin)));
}

function showSuggestions(texts) {
  const name = state.people[state.bot].name;
  $("suggestions").replaceChildren(...texts.map((text) => el("button", { type: "button", onclick: () => composer.fill(`@${name} ${text}`) }, text)));
}

// A touch has no hover: whoever taps a message is offered what can be done with it.
function choose(target) {
  if (target.closest("button, a, select, .spoiler")) return;
  const row = target.closest(".message");
  const others = document.querySelectorAll(".message.chosen");
  const again = row?.classList.contains("chosen");
  others.forEach((other) => other.classList.remove("chosen"));
  if (row && !again && !String(getSelection())) row.classList.add("chosen");
}

// the clock

function now() { return state.clock.now + performance.now() - state.clock.at; }

function setClock(clock, text) {
  state.clock = { now: Date.parse(clock.now), at: performance.now() };
  $("advance").disabled = clock.running;
  guide.during(clock);
  $("advance").textContent = `Advance to the next ${clockTime(clock.next)}`;
  $("night-text").textContent = text;
  $("night-line").textContent = text;
  document.body.classList.toggle("night", clock.running);
  tick();
}

function tick() {
  const iso = new Date(now()).toISOString();
  $("time").textContent = iso.slice(11, 19);
  $("date").textContent = dayName(iso);
  showTyping();
}

$("advance").addEventListener("click", () => ask("night"));
$("viewer-select").addEventListener("change", (event) => open(event.target.value));
$("menu").addEventListener("click", () => document.body.classList.toggle("menu-open"));
$("scroll").addEventListener("click", (event) => { document.body.classList.remove("menu-open"); choose(event.target); });
$("send").append(icon("send", 20));
$("scroll").addEventListener("scroll", () => { atEnd = nearEnd(); });
new ResizeObserver(() => { if (atEnd) toBottom(); }).observe($("scroll"));
setInterval(tick, 1000);
connect();
