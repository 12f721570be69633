// Writing: the draft, the picker for commands and mentions, and a slash command's options as fields.

import { $, el, face } from "./dom.js";

const SHOWN = 40;

export class Composer {
  constructor(context, ask) {
    this.context = context;
    this.ask = ask;
    this.commands = [];
    this.items = [];
    this.chosen = 0;
    this.replyTo = null;
    this.editing = null;
    this.running = null;
    this.draft = $("draft");
    $("composer").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    this.draft.addEventListener("input", () => { this.grow(); this.look(); });
    this.draft.addEventListener("keydown", (event) => this.key(event));
    this.draft.addEventListener("blur", () => setTimeout(() => { if (document.activeElement !== this.draft) this.closePicker(); }, 150));
    $("command").addEventListener("submit", (event) => { event.preventDefault(); this.run(); });
    $("command").addEventListener("keydown", (event) => { if (event.key === "Escape") this.leaveCommand(); });
  }

  async open(channel) {
    this.leaveCommand();
    this.setReply(null);
    this.stopEditing();
    this.draft.disabled = !channel.writable;
    this.draft.placeholder = channel.writable ? `Message ${channel.kind === "dm" ? "@" : "#"}${channel.name} — / for commands, @ to call somebody` : "You may not write here";
    this.commands = await this.ask("commands", { channel: channel.id });
  }

  grow() {
    this.draft.style.height = "auto";
    this.draft.style.height = `${Math.min(this.draft.scrollHeight, 200)}px`;
  }

  fill(text) {
    this.draft.value = text;
    this.grow();
    this.look();
    this.draft.focus();
  }

  // the picker

  look() {
    const text = this.draft.value.slice(0, this.draft.selectionStart);
    const mention = /(?:^|\s)@([\w-]*)$/.exec(text);
    if (this.draft.value.startsWith("/") && !this.editing) this.offerCommands(this.draft.value.slice(1).toLowerCase());
    else if (mention) this.offerPeople(mention[1]);
    else this.closePicker();
  }

  offerCommands(typed) {
    const found = this.commands.filter((command) => command.name.startsWith(typed) || command.name.includes(typed));
    found.sort((a, b) => Number(b.name.startsWith(typed)) - Number(a.name.startsWith(typed)) || a.name.localeCompare(b.name));
    this.showPicker("Commands", found.map((command) => ({
      node: [el("b", {}, "/" + command.name), command.options.map((o) => el("span", { class: o.required ? "option" : "option free" }, o.name)), el("small", {}, command.description)],
      pick: () => this.enterCommand(command),
    })));
  }

  offerPeople(typed) {
    const people = Object.values(this.context.people).filter((p) => p.name.toLowerCase().startsWith(typed.toLowerCase()));
    people.sort((a, b) => Number(b.id === this.context.bot) - Number(a.id === this.context.bot));
    this.showPicker("Members", people.map((person) => ({ node: [face(person, 22), el("b", {}, person.name), el("small", {}, person.bot ? "app" : "")], pick: () => this.insert(typed, person.name) })));
  }

  insert(typed, name) {
    const at = this.draft.selectionStart;
    const before = this.draft.value.slice(0, at - typed.length) + name + " ";
    this.draft.value = before + this.draft.value.slice(at).trimStart();
    this.draft.setSelectionRange(before.length, before.length);
    this.closePicker();
    this.draft.focus();
  }

  showPicker(title, items) {
    this.items = items.slice(0, SHOWN);
    this.chosen = 0;
    const rows = this.items.map((item, number) => el("div", { role: "option", class: "pick", id: `pick${number}`, onmousedown: (event) => { event.preventDefault(); item.pick(); } }, item.node));
    $("picker").replaceChildren(el("h2", {}, title), ...rows);
    $("picker").hidden = !this.items.length;
    this.mark();
  }

  mark() {
    [...$("picker").querySelectorAll(".pick")].forEach((row, number) => {
      row.setAttribute("aria-selected", String(number === this.chosen));
      if (number === this.chosen) row.scrollIntoView({ block: "nearest" });
    });
  }

  closePicker() {
    $("picker").hidden = true;
    this.items = [];
  }

