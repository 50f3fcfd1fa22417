// Making elements. Data becomes text nodes and attributes, never markup.

/** An element with properties (`aria-…`, `data-…` and the like as attributes) and children; of those, empty ones are left out. */
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name === "className" ? "class" : name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((it) => it !== undefined && it !== null && it !== false && it !== ""));
  return node;
}

/** Does what nobody waits for once what is to be seen has been painted. */
const afterPaint = (work) => requestAnimationFrame(() => setTimeout(work));

/** Puts other children into `parent`. What had the focus keeps it, when it is still there by its `data-key`; else `parent` has it. */
function fill(parent, ...children) {
  const focused = parent.contains(document.activeElement) && document.activeElement;
  const key = focused && focused.dataset.key;
  parent.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (focused)
    ((key && parent.querySelector(`[data-key="${CSS.escape(key)}"]`)) || parent).focus({ preventScroll: true });
}

// What rendered markdown is made of. Everything else is left out, its text stays.
const HARMLESS = new Set(
  "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i input kbd li ol p pre s strong sub sup table tbody td th thead tr ul".split(
    " ",
  ),
);
// These go with what is in them.
const SILENT = new Set(["script", "style", "template", "iframe", "object", "noscript", "title", "svg", "math"]);
const LINK = /^(https?|mailto):/i;

// The browser takes markup and addresses of scripts from nothing else: markup for the parser below, and one address.
const rules = { createHTML: (html) => html, createScriptURL: () => "/sw.js" };
const policy = globalThis.trustedTypes?.createPolicy("codex", rules) ?? rules;

/**
 * The service's rendered markdown as nodes. It has been sanitised there; here it is parsed in a document that
 * runs nothing, and built again of harmless elements without attributes but a link's address.
 */
function rendered(html) {
  const parsed = new DOMParser().parseFromString(policy.createHTML(html), "text/html");
  const root = el("div", { className: "prose" });
  for (const child of parsed.body.childNodes) root.append(harmless(child));
  return root;
}

function harmless(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  const tag = node.localName;
  if (node.nodeType !== Node.ELEMENT_NODE || SILENT.has(tag)) return "";
  const children = [...node.childNodes].map(harmless);
  if (tag === "input") {
    return node.type === "checkbox"
      ? el("input", {
          type: "checkbox",
          disabled: true,
          checked: node.hasAttribute("checked"),
          "aria-label": words.status.abgeschlossen,
        })
      : "";
  }
  if (!HARMLESS.has(tag)) return el("span", {}, children);
  const properties = {};
  if (tag === "a" && LINK.test(node.getAttribute("href") ?? "")) {
    Object.assign(properties, {
      href: node.getAttribute("href"),
      target: "_blank",
      rel: "noopener noreferrer nofollow",
    });
  }
  if (tag === "ol" && node.start !== 1) properties.start = node.start;
  return el(tag, properties, children);
}
