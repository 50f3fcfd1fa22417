// What is done to a task with one tap, and how it is told.

const UNDO_FOR = 10_000; // How long (ms) a good message stays; longer while somebody is at it.

const messages = document.querySelector("#messages");
const alerts = document.querySelector("#alerts");

/** Good news, with a way back where there is one. */
function tell(text, undo) {
  let timer;
  const toast = el("div", { className: "toast" }, el("p", {}, text));
  const close = () => toast.remove();
  const stay = () => clearTimeout(timer);
  const go = () => (timer = setTimeout(close, UNDO_FOR));
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
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, stay);
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, go);
  go();
  stack(messages, toast);
}

/** Bad news stays until somebody has seen it. */
function warn(text) {
  const toast = el("div", { className: "toast bad" }, el("p", {}, text));
  toast.append(
    el("button", { className: "close", type: "button", "aria-label": words.dismiss, onclick: () => toast.remove() }),
  );
  stack(alerts, toast);
}

/** No more than three at a time. */
function stack(list, toast) {
  list.append(toast);
  while (list.children.length > 3) list.firstChild.remove();
}

/** A modal dialog lies above everything else, so the messages must be in it to be seen and reached. */
function moveMessages(parent) {
  parent.append(document.querySelector("#told"));
}

/** Whether something may be sent. Without a connection nothing is, and nothing is kept to be sent later. */
function mayChange() {
  if (isOffline()) warn(words.offlineNow);
  return !isOffline();
}

/** Says why something wasn't done; a session that is over leads to the sign-in. */
function failed(refusal) {
  if (!(refusal instanceof Refusal)) throw refusal;
  if (refusal.status === 401) return signIn();
  warn(refusal.message);
}

/** Tells the other tabs of this browser, and makes the week new. */
async function changed() {
  tabs.postMessage("changed");
  await refresh();
  if (state.found) await searchAgain();
}

async function complete(stem, title) {
  if (!mayChange() || state.leaving.has(stem)) return;
  await leave(stem, "abgeschlossen", async () => {
    const { json } = await ask("POST", `${pathOf(stem)}/complete`, { json: {} });
    if (json.alreadyCompleted) tell(words.alreadyCompleted(title));
    else tell(words.completed(title), () => setStatus(stem, title, "offen", json.etag));
    return json;
  });
}

function callOff(stem, title, etag) {
  if (!mayChange()) return;
  return leave(stem, "abgebrochen", async () => {
    const { json } = await patch(stem, { status: "abgebrochen" }, etag);
    tell(words.calledOff(title), () => setStatus(stem, title, "offen", json.etag));
    return json;
  });
}

/** Shows a task as gone while `change` is sent, and as open again when that was refused. */
async function leave(stem, status, change) {
  state.leaving.set(stem, { status });
  render();
  try {
    const { version } = await change();
    state.leaving.set(stem, { status, version });
    await changed();
  } catch (refusal) {
    state.leaving.delete(stem);
    render();
    failed(refusal);
  }
}

async function setStatus(stem, title, status, etag) {
  if (!mayChange()) return;
  try {
    await patch(stem, { status }, etag);
    state.leaving.delete(stem);
    tell(words.reopened(title));
    await changed();
  } catch (refusal) {
    failed(refusal);
  }
}

/** Changes a task that is still what `etag` names. */
function patch(stem, json, etag) {
  return ask("PATCH", pathOf(stem), { json, headers: { "If-Match": `"${etag}"` } });
}
