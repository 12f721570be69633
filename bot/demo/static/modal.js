// A form that a command or a button opened: text fields and menus of texts.

import { $, el } from "./dom.js";

function controls(part) {
  if (part.type === 18) return [{ ...part.component, label: part.label, hint: part.description }];
  if (part.components) return part.components.flatMap(controls);
  return part.custom_id ? [part] : [];
}

function control(part) {
  const props = { name: part.custom_id, required: part.required !== false, placeholder: part.placeholder, minlength: part.min_length, maxlength: part.max_length };
  if (part.type === 3) return el("select", props, (part.options ?? []).map((option) => el("option", { value: option.value, selected: Boolean(option.default) }, option.label)));
  if (part.style === 2) return el("textarea", { ...props, rows: "4" }, part.value ?? "");
  return el("input", { ...props, type: "text", value: part.value ?? "", autocomplete: "off" });
}

export function showModal(modal, submit) {
  const parts = (modal.components ?? []).flatMap(controls);
  const dialog = $("modal");
  const form = el("form", { method: "dialog" },
    el("h2", {}, modal.title),
    parts.map((part) => el("label", {}, el("span", {}, part.label ?? part.custom_id), part.hint ? el("small", {}, part.hint) : null, control(part))),
    el("div", { class: "controls" },
      el("button", { type: "button", class: "button secondary", onclick: () => dialog.close() }, "Cancel"),
      el("button", { type: "submit", class: "button primary" }, "Submit")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = {};
    for (const part of parts) values[part.custom_id] = part.type === 3 ? [form.elements[part.custom_id].value] : form.elements[part.custom_id].value;
    dialog.close();
    submit(values);
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}
