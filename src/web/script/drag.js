// Dragging a card to a slot: by mouse, or by touch after a moment, so that a finger can still scroll.

const FINGER_RESTS = 350; // How long (ms) a finger rests on a card before it can drag that.
const SLACK = { touch: 10, mouse: 5 }; // How far (px) a pointer may move until it scrolls, or drags.

/** The pressed card's `stem`, and where the pointer is. While the card is dragged, `ghost` is what follows the pointer. */
let press = null;
let swallows = false; // The pointer that dragged is still down, or has just been released: it taps nothing.

const isDragging = () => Boolean(press?.ghost);
const cardOf = (stem) => main.querySelector(`.card[data-stem="${CSS.escape(stem)}"]`);

function onPress(event) {
  if (isDragging()) return;
  const { target, pointerId, pointerType, clientX: x, clientY: y } = event;
  leavePress();
  const card = target.closest(".card:not(.gone)");
  const isOther = !event.isPrimary || event.button !== 0 || event.ctrlKey || target.closest("button");
  if (!card || isOther || state.found || isOffline() || !isMeant({ clientX: x, clientY: y })) return;
  press = {
    stem: card.dataset.stem,
    pointerId,
    device: pointerType === "touch" ? "touch" : "mouse",
    start: { x, y },
    x,
    y,
  };
  if (press.device === "touch") press.timer = setTimeout(lift, FINGER_RESTS);
}

function leavePress() {
  clearTimeout(press?.timer);
  press = null;
}

function onPointerMove({ pointerId, clientX: x, clientY: y }) {
  if (pointerId !== press?.pointerId) return;
  Object.assign(press, { x, y });
  if (isDragging()) return follow();
  if (Math.hypot(x - press.start.x, y - press.start.y) <= SLACK[press.device]) return;
  if (press.device === "mouse") lift();
  else leavePress();
}

/** The drag begins. From now on the page isn't drawn anew until it ends. */
function lift() {
  const tasks = tasksOf(arranged(state.week));
  const [card, task] = [cardOf(press.stem), tasks.get(fileOf(press.stem, tasks))];
  if (!card || !task) return leavePress();
  press.lands = el("p", { className: "lands" });
  const name = el("p", { className: "name" }, task.title);
  press.ghost = el("div", { className: `ghost ${task.kategorie}`, "aria-hidden": "true" }, name, press.lands);
  press.loose = task.fixedSlot !== null && el("div", { className: "loose", "aria-hidden": "true" }, words.withoutSlot);
  document.body.append(...[press.loose, press.ghost].filter(Boolean));
  card.classList.add("lifted");
  document.documentElement.classList.add("dragging");
  getSelection().removeAllRanges();
  if (press.device === "mouse") document.documentElement.setPointerCapture(press.pointerId);
  preview(null);
  follow();
  requestAnimationFrame(scrollAtEdges);
}

function follow() {
  placeGhost();
  const over = targetAt(press);
  if (over?.node !== press.over?.node) preview(over);
}

/** Beside the pointer, or above it where the screen ends; above a finger, which would cover it. */
function placeGhost() {
  const { ghost, x, y, device } = press;
  const { offsetWidth: width, offsetHeight: height } = ghost;
  const isBelow = y + 14 + height < innerHeight;
  const [left, top] =
    device === "touch" ? [x - width / 2, y - height - 28] : [x + 14, isBelow ? y + 14 : y - height - 14];
  const within = (value, most) => Math.max(4, Math.min(value, most - 4));
  ghost.style.translate = `${within(left, innerWidth - width)}px ${within(top, innerHeight - height)}px`;
}

/** What the card would be dropped on: a slot, or `null` as the slot for what loses its own. */
function targetAt({ x, y, loose, stem }) {
  const node = document.elementFromPoint(x, y)?.closest("[data-slot], .loose, [aria-labelledby=unplaced]");
  if (!node) return null;
  const [datum, zeit] = node.dataset.slot?.split(" ") ?? [];
  const isOwn = node.contains(cardOf(stem));
  if (datum) return { node, slot: { datum, zeit }, isOwn };
  return loose ? { node, slot: null, isOwn } : null;
}

/** Shows where the card would land, and what gives way. */
function preview(over = press.over) {
  press.over?.node.classList.remove("over", "refused");
  press.over = over;
  const meaning = over && (over.isOwn ? { is: "same" } : meaningOfMove(press.stem, over.slot));
  const lines = over ? linesOf(meaning, over.slot) : [words.whereTo];
  press.lands.replaceChildren(...lines.map((line) => el("span", {}, line)));
  over?.node.classList.add("over");
  over?.node.classList.toggle("refused", ["passed", "gone"].includes(meaning?.is));
  placeGhost();
}

function scrollAtEdges() {
  if (!isDragging()) return;
  const bottom = press.loose ? press.loose.getBoundingClientRect().top : innerHeight;
  const by = press.over?.node === press.loose ? 0 : edgeSpeed(press.y, innerHeight, bottom);
  if (by) {
    scrollBy(0, by);
    follow();
  }
  requestAnimationFrame(scrollAtEdges);
}

function onRelease({ pointerId }) {
  if (pointerId !== press?.pointerId) return;
  if (!isDragging()) return leavePress();
  const { stem, over } = press;
  putDown();
  if (over && !over.isOwn) move(stem, over.slot);
  render();
}

/** Ends the drag without a change. */
function cancelDrag() {
  if (!isDragging()) return leavePress();
  putDown();
  render();
}

/** The card glides from where it was released. */
function putDown() {
  const { stem, ghost, loose, over } = press;
  landing = { stem, rect: ghost.getBoundingClientRect() };
  over?.node.classList.remove("over", "refused");
  cardOf(stem)?.classList.remove("lifted");
  document.documentElement.classList.remove("dragging");
  for (const node of [ghost, loose]) if (node) node.remove();
  swallows = true;
  leavePress();
}

/** Nobody is at the page now, or somebody else. */
function stopMoving() {
  cancelDrag();
  if (mover.open) closeMover();
  changeMoves((moves) => moves.clear());
}

addEventListener("pointerdown", () => (swallows = isDragging()), true);
main.addEventListener("pointerdown", onPress);
addEventListener("pointermove", onPointerMove);
addEventListener("pointerup", onRelease);
for (const event of ["pointercancel", "blur"]) addEventListener(event, cancelDrag);
document.addEventListener("visibilitychange", () => document.hidden && cancelDrag());
// The browser would scroll, drag the link itself, or offer what can be done with that.
main.addEventListener("touchmove", (event) => isDragging() && event.preventDefault(), { passive: false });
main.addEventListener("dragstart", (event) => event.preventDefault());
main.addEventListener("contextmenu", (event) => press?.device === "touch" && event.preventDefault());
addEventListener(
  "keydown",
  (event) => {
    if (!isDragging()) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") cancelDrag();
  },
  true,
);
// By keyboard (`detail` 0) it is another one's.
addEventListener(
  "click",
  (event) => {
    if (!swallows || event.detail === 0) return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);
