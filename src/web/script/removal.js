// Deleting a task: at once to see, and undone for some seconds. Only then, or when the page is left, it is sent.

const REMOVED = "geloescht"; // A status that only this page knows.

const removals = new Map(); // By stem: how to send it, or to forget it.

function removeTask(stem, title, etag) {
  if (!canWrite() || state.pending.has(stem)) return;
  const entry = { status: REMOVED };
  const end = () => {
    clearTimeout(timer);
    removals.delete(stem);
    said.close();
  };
  entry.undo = () => {
    end();
    state.pending.delete(stem);
    render();
  };
  const send = async (isLeaving) => {
    end();
    entry.undo = null;
    render();
    try {
      const headers = { "If-Match": `"${etag}"` };
      const { json } = await request("DELETE", pathOf(stem), { headers, keepalive: isLeaving });
      entry.version = json.version;
    } catch (error) {
      if (error.code !== "task_not_found") {
        state.pending.delete(stem);
        render();
        return handleError(error);
      }
      // Somebody else was faster; the next week doesn't have it.
      entry.version = 1;
    }
    await afterChange();
  };
  state.pending.set(stem, entry);
  removals.set(stem, { send, forget: end });
  const timer = setTimeout(send, UNDO_FOR);
  const said = showMessage(words.removed(title), entry.undo);
  render();
}

/** Sends what can't be undone any more, because the page is left or the user signs out. */
const sendRemovals = () => Promise.all([...removals.values()].map(({ send }) => send(true)));

/** Somebody else is signed in: nothing of this is sent. */
function forgetRemovals() {
  for (const { forget } of removals.values()) forget();
}

window.addEventListener("pagehide", sendRemovals);
