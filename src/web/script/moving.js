// Moves tasks: what is shown at once, what is sent, and how it is undone. What a move means is decided in `move.js`.

const fileOf = (stem, tasks) => [...tasks.keys()].find((file) => stemOf(file) === stem);

let lastArranged = {};

/** A week with the moves that it doesn't have yet, computed once. */
function arranged(week) {
  const { moves } = state;
  if (!week || moves.size === 0) return week;
  if (lastArranged.of !== week || lastArranged.moves !== moves) {
    const files = [...tasksOf(week).keys()].filter((file) => moves.has(stemOf(file)));
    const changes = new Map(files.map((file) => [file, moves.get(stemOf(file)).to]));
    lastArranged = { of: week, moves, week: placeAgain(week, changes, localNow()) };
  }
  return lastArranged.week;
}

function changeMoves(change) {
  const moves = new Map(state.moves);
  change(moves);
  state.moves = moves;
}

/** The newest week with all moves, without what is about to leave it. */
function weekToMoveIn() {
  const week = arranged(state.week);
  const isLeaving = (task) => task && (state.pending.get(stemOf(task.file))?.status ?? "offen") !== "offen";
  const timeline = week.timeline.map((day) => ({
    ...day,
    slots: day.slots.map((slot) => (isLeaving(slot.task) ? { ...slot, task: null } : slot)),
  }));
  return { ...week, timeline, unplaced: week.unplaced.filter((task) => !isLeaving(task)) };
}

/** What moving a task to a slot means in the newest week. */
function meaningOfMove(stem, slot) {
  const week = weekToMoveIn();
  return moveOf(week, fileOf(stem, tasksOf(week)), slot, localNow());
}

/** Moves a task as the user wishes; if a fixed task has the slot, the user is asked first. */
function move(stem, slot) {
  if (!canWrite()) return;
  const meaning = meaningOfMove(stem, slot);
  if (meaning.is === "gone") return showError(words.refusal.precondition_failed);
  if (meaning.is === "passed") return showError(words.slotPassed);
  if (meaning.is === "same") return;
  const tasks = tasksOf(weekToMoveIn());
  const step = (file, to) => {
    const { title, fixedSlot } = tasks.get(file);
    return { stem: stemOf(file), title, from: fixedSlot, to };
  };
  const own = step(fileOf(stem, tasks), slot);
  if (meaning.is === "fine") return beginMoves([own], slot ? words.moved(own.title) : words.released(own.title), true);
  // The other one first: then the slot is free.
  const other = step(meaning.by.file, meaning.theirs);
  const text = meaning.theirs ? words.swapped(own.title, other.title) : words.moved(own.title);
  askToSwap(meaning, own, () => beginMoves([other, own], text, true));
}

let lastMoves = Promise.resolve();

/**
 * Shows the steps, `{stem, title, from, to}`, as done, and does them once those before are done. The user moves the task
 * `own`. Returns whether that worked.
 */
function beginMoves(steps, text, canUndo, own = steps.at(-1).stem) {
  const { generation } = state;
  const entries = steps.map(({ stem, to }) => [stem, { to }]);
  changeMoves((moves) => entries.forEach(([stem, entry]) => moves.set(stem, entry)));
  render();
  const send = async () => {
    const { done, failure } = await carryOut(steps, generation);
    if (generation !== state.generation) return false;
    changeMoves((moves) => {
      for (const [at, [stem, entry]] of entries.entries()) {
        if (moves.get(stem) !== entry) continue; // Moved again since.
        if (done[at]) moves.set(stem, { ...entry, version: done[at].version });
        else moves.delete(stem);
      }
    });
    if (failure) render();
    // The next move doesn't wait for what is read then.
    sayMoved(done, failure, { steps, text, canUndo, own });
    return !failure;
  };
  return (lastMoves = lastMoves.then(send, send));
}

async function carryOut(steps, generation) {
  const done = [];
  try {
    for (const step of steps) if (generation === state.generation) done.push(await sendStep(step, generation));
    return { done };
  } catch (failure) {
    if (!(failure instanceof ApiError)) throw failure;
    return { done, failure };
  }
}

/** Gives a task its slot, unless somebody else has moved or completed it: that isn't overwritten. */
async function sendStep({ stem, title, from, to }, generation) {
  for (let tries = 1; ; tries += 1) {
    const headers = tries > 1 ? { "Cache-Control": "no-cache" } : {};
    const { json: task } = await request("GET", pathOf(stem), { headers });
    const { fixedSlot, status, etag } = task;
    if (status === "offen" && isSame(fixedSlot, to))
      return { stem, title, from: from === undefined ? to : from, to, version: server.version };
    if (status !== "offen" || (from !== undefined && !isSame(fixedSlot, from)))
      throw new ApiError(words.refusal.precondition_failed, { code: "precondition_failed" });
    // Somebody else is signed in by now.
    if (generation !== state.generation) throw new ApiError(words.signedOut);
    try {
      const { json } = await patch(stem, { fixedSlot: to }, etag);
      return { stem, title, from: fixedSlot, to, version: json.version };
    } catch (error) {
      if (error.code !== "precondition_failed" || tries === MOST_TRIES) throw error;
    }
  }
}

/** Says what was done and what wasn't, with how to undo it, and where the task is now. */
async function sayMoved(done, failure, { steps, text, canUndo, own }) {
  const last = done.at(-1);
  if (!last) handleError(failure);
  const undo = last && canUndo && undoOf(done, () => said.close());
  const said = !last
    ? null
    : failure
      ? showError(words.movedInPart(last.title, steps[done.length].title, failure.message), undo)
      : showMessage(text, undo);
  await afterChange();
  const moved = done.find(({ stem }) => stem === own);
  if (!failure) sayPlace(said, own, { version: last.version, fixedSlot: moved.to });
}

/** Puts the tasks back where they were, once; again only if that failed. */
function undoOf(done, close) {
  const own = done.at(-1);
  const steps = done.map(({ stem, title, from, to }) => ({ stem, title, from: to, to: from })).reverse();
  let begun = false;
  return async () => {
    if (begun || !canWrite()) return;
    begun = true;
    begun = await beginMoves(steps, words.movedBack(own.title), false, own.stem);
    if (begun) close();
  };
}
