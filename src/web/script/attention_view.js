// The strip of tasks that need attention, and the same on each card.

/** Where the week has its tasks, by stem: `{day, slot}`, or the `reason` for none. */
function placesOf(week) {
  const places = new Map();
  for (const { datum, slots } of week?.timeline ?? [])
    for (const { zeit, task } of slots)
      if (task) places.set(stemOf(task.file), { day: isoOf(datum), slot: { datum, zeit } });
  for (const { file, reason, takenBy } of week?.unplaced ?? []) places.set(stemOf(file), { reason, takenBy });
  return places;
}

let knownPlaces = {}; // Of the week that was asked for last.

/** The same, computed once for a week. */
function placesIn(week) {
  if (knownPlaces.week !== week) knownPlaces = { week, places: placesOf(week) };
  return knownPlaces.places;
}

/** The facts of a task that decide whether it needs attention. */
function urgencyOf(task, places) {
  const { status, deadline, fixedSlot } = task;
  let place = places.get(stemOf(task.file)) ?? null;
  // Only the task itself knows its slot after the week.
  if (fixedSlot && (!place || place.reason === "outside_horizon"))
    place = { day: isoOf(fixedSlot.datum), slot: fixedSlot };
  return { status, deadline: deadline && isoOf(deadline), place };
}

/** The span of the week that is shown. */
const spanOf = (week) => ({ today: localNow().date, until: isoOf(week.timeline.at(-1).datum) });

const FIRST_URGENT = 6; // A button shows the others.

/** The strip above the week. */
function attentionView(week) {
  const places = placesIn(week);
  const tasks = [...week.timeline.flatMap(({ slots }) => slots.map(({ task }) => task)), ...week.unplaced];
  const facts = tasks.filter((task) => task?.deadline).map((task) => ({ task, ...urgencyOf(task, places) }));
  const urgent = attentionList(facts, spanOf(week));
  if (!urgent.length) return null;
  const rows = state.showsUrgent ? urgent : urgent.slice(0, FIRST_URGENT);
  const showAll = () => {
    state.showsUrgent = true;
    render();
  };
  const rest =
    rows.length < urgent.length &&
    el("button", { type: "button", "data-key": "all urgent", onclick: showAll }, words.showAll(urgent.length));
  return el(
    "section",
    { className: "attention", "aria-labelledby": "attention" },
    el("h2", { id: "attention" }, `${words.needsAttention} (${urgent.length})`),
    el("ul", {}, rows.map(urgentView)),
    rest && el("p", { className: "buttons" }, rest),
  );
}

function urgentView({ task, kind, place }) {
  const stem = stemOf(task.file);
  const gone = state.pending.has(stem);
  const line = words.attentionLine[kind](dayShort(task.deadline), place?.slot && slotShort(place.slot));
  return el(
    "li",
    { className: gone ? "gone" : undefined },
    el(
      "a",
      { href: routeTo("task", stem), "data-key": `urgent ${stem}` },
      el("span", { className: "name" }, task.title),
      " ",
      el("span", { className: `warn ${kind}` }, line),
    ),
  );
}

/** Why a task needs attention. Without a week, as while the storage is away, nothing is claimed. */
function kindOf(task) {
  const { week } = shown();
  return task.deadline && week && attentionOf(urgencyOf(task, placesIn(week)), spanOf(week));
}

/** The deadline on a card, with what is wrong about it. */
function dueView(task) {
  const kind = kindOf(task);
  const due = task.deadline && words.due(dueName(task.deadline));
  return kind
    ? el("span", { className: `warn ${kind}` }, `${due} · ${words.attention[kind]}`)
    : due && el("span", {}, due);
}
