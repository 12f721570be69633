// One message in Discord's look: author, reply, text, embeds, buttons, files, reactions.

import { el, face, icon, clockTime, dayName } from "./dom.js";
import { markdown } from "./markdown.js";

const GROUP_MS = 7 * 60 * 1000;
const QUICK = ["👍", "👎", "❤️", "😂", "🎉"];
const DEEDS = { 3: "pressed a button", 5: "filled in a form" };
const STYLES = { 1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link" };

export function isGrouped(message, before) {
  return Boolean(before) && before.author === message.author && !message.reply && !message.command
    && Boolean(before.ephemeral) === Boolean(message.ephemeral)
    && before.at.slice(0, 10) === message.at.slice(0, 10)
    && new Date(message.at) - new Date(before.at) < GROUP_MS;
}

export function renderMessage(message, before, context) {
  const author = context.people[message.author] ?? { name: "somebody", colour: "#95a5a6" };
  const grouped = isGrouped(message, before);
  const pinged = message.content.includes(`<@${context.viewer}>`);
  const classes = ["message", grouped && "grouped", message.ephemeral && "ephemeral", pinged && "pinged"];
  return el("li", { class: classes.filter(Boolean).join(" "), id: `m${message.id}`, data: { id: message.id } },
    before && before.at.slice(0, 10) === message.at.slice(0, 10) ? null : el("div", { class: "day" }, el("span", {}, dayName(message.at))),
    aboveLine(message, context),
    el("div", { class: "row" },
      el("div", { class: "gutter" }, grouped ? el("time", {}, clockTime(message.at)) : face(author)),
      el("div", { class: "body" },
        grouped ? null : el("div", { class: "head" },
          el("span", { class: "author", style: { "--who": author.colour } }, author.name),
          author.bot ? el("span", { class: "tag" }, "APP") : null,
          author.admin ? icon("crown", 14) : null,
          el("time", {}, clockTime(message.at))),
        content(message, context))),
    toolbar(message, context));
}

function aboveLine(message, context) {
  if (message.reply) {
    const who = message.reply.author ? context.people[message.reply.author] : null;
    return el("button", { type: "button", class: "above", onclick: () => context.jump(message.reply.id) },
      ...(who
        ? [face(who, 16), el("b", { style: { "--who": who.colour } }, who.name), el("span", {}, plain(message.reply.content, context) || "a message without words")]
        : [el("i", {}, "The message was deleted or is further up")]));
  }
  if (message.command) {
    const who = context.people[message.command.user];
    return el("div", { class: "above" }, who ? face(who, 16) : null, el("b", { style: { "--who": who?.colour ?? "inherit" } }, who?.name ?? "somebody"),
      el("span", {}, DEEDS[message.command.kind] ?? "used"), message.command.name ? el("span", { class: "mention" }, "/" + message.command.name) : null);
  }
  return null;
}

function plain(text, context) {
  const holder = el("span", {}, markdown(text, context));
  return holder.textContent.replace(/\s+/g, " ");
}

function content(message, context) {
  if (message.loading) return [el("div", { class: "loading" }, el("span", { class: "dots" }), `${context.people[message.author]?.name} is thinking…`), onlyYou(message)];
  return [
    message.content || message.edited ? el("div", { class: "text" }, markdown(message.content, context), message.edited ? el("small", { class: "edited" }, " (edited)") : null) : null,
    ...message.embeds.map((embed) => renderEmbed(embed, context)),
    ...message.attachments.map(renderFile),
    ...message.components.map((component) => renderComponent(component, message, context)),
    message.reactions.length ? el("div", { class: "reactions" }, message.reactions.map((reaction) => renderReaction(reaction, message, context))) : null,
    onlyYou(message),
  ];
}

function onlyYou(message) {
  return message.ephemeral ? el("div", { class: "only-you" }, icon("eye", 14), " Only you can see this") : null;
}

function renderReaction(reaction, message, context) {
  const mine = reaction.users.includes(context.viewer);
  const names = reaction.users.map((id) => context.people[id]?.name ?? "somebody").join(", ");
  return el("button", { type: "button", class: mine ? "reaction mine" : "reaction", title: names, "aria-pressed": String(mine), onclick: () => context.react(message, reaction.emoji, !mine) },
    reaction.emoji, el("span", {}, String(reaction.users.length)));
}

function renderEmbed(embed, context) {
  const colour = embed.color ? `#${embed.color.toString(16).padStart(6, "0")}` : "var(--deep)";
  return el("article", { class: "embed", style: { "--edge": colour } },
    el("div", { class: "embed-words" },
      embed.author?.name ? el("div", { class: "embed-author" }, embed.author.name) : null,
      embed.title ? el("div", { class: "embed-title" }, markdown(embed.title, context)) : null,
      embed.description ? el("div", { class: "embed-text" }, markdown(embed.description, context)) : null,
      embed.fields?.length ? el("div", { class: "fields" }, embed.fields.map((field) => el("div", { class: field.inline ? "field inline" : "field" }, el("b", {}, markdown(field.name, context)), el("div", {}, markdown(field.value, context))))) : null),
    embed.thumbnail ? el("img", { class: "thumbnail", src: embed.thumbnail, alt: "" }) : null,
    embed.image ? el("img", { class: "embed-image", src: embed.image, alt: embed.title ?? "" }) : null,
    embed.footer?.text || embed.timestamp ? el("div", { class: "embed-foot" }, [embed.footer?.text, embed.timestamp && `${dayName(embed.timestamp)} ${clockTime(embed.timestamp)}`].filter(Boolean).join(" • ")) : null);
}

function renderFile(file) {
  if (file.image) return el("img", { class: "picture", src: file.url, alt: file.name });
  return el("a", { class: "file", href: file.url, download: file.name }, "📄 ", file.name, el("small", {}, ` ${Math.ceil(file.size / 1024)} KB`));
}

function renderComponent(part, message, context) {
  const inner = () => (part.components ?? []).map((child) => renderComponent(child, message, context));
  switch (part.type) {
    case 1: return el("div", { class: "controls" }, inner());
    case 2: return renderButton(part, message, context);
    case 3: return renderSelect(part, message, context);
    case 9: return el("div", { class: "section" }, el("div", {}, inner()), part.accessory ? renderComponent(part.accessory, message, context) : null);
    case 10: return el("div", { class: "text" }, markdown(part.content, context));
    case 11: return el("img", { class: "thumbnail", src: part.media?.url ?? "", alt: part.description ?? "" });
    case 12: return el("div", {}, (part.items ?? []).map((item) => el("img", { class: "picture", src: item.media?.url ?? "", alt: item.description ?? "" })));
    case 14: return el("hr", {});
    case 17: return el("article", { class: "embed", style: { "--edge": part.accent_color ? `#${part.accent_color.toString(16).padStart(6, "0")}` : "var(--deep)" } }, el("div", { class: "embed-words" }, inner()));
    default: return null;
  }
}

function renderButton(part, message, context) {
  const emoji = part.emoji?.name && !part.emoji.id ? part.emoji.name + " " : "";
  const words = emoji + (part.label ?? "");
  if (part.style === 5) return el("a", { class: "button link", href: /^https?:/.test(part.url) ? part.url : "#", target: "_blank", rel: "noopener noreferrer" }, words, " ↗");
  return el("button", { type: "button", class: `button ${STYLES[part.style] ?? "secondary"}`, disabled: Boolean(part.disabled), data: { control: part.custom_id }, onclick: (event) => context.click(message, part.custom_id, event.currentTarget) }, words);
}

function renderSelect(part, message, context) {
  const menu = el("select", { class: "select", disabled: Boolean(part.disabled), "aria-label": part.placeholder ?? "Choose", data: { control: part.custom_id }, onchange: (event) => event.target.value && context.choose(message, part.custom_id, [event.target.value]) },
    el("option", { value: "" }, part.placeholder ?? "Make a selection"),
    (part.options ?? []).map((option) => el("option", { value: option.value, selected: Boolean(option.default) }, option.label)));
  return menu;
}

function toolbar(message, context) {
  const mine = message.author === context.viewer;
  const admin = context.people[context.viewer]?.admin;
  if (message.ephemeral) return null;
  const button = (label, words, onclick) => el("button", { type: "button", "aria-label": label, title: label, onclick }, words);
  return el("div", { class: "toolbar" },
    QUICK.map((emoji) => button(`React with ${emoji}`, emoji, () => {
      const reaction = message.reactions.find((r) => r.emoji === emoji);
      context.react(message, emoji, !reaction?.users.includes(context.viewer));
    })),
    button("Reply", icon("reply"), () => context.reply(message)),
    mine ? button("Edit", icon("edit"), () => context.edit(message)) : null,
    mine || admin ? button("Delete", icon("delete"), () => context.remove(message)) : null);
}
