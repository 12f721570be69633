// Making elements: text always becomes a text node, so nothing that people write is ever markup.

export function el(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (value === true) node.setAttribute(key, "");
    else node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const $ = (id) => document.getElementById(id);

export function face(person, size = 40) {
  const initials = person.name.slice(0, person.bot ? 2 : 1).toUpperCase();
  return el("span", {
    class: "face",
    "aria-hidden": "true",
    style: { "--face": person.colour, "--size": `${size}px` },
  }, initials);
}

export function clockTime(iso) {
  return iso.slice(11, 16);
}

export function dayName(iso) {
  const day = new Date(iso.slice(0, 10) + "T12:00:00Z");
  return day.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
}

const PATHS = {
  crown: "M3 18h18l1.5-10-5.5 4-5-7-5 7-5.5-4z",
  lock: "M7 10V7a5 5 0 0 1 10 0v3h1a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1zm2 0h6V7a3 3 0 0 0-6 0z",
  eye: "M12 5c6 0 10 7 10 7s-4 7-10 7S2 12 2 12s4-7 10-7zm0 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  reply: "M10 5v4c7 0 11 4 12 11-3-4-7-5.5-12-5.5V19l-8-7z",
  edit: "M4 17.2V21h3.8L18.9 9.9l-3.8-3.8zM20.7 8.1a1 1 0 0 0 0-1.4l-2.4-2.4a1 1 0 0 0-1.4 0L15.9 5.3l3.8 3.8z",
  delete: "M6 8h12l-1 13H7zM9 3h6l1 2h4v2H4V5h4z",
  send: "M3 20.5 22 12 3 3.5 3 10l12 2-12 2z",
};

export function icon(name, size = 16) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: size, height: size, class: `icon ${name}`, "aria-hidden": "true" })) svg.setAttribute(key, value);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill", "currentColor");
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}
