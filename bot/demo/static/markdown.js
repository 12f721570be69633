// Discord's markdown, the part that people and bots use, as DOM nodes; never as HTML text.

import { el, clockTime, dayName } from "./dom.js";

const INLINE = [
  [/^``(.+?)``(?!`)/s, (m) => el("code", {}, m[1])],
  [/^`([^`]+)`/, (m) => el("code", {}, m[1])],
  [/^\*\*\*(.+?)\*\*\*/s, (m, c) => el("strong", {}, el("em", {}, inline(m[1], c)))],
  [/^\*\*(.+?)\*\*(?!\*)/s, (m, c) => el("strong", {}, inline(m[1], c))],
  [/^__(.+?)__(?!_)/s, (m, c) => el("u", {}, inline(m[1], c))],
  [/^~~(.+?)~~/s, (m, c) => el("s", {}, inline(m[1], c))],
  [/^\|\|(.+?)\|\|/s, (m, c) => el("span", { class: "spoiler", tabindex: "0", onclick: (e) => e.currentTarget.classList.add("seen") }, inline(m[1], c))],
  [/^\*(?![\s*])(.+?)(?<![\s*])\*(?!\*)/s, (m, c) => el("em", {}, inline(m[1], c))],
  [/^_(?![\s_])(.+?)(?<![\s_])_(?![\w_])/s, (m, c) => el("em", {}, inline(m[1], c))],
  [/^<@!?(\d+)>/, (m, c) => pill("@" + (c.people[m[1]]?.name ?? "unknown"), m[1] === c.bot ? "me" : "")],
  [/^<#(\d+)>/, (m, c) => pill("#" + (c.channels.find((x) => x.id === m[1])?.name ?? "no-access"))],
  [/^<\/([\w -]+):\d+>/, (m) => pill("/" + m[1])],
  [/^<a?:(\w+):\d+>/, (m) => document.createTextNode(`:${m[1]}:`)],
  [/^<t:(-?\d+)(?::([tTdDfFR]))?>/, (m, c) => moment(m[0], Number(m[1]), m[2] ?? "f", c)],
  [/^\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/, (m) => link(m[2], m[1])],
  [/^<?(https?:\/\/[^\s<>]+[^\s<>.,:;"')\]])>?/, (m) => link(m[1], m[1])],
  [/^\\([\\`*_~|<>#@[\]()-])/, (m) => document.createTextNode(m[1])],
];

function pill(text, kind = "") {
  return el("span", { class: `mention ${kind}` }, text);
}

function link(url, text) {
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text);
}

const YEARS = [-62167219200, 253402300799]; // 0 to 9999; Discord, too, shows what lies beyond as it was written

function moment(written, seconds, style, context) {
  if (seconds < YEARS[0] || seconds > YEARS[1]) return document.createTextNode(written);
  const iso = new Date(seconds * 1000).toISOString();
  if (style !== "R") return el("time", { class: "stamp" }, style.toLowerCase() === "t" ? clockTime(iso) : `${dayName(iso)} ${clockTime(iso)}`);
  const away = seconds - context.now() / 1000;
  const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]].find(([s]) => Math.abs(away) >= s) ?? [1, "second"];
  return el("time", { class: "stamp", title: iso }, new Intl.RelativeTimeFormat("en").format(Math.round(away / size), unit));
}

function inline(text, context) {
  const out = document.createDocumentFragment();
  let plain = "";
  const flush = () => { if (plain) out.append(plain); plain = ""; };
  for (let at = 0; at < text.length;) {
    const special = "\\`*_~|<[h".includes(text[at]);
    const midWord = text[at] === "_" && /\w/.test(text[at - 1] ?? "");
    const found = special && !midWord && INLINE.map(([re, make]) => [re.exec(text.slice(at)), make]).find(([m]) => m);
    if (found) {
      flush();
      out.append(found[1](found[0], context));
      at += found[0][0].length;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return out;
}

function block(line, context) {
  const heading = /^(#{1,3}) (.+)$/.exec(line);
  if (heading) return el("div", { class: `h h${heading[1].length}` }, inline(heading[2], context));
  if (line.startsWith("-# ")) return el("div", { class: "subtext" }, inline(line.slice(3), context));
  const item = /^( *)[-*] (.+)$/.exec(line);
  if (item) return el("div", { class: item[1] ? "item deep" : "item" }, inline(item[2], context));
  return null;
}

export function markdown(text, context) {
  const out = document.createDocumentFragment();
  text.split(/(```[\s\S]*?```)/).forEach((part) => {
    const code = /^```(?:([\w+-]*)\n)?([\s\S]*?)\n?```$/.exec(part);
    if (code) out.append(el("pre", {}, el("code", {}, code[2])));
    else if (part) out.append(lines(part, context));
  });
  return out;
}

function lines(text, context) {
  const out = document.createDocumentFragment();
  let quote = null;
  text.replace(/^\n|\n$/g, "").split("\n").forEach((line, number) => {
    const quoted = /^> ?(.*)$/.exec(line);
    if (quoted) {
      if (!quote) out.append((quote = el("blockquote", {})));
      else quote.append("\n");
      quote.append(block(quoted[1], context) ?? inline(quoted[1], context));
      return;
    }
    const special = block(line, context);
    const after = out.lastChild;
    const blockBefore = after instanceof HTMLElement && /^(DIV|BLOCKQUOTE|PRE)$/.test(after.tagName);
    quote = null;
    if (special) { out.append(special); return; }
    if (number && !blockBefore) out.append("\n");
    out.append(inline(line, context));
  });
  return out;
}
