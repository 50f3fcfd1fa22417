// The menu of a card that moves its task, the choice of a day and time, and the question whether two tasks swap.

const mover = el("dialog", { id: "mover", "aria-labelledby": "mover-title" });
document.body.append(mover);
const closeMover = () => mover.close();

const FRESH = 300; // How long (ms) after the dialog came or went a second tap on the same spot does nothing.
const SPOT = 30; // px
let changed = -Infinity;
let lastTap = { x: 0, y: 0 };

function ignoreSecond(event) {
  const { detail, clientX: x, clientY: y } = event;
  const isSecond = performance.now() - changed < FRESH && Math.hypot(x - lastTap.x, y - lastTap.y) < SPOT;
  lastTap = { x, y };
  if (detail === 0 || !isSecond) return;
  event.preventDefault();
  event.stopPropagation();
}

/** What a move means, in lines: where the task lands, what gives way, and how many others move. */
function linesOf({ is, by, theirs, place, gives, others }, slot) {
  if (is === "gone") return [words.refusal.precondition_failed];
  if (is === "same") return [words.staysThere];
  if (is === "passed") return [words.slotPassed];
  if (is === "taken") return [words.wentTo(slotShort(slot)), words.isTaken(by.title, Boolean(theirs))];
  const landed = place.slot ?? (place.reason === "outside_horizon" && slot);
  return [
    landed ? words.wentTo(slotShort(landed)) : words.noPlace(words.reason[place.reason]),
    gives && words.givesWay(gives.task.title, gives.place.slot && slotShort(gives.place.slot)),
    others > 0 && words.othersMove(others),
  ].filter(Boolean);
}

/** Shows a small dialog: at `near`, a place on the screen, if that is given and there is room. */
function showMover(title, content, near) {
  mover.replaceChildren(el("h2", { id: "mover-title" }, title), ...content);
  if (!mover.open) mover.showModal();
  changed = performance.now();
  const { left = "", top = "" } = near ? besides(near) : {};
  Object.assign(mover.style, { left, top, margin: near ? "0" : "" });
}

/** Below the place, or above it; ends with it at the right. The place may be off the screen. */
function besides({ top, bottom, right }) {
  const { offsetWidth: width, offsetHeight: height } = mover;
  const y = bottom + height < innerHeight ? bottom : top - height;
  return {
    left: `${Math.max(8, right - width)}px`,
    top: `${Math.max(8, Math.min(y, innerHeight - height - 8))}px`,
  };
}

function openMenu(stem) {
  if (!canWrite()) return;
  const week = weekToMoveIn();
  const tasks = tasksOf(week);
  const file = fileOf(stem, tasks);
  if (!file) return showError(words.refusal.precondition_failed);
  const items = destinations(week, file, localNow()).map((it) => menuItem(stem, it));
  // Before the last one, which is no place.
  items.splice(
    -1,
    0,
    itemView(words.moveTo.choose, null, () => openChoice(stem, tasks.get(file))),
  );
  const menu = el("div", { role: "menu", "aria-labelledby": "mover-title", onkeydown: onMenuKey }, items);
  const near = main.querySelector(`[data-key="${CSS.escape(`move ${stem}`)}"]`)?.getBoundingClientRect();
  showMover(words.moveTask(tasks.get(file).title), [menu], near);
  menu.querySelector("button:not([aria-disabled])").focus();
}

function menuItem(stem, { name, slot, why }) {
  const hint = why ? words.whyNot[why] : linesOf(meaningOfMove(stem, slot), slot).join(" · ");
  return itemView(words.moveTo[name], hint, !why && (() => pick(() => move(stem, slot))));
}

function pick(act) {
  closeMover();
  act();
}

const itemView = (label, hint, act) =>
  el(
    "button",
    { type: "button", role: "menuitem", "aria-disabled": !act && "true", onclick: () => act && act() },
    el("span", {}, label),
    hint && [" ", el("span", { className: "hint" }, hint)],
  );

function onMenuKey(event) {
  const items = [...event.currentTarget.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  // The key that opened the menu may still be down.
  if (to === undefined && !(event.repeat && event.key === "Enter")) return;
  event.preventDefault();
  if (to !== undefined) items.at(to % items.length).focus();
}

// --- A day and time ---

function openChoice(stem, { title, at }) {
  const today = localNow().date;
  const input = el("input", {
    type: "date",
    name: "datum",
    required: true,
    min: today,
    max: "9999-12-31",
    value: at ? isoOf(at.datum) : today,
  });
  const options = Object.keys(ENDS).map((zeit) =>
    el("option", { value: zeit, selected: zeit === at?.zeit }, words.zeit[zeit]),
  );
  const result = el("p", { role: "status", className: "lands" });
  const form = el(
    "form",
    { className: "task" },
    field("move-datum", words.fixedDay, input),
    field("move-zeit", words.fixedZeit, el("select", { name: "zeit" }, options)),
    result,
    el(
      "p",
      { className: "buttons" },
      el("button", { className: "main" }, words.move),
      el("button", { type: "button", onclick: closeMover }, words.cancel),
    ),
  );
  const chosen = () => slotFrom(datumOf(form.elements.datum.value), form.elements.zeit.value);
  const meaning = () => chosen() && meaningOfMove(stem, chosen());
  const show = () =>
    result.replaceChildren(...(meaning() ? linesOf(meaning(), chosen()) : []).map((line) => el("span", {}, line)));
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (meaning() && meaning().is !== "passed") pick(() => move(stem, chosen()));
  });
  showMover(words.moveTask(title), [form]);
  show();
  input.focus();
}

// --- Two tasks for one slot ---

/** A fixed task has the slot: do they swap, or, if there is nothing to swap, does that one give way? */
function askToSwap({ by, theirs, gives }, { to }, act) {
  const text = words.takenBy(by.title, gives.place.slot && slotShort(gives.place.slot));
  const button = (label, main, onclick) => el("button", { type: "button", className: main && "main", onclick }, label);
  const yes = button(theirs ? words.swap : words.giveWay, true, () => pick(act));
  const no = button(words.cancel, false, closeMover);
  const near = main.querySelector(`[data-slot="${to.datum} ${to.zeit}"]`)?.getBoundingClientRect();
  showMover(words.slotTaken(slotShort(to)), [el("p", {}, text), el("p", { className: "buttons" }, yes, no)], near);
  yes.focus();
}

addEventListener("click", ignoreSecond, true);
mover.addEventListener("click", ({ target }) => target === mover && closeMover());
mover.addEventListener("close", () => {
  changed = performance.now();
  noteReflow();
});
