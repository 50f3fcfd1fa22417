// Keys that do something wherever the focus is, except in a field or a dialog.

/** The card that has the focus. */
const currentCard = () => document.activeElement.closest("main .card");

/** Moves the focus to the title of the next card, or with -1 of the previous one. */
function stepCards(by) {
  const all = cards();
  const at = all.indexOf(currentCard());
  const next = at >= 0 ? all[at + by] : by > 0 ? all[0] : all.at(-1);
  next?.querySelector(".name a").focus();
}

const KEYS = {
  n: () => enterLine(),
  "/": () => searchForm.elements.q.focus(),
  j: () => stepCards(1),
  k: () => stepCards(-1),
  x: () => currentCard()?.querySelector(".check").click(),
  e: () => currentCard() && (location.hash = routeTo("edit", currentCard().dataset.stem)),
  m: () => currentCard()?.querySelector(".more").click(),
  "?": () => (location.hash = "#/keys"),
};
// Elsewhere the arrows scroll.
const CARD_KEYS = { ArrowDown: KEYS.j, ArrowUp: KEYS.k };

function onPageKey(event) {
  const isPlain = !(event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat);
  const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
  const { key } = event;
  const act = Object.hasOwn(KEYS, key.toLowerCase()) ? KEYS[key.toLowerCase()] : currentCard() && CARD_KEYS[key];
  if (!act || !isPlain || isTyping || dialog.open || mover.open || state.signedOut) return;
  event.preventDefault();
  act();
}

/** The list of keys. */
function openKeys() {
  show(
    "keys-title",
    el("h2", { id: "keys-title" }, words.keyboard),
    el(
      "dl",
      { className: "rows keys" },
      Object.entries(words.keys).map(([keys, what]) =>
        el(
          "div",
          {},
          el(
            "dt",
            {},
            keys.split(" ").map((key) => [el("kbd", {}, key), " "]),
          ),
          el("dd", {}, what),
        ),
      ),
    ),
  );
}

document.addEventListener("keydown", onPageKey);
// A link to `#main` would change the route.
document.querySelector("#skip").addEventListener("click", () => main.focus());