  key(event) {
    const open = !$("picker").hidden;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.chosen = (this.chosen + (event.key === "ArrowDown" ? 1 : -1) + this.items.length) % this.items.length;
      this.mark();
    } else if (open && (event.key === "Tab" || event.key === "Enter")) {
      event.preventDefault();
      this.items[this.chosen].pick();
    } else if (event.key === "Escape") {
      if (open) this.closePicker();
      else { this.setReply(null); this.stopEditing(); }
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "ArrowUp" && !this.draft.value) {
      event.preventDefault();
      this.context.editLast();
    }
  }

  // sending

  setReply(message) {
    if (message) this.stopEditing();
    this.replyTo = message;
    this.say(message ? ["Replying to ", el("b", {}, this.context.people[message.author]?.name ?? "somebody")] : null, "Do not reply", () => this.setReply(null));
    if (message) this.draft.focus();
  }

  // The line above the draft that says what is being done, with a button that leaves it.
  say(words, label, leave) {
    $("replying").hidden = !words;
    $("replying").replaceChildren(...(words ? [el("span", {}, words), el("button", { type: "button", "aria-label": label, onclick: leave }, "✕")] : []));
  }

  stopEditing() {
    if (!this.editing) return;
    this.editing = null;
    this.say(null);
    this.fill("");
  }

  edit(message) {
    this.setReply(null);
    this.editing = message;
    this.say(["Editing your message"], "Do not edit", () => this.stopEditing());
    this.fill(message.content.replace(/<@!?(\d+)>/g, (all, id) => (this.context.people[id] ? "@" + this.context.people[id].name : all)));
  }

  wire(text) {
    const people = Object.values(this.context.people).sort((a, b) => b.name.length - a.name.length);
    for (const person of people) text = text.replace(new RegExp(`@${person.name.replace(/[^\w]/g, "\\$&")}(?!\\w)`, "gi"), `<@${person.id}>`);
    for (const channel of this.context.channels) if (channel.kind !== "dm") text = text.replaceAll(new RegExp(`(?<![\\w#])#${channel.name}(?![\\w-])`, "g"), `<#${channel.id}>`);
    return text;
  }

  async send() {
    const text = this.draft.value.trim();
    if (!text) return;
    const [replyTo, editing] = [this.replyTo, this.editing];
    this.draft.value = "";
    this.grow();
    this.closePicker();
    this.setReply(null);
    this.editing = null;
    this.say(null);
    const where = { channel: this.context.channel, text: this.wire(text) };
    const done = editing ? await this.ask("edit", { ...where, message: editing.id }) : await this.ask("say", { ...where, reply_to: replyTo?.id ?? null });
    if (done === undefined && !this.draft.value && !editing) this.fill(text);
  }

  // a command and its options

  enterCommand(command) {
    this.running = command;
    this.draft.value = "";
    this.closePicker();
    $("composer").hidden = true;
    $("command").hidden = false;
    $("command").replaceChildren(
      el("div", { class: "command-head" }, el("b", {}, "/" + command.name), el("small", {}, command.description), el("button", { type: "button", "aria-label": "Do not run", onclick: () => this.leaveCommand() }, "✕")),
      el("div", { class: "command-fields" }, command.options.map((option) => this.field(option)), el("button", { type: "submit", class: "button primary" }, "Run")));
    $("command").querySelector("input, select, button[type=submit]").focus();
  }

  leaveCommand() {
    const had = this.running;
    this.running = null;
    $("command").hidden = true;
    $("composer").hidden = false;
    if (had) this.draft.focus();
  }

  field(option) {
    const props = { name: option.name, required: option.required, title: option.description, placeholder: option.description, autocomplete: "off" };
    return el("label", { class: "command-field" }, el("span", {}, option.name + (option.required ? "" : "?")), this.control(option, props));
  }

  control(option, props) {
    const choose = (pairs) => el("select", props, el("option", { value: "" }, option.required ? "choose…" : "—"), pairs.map(([value, words]) => el("option", { value }, words)));
    if (option.choices.length) return choose(option.choices.map((c) => [c.value, c.name]));
    if (option.kind === "boolean") return choose([["true", "True"], ["false", "False"]]);
    if (option.kind === "channel") return choose(this.context.channels.filter((c) => c.kind !== "dm").map((c) => [c.id, "#" + c.name]));
    if (option.kind === "user") return choose(Object.values(this.context.people).filter((p) => p.playable).map((p) => [p.id, p.name]));
    if (option.kind === "integer" || option.kind === "number") return el("input", { ...props, type: "number", step: option.kind === "integer" ? "1" : "any", min: option.min_value, max: option.max_value });
    const input = el("input", { ...props, type: "text", minlength: option.min_length, maxlength: option.max_length });
    return option.autocomplete ? this.suggesting(option, input) : input;
  }

  suggesting(option, input) {
    const list = el("datalist", { id: `offers-${option.name}` });
    input.setAttribute("list", list.id);
    const offer = async () => {
      if (!this.running) return;
      const choices = await this.ask("autocomplete", { channel: this.context.channel, command: this.running.name, option: option.name, text: input.value });
      list.replaceChildren(...(choices ?? []).map((c) => el("option", { value: String(c.value), label: c.name }, c.name)));
    };
    input.addEventListener("input", offer);
    input.addEventListener("focus", offer);
    return el("span", {}, input, list);
  }

  async runNow(name) {
    this.context.after(await this.ask("slash", { channel: this.context.channel, command: name, options: {} }));
  }

  async run() {
    const command = this.running;
    const options = {};
    for (const option of command.options) {
      const value = $("command").elements[option.name].value;
      if (value !== "") options[option.name] = option.kind === "boolean" ? value === "true" : option.kind === "string" ? this.wire(value) : value;
    }
    this.leaveCommand();
    this.context.after(await this.ask("slash", { channel: this.context.channel, command: command.name, options }));
  }
}
