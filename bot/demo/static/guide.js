// The strip above the messages: what this is and what to try; after a night, its answers beside the old ones.

import { $, el, clockTime, dayName } from "./dom.js";
import { markdown } from "./markdown.js";

export class Guide {
  constructor(context, actions, kept) {
    this.context = context;
    this.actions = actions;
    this.kept = kept;
    this.comparison = null;
    $("help").addEventListener("click", () => this.toggle());
  }

  open(clock, comparison) {
    this.next = clock.next;
    this.comparison = comparison;
    this.show();
    this.during(clock);
  }

  during(clock) {
    document.querySelectorAll("[data-step=night]").forEach((button) => { button.disabled = clock.running; });
  }

  compare(comparison) {
    this.comparison = comparison;
    this.kept.set("guide", "");
    this.show();
  }

  toggle() {
    this.kept.set("guide", $("guide").hidden ? "" : "closed");
    this.show();
  }

  show() {
    $("guide").hidden = this.kept.get("guide") === "closed";
    $("help").setAttribute("aria-expanded", String(!$("guide").hidden));
    $("guide").replaceChildren(
      el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.toggle() }, "✕"),
      ...(this.comparison ? this.before_and_after() : this.welcome()));
  }

  welcome() {
    const step = (name, words, why, act) => el("li", {}, el("button", { type: "button", class: "button primary", data: { step: name }, onclick: act }, words), el("span", {}, why));
    return [
      el("h2", {}, "A Discord server that does not exist, with a bot that does"),
      el("p", {}, "Lantern Yard and its people are made up, and all of it runs on this computer. The bot, its small language model and its nights are real. At first it knows nothing of this place."),
      el("ol", {},
        step("ask", "Ask it something", "“what's for dinner tonight?” Everybody here would know.", () => this.actions.say(this.context.suggestions[0] ?? "hello")),
        step("privacy", "See what it keeps of you", "Everybody here has agreed but Pip: view as Pip and look again.", () => this.actions.run("privacy status")),
        step("night", "Let a night happen", `The clock moves to ${clockTime(this.next)}. The bot learns from two weeks of this chat, takes an exam on talks that it never read, and changes itself only if it got better. That takes some minutes; then its answers stand here, before and after.`, () => this.actions.advance())),
    ];
  }

  before_and_after() {
    const { at, before, after, rows } = this.comparison;
    const cell = (label, text) => el("td", { data: { label } }, text ? markdown(text, this.context) : el("i", {}, "no answer"));
    return [
      el("h2", {}, `What the night of ${dayName(at)} changed`),
      el("table", {},
        el("thead", {}, el("tr", {}, el("th", {}, "asked"), el("th", {}, `before: ${before}`), el("th", {}, `now: ${after}`))),
        el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row" }, markdown(row.question, this.context)), cell(`before: ${before}`, row.before), cell(`now: ${after}`, row.after))))),
    ];
  }
}
