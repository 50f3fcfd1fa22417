// Days and slots, and which task is in which, decided from values: no DOM, no state, no clock.

const ENDS = { morgens: 9, nachmittags: 14, abends: 19 }; // Local hour at which each slot ends.

const isoOf = (datum) => datum.split(".").reverse().join("-");
const datumOf = (iso) => iso.split("-").reverse().join(".");
const isSame = (a, b) => a?.datum === b?.datum && a?.zeit === b?.zeit;

/** The service returns no passed slots, but a cached or outdated week may have some. */
function hasPassed(datum, zeit, now) {
  const date = isoOf(datum);
  return date < now.date || (date === now.date && now.hour >= ENDS[zeit]);
}

/** The day `count` days after a date as `yyyy-mm-dd`, however many hours that is. */
function dayAfter(iso, count = 1) {
  const date = new Date(`${iso}T12:00:00Z`);
  date.setUTCDate(date.getUTCDate() + count);
  return date.toISOString().slice(0, 10);
}

const isWeekend = (datum) => [0, 6].includes(new Date(`${isoOf(datum)}T12:00:00Z`).getUTCDay());
const isAllowedOn = (kategorie, datum) => isWeekend(datum) === (kategorie === "privat");

/** The week's slots in order: `{datum, zeit, task}`. */
const slotsOf = ({ timeline }) =>
  timeline.flatMap(({ datum, slots }) => slots.map(({ zeit, task }) => ({ datum, zeit, task })));

/**
 * The week's tasks, by file: what the week says of each, `at`, the slot where it is, and `fixedSlot`. That is `undefined`
 * if the week doesn't say it: of a task whose slot has passed or is after the week.
 */
function tasksOf(week) {
  const placed = slotsOf(week).filter(({ task }) => task);
  const tasks = placed.map(({ datum, zeit, task }) => {
    const at = { datum, zeit };
    return [task.file, { ...task, at, fixedSlot: task.isFixed ? at : null }];
  });
  const all = new Map(tasks);
  for (const task of week.unplaced) {
    const waitsFor = { slot_taken: all.get(task.takenBy)?.at, horizon_full: null };
    all.set(task.file, { ...task, at: null, fixedSlot: waitsFor[task.reason] });
  }
  return all;
}

/**
 * The week with `changes`, a map from a task's file to its new `fixedSlot`: placed anew by the service's rules, which are
 * in `src/timeline/README.md`.
 */
function placeAgain(week, changes, now) {
  const byFile = (a, b) => (a.file < b.file ? -1 : 1);
  const tasks = [...tasksOf(week).values()].map((task) =>
    changes.has(task.file) ? { ...task, fixedSlot: changes.get(task.file), reason: undefined } : task,
  );
  tasks.sort(byFile);
  const slots = slotsOf(week).map(({ datum, zeit }) => ({ datum, zeit, task: null }));
  const isFree = ({ datum, zeit, task }) => !task && !hasPassed(datum, zeit, now);
  const unplaced = [];
  const give = (slot, { at, fixedSlot, reason, takenBy, ...task }, isFixed) => (slot.task = { ...task, isFixed });
  const leave = ({ at, fixedSlot, isFixed, reason, takenBy, ...task }, why) => unplaced.push({ ...task, ...why });
  for (const task of tasks.filter(({ fixedSlot }) => fixedSlot !== null)) {
    const { fixedSlot, reason } = task;
    const slot = fixedSlot && slots.find((it) => isSame(it, fixedSlot));
    if (slot && isFree(slot)) give(slot, task, true);
    else if (slot?.task) leave(task, { reason: "slot_taken", takenBy: slot.task.file });
    else leave(task, { reason: fixedSlot ? reasonFor(fixedSlot, week) : reason });
  }
  for (const kategorie of ["arbeit", "privat"]) {
    const free = slots.filter((it) => it.zeit !== "abends" && isAllowedOn(kategorie, it.datum) && isFree(it));
    for (const task of tasks.filter((it) => it.fixedSlot === null && it.kategorie === kategorie)) {
      const slot = free.shift();
      if (slot) give(slot, task, false);
      else leave(task, { reason: "horizon_full" });
    }
  }
  const days = week.timeline.map((day) => ({
    ...day,
    slots: slots.filter(({ datum }) => datum === day.datum).map(({ zeit, task }) => ({ zeit, task })),
  }));
  return { ...week, timeline: days, unplaced: unplaced.sort(byFile) };
}

/** Why a slot that the week doesn't have is none. */
function reasonFor({ datum }, { timeline }) {
  return isoOf(datum) > isoOf(timeline.at(-1).datum) ? "outside_horizon" : "slot_passed";
}
