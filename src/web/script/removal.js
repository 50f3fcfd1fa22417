// Deleting a task: at once to see, and undone for some seconds. Only then, or when the page is left, it is sent.

const REMOVED = "geloescht"; // A status that only this page knows.

const removals = new Map(); // What can be undone or isn't answered yet, by stem: {send, forget, isSent}.

function removeTask(stem, title, etag) {
  if (!canWrite() || state.pending.has(stem)) return;
  const entry = { status: REMOVED };
  const forget = () => {
    clearTimeout(timer);
    removals.delete(stem);
    said.close();
  };
  entry.undo = () => {
    forget();
    state.pending.delete(stem);
    render();
  };
  let sent = null;
  const send = () => {
    clearTimeout(timer);
    sent ??= sendRemoval(stem, entry, etag).finally(() => removals.delete(stem));
    said.close();
    return sent;
  };
  const whenUnused = () => (said.isUsed() ? (timer = setTimeout(whenUnused, 1_000)) : send());
  state.pending.set(stem, entry);
  removals.set(stem, { send, forget, isSent: () => sent !== null });
  let timer = setTimeout(whenUnused, UNDO_FOR);
  const said = showMessage(words.removed(title), entry.undo);
  render();
}

async function sendRemoval(stem, entry, etag) {
  const { generation } = state;
  // First: a page that is left doesn't have the time to be drawn.
  const answer = request("DELETE", pathOf(stem), { headers: { "If-Match": `"${etag}"` }, keepalive: true });
  entry.undo = null;
  render();
  try {
    const { json } = await answer;
    entry.version = json.version;
  } catch (error) {
    if (generation !== state.generation) return;
    if (error.code !== "task_not_found") {
      state.pending.delete(stem);
      render();
      return handleError(error);
    }
    // Somebody else was faster; the next week doesn't have it.
    entry.version = 1;
  }
  if (generation === state.generation) await afterChange();
}

/** Sends what can't be undone any more, because the page is left or the user signs out, and waits for the answers. */
const sendRemovals = () => Promise.all([...removals.values()].map(({ send }) => send()));

/** The user isn't signed in any more: what isn't sent yet can't be. Returns whether there was any. */
function forgetRemovals() {
  const unsent = [...removals.values()].filter(({ isSent }) => !isSent());
  for (const { forget } of removals.values()) forget();
  return unsent.length > 0;
}

window.addEventListener("pagehide", sendRemovals);
