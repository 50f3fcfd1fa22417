// Builds DOM elements. Data becomes text nodes and attributes, never markup.

/** Creates an element with properties or attributes (`aria-…`, `data-…`), listeners (`on…`) and non-empty children. */
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

/** Defers low-priority work until after the next paint. */
const afterPaint = (work) => requestAnimationFrame(() => setTimeout(work));

/** Replaces `parent`'s children. The focus moves to the new element with the same `data-key`, else to `parent`. */
function fill(parent, ...children) {
  keepingFocus(parent, () => parent.replaceChildren(...children.flat(Infinity).filter(Boolean)));
}

/**
 * The same, but an element that stays as it was isn't replaced: a press on it would be lost. So the listeners of
 * `children` may only know what their element's attributes and text say, and an element with elements in it has none.
 */
function redraw(parent, ...children) {
  keepingFocus(parent, () => replaceDifferent(parent, children.flat(Infinity).filter(Boolean)));
}

function replaceDifferent(parent, nodes) {
  const before = [...parent.childNodes];
  for (const [at, node] of nodes.entries()) {
    const was = before[at];
    if (!was) parent.append(node);
    else if (was.isEqualNode(node)) continue;
    else if (was.firstElementChild && was.cloneNode().isEqualNode(node.cloneNode()))
      replaceDifferent(was, [...node.childNodes]);
    else was.replaceWith(node);
  }
  for (const was of before.slice(nodes.length)) was.remove();
}

function keepingFocus(parent, change) {
  const focused = parent.contains(document.activeElement) && document.activeElement;
  const key = focused && focused.dataset.key;
  change();
  if (focused && document.activeElement !== focused)
    ((key && parent.querySelector(`[data-key="${CSS.escape(key)}"]`)) || parent).focus({ preventScroll: true });
}

// Elements that are kept in rendered markdown. Others are replaced by their content.
const ALLOWED = new Set(
  "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i input kbd li ol p pre s strong sub sup table tbody td th thead tr ul".split(
    " ",
  ),
);
// Elements that are removed with their content.
const DROPPED = new Set(["script", "style", "template", "iframe", "object", "noscript", "title", "svg", "math"]);
const LINK = /^(https?|mailto):/i;

// The only Trusted Types policy that the CSP allows: HTML for the inert parser below, and the worker's URL.
const rules = { createHTML: (html) => html, createScriptURL: () => "/sw.js" };
const policy = globalThis.trustedTypes?.createPolicy("codex", rules) ?? rules;

/**
 * The service's rendered markdown as DOM nodes. The service has sanitized it; as defense in depth it is parsed in an
 * inert document and rebuilt from allowed elements, with no attributes but a link's `href` and a list's `start`.
 */
function rendered(html) {
  const parsed = new DOMParser().parseFromString(policy.createHTML(html), "text/html");
  const root = el("div", { className: "prose" });
  for (const child of parsed.body.childNodes) root.append(sanitized(child));
  return root;
}

function sanitized(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  const tag = node.localName;
  if (node.nodeType !== Node.ELEMENT_NODE || DROPPED.has(tag)) return "";
  const children = [...node.childNodes].map(sanitized);
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
  if (!ALLOWED.has(tag)) return el("span", {}, children);
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
