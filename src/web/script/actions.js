// One-tap actions on a task, and messages.

const UNDO_FOR = 10_000; // How long (ms) a success message stays; longer while it has the pointer or the focus.

const messages = document.querySelector("#messages");
const alerts = document.querySelector("#alerts");

/** Shows a success message, with an undo button if `undo` is given. */
function showMessage(text, undo) {
  let timer;
  const toast = el("div", { className: "toast" }, el("p", {}, text));
  const close = () => toast.remove();
  const stopTimer = () => clearTimeout(timer);
  const startTimer = () => (timer = setTimeout(close, UNDO_FOR));
  if (undo)
    toast.append(
      el(
        "button",
        {
          type: "button",
          onclick: () => {
            close();
            undo();
          },
        },
        words.undo,
      ),
    );
  toast.append(el("button", { className: "close", type: "button", "aria-label": words.dismiss, onclick: close }));
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, stopTimer);
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, startTimer);
  startTimer();
  stack(messages, toast);
}

/** Shows an error message, which stays until it is dismissed. */
function showError(text) {
  const toast = el("div", { className: "toast bad" }, el("p", {}, text));
  toast.append(
    el("button", { className: "close", type: "button", "aria-label": words.dismiss, onclick: () => toast.remove() }),
  );
  stack(alerts, toast);
}

/** Appends a message; keeps the newest three. */
function stack(list, toast) {
  list.append(toast);
  while (list.children.length > 3) list.firstChild.remove();
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
}

async function complete(stem, title) {
  if (!canWrite() || state.pending.has(stem)) return;
  await applyOptimistically(stem, "abgeschlossen", async () => {
    const { json } = await request("POST", `${pathOf(stem)}/complete`, { json: {} });
    if (json.alreadyCompleted) showMessage(words.alreadyCompleted(title));
    else showMessage(words.completed(title), () => setStatus(stem, title, "offen", json.etag));
    return json;
  });
}

function callOff(stem, title, etag) {
  if (!canWrite()) return;
  return applyOptimistically(stem, "abgebrochen", async () => {
    const { json } = await patch(stem, { status: "abgebrochen" }, etag);
    showMessage(words.calledOff(title), () => setStatus(stem, title, "offen", json.etag));
    return json;
  });
}

/** Optimistic update: shows a task with its new status while `change` is sent, and reverts if that fails. */
async function applyOptimistically(stem, status, change) {
  state.pending.set(stem, { status });
  render();
  try {
    const { version } = await change();
    state.pending.set(stem, { status, version });
    await afterChange();
  } catch (error) {
    state.pending.delete(stem);
    render();
    handleError(error);
  }
}

async function setStatus(stem, title, status, etag) {
  if (!canWrite()) return;
  try {
    await patch(stem, { status }, etag);
    state.pending.delete(stem);
    showMessage(words.reopened(title));
    await afterChange();
  } catch (error) {
    handleError(error);
  }
}

/** Updates a task with `If-Match`. */
function patch(stem, json, etag) {
  return request("PATCH", pathOf(stem), { json, headers: { "If-Match": `"${etag}"` } });
}
