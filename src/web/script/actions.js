// One-tap actions on a task, and messages.

const UNDO_FOR = 10_000; // How long (ms) a success message stays; longer while it has the pointer or the focus.

const messages = document.querySelector("#messages");
const alerts = document.querySelector("#alerts");

/** Shows a success message, with an undo button if `undo` is given. Returns how to close it and to add to its text, and whether it has the pointer or the focus. */
function showMessage(text, undo) {
  let timer;
  const said = el("p", {}, text);
  const toast = el("div", { className: "toast" }, said);
  const close = () => closeToast(toast);
  const stopTimer = () => clearTimeout(timer);
  const startTimer = () => (timer = setTimeout(close, UNDO_FOR));
  if (undo) toast.append(undoButton(undo));
  toast.append(el("button", { className: "close", type: "button", "aria-label": words.dismiss, onclick: close }));
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, stopTimer);
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, startTimer);
  startTimer();
  stack(messages, toast);
  const isUsed = () => toast.matches(":hover, :focus-within");
  return { close, isUsed, add: (...more) => said.append(" ", ...more) };
}

const undoButton = (undo) => el("button", { type: "button", onclick: undo }, words.undo);

/** Removes a message: what was under the messages can be tapped now. A recent reflow of all covers more. */
function closeToast(toast) {
  if (performance.now() - moved.at >= GUARD)
    noteReflow(document.querySelector("#notifications").getBoundingClientRect());
  toast.remove();
}

/** Shows an error message, which stays until it is dismissed; with an undo button for what was done nevertheless. */
function showError(text, undo) {
  const toast = el("div", { className: "toast bad" }, el("p", {}, text), undo && undoButton(undo));
  const close = () => closeToast(toast);
  toast.append(el("button", { className: "close", type: "button", "aria-label": words.dismiss, onclick: close }));
  stack(alerts, toast);
  return { close };
}

/** Appends a message; keeps the newest three. */
function stack(list, toast) {
  list.append(toast);
  while (list.children.length > 3) closeToast(list.firstChild);
}

/** They name tasks. */
function clearMessages() {
  for (const list of [messages, alerts]) list.replaceChildren();
}

/** A modal dialog makes the rest of the page inert, so messages must be inside it to be visible and reachable. */
function moveMessages(parent) {
  parent.append(document.querySelector("#notifications"));
}

/** Whether writes are possible. Offline they aren't, and they aren't queued. */
function canWrite() {
  if (isOffline()) showError(words.offlineNow);
  return !isOffline();
}

/** Shows an API error; an expired session redirects to the sign-in. */
function handleError(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) return signIn();
  showError(error.message);
}

/** Notifies the browser's other tabs and refreshes the week. */
async function afterChange() {
  tabs.postMessage("changed");
  await refresh();
  if (state.found) await searchAgain();
  if (state.elsewhere) await readElsewhere();
}

async function complete(stem, title) {
  if (!canWrite() || state.pending.has(stem)) return;
  await applyOptimistically(stem, title, "abgeschlossen", async (undo) => {
    const { json } = await request("POST", `${pathOf(stem)}/complete`, { json: {} });
    const said = json.alreadyCompleted
      ? showMessage(words.alreadyCompleted(title))
      : showMessage(words.completed(title), undo);
    return { ...json, said };
  });
}

function callOff(stem, title, etag) {
  if (!canWrite() || state.pending.has(stem)) return;
  return applyOptimistically(stem, title, "abgebrochen", async (undo) => {
    const { json } = await patch(stem, { status: "abgebrochen" }, etag);
    return { ...json, said: showMessage(words.calledOff(title), undo) };
  });
}

/**
 * Optimistic update: shows a task with its new status, in place, while `change` is sent; reverts if that fails. `change`
 * gets how to undo it, for its message; the card offers the same.
 */
async function applyOptimistically(stem, title, status, change) {
  const entry = { status };
  entry.undo = undoOnce(stem, title, () => sent);
  const sent = change(entry.undo);
  state.pending.set(stem, entry);
  hold();
  render();
  try {
    const { version, alreadyCompleted } = await sent;
    entry.version = version;
    if (alreadyCompleted) {
      // What somebody else did isn't undone here.
      entry.undo = null;
      render();
    }
    await afterChange();
  } catch (error) {
    state.pending.delete(stem);
    render();
    handleError(error);
  }
}

/** Undoes a change once it is confirmed, and once, wherever it is asked for; again only if that failed. */
function undoOnce(stem, title, sent) {
  let begun = false;
  return async () => {
    if (begun) return;
    begun = true;
    // A failure reverts the card and is reported there.
    const done = await sent().catch(() => null);
    if (done) begun = await setStatus(stem, title, "offen", done.etag, done.said);
  };
}

/** Returns whether the task has the status now; then its message takes the place of `earlier`. */
async function setStatus(stem, title, status, etag, earlier) {
  if (!canWrite()) return false;
  try {
    const { json } = await patch(stem, { status }, etag);
    state.pending.delete(stem);
    render();
    earlier?.close();
    const said = showMessage(words.reopened(title));
    await afterChange();
    sayPlace(said, stem, json);
    return true;
  } catch (error) {
    handleError(error);
    return false;
  }
}

/** Opens a task again that is shown as done: it stays in place for a while. */
async function reopen(stem, title, etag) {
  if (!canWrite() || state.pending.has(stem)) return;
  const entry = { status: "offen" };
  state.pending.set(stem, entry);
  hold();
  render();
  try {
    const { json } = await patch(stem, { status: "offen" }, etag);
    entry.version = json.version;
    const said = showMessage(words.reopened(title));
    await afterChange();
    sayPlace(said, stem, json);
  } catch (error) {
    state.pending.delete(stem);
    render();
    handleError(error);
  }
}

// --- Where a task went ---

/**
 * Adds to a message where the week has the task now, as a link that scrolls to it: if the week has the change of this
 * `version`. A slot after the week is known only from what was sent.
 */
function sayPlace(said, stem, { version, fixedSlot }) {
  const place = state.week?.version >= version && placesIn(state.week).get(stem);
  if (!place) return;
  const isLater = place.reason === "outside_horizon";
  const slot = place.slot ?? (isLater && fixedSlot);
  const text = slot ? words.wentTo(slotShort(slot)) : isLater ? reasonOf(place) : words.noPlace(reasonOf(place));
  const show = (event) => {
    event.preventDefault();
    goToCard(stem);
  };
  said.add(el("a", { href: "#/", onclick: show }, text));
}

/** Why a task has no place. */
const reasonOf = ({ reason, takenBy }) =>
  [words.reason[reason] ?? reason, takenBy && `${stemOf(takenBy)}.`].filter(Boolean).join(" ");

/** Shows the week, scrolled to a task, whose title gets the focus. */
function goToCard(stem) {
  dropHold();
  replaceRoute("#/");
  const find = () => main.querySelector(`[data-stem="${CSS.escape(stem)}"]`);
  state.showsAll ||= !find();
  render();
  const card = find();
  if (!card) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  card.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
  card.querySelector(".name a").focus({ preventScroll: true });
  card.classList.add("here");
}

/** Updates a task with `If-Match`. */
function patch(stem, json, etag) {
  return request("PATCH", pathOf(stem), { json, headers: { "If-Match": `"${etag}"` } });
}
