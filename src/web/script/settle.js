// Nothing moves under a finger: a completed card stays in place for a while, and just after cards moved a tap on a check
// does nothing.

const HOLD = 3_000; // How long (ms) a completed card stays in place.
const GUARD = 700; // How long (ms) after cards moved a tap on a check does nothing: it was meant for another card.
const MOTION = 250;
const MOST_MOVING = 150; // More cards aren't animated.

let held = null; // What is shown while a completed card stays in place: {week, found, elsewhere} as of the tap.
let holdTimer;
let moved = { at: -Infinity }; // When what is under a finger last changed, and where: a rectangle, or everywhere.

/** The week and the search result to show. */
function shown() {
  const { week, found, elsewhere } = held ?? state;
  return { week: arranged(week), found, elsewhere };
}

/** Keeps what is shown in place, whatever is read meanwhile. Another call prolongs it. */
function hold() {
  held ??= { week: state.week, found: state.found, elsewhere: state.elsewhere };
  clearTimeout(holdTimer);
  holdTimer = setTimeout(release, HOLD);
}

/** Shows what was read meanwhile. */
function release() {
  if (!held) return;
  dropHold();
  render();
}

function dropHold() {
  clearTimeout(holdTimer);
  held = null;
  forgetConfirmed();
}

/** Something else is under the finger now, within `area` if that is given. */
function noteReflow(area) {
  moved = { at: performance.now(), area };
}

/** Whether a click on a check counts. One by keyboard (`detail` 0) always does: the focus stays at its card. */
function isMeant({ detail, clientX: x, clientY: y }) {
  const { at, area } = moved;
  if (detail === 0 || performance.now() - at >= GUARD) return true;
  return area && (x < area.left || x > area.right || y < area.top || y > area.bottom);
}

const cards = () => [...main.querySelectorAll(".card")];

let landing = null; // A card that was just released: its `stem`, and the rectangle where that was.

/** The places of the cards, by task. */
function cardPlaces() {
  const places = new Map(cards().map((card) => [card.dataset.stem, card.getBoundingClientRect()]));
  if (landing) places.set(landing.stem, landing.rect);
  landing = null;
  return places;
}

/** After a change of the page: lets cards glide from where they were, and notes whether any moved or is new. */
function settle(before) {
  const motion = before.size > 0 && !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let moving = 0;
  for (const card of cards()) {
    const from = before.get(card.dataset.stem);
    const to = card.getBoundingClientRect();
    const [x, y] = from ? [from.x - to.x, from.y - to.y] : [0, 0];
    if (from && !x && !y) continue;
    moving += 1;
    if (motion && moving <= MOST_MOVING)
      card.animate(from ? { transform: [`translate(${x}px, ${y}px)`, "none"] } : { opacity: [0, 1] }, {
        duration: MOTION,
        easing: "ease-out",
      });
  }
  if (moving) noteReflow();
}

window.addEventListener("resize", () => noteReflow());
